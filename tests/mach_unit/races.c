/* Two things at once that a test of Mach's API alone would meet too seldom: a name that is given up
 * or given away while its right is in a message that then fails, a receiver that loses its queue, a
 * death that the watcher has not told of yet, a fork among descriptors that nobody owns. */
#include "../mach/peers.h"

#include "packets.h"
#include "receiver.h"
#include "recent.h"
#include "rights.h"
#include "sanitizers.h"
#include "space.h"
#include "watcher.h"

#include <mach_linux.h>
#include <poll.h>
#include <sched.h>
#include <servers/bootstrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SEND = MACH_PORT_RIGHT_SEND };

/* --- sends that fail in the end -------------------------------------------------------------- */

/* A send to a port that takes nothing, of a right that is named `name`, in a thread of its own.
 * With descriptors in flight at their limit a send without a deadline gives up after a while, and
 * its rights go back. */
struct doomed_send {
    mach_port_t to;
    struct waiter waiter;
};

static void doomed_begin(struct doomed_send *send, mach_port_t name, mach_msg_type_name_t how)
{
    mach_port_t right = make_port();
    send->to = make_port_with_sends(1);
    add_sends(right, 1);
    fill_flight(send->to, right);
    waiter_forever = 1;
    letter_to(&send->waiter.letter, send->to, COPY_SEND, 1);
    letter_right(&send->waiter.letter, name, how);
    waiter_send_letter(&send->waiter);
}

static void doomed_end(struct doomed_send *send)
{
    IS_CODE(waiter_result(&send->waiter), MACH_SEND_NO_BUFFER);
}

CASE(a_name_given_up_while_its_right_was_in_a_failed_message_is_there_again)
{
    struct doomed_send send;
    mach_port_t port = make_send_only(2, NULL);
    doomed_begin(&send, port, MOVE_SEND);
    IS(refs(port, SEND), 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(is_gone(port), 1);
    doomed_end(&send);
    IS(refs(port, SEND), 1);
    IS_OK(mach_port_deallocate(TASK, port));
}

CASE(a_name_given_to_something_else_meanwhile_is_not_touched)
{
    struct doomed_send send;
    mach_port_t port = make_send_only(2, NULL), other = MACH_PORT_NULL;
    doomed_begin(&send, port, MOVE_SEND);
    IS_OK(mach_port_deallocate(TASK, port));
    while (other >> 8 != port >> 8)
        NEED_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_DEAD_NAME, &other));
    doomed_end(&send);
    IS(refs(other, MACH_PORT_RIGHT_DEAD_NAME), 1);
    IS(is_gone(port), 1);
}

CASE(a_right_joins_the_name_that_its_port_has_been_given_meanwhile)
{
    struct doomed_send send;
    mach_port_t parked = MACH_PORT_NULL, port = make_send_only(1, &parked);
    mach_port_t carrier = make_port(), notify = make_port();
    /* A second right to the same port waits in a queue. */
    NEED_OK(post_right(carrier, port, COPY_SEND));
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    doomed_begin(&send, port, MOVE_SEND);
    mach_port_t fresh = take_right(carrier, MACH_MSG_TYPE_PORT_SEND);
    IS_TRUE(fresh != port);
    doomed_end(&send);
    IS(refs(fresh, SEND), 2);
    IS(is_gone(port), 1);
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), port);
}

CASE(the_port_of_a_right_that_comes_back_is_watched_again)
{
    struct doomed_send send;
    mach_port_t parked = MACH_PORT_NULL, port = make_send_only(1, &parked), notify = make_port();
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    doomed_begin(&send, port, MOVE_SEND);
    destroy_receive(parked);
    doomed_end(&send);
    IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), port);
}

/* A receive right with senders cannot even be tried to be sent then. Its message fails because the
 * destination is destroyed while the kernel still copies what else is in it. */
struct slow_send {
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t port;
        mach_msg_ool_descriptor_t memory;
    } m;
    mach_msg_return_t result;
    pthread_t thread;
};

static void *send_slowly(void *argument)
{
    struct slow_send *send = argument;
    send->result = mach_msg(&send->m.header, MACH_SEND_MSG, sizeof send->m, 0, 0, 0, 0);
    return NULL;
}

