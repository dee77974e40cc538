/* What a holder of a port's descriptors can do to it beside sending messages, and what it cannot:
 * cut the port off, shrink its buffer, send again what was sent before, or pass for Mach's kernel.
 * The packets are made here by hand; packet.h says what is in one. */
#include "packets.h"

#include "space.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Another process, which holds fd and nothing else of ours. */
static pid_t put_from_elsewhere(int fd, const void *bytes, size_t size)
{
    int status;
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0)
        _exit(send(fd, bytes, size, 0) == (ssize_t)size ? 0 : 1);
    NEED(waitpid(pid, &status, 0) == pid && status == 0);
    return pid;
}

static const mach_msg_option_t AUDIT = MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                                       MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);

/* --- cutting off ----------------------------------------------------------------------------- */

CASE(a_severed_port_tells_its_receiver_and_its_senders)
{
    struct letter letter;
    mach_port_t port = make_port_with_sends(1);
    NEED_OK(post(port, COPY_SEND, 1));
    int fd = sending_end(port);
    NEED(shutdown(fd, SHUT_RDWR) == 0);
    IS(take_id(port), 1); /* what was queued is still there */
    IS_CODE(letter_receive(&letter, port, 0, PROMPT), MACH_RCV_PORT_DIED);
    IS_CODE(post(port, COPY_SEND, 2), MACH_SEND_INVALID_DEST);
    IS_OK(mach_port_destroy(TASK, port));
}

CASE(a_severed_port_whose_right_is_sent_home_has_its_name)
{
    mach_port_t port = make_port_with_sends(1), home = make_port();
    NEED_OK(post(port, COPY_SEND, 1));
    NEED(shutdown(sending_end(port), SHUT_RDWR) == 0);
    NEED_OK(post_right(home, port, MOVE_RECEIVE));
    IS(take_right(home, MACH_MSG_TYPE_PORT_RECEIVE), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(take_id(port), 1);
}

CASE(a_severed_port_still_gets_its_send_once_messages)
{
    mach_port_t port = make_port(), once = make_send_once(port), set = make_set();
    NEED_OK(mach_port_insert_member(TASK, port, set));
    NEED(shutdown(sending_end(port), SHUT_RDWR) == 0);
    IS(is_empty(set), 1);
    NEED_OK(post(once, MOVE_SEND_ONCE, 4));
    IS(take_id(set), 4);
}

CASE(a_severed_member_does_not_hold_up_its_set)
{
    struct letter letter;
    mach_port_t set = make_set(), cut = make_port(), other = make_port();
    NEED_OK(mach_port_insert_member(TASK, cut, set));
    NEED_OK(mach_port_insert_member(TASK, other, set));
    NEED(shutdown(sending_end(cut), SHUT_RDWR) == 0);
    for (int i = 0; i < 50; i++) {
        NEED_OK(post(other, MAKE_SEND, i));
        IS(take_id(set), i);
    }
    IS_CODE(letter_receive(&letter, set, 0, 20), MACH_RCV_TIMED_OUT);
    IS_OK(mach_port_extract_member(TASK, cut, set));
    IS_OK(mach_port_destroy(TASK, cut));
}

/* --- shrinking ------------------------------------------------------------------------------- */

CASE(a_shrunk_socket_still_takes_messages_of_any_size)
{
    enum { LARGE = 100000 };
    static union {
        mach_msg_header_t header;
        uint8_t bytes[LARGE + MAX_TRAILER_SIZE];
    } m;
    mach_port_t port = make_port();
    int fd = sending_end(port), least = 1;
    NEED(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
    for (int i = 0; i < 10; i++) {
        memset(m.bytes, 0x33 + i, LARGE);
        m.header = (mach_msg_header_t){
            .msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0), .msgh_remote_port = port, .msgh_id = i};
        IS_OK(mach_msg(&m.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, LARGE, 0, 0, PROMPT, 0));
        IS_OK(mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, port, PROMPT, 0));
        IS(m.header.msgh_id, i);
        IS(m.bytes[LARGE - 1], 0x33 + i);
        IS_OK(post(port, MAKE_SEND, i));
        IS(take_id(port), i);
    }
}

CASE(a_shrunk_queue_fills_up_and_gives_back_what_does_not_fit)
{
    mach_port_t port = make_port(), right = make_port();
    int fd = sending_end(port), least = 1, sent = 0;
    NEED(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
    while (sent < 1000 && post_right(port, right, MAKE_SEND) == MACH_MSG_SUCCESS)
        sent++;
    IS_TRUE(sent > 0 && sent < 1000);
    IS(refs(right, MACH_PORT_RIGHT_SEND), 1); /* of the one that came back */
    for (int i = 0; i < sent; i++)
        (void)take_right(port, MACH_MSG_TYPE_PORT_SEND);
    IS(refs(right, MACH_PORT_RIGHT_SEND), 1 + sent);
}

/* --- replays and forgeries ------------------------------------------------------------------- */

CASE(a_packet_that_is_sent_twice_is_two_messages)
{
    mach_port_t to = make_port(), port = make_port();
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    int ends[2], fd = sending_end(to);
    NEED(pipe(ends) == 0);
    const int fds[] = {sending_end(port), ends[0]};
    for (int i = 0; i < 3; i++)
        put(fd, &p, sizeof p, fds, 2);
    for (int i = 0; i < 3; i++)
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 3);
}

