/* What a child of fork has (part M of the rest). */
#include "peers.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static mach_port_t parents[4];

static void look_at_the_parents_names(mach_port_t home)
{
    IS_TRUE(is_gone(parents[0]) || parents[0] == home);
    for (int i = 0; i < 4; i++) {
        tap_about("name %d", i);
        if (parents[i] == home || parents[i] == mach_task_self())
            continue;
        IS_TRUE(is_gone(parents[i]));
    }
}

CASE(the_child_has_an_empty_name_space)
{
    mach_port_t home = make_port();
    parents[0] = make_port_with_sends(2);
    parents[1] = make_send_once(parents[0]);
    parents[2] = make_set();
    parents[3] = make_dead_name(1);
    peer_join(peer_start(home, look_at_the_parents_names));
    IS(type_of(parents[0]), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(type_of(parents[1]), MACH_PORT_TYPE_SEND_ONCE);
    IS(type_of(parents[2]), MACH_PORT_TYPE_PORT_SET);
    IS(type_of(parents[3]), MACH_PORT_TYPE_DEAD_NAME);
}

static void use_the_task(mach_port_t home)
{
    int pid = 0;
    NEED_OK(pid_for_task(mach_task_self(), &pid));
    IS(pid, getpid());
    IS_OK(post(home, COPY_SEND, 1));
}

CASE(the_child_has_its_own_task_port)
{
    mach_port_t home = make_port();
    int pid = 0;
    peer_join(peer_start(home, use_the_task));
    IS(take_id(home), 1);
    NEED_OK(pid_for_task(mach_task_self(), &pid));
    IS(pid, getpid());
}

static void make_ports_of_its_own(mach_port_t home)
{
    for (int i = 0; i < 50; i++) {
        mach_port_t port = make_port_with_sends(1);
        IS_OK(post(port, COPY_SEND, i));
        IS(take_id(port), i);
        if (port != home)
            IS_OK(mach_port_destroy(TASK, port));
    }
}

CASE(the_childs_ports_do_not_disturb_the_parents)
{
    mach_port_t home = make_port(), ports[10];
    for (int i = 0; i < 10; i++) {
        ports[i] = make_port_with_sends(1);
        IS_OK(post(ports[i], COPY_SEND, i));
    }
    peer_join(peer_start(home, make_ports_of_its_own));
    for (int i = 0; i < 10; i++) {
        IS(type_of(ports[i]), MACH_PORT_TYPE_SEND_RECEIVE);
        IS(take_id(ports[i]), i);
        IS_OK(post(ports[i], COPY_SEND, i));
        IS(take_id(ports[i]), i);
    }
}

static void just_end(mach_port_t home)
{
    (void)home;
}

CASE(the_end_of_a_child_fires_nothing_in_the_parent)
{
    mach_port_t home = make_port(), notify = make_port();
    mach_port_t port = make_port_with_sends(1), once = make_send_once(port);
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    request(once, MACH_NOTIFY_DEAD_NAME, 0, notify);
    peer_join(peer_start(home, just_end));
    IS_TRUE(is_empty(notify));
    IS_TRUE(is_empty(port));
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS_OK(post(once, MOVE_SEND_ONCE, 3));
    IS(take_id(port), 3);
}

static void hold_on(mach_port_t home)
{
    IS_OK(post(home, COPY_SEND, 1));
    peer_sleep();
}

CASE(a_child_that_lives_keeps_none_of_the_parents_rights)
{
    mach_port_t home = make_port(), notify = make_port(), port = make_port_with_sends(1);
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    pid_t peer = peer_start(home, hold_on);
    IS(take_id(home), 1);
    IS_OK(mach_port_deallocate(TASK, port));
    take_notification(notify, MACH_NOTIFY_NO_SENDERS);
    mach_port_t parked = MACH_PORT_NULL, send = make_send_only(1, &parked);
    destroy_receive(parked);
    IS_TRUE(becomes_dead(send));
    peer_kill(peer);
}

static void take_a_receive_right_and_sleep(mach_port_t home)
{
    take_right(peer_introduce(home), 16);
    IS_OK(post(home, COPY_SEND, 2));
    peer_sleep();
}

CASE(a_child_that_dies_with_a_receive_right_fires_all)
{
    mach_port_t home = make_port(), notify = make_port(), port = make_port_with_sends(1);
    mach_port_t inside = make_port();
    IS_OK(post_right(port, inside, MAKE_SEND_ONCE));
    pid_t peer = peer_start(home, take_a_receive_right_and_sleep);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_id(home), 2);
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    peer_kill(peer);
    IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), port);
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    take_notification(inside, MACH_NOTIFY_SEND_ONCE);
}

static atomic_int stop;

static void *churn(void *argument)
{
    (void)argument;
    while (!atomic_load(&stop)) {
        mach_port_t port = make_port_with_sends(1);
        NEED_OK(post(port, COPY_SEND, 1));
        NEED(take_id(port) == 1);
        NEED_OK(mach_port_destroy(TASK, port));
    }
    return NULL;
}

/* The address sanitizer's allocator takes no part in fork: if another thread held its lock, the
 * child waits for it forever at its first allocation. */
#if defined(__SANITIZE_ADDRESS__)
#define FORK_LEAVES_MALLOC_LOCKED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FORK_LEAVES_MALLOC_LOCKED 1
#endif
#endif

CASE(fork_while_other_threads_use_ports)
{
#ifdef FORK_LEAVES_MALLOC_LOCKED
    tap_skip("the address sanitizer's allocator is not usable in the child of a threaded fork");
#endif
    mach_port_t home = make_port();
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        NEED(pthread_create(&threads[i], NULL, churn, NULL) == 0);
    for (int i = 0; i < 20; i++) {
        pid_t peer = peer_start(home, make_ports_of_its_own);
        peer_join(peer);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}
