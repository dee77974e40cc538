/* A sending end that comes again and again is known by a duplicate that is kept. That changes
 * nothing but the time it takes: rights are never taken for each other, whatever has become of the
 * duplicate, and who counts senders does not count it. */
#include "packets.h"
#include "fds.h"
#include "recent.h"
#include "refuse.h"
#include "space.h"

#include <errno.h>
#include <fcntl.h>
#include <mach_linux.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OFTEN = ML_RECENT_FEW };

static void skip_where_it_is_not_known(void)
{
    if (fcntl(0, F_DUPFD_QUERY, 0) != 1)
        tap_skip("the kernel has no F_DUPFD_QUERY, which came with Linux 6.10");
}

/* A right to `port` comes so often, and goes. Its receive right is here: it joins that name. It is
 * received from `from`: a set, or the same as `to`. */
static void come_by(mach_port_t from, mach_port_t to, mach_port_t port, int often)
{
    for (int i = 0; i < often; i++) {
        NEED_OK(post_right(to, port, MAKE_SEND));
        NEED(take_right(from, MACH_MSG_TYPE_PORT_SEND) == port);
        NEED_OK(mach_port_deallocate(TASK, port));
    }
}

static void come(mach_port_t to, mach_port_t port, int often)
{
    come_by(to, to, port, often);
}

/* The same until a duplicate is kept. */
static void come_often(mach_port_t to, mach_port_t port)
{
    come(to, port, 2 * OFTEN);
    NEED(ml_recent_kept() >= 0);
}

CASE(one_descriptor_is_kept_of_what_came_often_enough)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    come(to, port, 1);
    come(to, other, 1);
    int before = open_descriptors();
    come(to, port, OFTEN - 1);
    IS(ml_recent_kept(), -1);
    IS(open_descriptors(), before);
    come(to, port, 2);
    int first = ml_recent_kept();
    IS_TRUE(first >= 0);
    IS(open_descriptors(), before + 1);
    come(to, other, 2 * OFTEN);
    IS(ml_recent_kept(), first); /* the number stays, what it stands for is another one's */
    IS(open_descriptors(), before + 1);
    come(to, port, 2 * OFTEN);
    IS(open_descriptors(), before + 1);
    IS(fcntl(ml_recent_kept(), F_GETFD, 0), FD_CLOEXEC);
}

CASE(nothing_is_kept_when_the_queue_is_empty)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    come(to, port, 1);
    int before = open_descriptors();
    come_often(to, port);
    IS(is_empty(other), 1);
    IS_TRUE(ml_recent_kept() >= 0);
    IS(is_empty(to), 1);
    IS(ml_recent_kept(), -1);
    IS(open_descriptors(), before);
    come(to, port, OFTEN - 1);
    IS(ml_recent_kept(), -1);
    come(to, port, 2);
    IS_TRUE(ml_recent_kept() >= 0);
}

/* That is why. Nobody has the right any more, and its owner is told. */
CASE(the_channel_of_a_send_once_right_that_was_passed_off_as_a_ports_is_not_kept)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), reply = make_port(), once = make_send_once(reply);
    const struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    int ends[2], at = sending_end(to), channel = sending_end(once);
    NEED(pipe(ends) == 0);
    for (int i = 0; i < 2 * OFTEN; i++) {
        put(at, &p, sizeof p, (int[]){channel, ends[0]}, 2);
        NEED_OK(mach_port_deallocate(TASK, take_right(to, MACH_MSG_TYPE_PORT_SEND)));
    }
    IS_TRUE(ml_recent_kept() >= 0);
    close(channel);
    NEED_OK(mach_port_deallocate(TASK, once));
    IS(is_empty(reply), 1);
    IS(is_empty(to), 1);
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
}

/* Who waits for a descriptor takes one message each time it is readable, say: never in vain. */
CASE(nothing_is_kept_for_a_port_that_is_waited_for_in_another_way)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port();
    int ready, fd;
    come_often(to, port);
    NEED_OK(post_right(to, port, MAKE_SEND));
    NEED_OK(mach_linux_wait(to, NULL, 0, 0, &ready));
    IS(ml_recent_kept(), -1);
    NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
    come_often(to, port);
    NEED_OK(mach_linux_port_fd(to, &fd));
    IS(ml_recent_kept(), -1);
    come(to, port, 2 * OFTEN);
    IS(ml_recent_kept(), -1);
}

CASE(nothing_is_kept_for_the_members_of_a_set)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), set = make_set(), port = make_port();
    come_often(to, port);
    NEED_OK(mach_port_insert_member(TASK, to, set));
    IS(ml_recent_kept(), -1);
    come(to, port, 2 * OFTEN);
    IS(ml_recent_kept(), -1);
    come_by(set, to, port, 3 * OFTEN);
    IS(ml_recent_kept(), -1);
}

