/* Trailers (section 7): their sizes, sequence numbers, and who the audit token says the sender is.
 */
#include "peers.h"

#include <bsm/libbsm.h>
#include <string.h>
#include <unistd.h>

static void take_with_trailer(struct letter *letter, mach_port_t port, unsigned elements)
{
    memset(letter, 0, sizeof *letter);
    NEED_OK(letter_receive(letter, port, (mach_msg_option_t)MACH_RCV_TRAILER_ELEMENTS(elements),
                           PROMPT));
}

CASE(elements_0_to_4_give_trailers_of_8_12_20_52_60)
{
    static const mach_msg_size_t sizes[] = {8, 12, 20, 52, 60};
    mach_port_t port = make_port();
    for (unsigned elements = 0; elements <= 4; elements++) {
        struct letter letter;
        tap_about("elements %u", elements);
        IS_OK(post(port, MAKE_SEND, 1));
        take_with_trailer(&letter, port, elements);
        IS(letter_trailer(&letter)->msgh_trailer_type, MACH_MSG_TRAILER_FORMAT_0);
        IS(letter_trailer(&letter)->msgh_trailer_size, sizes[elements]);
        IS(letter.header.msgh_size, 24);
    }
}

CASE(elements_5_to_15_give_a_trailer_of_68)
{
    mach_port_t port = make_port();
    for (unsigned elements = 5; elements <= 15; elements++) {
        struct letter letter;
        tap_about("elements %u", elements);
        IS_OK(post(port, MAKE_SEND, 1));
        take_with_trailer(&letter, port, elements);
        IS(letter_trailer(&letter)->msgh_trailer_size, 68);
    }
}

CASE(the_trailer_follows_the_data)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 1);
    letter_data(&letter, "twelve bytes", 12);
    NEED_OK(letter_send(&letter, NOW));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_AUDIT);
    IS(letter.header.msgh_size, 36);
    IS(letter_trailer(&letter)->msgh_trailer_size, 52);
    IS(letter_trailer(&letter)->msgh_audit.val[5], getpid());
}

CASE(seqno_starts_at_0_and_counts_dequeued_messages_per_port)
{
    mach_port_t port = make_port(), other = make_port();
    struct letter letter;
    for (mach_port_seqno_t n = 0; n < 4; n++) {
        IS_OK(post(port, MAKE_SEND, 1));
        take_with_trailer(&letter, port, MACH_RCV_TRAILER_SEQNO);
        IS(letter_trailer(&letter)->msgh_seqno, n);
        IS(status_of(port).mps_seqno, n + 1);
    }
    IS_OK(post(other, MAKE_SEND, 1));
    take_with_trailer(&letter, other, MACH_RCV_TRAILER_SEQNO);
    IS(letter_trailer(&letter)->msgh_seqno, 0);
}

CASE(seqno_counts_messages_received_without_asking)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    IS_OK(post(port, MAKE_SEND, 2));
    IS(take_id(port), 1);
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_SEQNO);
    IS(letter_trailer(&letter)->msgh_seqno, 1);
}

static void is_token_of(const audit_token_t *token, pid_t pid)
{
    IS(token->val[1], geteuid());
    IS(token->val[2], getegid());
    IS(token->val[3], getuid());
    IS(token->val[4], getgid());
    IS(token->val[5], pid);
}

CASE(the_audit_token_and_the_sender_are_the_senders)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_AUDIT);
    is_token_of(&letter_trailer(&letter)->msgh_audit, getpid());
    IS(letter_trailer(&letter)->msgh_sender.val[0], geteuid());
    IS(letter_trailer(&letter)->msgh_sender.val[1], getegid());
}

CASE(the_audit_token_of_a_send_once_reply_is_the_senders)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(make_send_once(port), MOVE_SEND_ONCE, 1));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_AUDIT);
    is_token_of(&letter_trailer(&letter)->msgh_audit, getpid());
}

static void take_from_the_kernel(mach_port_t port, mach_msg_id_t id)
{
    struct letter letter;
    tap_about("id %d", id);
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_AUDIT);
    IS(letter.header.msgh_id, id);
    for (int i = 0; i < 8; i++)
        IS(letter_trailer(&letter)->msgh_audit.val[i], 0);
    IS(letter_trailer(&letter)->msgh_sender.val[0], 0);
    IS(letter_trailer(&letter)->msgh_sender.val[1], 1);
}

