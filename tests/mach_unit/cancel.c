/* pthread_cancel(): no Mach call is a cancellation point. A thread that is cancelled in one does
 * what it was about to do, and leaves no lock taken and no descriptor behind. */
#include "packets.h"

#include <pthread.h>
#include <sched.h>
#include <servers/bootstrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { ROUNDS = 60 };

static const name_t SERVICE = "child_port.cancelled";

struct task {
    void (*run)(struct task *task);
    mach_port_t port, other;
    _Atomic(int) steps;
};

static void *run_for_ever(void *argument)
{
    struct task *task = argument;
    for (;; task->steps++) {
        task->run(task);
        pthread_testcancel();
    }
    return NULL;
}

/* Cancels a thread that does it over and over, somewhere in between. */
static void cancel_in_between(struct task *task)
{
    for (int i = 0; i < ROUNDS; i++) {
        pthread_t thread;
        void *result;
        task->steps = 0;
        NEED(pthread_create(&thread, NULL, run_for_ever, task) == 0);
        while (task->steps == 0)
            sched_yield();
        usleep((useconds_t)(37 * i % 500));
        NEED(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        NEED(result == PTHREAD_CANCELED);
    }
}

static void send_and_receive(struct task *task)
{
    struct letter letter;
    (void)post_right(task->port, task->other, MAKE_SEND);
    (void)letter_receive(&letter, task->port, 0, NOW);
    mach_msg_destroy(&letter.header);
}

CASE(a_thread_that_is_cancelled_between_messages_leaves_the_port_as_it_was)
{
    struct task task = {.run = send_and_receive, .port = make_port(), .other = make_port()};
    send_and_receive(&task);
    int before = open_descriptors();
    cancel_in_between(&task);
    IS(is_empty(task.port), 1);
    IS_OK(post(task.port, MAKE_SEND, 7));
    IS(take_id(task.port), 7);
    IS(refs(task.other, MACH_PORT_RIGHT_SEND), 0);
    IS(open_descriptors(), before);
}

static void make_and_destroy(struct task *task)
{
    mach_port_t once = make_send_once(task->port);
    (void)mach_port_destroy(TASK, make_port());
    (void)mach_port_deallocate(TASK, once);
    (void)take_notification(task->port, MACH_NOTIFY_SEND_ONCE);
}

CASE(a_thread_that_is_cancelled_while_it_makes_ports_leaves_none)
{
    struct task task = {.run = make_and_destroy, .port = make_port()};
    make_and_destroy(&task);
    int before = open_descriptors();
    cancel_in_between(&task);
    IS(open_descriptors(), before);
    IS_OK(post(task.port, MAKE_SEND, 7));
    IS(take_id(task.port), 7);
}

static void set_and_get(struct task *task)
{
    mach_port_t got = MACH_PORT_NULL;
    (void)task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, task->port);
    (void)task_get_special_port(TASK, TASK_BOOTSTRAP_PORT, &got);
    (void)mach_port_deallocate(TASK, got);
}

CASE(a_thread_that_is_cancelled_while_it_sets_a_special_port)
{
    struct task task = {.run = set_and_get, .port = make_port_with_sends(1)};
    set_and_get(&task);
    int before = open_descriptors();
    cancel_in_between(&task);
    IS(open_descriptors(), before);
    IS(refs(task.port, MACH_PORT_RIGHT_SEND), 1);
}

static void check_in_and_look_up(struct task *task)
{
    mach_port_t port = MACH_PORT_NULL, found = MACH_PORT_NULL;
    (void)task;
    (void)bootstrap_check_in(bootstrap_port, SERVICE, &port);
    (void)bootstrap_look_up(bootstrap_port, SERVICE, &found);
    (void)mach_port_deallocate(TASK, found);
    (void)mach_port_destroy(TASK, port);
}

CASE(a_thread_that_is_cancelled_while_it_looks_up_a_name)
{
    static char directory[] = "/tmp/mach-cancel-XXXXXX";
    mach_port_t found;
    struct task task = {.run = check_in_and_look_up};
    NEED(mkdtemp(directory) != NULL && setenv("XDG_RUNTIME_DIR", directory, 1) == 0);
    check_in_and_look_up(&task);
    int before = open_descriptors();
    cancel_in_between(&task);
    while (open_descriptors() > before) /* the watcher's thread closes some of them */
        usleep(1000);
    IS_CODE(bootstrap_look_up(bootstrap_port, SERVICE, &found), BOOTSTRAP_UNKNOWN_SERVICE);
    char path[64];
    snprintf(path, sizeof path, "%s/mach-bootstrap", directory);
    NEED(rmdir(path) == 0 && rmdir(directory) == 0);
}

static void send_a_long_one(struct task *task)
{
    enum { LONG = 400000 };
    static union {
        mach_msg_header_t header;
        char bytes[LONG + MAX_TRAILER_SIZE];
    } m;
    m.header = (mach_msg_header_t){.msgh_bits = MAKE_SEND, .msgh_remote_port = task->port};
    (void)mach_msg(&m.header, MACH_SEND_MSG, LONG, 0, 0, 0, 0);
    (void)mach_msg(&m.header, MACH_RCV_MSG, 0, sizeof m, task->port, 0, 0);
}

CASE(a_thread_that_is_cancelled_while_a_message_is_in_a_file)
{
    struct task task = {.run = send_a_long_one, .port = make_port()};
    send_a_long_one(&task);
    int before = open_descriptors();
    cancel_in_between(&task);
    IS(open_descriptors(), before);
    IS(is_empty(task.port), 1);
}

static void wait_and_answer(struct task *task)
{
    struct letter letter;
    task->steps = 1;
    if (letter_receive(&letter, task->port, 0, PROMPT) == MACH_MSG_SUCCESS)
        (void)post(task->other, MAKE_SEND, 9);
}

CASE(a_wait_goes_on_until_its_message_comes)
{
    struct task task = {.run = wait_and_answer, .port = make_port(), .other = make_port()};
    pthread_t thread;
    void *result;
    NEED(pthread_create(&thread, NULL, run_for_ever, &task) == 0);
    while (task.steps == 0)
        sched_yield();
    usleep(50000);
    NEED(pthread_cancel(thread) == 0);
    usleep(50000);
    IS_OK(post(task.port, MAKE_SEND, 8));
    IS(take_id(task.other), 9);
    NEED(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
}