CASE(a_message_in_the_kernels_name_from_another_process_has_its_sender)
{
    struct letter letter;
    mach_port_t port = make_port();
    struct plain p = plain_packet(MACH_NOTIFY_NO_SENDERS);
    p.wire.flags = ML_WIRE_KERNEL;
    pid_t forger = put_from_elsewhere(sending_end(port), &p, sizeof p);
    NEED_OK(letter_receive(&letter, port, AUDIT, PROMPT));
    mach_msg_audit_trailer_t *trailer = (mach_msg_audit_trailer_t *)letter_trailer(&letter);
    IS(trailer->msgh_audit.val[5], forger);
    IS(trailer->msgh_audit.val[1], geteuid());
    IS(trailer->msgh_sender.val[0], getuid());
    IS(trailer->msgh_sender.val[1], getgid());
}

CASE(a_message_of_the_librarys_own_has_no_sender)
{
    struct letter letter;
    mach_port_t port = make_port(), once = make_send_once(port);
    NEED_OK(mach_port_deallocate(TASK, once));
    NEED_OK(letter_receive(&letter, port, AUDIT, PROMPT));
    mach_msg_audit_trailer_t *trailer = (mach_msg_audit_trailer_t *)letter_trailer(&letter);
    IS(letter.header.msgh_id, MACH_NOTIFY_SEND_ONCE);
    IS(trailer->msgh_audit.val[5], 0);
    IS(trailer->msgh_sender.val[1], 1);
}

/* A receive right arrives whose state is what we write: see state.c for a piece's layout. */
static mach_port_t arrive_with_state(const void *pieces[], const size_t sizes[], unsigned n)
{
    struct with_right p = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    mach_port_t to = make_port();
    int channel[2], state[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, state) == 0);
    for (unsigned i = 0; i < n; i++)
        put(state[0], pieces[i], sizes[i], NULL, 0);
    const int fds[] = {channel[1], channel[0], state[1]};
    put(sending_end(to), &p, sizeof p, fds, 3);
    close(state[0]);
    close(state[1]);
    return take_right(to, MACH_MSG_TYPE_PORT_RECEIVE);
}

CASE(a_forged_message_in_the_state_of_a_right_comes_from_nobody)
{
    struct {
        struct piece piece;
        struct plain packet;
    } forged = {.piece = {PIECE_MAGIC, PIECE_STASH, 0, 0}, .packet = plain_packet(72)};
    const void *pieces[] = {&forged};
    const size_t sizes[] = {sizeof forged};
    struct letter letter;
    forged.packet.wire.flags = ML_WIRE_KERNEL;
    mach_port_t port = arrive_with_state(pieces, sizes, 1);
    NEED_OK(letter_receive(&letter, port, AUDIT, PROMPT));
    mach_msg_audit_trailer_t *trailer = (mach_msg_audit_trailer_t *)letter_trailer(&letter);
    IS(letter.header.msgh_id, 72);
    IS(trailer->msgh_audit.val[5], 0);
    IS(trailer->msgh_audit.val[1], UINT32_MAX);
    IS(trailer->msgh_sender.val[0], UINT32_MAX); /* not the kernel's {0, 1} */
}

CASE(forged_pieces_of_state_are_left_out)
{
    const struct piece limit_too_high = {PIECE_MAGIC, PIECE_LIMITS, 1u << 30, 0},
                       unknown = {PIECE_MAGIC, 99, 0, 0}, stash = {PIECE_MAGIC, PIECE_STASH, 0, 0},
                       limit = {PIECE_MAGIC, PIECE_LIMITS, 7, 0};
    struct {
        struct piece piece;
        struct with_right packet;
    } lacking = {.piece = stash};
    lacking.packet = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    const void *pieces[] = {&limit_too_high, &unknown, &stash, &lacking, &limit};
    const size_t sizes[] = {sizeof(struct piece), sizeof(struct piece), sizeof(struct piece),
                            sizeof lacking, sizeof(struct piece)};
    mach_port_t port = arrive_with_state(pieces, sizes, 5);
    IS(status_of(port).mps_qlimit, 7);
    IS(is_empty(port), 1);
    IS_OK(post(port, MAKE_SEND, 1));
    IS(take_id(port), 1);
}

