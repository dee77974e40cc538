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

CASE(a_message_of_the_kernel_has_an_audit_token_of_0_and_sender_0_1)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    struct letter letter;
    IS_OK(mach_port_deallocate(TASK, once));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_AUDIT);
    IS(letter.header.msgh_id, MACH_NOTIFY_SEND_ONCE);
    for (int i = 0; i < 8; i++)
        IS(letter_trailer(&letter)->msgh_audit.val[i], 0);
    IS(letter_trailer(&letter)->msgh_sender.val[0], 0);
    IS(letter_trailer(&letter)->msgh_sender.val[1], 1);
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

CASE(the_context_trailer_carries_the_ports_context)
{
    mach_port_options_t options = {0};
    mach_port_t port = MACH_PORT_NULL;
    struct letter letter;
    NEED_OK(mach_port_construct(TASK, &options, 0x1122334455667788, &port));
    IS_OK(post(port, MAKE_SEND, 1));
    take_with_trailer(&letter, port, MACH_RCV_TRAILER_CTX);
    mach_port_context_t context;
    memcpy(&context, &letter_trailer(&letter)->msgh_context, sizeof context);
    IS(context, 0x1122334455667788);
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
