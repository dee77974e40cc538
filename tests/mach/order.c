/* Order (part K of the rest). */
#include "peers.h"

enum { COUNT = 100 };

CASE(messages_to_a_port_are_received_in_the_order_sent)
{
    mach_port_t port = make_port_with_sends(1);
    set_qlimit(port, 1024);
    for (int i = 0; i < COUNT; i++)
        IS_OK(post(port, i % 2 ? COPY_SEND : MAKE_SEND, i));
    for (int i = 0; i < COUNT; i++)
        NEED(take_id(port) == i);
}

CASE(the_order_holds_whatever_the_kind_of_destination)
{
    mach_port_t port = make_port_with_sends(1);
    set_qlimit(port, 1024);
    for (int i = 0; i < COUNT; i++) {
        if (i % 3 == 0)
            IS_OK(post(make_send_once(port), MOVE_SEND_ONCE, i));
        else
            IS_OK(post(port, i % 3 == 1 ? COPY_SEND : MAKE_SEND_ONCE, i));
    }
    for (int i = 0; i < COUNT; i++)
        NEED(take_id(port) == i);
}

CASE(send_once_rights_used_in_another_order_arrive_in_the_order_of_use)
{
    mach_port_t port = make_port(), one = make_send_once(port), two = make_send_once(port);
    IS_OK(post(two, MOVE_SEND_ONCE, 2));
    IS_OK(post(one, MOVE_SEND_ONCE, 1));
    IS(take_id(port), 2);
    IS(take_id(port), 1);
}

CASE(the_order_holds_over_move_receive)
{
    mach_port_t port = make_port_with_sends(1), carrier = make_port();
    set_qlimit(port, 1024);
    int next = 0;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++)
            IS_OK(post(port, COPY_SEND, next++));
        IS_OK(post_right(carrier, port, MOVE_RECEIVE));
        IS_OK(post(port, COPY_SEND, next++));
        IS(take_right(carrier, 16), port);
    }
    for (int i = 0; i < next; i++)
        NEED(take_id(port) == i);
}

static void send_in_order(mach_port_t home)
{
    for (int i = 0; i < 1000; i++) {
        struct letter letter;
        letter_to(&letter, home, COPY_SEND, i);
        if (i % 10 == 0)
            letter_right(&letter, make_port(), MAKE_SEND);
        NEED_OK(letter_send(&letter, PROMPT));
    }
}

CASE(two_process_each_senders_messages_keep_their_order)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_in_order);
    for (int i = 0; i < 1000; i++) {
        struct letter letter;
        take(&letter, home);
        NEED(letter.header.msgh_id == i);
        mach_msg_destroy(&letter.header);
    }
    peer_join(peer);
}

static void send_then_reply(mach_port_t home)
{
    mach_port_t once = take_right(peer_introduce(home), 18);
    IS_OK(post(home, COPY_SEND, 1));
    IS_OK(post(once, MOVE_SEND_ONCE, 2));
    IS_OK(post(home, COPY_SEND, 3));
}

CASE(two_process_the_order_holds_across_a_send_once_reply)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_then_reply);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, home, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    peer_join(peer);
    IS(take_id(home), 1);
    IS(take_id(home), 2);
    IS(take_id(home), 3);
}

WAITING_CASE(a_receive_wakes_a_blocked_sender_and_all_of_them_in_the_end)
{
    enum { SENDERS = 4 };
    mach_port_t port = make_full_port(1);
    struct waiter waiters[SENDERS];
    int seen[SENDERS] = {0};
    for (int i = 0; i < SENDERS; i++)
        waiter_send(&waiters[i], port, COPY_SEND, i);
    for (int i = 0; i < SENDERS; i++) {
        struct letter letter;
        take_after_fillers(&letter, port);
        NEED(letter.header.msgh_id >= 0 && letter.header.msgh_id < SENDERS);
        seen[letter.header.msgh_id]++;
    }
    for (int i = 0; i < SENDERS; i++) {
        IS_CODE(waiter_result(&waiters[i]), MACH_MSG_SUCCESS);
        IS(seen[i], 1);
    }
}

WAITING_CASE(a_receiver_on_the_port_itself_beats_one_on_its_set)
{
    mach_port_t port = make_port_with_sends(1), set = make_set();
    struct waiter on_set, on_port;
    NEED_OK(mach_port_insert_member(TASK, port, set));
    waiter_receive(&on_set, set, 0);
    waiter_receive(&on_port, port, 0);
    IS_OK(post(port, COPY_SEND, 1));
    IS_OK(post(port, COPY_SEND, 2));
    IS_CODE(waiter_result(&on_port), MACH_MSG_SUCCESS);
    IS_CODE(waiter_result(&on_set), MACH_MSG_SUCCESS);
    IS(on_port.letter.header.msgh_id, 1);
    IS(on_set.letter.header.msgh_id, 2);
}