CASE(what_is_kept_is_closed_with_the_port_that_the_rights_came_to)
{
    skip_where_it_is_not_known();
    mach_port_t port = make_port(), home = make_port();
    come(home, port, 1);
    int before = open_descriptors();
    for (int moved = 0; moved < 2; moved++) {
        mach_port_t to = make_port();
        come(home, to, 1);
        come_often(to, port);
        if (moved) {
            NEED_OK(post_right(home, to, MOVE_RECEIVE));
            IS(ml_recent_kept(), -1);
            to = take_right(home, MACH_MSG_TYPE_PORT_RECEIVE);
        }
        NEED_OK(mach_port_destroy(TASK, to));
        IS(ml_recent_kept(), -1);
        IS(open_descriptors(), before);
        come(home, port, 1);
    }
}

CASE(what_is_kept_belongs_to_the_port_that_the_last_one_came_to)
{
    skip_where_it_is_not_known();
    mach_port_t first = make_port(), second = make_port(), third = make_port();
    mach_port_t port = make_port(), other = make_port();
    come(first, port, 2 * OFTEN);
    NEED_OK(mach_port_destroy(TASK, third));
    IS_TRUE(ml_recent_kept() >= 0);
    come(second, other, 2 * OFTEN);
    NEED_OK(mach_port_destroy(TASK, first));
    IS_TRUE(ml_recent_kept() >= 0);
    NEED_OK(mach_port_destroy(TASK, second));
    IS(ml_recent_kept(), -1);
}

CASE(rights_are_told_apart_in_whatever_order_they_come)
{
    enum { PORTS = 3 };
    static const int lengths[] = {1, OFTEN, 2, OFTEN + 1, 2 * OFTEN, 1, 1, OFTEN + 2};
    mach_port_t to = make_port(), ports[PORTS];
    for (int i = 0; i < PORTS; i++)
        ports[i] = make_port();
    for (unsigned i = 0; i < 200; i++)
        come(to, ports[i % 5 % PORTS], lengths[i % 8]);
}

CASE(a_right_that_is_held_already_joins_its_name_each_time)
{
    mach_port_t to = make_port(), parked = MACH_PORT_NULL, port = make_send_only(1, &parked);
    skip_where_it_is_not_known();
    for (int i = 0; i < 3 * OFTEN; i++) {
        NEED_OK(post_right(to, port, COPY_SEND));
        NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
    }
    IS_TRUE(ml_recent_kept() >= 0);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 1 + 3 * OFTEN);
}

CASE(the_last_send_right_is_gone_though_a_duplicate_is_kept)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), notify = make_port();
    for (int i = 0; i < 3 * OFTEN; i++) {
        NEED_OK(post_right(to, port, MAKE_SEND));
        NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
        (void)request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
        NEED_OK(mach_port_deallocate(TASK, port));
        take_notification(notify, MACH_NOTIFY_NO_SENDERS);
    }
    IS_TRUE(ml_recent_kept() >= 0);
}

CASE(a_port_that_dies_while_its_duplicate_is_kept_arrives_dead)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    come_often(to, port);
    for (int i = 0; i < 3; i++)
        NEED_OK(post_right(to, port, MAKE_SEND));
    NEED_OK(mach_port_destroy(TASK, port));
    for (int i = 0; i < 3; i++)
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), MACH_PORT_DEAD);
    come(to, other, 2 * OFTEN);
}

CASE(a_number_that_is_the_programs_own_by_now_is_not_closed)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    come_often(to, port);
    int number = ml_recent_kept(), ends[2];
    NEED(pipe(ends) == 0 && dup2(ends[1], number) == number);
    int status = 1;
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0)
        _exit(fcntl(number, F_GETPIPE_SZ, 0) <= 0);
    NEED(waitpid(child, &status, 0) == child);
    IS(status, 0);
    come(to, other, 2 * OFTEN);
    IS_TRUE(ml_recent_kept() != number);
    IS_TRUE(fcntl(number, F_GETPIPE_SZ, 0) > 0);
    number = ml_recent_kept();
    NEED(dup2(ends[1], number) == number);
    NEED_OK(mach_port_destroy(TASK, to));
    IS_TRUE(fcntl(number, F_GETPIPE_SZ, 0) > 0);
}