/* Returns when the receive right is in the message. */
static void slow_begin(struct slow_send *send, mach_port_t port)
{
    enum { LARGE = 64 << 20 };
    static vm_address_t memory;
    if (memory == 0)
        NEED_OK(vm_allocate(TASK, &memory, LARGE, VM_FLAGS_ANYWHERE));
    memset(send, 0, sizeof *send);
    send->m.header.msgh_bits = MACH_MSGH_BITS_COMPLEX | COPY_SEND;
    send->m.header.msgh_remote_port = make_port_with_sends(1);
    send->m.body.msgh_descriptor_count = 2;
    send->m.port = (mach_msg_port_descriptor_t){
        .name = port, .disposition = MOVE_RECEIVE, .type = MACH_MSG_PORT_DESCRIPTOR};
    send->m.memory = (mach_msg_ool_descriptor_t){.address = (void *)memory,
                                                 .size = LARGE,
                                                 .copy = MACH_MSG_VIRTUAL_COPY,
                                                 .type = MACH_MSG_OOL_DESCRIPTOR};
    NEED(pthread_create(&send->thread, NULL, send_slowly, send) == 0);
    while ((type_of(port) & MACH_PORT_TYPE_RECEIVE) != 0)
        sched_yield();
}

/* Did it fail? If the kernel was quicker than the case, it is to be tried again. */
static int slow_end(struct slow_send *send)
{
    destroy_receive(send->m.header.msgh_remote_port);
    NEED(pthread_join(send->thread, NULL) == 0);
    if (send->result != MACH_MSG_SUCCESS)
        IS_CODE(send->result, MACH_SEND_INVALID_DEST);
    return send->result != MACH_MSG_SUCCESS;
}

CASE(a_receive_right_comes_back_to_a_name_that_was_given_up)
{
    struct slow_send send;
    mach_port_t port;
    do {
        port = make_port_with_sends(1);
        NEED_OK(post(port, COPY_SEND, 6));
        slow_begin(&send, port);
        IS_OK(mach_port_deallocate(TASK, port));
    } while (!slow_end(&send));
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS(take_id(port), 6);
    IS_OK(mach_port_destroy(TASK, port));
}

CASE(a_receive_right_that_finds_its_name_in_use_dies)
{
    struct slow_send send;
    mach_port_t other, notify;
    do {
        mach_port_t port = make_port_with_sends(1);
        other = MACH_PORT_NULL;
        notify = make_port();
        NEED_OK(post_right(port, notify, MAKE_SEND_ONCE));
        slow_begin(&send, port);
        IS_OK(mach_port_deallocate(TASK, port));
        while (other >> 8 != port >> 8)
            NEED_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_DEAD_NAME, &other));
    } while (!slow_end(&send));
    take_notification(notify, MACH_NOTIFY_SEND_ONCE);
    IS(refs(other, MACH_PORT_RIGHT_DEAD_NAME), 1);
}

/* A reply right that was made for a message and goes back with it has never been anybody's. */
CASE(a_send_once_right_made_for_a_message_that_failed_is_no_news)
{
    struct letter letter;
    mach_port_t to = make_port(), reply = make_port(), other = make_port_with_sends(1);
    struct rlimit limit, few;
    letter_to(&letter, to, MAKE_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter_right(&letter, reply, MAKE_SEND_ONCE);
    letter_right(&letter, other, MAKE_SEND);
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    few = limit;
    int lowest = dup(0);
    close(lowest);
    few.rlim_cur = (rlim_t)lowest + 5; /* two channels and what watches them, but no pipe */
    NEED(setrlimit(RLIMIT_NOFILE, &few) == 0);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_NO_BUFFER);
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    a_moment();
    IS(is_empty(reply), 1);
    IS(status_of(reply).mps_sorights, 0);
    IS_OK(letter_send(&letter, NOW));
}

/* --- a queue that goes elsewhere ------------------------------------------------------------- */

static struct ml_receiver *moving; /* NULL: none */
static int living_without_queue;

static _Thread_local int dawdles; /* after some unlocks: others come first */

static void dawdle(void)
{
    struct timespec now, until;
    static unsigned times;
    if (++times % 7 != 0)
        return;
    NEED(clock_gettime(CLOCK_MONOTONIC, &until) == 0);
    long later = until.tv_nsec + times % 11 * 30000L; /* up to 0.3 ms, and no sleep */
    until.tv_sec += later / 1000000000;
    until.tv_nsec = later % 1000000000;
    do
        NEED(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    while (now.tv_sec < until.tv_sec ||
           (now.tv_sec == until.tv_sec && now.tv_nsec < until.tv_nsec));
}

int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

/* In place of every unlock of the library's (the linker sees to that): what somebody sees who
 * waited for the lock and has it next. */
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    if (moving != NULL && mutex == &moving->lock)
        living_without_queue += moving->alive && moving->rx < 0;
    int result = __real_pthread_mutex_unlock(mutex);
    if (dawdles)
        dawdle();
    return result;
}

