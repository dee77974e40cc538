/* No senders (section 8): when it fires, what it waits for, and what it survives. How it looks is
 * in notifications.c. */
#include "peers.h"

enum {
    SEND = MACH_PORT_RIGHT_SEND,
    NO_SENDERS = MACH_NOTIFY_NO_SENDERS,
    PORT_DESTROYED = MACH_NOTIFY_PORT_DESTROYED,
};

/* ---- what is queued ---- */

/* A queued message has the right that it was sent through until it is received. */
CASE(no_senders_fires_when_the_message_of_the_last_reference_is_received)
{
    mach_port_t notify = make_port();
    for (int moved = 0; moved < 2; moved++) {
        mach_port_t port = make_port_with_sends(1), got = MACH_PORT_NULL;
        mach_msg_type_name_t poly = 0;
        tap_about(moved ? "MOVE_SEND" : "COPY_SEND and deallocated");
        NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly)); /* and back */
        request(port, NO_SENDERS, 0, notify);
        IS_OK(post(port, COPY_SEND, 1));
        IS_OK(post(port, moved ? MOVE_SEND : COPY_SEND, 2));
        if (!moved)
            IS_OK(mach_port_deallocate(TASK, port));
        IS_TRUE(is_empty(notify));
        IS(take_id(port), 1);
        IS_TRUE(is_empty(notify));
        IS(take_id(port), 2);
        take_notification(notify, NO_SENDERS);
    }
}

CASE(no_senders_waits_for_the_queue_where_the_receive_right_goes)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post(port, MOVE_SEND, 1));
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    port = take_right(carrier, 16);
    IS_TRUE(is_empty(notify));
    IS(take_id(port), 1);
    take_notification(notify, NO_SENDERS);
}

CASE(no_senders_that_waits_for_the_queue_is_off_when_a_right_is_made_meanwhile)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post(port, MOVE_SEND, 1));
    add_sends(port, 1);
    IS(take_id(port), 1);
    IS_TRUE(is_empty(notify));
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 2);
}

/* ---- when it fires ---- */

CASE(no_senders_fires_at_once_when_there_are_none)
{
    mach_port_t notify = make_port(), port = make_port();
    IS(request(port, NO_SENDERS, 0, notify), MACH_PORT_NULL);
    IS(take_notification(notify, NO_SENDERS), 0);
}

CASE(no_senders_waits_until_sync_is_reached)
{
    mach_port_t notify = make_port(), port = make_port();
    request(port, NO_SENDERS, 1, notify);
    IS(status_of(port).mps_nsrequest, 1); /* nor does a look at it bring it about */
    IS_TRUE(is_empty(notify));
    add_sends(port, 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(no_senders_that_waits_for_sync_goes_on_waiting_where_the_receive_right_goes)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port();
    request(port, NO_SENDERS, 1, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    port = take_right(carrier, 16);
    IS_TRUE(is_empty(notify));
    IS_OK(mach_port_insert_right(TASK, port, port, MOVE_RECEIVE));
    IS_TRUE(is_empty(notify));
    add_sends(port, 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(no_senders_that_waits_for_sync_fires_when_what_is_queued_is_received)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    IS_OK(post(port, MOVE_SEND, 1));
    request(port, NO_SENDERS, 2, notify);
    IS_TRUE(is_empty(notify));
    IS(take_id(port), 1);
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(no_senders_is_single_shot)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 1);
    add_sends(port, 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(is_empty(notify));
}

CASE(no_senders_can_be_armed_again)
{
    mach_port_t notify = make_port(), port = make_port();
    for (mach_port_mscount_t n = 1; n <= 3; n++) {
        add_sends(port, 1);
        request(port, NO_SENDERS, n, notify);
        IS_TRUE(is_empty(notify));
        IS_OK(mach_port_deallocate(TASK, port));
        IS(take_notification(notify, NO_SENDERS), n);
    }
}

CASE(no_senders_does_not_count_send_once_rights)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    make_send_once(port);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(no_senders_counts_sends_in_flight)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1), carrier = make_port();
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_SEND));
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS_TRUE(is_empty(notify));
    destroy_receive(carrier);
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(no_senders_survives_moving_the_receive_right)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1), carrier = make_port();
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_nsrequest, 1);
    IS_TRUE(is_empty(notify));
    IS_OK(mach_port_deallocate(TASK, port));
    take_notification(notify, NO_SENDERS);
}

CASE(no_senders_of_a_port_whose_receive_right_is_in_a_message_fires_at_once)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(!is_empty(notify));
}

CASE(no_senders_of_a_port_whose_receive_right_was_in_a_message_has_fired_when_it_arrives)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_OK(mach_port_deallocate(TASK, port));
    port = take_right(carrier, 16);
    add_sends(port, 1);
    IS(take_notification(notify, NO_SENDERS), 0);
}

/* The only send right to a port comes back to it, and goes with a message into its own queue. */
CASE(no_senders_waits_for_a_right_that_has_been_elsewhere)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port();
    mach_port_t got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    IS_OK(post_right(carrier, port, MAKE_SEND));
    IS(take_right(carrier, 17), port);
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly)); /* and back */
    IS_OK(post(port, MOVE_SEND, 1));
    request(port, NO_SENDERS, 1, notify);
    IS_TRUE(is_empty(notify));
    IS(take_id(port), 1);
    IS(take_notification(notify, NO_SENDERS), 0);
}

CASE(no_senders_does_not_fire_while_the_last_right_is_in_a_message_to_the_port_itself)
{
    mach_port_t notify = make_port(), port = make_port(), elsewhere = MACH_PORT_NULL;
    struct letter letter;
    request(port, NO_SENDERS, 1, notify);
    elsewhere = make_port();
    IS_OK(post_right(elsewhere, port, MAKE_SEND));
    add_sends(port, 1);
    destroy_receive(elsewhere);
    letter_to(&letter, port, MOVE_SEND, 2);
    letter_right(&letter, port, MAKE_SEND);
    NEED_OK(letter_send(&letter, NOW));
    IS_TRUE(is_empty(notify));
    take(&letter, port);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, NO_SENDERS), 3);
}

/* A port whose only send right is in the queue of another, and a request for no senders. */
static mach_port_t make_last_sender_elsewhere(mach_port_t notify, mach_port_t *elsewhere)
{
    mach_port_t port = make_port();
    *elsewhere = make_port();
    request(port, NO_SENDERS, 1, notify);
    IS_OK(post_right(*elsewhere, port, MAKE_SEND));
    IS_TRUE(is_empty(notify));
    return port;
}

CASE(no_senders_comes_before_whatever_happens_to_the_port_next)
{
    for (int next = 0; next < 5; next++) {
        mach_port_t notify = make_port(), other = make_port(), elsewhere = MACH_PORT_NULL;
        mach_port_t port = make_last_sender_elsewhere(notify, &elsewhere), got = MACH_PORT_NULL;
        mach_msg_type_name_t poly = 0;
        tap_about("%d", next);
        destroy_receive(elsewhere); /* the last sender goes with it */
        if (next == 0)
            add_sends(port, 1);
        else if (next == 1)
            IS_OK(post(port, MAKE_SEND, 1));
        else if (next == 2)
            destroy_receive(port);
        else if (next == 3)
            IS(request(port, NO_SENDERS, 2, other), MACH_PORT_NULL);
        else
            NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly));
        IS(take_notification(notify, NO_SENDERS), 1);
    }
}

CASE(no_senders_to_the_port_itself)
{
    mach_port_t port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, port);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(port, NO_SENDERS), 1);
}
