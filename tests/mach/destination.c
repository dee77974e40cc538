/* Destination, reply port and failed sends (section 4), with the refinements of the companion
 * reference: which header is refused with which code, that a refused header consumes nothing, and
 * that a timed-out send hands everything back by a pseudo-receive. */
#include "peers.h"

enum { SEND = MACH_PORT_RIGHT_SEND, SEND_ONCE = MACH_PORT_RIGHT_SEND_ONCE };

static mach_msg_return_t send_header(mach_port_t to, mach_msg_type_name_t to_disposition,
                                     mach_port_t reply, mach_msg_type_name_t reply_disposition)
{
    struct letter letter;
    letter_to(&letter, to, to_disposition, 1);
    letter_reply(&letter, reply, reply_disposition);
    return letter_send(&letter, NOW);
}

CASE(destination_disposition_0_16_or_99_is_invalid_header)
{
    static const mach_msg_type_name_t dispositions[] = {0, 16, 99};
    mach_port_t port = make_port_with_sends(1);
    for (int i = 0; i < 3; i++) {
        tap_about("disposition %u", dispositions[i]);
        IS_CODE(post(port, dispositions[i], 1), MACH_SEND_INVALID_HEADER);
    }
    IS_TRUE(is_empty(port));
}

/* The dispositions that a destination of each kind takes; the others are MACH_SEND_INVALID_DEST. */
static int destination_accepts(enum kind kind, mach_msg_type_name_t disposition)
{
    switch (kind) {
    case A_RECEIVE:
        return disposition >= 20;
    case A_SEND_RECEIVE:
        return disposition != 18;
    case A_SEND:
        return disposition == 17 || disposition == 19;
    case A_SEND_ONCE:
        return disposition == 18;
    default:
        return 0;
    }
}

static void try_destinations(enum kind kind)
{
    for (mach_msg_type_name_t disposition = 17; disposition <= 21; disposition++) {
        mach_port_t name = make_kind(kind);
        mach_port_type_t before = type_of(name);
        long sends = refs(name, SEND);
        int good = destination_accepts(kind, disposition);
        tap_about("%s, disposition %u", kind_name(kind), disposition);
        IS_CODE(post(name, disposition, 1), good ? MACH_MSG_SUCCESS : MACH_SEND_INVALID_DEST);
        if (!good) {
            IS(type_of(name), before);
            IS(refs(name, SEND), sends);
        }
    }
}

CASE(destination_null_or_dead_is_invalid_dest)
{
    try_destinations(NAME_NULL);
    try_destinations(NAME_DEAD);
}

CASE(destination_bogus_is_invalid_dest)
{
    try_destinations(NAME_BOGUS);
}

CASE(destination_dead_name_is_invalid_dest)
{
    try_destinations(A_DEAD_NAME);
}

CASE(destination_port_set_is_invalid_dest)
{
    try_destinations(A_SET);
}

CASE(destination_receive_only_takes_20_and_21_only)
{
    try_destinations(A_RECEIVE);
}

CASE(destination_send_and_receive_takes_all_but_18)
{
    try_destinations(A_SEND_RECEIVE);
}

CASE(destination_send_only_takes_17_and_19_only)
{
    try_destinations(A_SEND);
}

CASE(destination_send_once_takes_18_only)
{
    try_destinations(A_SEND_ONCE);
}

CASE(reply_bogus_or_unusable_is_invalid_reply)
{
    static const struct {
        enum kind kind;
        mach_msg_type_name_t disposition;
    } bad[] = {
        {NAME_BOGUS, 19}, {NAME_BOGUS, 21}, {A_RECEIVE, 17}, {A_RECEIVE, 19},   {A_RECEIVE, 18},
        {A_SEND, 20},     {A_SEND, 21},     {A_SET, 17},     {A_SEND_ONCE, 19}, {A_SET, 21},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        mach_port_t port = make_port_with_sends(2), reply = make_kind(bad[i].kind);
        mach_port_type_t before = type_of(reply);
        tap_about("%s, disposition %u", kind_name(bad[i].kind), bad[i].disposition);
        IS_CODE(send_header(port, MOVE_SEND, reply, bad[i].disposition), MACH_SEND_INVALID_REPLY);
        IS(refs(port, SEND), 2);
        IS(type_of(reply), before);
        IS_TRUE(is_empty(port));
    }
}

CASE(reply_null_is_ok)
{
    mach_port_t port = make_port();
    IS_OK(send_header(port, MAKE_SEND, MACH_PORT_NULL, 0));
    struct letter letter;
    take(&letter, port);
    IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
}

CASE(reply_dead_arrives_as_dead)
{
    mach_port_t port = make_port();
    IS_OK(send_header(port, MAKE_SEND, MACH_PORT_DEAD, MACH_MSG_TYPE_COPY_SEND));
    struct letter letter;
    take(&letter, port);
    IS(letter.header.msgh_remote_port, MACH_PORT_DEAD);
}

