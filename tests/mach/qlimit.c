/* The queue limit (section 5). */
#include "peers.h"

static int fill(mach_port_t port)
{
    int count = 0;
    while (count < 5000 && post(port, COPY_SEND, count) == MACH_MSG_SUCCESS)
        count++;
    return count;
}

CASE(the_sixth_send_times_out)
{
    mach_port_t port = make_port_with_sends(1);
    for (int i = 0; i < 5; i++)
        IS_OK(post(port, COPY_SEND, i));
    IS_CODE(post(port, COPY_SEND, 5), MACH_SEND_TIMED_OUT);
    IS(status_of(port).mps_msgcount, 5);
}

CASE(qlimit_counts_messages_whatever_their_number)
{
    static const mach_port_msgcount_t limits[] = {1, 2, 16, 1024};
    for (int i = 0; i < 4; i++) {
        mach_port_t port = make_port_with_sends(1);
        set_qlimit(port, limits[i]);
        tap_about("qlimit %u", limits[i]);
        IS(fill(port), limits[i]);
    }
}

CASE(a_send_once_destination_bypasses_the_limit)
{
    mach_port_t port = make_full_port(1), once = make_send_once(port);
    struct letter letter;
    IS_OK(post(once, MOVE_SEND_ONCE, 1));
    IS_OK(post(port, MAKE_SEND_ONCE, 2));
    int sum = 0;
    for (int i = 0; i < 2; i++) {
        take_after_fillers(&letter, port);
        sum += letter.header.msgh_id;
    }
    IS(sum, 3);
}

CASE(a_send_once_message_counts_in_the_queue)
{
    mach_port_t port = make_port_with_sends(1);
    for (int i = 0; i < 5; i++)
        IS_OK(post(make_send_once(port), MOVE_SEND_ONCE, i));
    IS(status_of(port).mps_msgcount, 5);
    IS_CODE(post(port, COPY_SEND, 3), MACH_SEND_TIMED_OUT);
}

CASE(qlimit_can_be_0_to_1024)
{
    mach_port_t port = make_port();
    mach_port_limits_t limits;
    static const mach_port_msgcount_t good[] = {0, 1, 5, 1023, 1024};
    for (int i = 0; i < 5; i++) {
        mach_msg_type_number_t count = MACH_PORT_LIMITS_INFO_COUNT;
        tap_about("qlimit %u", good[i]);
        set_qlimit(port, good[i]);
        IS_OK(mach_port_get_attributes(TASK, port, MACH_PORT_LIMITS_INFO, (mach_port_info_t)&limits,
                                       &count));
        IS(limits.mpl_qlimit, good[i]);
        IS(status_of(port).mps_qlimit, good[i]);
    }
}

CASE(qlimit_1025_up_is_invalid_value)
{
    mach_port_t port = make_port();
    mach_port_limits_t limits = {.mpl_qlimit = 1025};
    IS_CODE(mach_port_set_attributes(TASK, port, MACH_PORT_LIMITS_INFO, (mach_port_info_t)&limits,
                                     MACH_PORT_LIMITS_INFO_COUNT),
            KERN_INVALID_VALUE);
    IS(status_of(port).mps_qlimit, 5);
}

CASE(qlimit_0_makes_every_send_time_out)
{
    mach_port_t port = make_port_with_sends(1);
    set_qlimit(port, 0);
    IS_CODE(post(port, COPY_SEND, 1), MACH_SEND_TIMED_OUT);
    IS_TRUE(is_empty(port));
}

CASE(shrinking_the_limit_keeps_the_messages)
{
    mach_port_t port = make_port_with_sends(1);
    for (int i = 0; i < 5; i++)
        IS_OK(post(port, COPY_SEND, i));
    set_qlimit(port, 2);
    IS(status_of(port).mps_msgcount, 5);
    IS_CODE(post(port, COPY_SEND, 9), MACH_SEND_TIMED_OUT);
    for (int i = 0; i < 5; i++)
        IS(take_id(port), i);
    IS_TRUE(is_empty(port));
}

WAITING_CASE(raising_the_limit_wakes_a_blocked_sender)
{
    mach_port_t port = make_port_with_sends(1);
    struct waiter waiter;
    set_qlimit(port, 1);
    IS_OK(post(port, COPY_SEND, 1));
    waiter_send(&waiter, port, COPY_SEND, 2);
    IS(status_of(port).mps_msgcount, 1); /* it is blocked */
    set_qlimit(port, 2);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(take_id(port), 1);
    IS(take_id(port), 2);
}

WAITING_CASE(a_receive_wakes_a_blocked_sender)
{
    mach_port_t port = make_port_with_sends(1);
    struct waiter waiter;
    int count = fill(port);
    waiter_send(&waiter, port, COPY_SEND, count);
    for (int i = 0; i <= count; i++)
        IS(take_id(port), i);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
}

static void send_two_thousand(mach_port_t home)
{
    for (int i = 0; i < 2000; i++) {
        struct letter letter;
        letter_to(&letter, home, COPY_SEND, i);
        NEED_OK(letter_send(&letter, PROMPT));
    }
}

CASE(two_process_a_blocked_sender_goes_on_as_the_receiver_drains)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_two_thousand);
    a_moment();
    for (int i = 0; i < 2000; i++)
        NEED(take_id(home) == i);
    peer_join(peer);
}
