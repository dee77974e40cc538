/* The senders' pipes: who looks at one learns whether the port has died, whatever else somebody has
 * done to the pipe; and a port's end says so without a signal and without waiting. */
#include "packets.h"
#include "fds.h"
#include "pipes.h"
#include "refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A message with the right of a port that died behind it. */
static void post_right_that_dies(mach_port_t to)
{
    mach_port_t port = make_port();
    NEED_OK(post_right(to, port, MAKE_SEND));
    NEED_OK(mach_port_destroy(TASK, port));
}

/* A packet with a send right to `port`, of which another than the port's own pipe is a part. */
static void put_right(mach_port_t to, mach_port_t port, int pipe_end)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    const int fds[] = {sending_end(port), pipe_end};
    put(sending_end(to), &p, sizeof p, fds, 2);
}

/* --- looking --------------------------------------------------------------------------------- */

CASE(what_is_no_senders_end_of_a_pipe_is_refused)
{
    mach_port_t to = make_port(), port = make_port();
    int ends[2], pair[2];
    NEED(pipe(ends) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    put_right(to, port, ends[1]);
    put_right(to, port, pair[0]);
    put_right(to, port, open("/dev/null", O_RDONLY));
    IS(is_empty(to), 1);
    put_right(to, port, ends[0]);
    IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
}

CASE(a_pipe_that_somebody_has_written_to_hides_no_death)
{
    static const char bytes[5000];
    mach_port_t to = make_port(), port = make_port();
    int ends[2];
    NEED(pipe(ends) == 0 && write(ends[1], bytes, sizeof bytes) == (ssize_t)sizeof bytes);
    int before = open_descriptors();
    for (int i = 0; i < 100; i++) {
        put_right(to, port, ends[0]);
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port); /* as its channel says */
        post_right_that_dies(to);
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), MACH_PORT_DEAD);
    }
    IS_TRUE(open_descriptors() <= before + 200); /* sending_end()'s */
}

CASE(a_pipe_that_was_lost_makes_no_port_dead)
{
    mach_port_t to = make_port(), port = make_port();
    int ends[2];
    NEED(pipe(ends) == 0);
    close(ends[1]);
    put_right(to, port, ends[0]);
    IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
}

static void both_are_seen(void)
{
    mach_port_t to = make_port(), port = make_port();
    for (int i = 0; i < 3; i++) {
        NEED_OK(post_right(to, port, MAKE_SEND));
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
        post_right_that_dies(to);
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), MACH_PORT_DEAD);
    }
    put_right(to, port, open("/dev/null", O_RDONLY));
    IS(is_empty(to), 1);
}

CASE(where_tee_is_forbidden_other_calls_are_asked)
{
    refuse(SYS_tee, -1, 0, EPERM);
    both_are_seen();
}

CASE(a_daemon_that_closed_what_it_inherited_still_receives_rights)
{
    (void)make_port();
    pid_t daemon = fork();
    NEED(daemon >= 0);
    if (daemon == 0) {
        ml_pipe_prepare(); /* what it looks with it has not inherited, but closes as well */
        for (int fd = 3; fd < 250; fd++) /* above are the test's own */
            close(fd);
        for (int i = 0; i < 20; i++)
            (void)dup(0); /* the numbers are somebody else's now */
        both_are_seen();
        tap_end();
    }
    int status = 1;
    NEED(waitpid(daemon, &status, 0) == daemon);
    IS(status, 0);
}

/* Descriptors of this process that are pipes. */
static int open_pipes(void)
{
    int n = 0;
    for (int fd = 0; fd < 1000; fd++)
        n += fcntl(fd, F_GETPIPE_SZ) >= 0;
    return n;
}

/* What a daemon's numbers stand for after it has closed everything is its own. */
CASE(a_forked_process_has_none_of_its_parents_pipes)
{
    (void)make_port(); /* with the first one goes the pipe that is looked with */
    int status, before = open_pipes();
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0)
        _exit(before - open_pipes());
    NEED(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    IS(WEXITSTATUS(status), 2);
}