CASE(a_local_port_with_local_bits_0_16_or_99_is_invalid_header)
{
    static const mach_msg_type_name_t dispositions[] = {0, 16, 99};
    mach_port_t port = make_port_with_sends(2), reply = make_port_with_sends(1);
    for (int i = 0; i < 3; i++) {
        tap_about("disposition %u", dispositions[i]);
        IS_CODE(send_header(port, MOVE_SEND, reply, dispositions[i] & 0x1f),
                MACH_SEND_INVALID_HEADER);
        IS(refs(port, SEND), 2);
        IS(type_of(reply), MACH_PORT_TYPE_SEND_RECEIVE);
    }
}

CASE(a_refused_header_leaves_the_descriptors_alone)
{
    mach_port_t carried = make_port_with_sends(1);
    struct letter letter;
    letter_to(&letter, BOGUS, COPY_SEND, 1);
    letter_right(&letter, carried, MOVE_RECEIVE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_DEST);
    IS(type_of(carried), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(timed_out_rewrites_the_header_as_a_receive)
{
    static const mach_msg_type_name_t dispositions[] = {17, 19, 20};
    static const long refs_after[] = {2, 3, 3};
    for (int i = 0; i < 3; i++) {
        mach_port_t port = make_full_port(2);
        struct letter letter;
        tap_about("disposition %u", dispositions[i]);
        letter_to(&letter, port, dispositions[i], 33);
        IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
        IS(letter.header.msgh_bits, 17);
        IS(letter.header.msgh_remote_port, port);
        IS(letter.header.msgh_local_port, MACH_PORT_NULL);
        IS(letter.header.msgh_id, 33);
        IS(refs(port, SEND), refs_after[i]);
    }
}

CASE(timed_out_gives_every_right_back)
{
    mach_port_t full = make_full_port(1), port = make_port_with_sends(2);
    mach_port_t moved = make_port_with_sends(1), once = make_send_once(port);
    struct letter letter;
    letter_to(&letter, full, COPY_SEND, 1);
    letter_right(&letter, port, COPY_SEND);
    letter_right(&letter, port, MAKE_SEND);
    letter_right(&letter, port, MOVE_SEND);
    letter_right(&letter, port, MAKE_SEND_ONCE);
    letter_right(&letter, once, MOVE_SEND_ONCE);
    letter_right(&letter, moved, MOVE_RECEIVE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    static const mach_msg_type_name_t wanted[] = {17, 17, 17, 18, 18, 16};
    for (int i = 0; i < 6; i++) {
        tap_about("descriptor %d", i);
        IS(letter.ports[i].disposition, wanted[i]);
        if (i < 3)
            IS(letter.ports[i].name, port);
        else if (i < 5)
            IS(refs(letter.ports[i].name, SEND_ONCE), 1);
    }
    tap_about(NULL);
    IS(refs(port, SEND), 4);
    IS(letter.ports[5].name, moved);
    IS(type_of(moved), MACH_PORT_TYPE_SEND_RECEIVE);
    IS_TRUE(letter.ports[3].name != letter.ports[4].name);
}

CASE(timed_out_message_can_be_sent_again_as_it_stands)
{
    mach_port_t full = make_full_port(1), carried = make_port();
    struct letter letter;
    letter_to(&letter, full, MAKE_SEND, 12);
    letter_right(&letter, carried, MAKE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    drain(full);
    NEED_OK(letter_send(&letter, NOW));
    IS(refs(full, SEND), 1);
    mach_port_t once = take_right(full, 18);
    IS_OK(post(once, MOVE_SEND_ONCE, 5));
    IS(take_id(carried), 5);
}

CASE(timed_out_message_can_be_destroyed)
{
    mach_port_t full = make_full_port(1), carried = make_port(), moved = make_port_with_sends(1);
    struct letter letter;
    letter_to(&letter, full, COPY_SEND, 12);
    letter_right(&letter, carried, MAKE_SEND_ONCE);
    letter_right(&letter, moved, MOVE_RECEIVE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    IS(refs(full, SEND), 2);
    mach_msg_destroy(&letter.header);
    IS(refs(full, SEND), 1);
    take_notification(carried, MACH_NOTIFY_SEND_ONCE);
    IS(type_of(moved), MACH_PORT_TYPE_DEAD_NAME);
}

CASE(timed_out_reply_right_comes_back)
{
    mach_port_t full = make_full_port(1), reply = make_port();
    struct letter letter;
    letter_to(&letter, full, COPY_SEND, 12);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    IS(letter.header.msgh_bits, 0x1211);
    IS(letter.header.msgh_remote_port, full);
    IS(type_of(letter.header.msgh_local_port), MACH_PORT_TYPE_SEND_ONCE);
    IS_TRUE(is_empty(reply));
}

CASE(each_timed_out_copy_send_adds_a_uref)
{
    mach_port_t full = make_full_port(1);
    for (long n = 1; n <= 4; n++) {
        IS_CODE(post(full, COPY_SEND, 1), MACH_SEND_TIMED_OUT);
        IS(refs(full, SEND), 1 + n);
    }
}

WAITING_CASE(a_receive_right_destroyed_under_a_blocked_sender_gives_it_success)
{
    mach_port_t full = make_full_port(1), carried = make_port();
    struct waiter waiter;
    letter_to(&waiter.letter, full, COPY_SEND, 1);
    letter_right(&waiter.letter, carried, MAKE_SEND_ONCE);
    waiter_send_letter(&waiter);
    destroy_receive(full);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    take_notification(carried, MACH_NOTIFY_SEND_ONCE);
}

CASE(sending_to_a_send_once_right_of_a_port_that_just_died_succeeds)
{
    mach_port_t port = make_port(), once = make_send_once(port), carried = make_port();
    destroy_receive(port);
    struct letter letter;
    letter_to(&letter, once, MOVE_SEND_ONCE, 1);
    letter_right(&letter, carried, MAKE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_MSG_SUCCESS);
    IS_TRUE(is_gone(once));
    take_notification(carried, MACH_NOTIFY_SEND_ONCE);
}

CASE(sending_to_a_send_once_right_seen_dead_is_invalid_dest)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    destroy_receive(port);
    IS(type_of(once), MACH_PORT_TYPE_DEAD_NAME);
    IS_CODE(post(once, MOVE_SEND_ONCE, 1), MACH_SEND_INVALID_DEST);
}

CASE(sending_to_a_send_once_right_whose_death_is_watched_is_invalid_dest)
{
    mach_port_t notify = make_port();
    for (int i = 0; i < 50; i++) {
        mach_port_t port = make_port(), once = make_send_once(port);
        request(once, MACH_NOTIFY_DEAD_NAME, 0, notify);
        destroy_receive(port);
        IS_CODE(post(once, MOVE_SEND_ONCE, 1), MACH_SEND_INVALID_DEST);
        IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), once);
        IS(refs(once, MACH_PORT_RIGHT_DEAD_NAME), 2);
    }
}

CASE(sending_to_a_send_right_of_a_dead_port_is_invalid_dest)
{
    mach_port_t parked_at = MACH_PORT_NULL;
    mach_port_t port = make_send_only(2, &parked_at);
    destroy_receive(parked_at);
    IS_CODE(post(port, COPY_SEND, 1), MACH_SEND_INVALID_DEST);
    IS_CODE(post(port, MOVE_SEND, 1), MACH_SEND_INVALID_DEST);
    IS(refs(port, MACH_PORT_RIGHT_DEAD_NAME), 2);
}

static void hold_a_port(mach_port_t home)
{
    peer_introduce(home);
    peer_sleep();
}

CASE(two_process_sending_to_the_port_of_a_killed_process_is_invalid_dest)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, hold_a_port);
    mach_port_t there = peer_meet(home);
    IS_OK(post(there, COPY_SEND, 1));
    peer_kill(peer);
    IS_CODE(post(there, COPY_SEND, 2), MACH_SEND_INVALID_DEST);
    IS(type_of(there), MACH_PORT_TYPE_DEAD_NAME);
}