CASE(a_number_above_the_limit_is_given_up)
{
    skip_where_it_is_not_known();
    struct rlimit limit, lower;
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    come(to, port, 1);
    come(to, other, 1);
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int free_below = dup(0), before = open_descriptors();
    come(to, port, 2 * OFTEN);
    lower = limit;
    lower.rlim_cur = (rlim_t)ml_recent_kept();
    close(free_below);
    NEED(setrlimit(RLIMIT_NOFILE, &lower) == 0);
    come(to, other, 2 * OFTEN);
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    IS(is_empty(to), 1);
    IS(open_descriptors(), before - 1);
}

CASE(a_child_has_no_duplicate_and_gets_one_of_its_own)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port();
    come_often(to, port);
    int number = ml_recent_kept(), status = 1;
    pid_t child = fork();
    NEED(child >= 0);
    if (child == 0) {
        IS(fcntl(number, F_GETFD, 0), -1);
        IS(ml_recent_kept(), -1);
        to = make_port();
        port = make_port();
        come_often(to, port);
        tap_end();
    }
    NEED(waitpid(child, &status, 0) == child);
    IS(status, 0);
    IS(ml_recent_kept(), number);
    come(to, port, 2);
}

CASE(an_older_kernel_is_asked_for_the_identity_each_time)
{
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    refuse(SYS_fcntl, 1, F_DUPFD_QUERY, EINVAL);
    come(to, port, 1);
    come(to, other, 1);
    int before = open_descriptors();
    come(to, port, 3 * OFTEN);
    come(to, other, 3 * OFTEN);
    IS(ml_recent_kept(), -1);
    IS(open_descriptors(), before);
}

CASE(where_there_is_no_room_for_a_duplicate_rights_arrive_all_the_same)
{
    struct rlimit limit;
    mach_port_t to = make_port(), port = make_port();
    come(to, port, 1);
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    NEED_OK(post_right(to, port, MAKE_SEND));
    int lowest = dup(0);
    close(lowest);
    limit.rlim_cur = (rlim_t)lowest + 2;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    NEED(take_right(to, MACH_MSG_TYPE_PORT_SEND) == port);
    come(to, port, 3 * OFTEN);
    IS(ml_recent_kept(), -1);
}

/* --- meanwhile ------------------------------------------------------------------------------- */

static int next_fd = -1; /* what another thread makes of the duplicate; −1: nothing */
static uint64_t next_key;
static const struct ml_receiver *next_by;

static int fork_next;
static pid_t forked;

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);

/* In place of the library's (the linker sees to that): another thread is quicker, or forks. */
int __wrap_fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    int argument = command == F_GETPIPE_SZ ? 0 : va_arg(rest, int);
    va_end(rest);
    if (command == F_DUPFD_QUERY && next_fd >= 0) {
        int other = next_fd;
        next_fd = -1;
        for (int i = 0; i < OFTEN; i++)
            ml_recent_note(other, next_key, next_by);
    }
    if (command == F_DUPFD_CLOEXEC && fork_next) {
        fork_next = 0;
        forked = fork();
        if (forked == 0) { /* has this thread only, which is elsewhere by now */
            come_often(make_port(), make_port());
            tap_end();
        }
    }
    return __real_fcntl(fd, command, argument);
}

CASE(a_duplicate_that_another_thread_changes_meanwhile_proves_nothing)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port(), other = make_port();
    int fd = sending_end(other);
    next_key = ml_fd_cookie(fd);
    ml_lock();
    next_by = ml_entry_lookup(to)->port->receiver;
    ml_unlock();
    come(to, port, 2 * OFTEN);
    next_fd = fd;
    come(to, other, 1); /* begins to be held against the one and is then the other */
    IS(next_fd, -1);
    come(to, other, 2 * OFTEN);
    come(to, port, 2 * OFTEN);
}

CASE(a_child_that_was_forked_while_a_duplicate_was_made_gets_one_of_its_own)
{
    skip_where_it_is_not_known();
    mach_port_t to = make_port(), port = make_port();
    int status = 1;
    fork_next = 1;
    come(to, port, 2 * OFTEN);
    NEED(waitpid(forked, &status, 0) == forked);
    IS(status, 0);
}

/* --- threads --------------------------------------------------------------------------------- */

static void *come_in_turn(void *argument)
{
    const unsigned seed = *(unsigned *)argument;
    mach_port_t to = make_port(), one = make_port(), other = make_port();
    for (unsigned i = 0; i < 60; i++)
        come(to, (i + seed) % 3 != 0 ? one : other, (int)(i % 4 + 1) * OFTEN / 2);
    return NULL;
}

CASE(threads_that_receive_at_once_take_no_right_for_another)
{
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    unsigned seeds[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        seeds[i] = i;
        NEED(pthread_create(&threads[i], NULL, come_in_turn, &seeds[i]) == 0);
    }
    for (int i = 0; i < THREADS; i++)
        NEED(pthread_join(threads[i], NULL) == 0);
}