CASE(where_vmsplice_is_forbidden_the_end_shows_all_the_same)
{
    refuse(SYS_vmsplice, -1, 0, ENOSYS);
    both_are_seen();
}

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

CASE(where_close_range_is_forbidden_neighbours_are_closed_one_by_one)
{
    mach_port_t to = make_port(), port = make_port();
    NEED_OK(post_right(to, port, MAKE_SEND));
    IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
    int before = open_descriptors();
    refuse(SYS_close_range, -1, 0, EPERM);
    for (int i = 0; i < 10; i++) {
        NEED_OK(post_right(to, port, MAKE_SEND));
        IS(take_right(to, MACH_MSG_TYPE_PORT_SEND), port);
        IS(open_descriptors(), before);
    }
}

/* --- the end --------------------------------------------------------------------------------- */

CASE(a_port_is_dead_on_arrival_though_a_child_has_duplicates_of_all_it_was)
{
    mach_port_t to = make_port(), port = make_port();
    NEED_OK(post_right(to, port, MAKE_SEND));
    /* As between vfork and exec: no handler of pthread_atfork runs. */
    pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    NEED(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    IS_OK(mach_port_destroy(TASK, port));
    mach_port_t arrived = take_right(to, MACH_MSG_TYPE_PORT_SEND);
    NEED(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    IS(arrived, MACH_PORT_DEAD);
}

/* A port that had senders, of which none is left, and whose pipe has not been looked at since. */
static mach_port_t make_port_without_senders(void)
{
    mach_port_t port = make_port(), carrier = make_port();
    NEED_OK(post_right(carrier, port, MAKE_SEND));
    (void)status_of(port); /* gives up the end that is kept for the next right */
    NEED_OK(mach_port_destroy(TASK, carrier));
    return port;
}

CASE(the_end_of_a_port_without_senders_raises_no_signal)
{
    sigset_t pending;
    NEED(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    IS_OK(mach_port_destroy(TASK, make_port_without_senders()));
    NEED(sigpending(&pending) == 0);
    IS(sigismember(&pending, SIGPIPE), 0);
}

CASE(a_signal_that_the_program_holds_back_stays_its_own)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGPIPE);
    NEED(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    IS_OK(mach_port_destroy(TASK, make_port_without_senders()));
    NEED(sigpending(&set) == 0);
    IS(sigismember(&set, SIGPIPE), 0);
    NEED(raise(SIGPIPE) == 0);
    IS_OK(mach_port_destroy(TASK, make_port_without_senders()));
    NEED(sigpending(&set) == 0);
    IS(sigismember(&set, SIGPIPE), 1);
    NEED(sigprocmask(SIG_BLOCK, NULL, &set) == 0);
    IS(sigismember(&set, SIGPIPE), 1);
}

/* What another task says that a receive right had: see state.c for a piece. */
CASE(a_full_pipe_that_came_with_a_receive_right_does_not_hold_up_its_end)
{
    const struct {
        uint32_t magic, kind, value, reserved;
    } generation = {0x31534d4c, 2, 0, 0};
    struct with_right p = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    mach_port_t to = make_port();
    int channel[2], state[2], ends[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0 && pipe2(ends, O_NONBLOCK) == 0);
    while (write(ends[1], "x", 1) == 1)
        continue;
    NEED(fcntl(ends[1], F_SETFL, 0) == 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, state) == 0);
    put(state[0], &generation, sizeof generation, &ends[1], 1);
    const int right[] = {channel[1], channel[0], state[1]};
    put(sending_end(to), &p, sizeof p, right, 3);
    close(state[0]);
    IS_OK(mach_port_destroy(TASK, take_right(to, MACH_MSG_TYPE_PORT_RECEIVE)));
}