CASE(a_receiver_is_over_as_soon_as_its_queue_has_gone)
{
    mach_port_t port = make_port_with_sends(1), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    ml_lock();
    moving = ml_entry_lookup(port)->port->receiver;
    moving->refs++;
    ml_unlock();
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly));
    IS(living_without_queue, 0);
    IS(moving->alive, 0);
    IS(moving->rx, -1);
}

/* --- deaths just before a name is given up --------------------------------------------------- */

static void hold_up(uint64_t watch, void *context, struct ml_garbage *g)
{
    (void)watch, (void)context, (void)g;
    ml_watch_pause();
}

/* The watcher does nothing else from now on, or seldom. */
static void hold_up_the_watcher(void)
{
    int ends[2];
    NEED(pipe(ends) == 0 && write(ends[1], "x", 1) == 1);
    ml_lock();
    NEED(ml_watch_add(ends[0], EPOLLIN, hold_up, NULL) != 0);
    ml_unlock();
}

static void deaths_before(kern_return_t (*give_up)(ipc_space_t, mach_port_name_t))
{
    hold_up_the_watcher();
    for (int i = 0; i < 50; i++) {
        mach_port_t notify = make_port(), parked = MACH_PORT_NULL;
        mach_port_t port = make_send_only(1, &parked);
        request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
        destroy_receive(parked);
        NEED_OK(give_up(TASK, port));
        NEED(take_notification(notify, MACH_NOTIFY_DEAD_NAME) == port);
    }
}

CASE(a_port_that_died_before_its_name_is_deallocated_is_told_as_dead)
{
    deaths_before(mach_port_deallocate);
}

CASE(a_port_that_died_before_its_name_is_destroyed_is_told_as_dead)
{
    deaths_before(mach_port_destroy);
}

/* --- rights that other threads exchange meanwhile -------------------------------------------- */

static atomic_int stop;

static void *exchange_rights(void *unused)
{
    while (!atomic_load(&stop)) {
        mach_port_t to = make_port(), port = make_port_with_sends(1);
        NEED_OK(post_right(to, port, MAKE_SEND));
        NEED_OK(post_right(to, port, MOVE_RECEIVE));
        NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
        NEED(take_right(to, MACH_MSG_TYPE_PORT_RECEIVE) == port);
        NEED_OK(mach_port_destroy(TASK, to));
        NEED_OK(mach_port_destroy(TASK, port));
    }
    return unused;
}

/* A port's request is a send-once right, made anew where the port arrives: not of what another
 * thread has just released or is taking for a right of its own. */
CASE(a_request_moves_with_its_port_while_rights_come_and_go)
{
    enum { THREADS = 2 };
    pthread_t threads[THREADS];
    mach_port_t to = make_port(), notify = make_port(), port = make_port_with_sends(1);
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, exchange_rights, NULL) == 0);
    for (int i = 0; i < 2000; i++) {
        NEED_OK(post_right(to, port, MOVE_RECEIVE));
        NEED(take_right(to, MACH_MSG_TYPE_PORT_RECEIVE) == port);
    }
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
    IS(is_empty(notify), 1);
    NEED_OK(mach_port_deallocate(TASK, port));
    take_notification(notify, MACH_NOTIFY_NO_SENDERS);
}

/* --- forks ----------------------------------------------------------------------------------- */

/* What a child of fork has open, by asking for each; it may not allocate. */
static int count_in_child(void)
{
    int status = 0;
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        int n = 0;
        for (int fd = 0; fd < 250; fd++)
            n += fcntl(fd, F_GETFD) >= 0;
        _exit(n);
    }
    NEED(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* The address sanitizer's allocator takes no part in fork: if another thread held its lock, the
 * child waits for it forever at its first allocation. */
static void skip_where_children_cannot_allocate(void)
{
#ifdef ML_MEMORY_WATCHED
    tap_skip("the address sanitizer's allocator is not usable in the child of a threaded fork");
#endif
}

CASE(a_child_of_fork_has_no_descriptor_that_was_on_its_way_to_a_name_or_to_its_end)
{
    skip_where_children_cannot_allocate();
    enum { THREADS = 3 };
    pthread_t threads[THREADS];
    NEED_OK(mach_port_destroy(TASK, make_port()));
    int alone = count_in_child();
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_create(&threads[i], NULL, exchange_rights, NULL) == 0);
    for (int i = 0; i < 300; i++)
        NEED(count_in_child() == alone);
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}