static void hold_a_full_port(mach_port_t home)
{
    mach_port_t port = make_full_port(0);
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, port, MAKE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    peer_sleep();
}

WAITING_CASE(two_process_a_killed_receiver_gives_a_blocked_sender_success)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, hold_a_full_port);
    mach_port_t there = peer_meet(home);
    struct waiter waiter;
    waiter_send(&waiter, there, COPY_SEND, 1);
    peer_kill(peer);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
}

CASE(two_process_timed_out_gives_every_right_back)
{
    mach_port_t home = make_port(), carried = make_port_with_sends(1), reply = make_port();
    pid_t peer = peer_start(home, hold_a_full_port);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, MOVE_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter_right(&letter, carried, MOVE_RECEIVE);
    letter_right(&letter, carried, COPY_SEND);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_TIMED_OUT);
    IS(letter.header.msgh_bits, 0x80001211);
    /* The last uref was moved out and comes back, under whatever name. */
    IS(type_of(letter.header.msgh_remote_port), MACH_PORT_TYPE_SEND);
    IS(refs(letter.header.msgh_remote_port, SEND), 1);
    there = letter.header.msgh_remote_port;
    IS(letter.ports[0].name, carried);
    IS(letter.ports[1].name, carried);
    IS(type_of(carried), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(refs(carried, SEND), 2);
    mach_msg_destroy(&letter.header);
    IS_TRUE(is_gone(there));
    peer_kill(peer);
}
