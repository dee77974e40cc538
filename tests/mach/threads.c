/* Threads (part L of the rest). */
#include "peers.h"

#include <stdatomic.h>

enum { MESSAGES = 2000, THREADS = 4 };

struct crowd {
    mach_port_t port;
    atomic_int seen[MESSAGES];
    atomic_int received;
};

static void *receive_a_share(void *argument)
{
    struct crowd *crowd = argument;
    for (;;) {
        struct letter letter;
        NEED_OK(letter_receive(&letter, crowd->port, 0, PROMPT));
        if (letter.header.msgh_id < 0)
            return NULL;
        atomic_fetch_add(&crowd->seen[letter.header.msgh_id], 1);
        atomic_fetch_add(&crowd->received, 1);
    }
}

static void send_all(mach_port_t port, int first, int step)
{
    for (int i = first; i < MESSAGES; i += step) {
        struct letter letter;
        letter_to(&letter, port, COPY_SEND, i);
        NEED_OK(letter_send(&letter, PROMPT));
    }
}

static void end_all(mach_port_t port, pthread_t *threads, int count)
{
    for (int i = 0; i < count; i++) {
        struct letter letter;
        letter_to(&letter, port, COPY_SEND, -1);
        NEED_OK(letter_send(&letter, PROMPT));
    }
    for (int i = 0; i < count; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}

CASE(several_receivers_get_each_message_once)
{
    static struct crowd crowd;
    pthread_t threads[THREADS];
    crowd.port = make_port_with_sends(1);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, receive_a_share, &crowd) == 0);
    send_all(crowd.port, 0, 1);
    end_all(crowd.port, threads, THREADS);
    for (int i = 0; i < MESSAGES; i++)
        NEED(atomic_load(&crowd.seen[i]) == 1);
}

CASE(several_receivers_on_a_set_get_each_message_once)
{
    static struct crowd crowd;
    pthread_t threads[THREADS];
    mach_port_t ports[2] = {make_port_with_sends(1), make_port_with_sends(1)};
    crowd.port = make_set();
    NEED_OK(mach_port_insert_member(TASK, ports[0], crowd.port));
    NEED_OK(mach_port_insert_member(TASK, ports[1], crowd.port));
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, receive_a_share, &crowd) == 0);
    send_all(ports[0], 0, 2);
    send_all(ports[1], 1, 2);
    while (atomic_load(&crowd.received) < MESSAGES)
        a_moment(); /* no order between the two members: let all be received before the end */
    end_all(ports[0], threads, THREADS);
    for (int i = 0; i < MESSAGES; i++)
        NEED(atomic_load(&crowd.seen[i]) == 1);
}

static void *send_a_share(void *argument)
{
    send_all(*(mach_port_t *)argument, 0, 1);
    return NULL;
}

CASE(several_senders_lose_nothing)
{
    static int seen[MESSAGES];
    mach_port_t port = make_port_with_sends(1);
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, send_a_share, &port) == 0);
    for (int i = 0; i < MESSAGES * THREADS; i++) {
        mach_msg_id_t id = take_id(port);
        NEED(id >= 0 && id < MESSAGES);
        seen[id]++;
    }
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < MESSAGES; i++)
        NEED(seen[i] == THREADS);
    IS_TRUE(is_empty(port));
}

WAITING_CASE(destroying_the_receive_right_wakes_all_blocked_receivers)
{
    mach_port_t port = make_port_with_sends(1);
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++)
        waiter_receive(&waiters[i], port, 0);
    destroy_receive(port);
    for (int i = 0; i < 3; i++)
        IS_CODE(waiter_result(&waiters[i]), MACH_RCV_PORT_CHANGED);
}

WAITING_CASE(moving_the_receive_right_wakes_all_blocked_receivers)
{
    mach_port_t port = make_port_with_sends(1), carrier = make_port();
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++)
        waiter_receive(&waiters[i], port, 0);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    for (int i = 0; i < 3; i++)
        IS_CODE(waiter_result(&waiters[i]), MACH_RCV_PORT_CHANGED);
}

WAITING_CASE(destroying_the_receive_right_wakes_all_blocked_senders_with_success)
{
    mach_port_t port = make_full_port(1);
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++)
        waiter_send(&waiters[i], port, COPY_SEND, i);
    destroy_receive(port);
    for (int i = 0; i < 3; i++)
        IS_CODE(waiter_result(&waiters[i]), MACH_MSG_SUCCESS);
}

WAITING_CASE(moving_the_receive_right_wakes_all_blocked_senders_with_success)
{
    mach_port_t port = make_full_port(1), carrier = make_port();
    struct waiter waiters[3];
    for (int i = 0; i < 3; i++)
        waiter_send(&waiters[i], port, COPY_SEND, i);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    a_moment();
    for (int i = 0; i < 3; i++)
        IS_TRUE(waiter_is_over(&waiters[i]));
    drain(take_right(carrier, 16));
    for (int i = 0; i < 3; i++)
        IS_CODE(waiter_result(&waiters[i]), MACH_MSG_SUCCESS);
}

WAITING_CASE(a_blocked_send_goes_on_when_its_send_name_is_deallocated)
{
    mach_port_t port = make_full_port(1);
    struct waiter waiter;
    struct letter letter;
    waiter_send(&waiter, port, COPY_SEND, 8);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    a_moment();
    take_after_fillers(&letter, port);
    IS(letter.header.msgh_id, 8);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
}

static void *make_and_destroy(void *argument)
{
    (void)argument;
    for (int i = 0; i < 500; i++) {
        mach_port_t port = make_port_with_sends(1), carrier = make_port();
        IS_OK(post_right(carrier, port, MOVE_RECEIVE));
        IS_OK(post(port, COPY_SEND, i));
        IS(take_right(carrier, 16), port);
        IS(take_id(port), i);
        IS_OK(mach_port_destroy(TASK, port));
        destroy_receive(carrier);
    }
    return NULL;
}

CASE(threads_that_make_move_and_destroy_ports_do_not_disturb_each_other)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, make_and_destroy, NULL) == 0);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}