CASE(a_message_of_the_kernel_has_an_audit_token_of_0_and_sender_0_1)
{
    mach_port_t notify = make_port(), parked = MACH_PORT_NULL, port;
    IS_OK(mach_port_deallocate(TASK, make_send_once(notify)));
    take_from_the_kernel(notify, MACH_NOTIFY_SEND_ONCE);
    port = make_send_only(1, &parked);
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    destroy_receive(parked);
    take_from_the_kernel(notify, MACH_NOTIFY_DEAD_NAME);
    port = make_send_only(1, NULL);
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    take_from_the_kernel(notify, MACH_NOTIFY_PORT_DELETED);
    port = make_port_with_sends(1);
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    request(port, MACH_NOTIFY_PORT_DESTROYED, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    take_from_the_kernel(notify, MACH_NOTIFY_NO_SENDERS);
    destroy_receive(port);
    take_from_the_kernel(notify, MACH_NOTIFY_PORT_DESTROYED);
}

CASE(libbsm_reads_the_token_in_its_order)
{
    audit_token_t token = {{10, 11, 12, 13, 14, 15, 16, 17}};
    IS(audit_token_to_auid(token), 10);
    IS(audit_token_to_euid(token), 11);
    IS(audit_token_to_egid(token), 12);
    IS(audit_token_to_ruid(token), 13);
    IS(audit_token_to_rgid(token), 14);
    IS(audit_token_to_pid(token), 15);
    IS(audit_token_to_asid(token), 16);
    IS(audit_token_to_pidversion(token), 17);
}

static mach_port_t make_port_with_context(uint32_t flags)
{
    mach_port_options_t options = {.flags = flags};
    mach_port_t port = MACH_PORT_NULL;
    NEED_OK(mach_port_construct(TASK, &options, 0x1122334455667788, &port));
    return port;
}

/* What the trailer of a message says. */
static mach_port_context_t context_of(mach_port_t port)
{
    struct letter letter;
    mach_port_context_t context;
    IS_OK(post(port, MAKE_SEND, 1));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_CTX);
    memcpy(&context, &letter_trailer(&letter)->msgh_context, sizeof context);
    return context;
}

CASE(the_context_trailer_carries_the_ports_context)
{
    IS(context_of(make_port_with_context(0)), 0x1122334455667788);
}

CASE(a_moved_receive_right_has_context_0)
{
    static const uint32_t flags[] = {0, MPO_CONTEXT_AS_GUARD};
    for (int i = 0; i < 2; i++) {
        mach_port_t carrier = make_port(), port = make_port_with_context(flags[i]);
        tap_about("flags 0x%x", flags[i]);
        IS_OK(post_right(carrier, port, MOVE_RECEIVE));
        IS(context_of(take_right(carrier, 16)), 0);
    }
}

CASE(an_extracted_receive_right_has_context_0)
{
    mach_port_t port = make_port_with_context(0), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly));
    IS(context_of(got), 0);
}

static void post_home(mach_port_t home)
{
    IS_OK(post(home, COPY_SEND, getpid()));
}

CASE(two_process_the_audit_token_names_the_other_process)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, post_home);
    struct letter letter;
    take_with_trailer(&letter, home, MACH_RCV_TRAILER_AUDIT);
    IS(letter.header.msgh_id, peer);
    is_token_of(&letter_trailer(&letter)->msgh_audit, peer);
    peer_join(peer);
}

CASE(two_process_the_token_is_the_senders_though_it_has_ended)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, post_home);
    peer_join(peer);
    struct letter letter;
    take_with_trailer(&letter, home, MACH_RCV_TRAILER_AUDIT);
    is_token_of(&letter_trailer(&letter)->msgh_audit, peer);
}

static void take_news_of_another_process(mach_port_t home)
{
    mach_port_t mine = make_port();
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, mine, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    take_from_the_kernel(mine, MACH_NOTIFY_NO_SENDERS);
}

CASE(two_process_a_notification_that_another_process_caused_is_from_the_kernel)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1), previous = MACH_PORT_NULL;
    pid_t peer = peer_start(home, take_news_of_another_process);
    mach_port_t notify = take_right(home, 18);
    NEED_OK(mach_port_request_notification(TASK, port, MACH_NOTIFY_NO_SENDERS, 0, notify,
                                           MOVE_SEND_ONCE, &previous));
    IS_OK(mach_port_deallocate(TASK, port));
    peer_join(peer);
}

CASE(a_message_left_by_rcv_large_keeps_its_sender_when_the_port_moves)
{
    mach_port_t carrier = make_port(), port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_LARGE | MACH_RCV_TIMEOUT, 0, 24, port,
                     NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    take_with_trailer(&letter, take_right(carrier, 16), MACH_RCV_TRAILER_AUDIT);
    is_token_of(&letter_trailer(&letter)->msgh_audit, getpid());
}