static void *receive_often(void *unused)
{
    mach_port_t to = make_port(), port = make_port();
    while (!atomic_load(&stop)) {
        for (unsigned i = 0; i < ML_RECENT_FEW + 2; i++) {
            NEED_OK(post_right(to, port, MAKE_SEND));
            NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
            NEED_OK(mach_port_deallocate(TASK, port));
        }
        dawdles = 1;
        NEED(is_empty(to)); /* what was kept is closed */
        dawdles = 0;
    }
    return unused;
}

CASE(a_child_of_fork_has_no_duplicate_that_was_about_to_be_closed)
{
    skip_where_children_cannot_allocate();
    enum { MUCH = 64 << 20 }; /* the kernel copies the descriptors first, and takes its time then */
    pthread_t thread;
    void *memory = malloc(MUCH);
    NEED(memory != NULL && memset(memory, 1, MUCH) == memory);
    NEED_OK(mach_port_destroy(TASK, make_port()));
    int alone = count_in_child();
    NEED(pthread_create(&thread, NULL, receive_often, NULL) == 0);
    for (int i = 0; i < 600; i++)
        NEED(count_in_child() == alone);
    atomic_store(&stop, 1);
    NEED(pthread_join(thread, NULL) == 0);
    free(memory);
}

static atomic_int arrivals_linger, arrived;

bool __real_ml_right_arrive(struct ml_packet *packet, enum ml_carry carry,
                            const struct ml_receiver *by, struct ml_right *right);
bool __wrap_ml_right_arrive(struct ml_packet *packet, enum ml_carry carry,
                            const struct ml_receiver *by, struct ml_right *right);

/* In place of the library's: somebody else has time to fork. */
bool __wrap_ml_right_arrive(struct ml_packet *packet, enum ml_carry carry,
                            const struct ml_receiver *by, struct ml_right *right)
{
    if (atomic_load(&arrivals_linger)) {
        atomic_store(&arrived, 1);
        a_moment();
    }
    return __real_ml_right_arrive(packet, carry, by, right);
}

static void *fork_during_an_arrival(void *count)
{
    while (!atomic_load(&arrived))
        sched_yield();
    *(int *)count = count_in_child();
    return NULL;
}

static const char *unique_name(void)
{
    static name_t name;
    snprintf(name, sizeof name, "org.child-port.races.%d", (int)getpid());
    return name;
}

static mach_port_t check_in_here(void)
{
    mach_port_t port;
    NEED_OK(bootstrap_check_in(bootstrap_port, unique_name(), &port));
    return port;
}

/* Its connection, at which the answer is waiting. */
static int answered_look_up(void)
{
    struct pollfd p = {.events = POLLIN};
    NEED_OK(mach_linux_look_up_begin(unique_name(), &p.fd));
    NEED(poll(&p, 1, PROMPT) == 1);
    return p.fd;
}

CASE(a_child_of_fork_has_no_part_of_an_answer_to_a_look_up)
{
    skip_where_children_cannot_allocate();
    pthread_t thread;
    mach_port_t port = check_in_here(), found;
    int during = -1, before = count_in_child(), fd = answered_look_up();
    while (count_in_child() != before + 1) /* who answered has not closed his end yet */
        a_moment();
    atomic_store(&arrivals_linger, 1);
    NEED(pthread_create(&thread, NULL, fork_during_an_arrival, &during) == 0);
    IS_OK(mach_linux_look_up_end(fd, &found));
    NEED(pthread_join(thread, NULL) == 0);
    IS(found, port);
    IS(during, before + 1);
}

static void *take_the_answer(void *fd)
{
    mach_port_t found;
    NEED_OK(mach_linux_look_up_end(*(int *)fd, &found));
    return NULL;
}

/* Who forks has the lock. */
CASE(no_answer_to_a_look_up_is_taken_in_the_middle_of_a_fork)
{
    pthread_t thread;
    (void)check_in_here();
    int fd = answered_look_up();
    atomic_store(&arrivals_linger, 1);
    ml_lock();
    NEED(pthread_create(&thread, NULL, take_the_answer, &fd) == 0);
    a_moment();
    IS(atomic_load(&arrived), 0);
    ml_unlock();
    NEED(pthread_join(thread, NULL) == 0);
    IS(atomic_load(&arrived), 1);
}