/* Sends a message with one send right whose descriptors are in a chain of these links. */
static void put_chained(int to, const int *fds, const unsigned links[], unsigned n_links)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    int chain[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, chain) == 0);
    for (unsigned i = 0; i < n_links; fds += links[i++])
        put(chain[0], "", 1, fds, links[i]);
    p.wire.flags = ML_WIRE_CHAIN;
    put(to, &p, sizeof p, &chain[1], 1);
    close(chain[1]);
    /* Kept open: a chain that is too short must not be waited for. */
}

CASE(a_chain_has_neither_less_nor_more_than_the_message_calls_for)
{
    mach_port_t to = make_port(), port = make_port();
    int fd = sending_end(to), ends[2];
    NEED(pipe(ends) == 0);
    const int fds[] = {sending_end(port), ends[0], ends[1], ends[1]};
    const unsigned both[] = {2}, apart[] = {1, 1}, nothing[] = {0}, three[] = {3},
                   behind[] = {2, 2};
    put_chained(fd, fds, nothing, 0);
    put_chained(fd, fds, nothing, 1);
    put_chained(fd, fds, apart, 1);
    put_chained(fd, fds, three, 1);
    IS(is_empty(to), 1);
    put_chained(fd, fds, both, 1);
    put_chained(fd, fds, apart, 2);
    put_chained(fd, fds, behind, 2); /* what nobody asked for is closed */
    for (int i = 0; i < 3; i++)
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
    IS(is_empty(to), 1);
}

CASE(what_is_no_chain_is_dropped)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    mach_port_t to = make_port();
    int fd = sending_end(to), ends[2];
    NEED(pipe(ends) == 0);
    const int fds[] = {ends[0], ends[1]}, self[] = {fd};
    p.wire.flags = ML_WIRE_CHAIN;
    put(fd, &p, sizeof p, NULL, 0);
    put(fd, &p, sizeof p, fds, 1);
    put(fd, &p, sizeof p, fds, 2);
    put(fd, &p, sizeof p, self, 1);
    put(fd, &p, sizeof p.wire, self, 1);
    IS(is_empty(to), 1);
    IS_OK(post(to, MAKE_SEND, 2));
    IS(take_id(to), 2);
}

/* --- descriptors whose closing takes long ---------------------------------------------------- */

CASE(a_port_with_descriptors_in_its_queue_that_close_slowly_is_destroyed_at_once)
{
    mach_port_t port = make_port();
    put_lingering(sending_end(port));
    IS_OK(mach_port_destroy(TASK, port));
}

CASE(a_send_once_right_used_for_what_closes_slowly)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    ml_lock();
    int fd = dup(ml_entry_lookup(once)->port->tx);
    ml_unlock();
    put_lingering(fd);
    IS_OK(mach_port_destroy(TASK, port));
}

CASE(a_send_right_with_descriptors_in_it_that_close_slowly_is_refused)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    mach_port_t to = make_port();
    int channel[2], ends[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) == 0 && pipe(ends) == 0);
    put_lingering(channel[1]); /* which then lies in channel[0] */
    const int fds[] = {channel[0], ends[0]};
    put(sending_end(to), &p, sizeof p, fds, 2);
    close(channel[0]);
    IS(is_empty(to), 1);
}

CASE(nothing_can_be_put_into_a_send_right_that_has_arrived)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    mach_port_t to = make_port();
    int channel[2], ends[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) == 0 && pipe(ends) == 0);
    const int fds[] = {channel[0], ends[0]};
    put(sending_end(to), &p, sizeof p, fds, 2);
    mach_port_t right = take_right(to, MACH_MSG_TYPE_PORT_SEND);
    IS_TRUE(send(channel[1], "x", 1, MSG_NOSIGNAL) < 0);
    IS_OK(post(right, COPY_SEND, 1)); /* the other way is open */
    IS_OK(mach_port_deallocate(TASK, right));
}

CASE(a_state_socket_with_descriptors_that_close_slowly_behind_its_end)
{
    struct with_right p = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    mach_port_t to = make_port();
    int channel[2], state[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, state) == 0);
    put(state[0], "end", 3, NULL, 0);
    put_lingering(state[0]);
    const int fds[] = {channel[1], channel[0], state[1]};
    put(sending_end(to), &p, sizeof p, fds, 3);
    close(state[1]);
    (void)take_right(to, MACH_MSG_TYPE_PORT_RECEIVE);
}

CASE(a_thousand_broken_packets_do_not_hold_up_a_receive_with_a_deadline)
{
    struct letter letter;
    mach_port_t port = make_port();
    int fd = sending_end(port);
    for (int round = 0; round < 10; round++) {
        int sent = 0;
        while (send(fd, "garbage", 7, MSG_DONTWAIT) == 7)
            sent++;
        IS_TRUE(sent > 100);
        IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    }
    IS_OK(post(port, MAKE_SEND, 1));
    IS(take_id(port), 1);
}
