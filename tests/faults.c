/* Preloaded into a process (LD_PRELOAD), this kills it before the n-th call that it makes of what
 * is below, counted from faults_arm(n) over all threads: the steps between the lines of Python. It
 * owns nothing, and does nothing until it is armed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_long left; /* 0: not armed */

void faults_arm(long n);

void faults_arm(long n)
{
    atomic_store(&left, n);
}

static void step(void)
{
    if (atomic_load(&left) > 0 && atomic_fetch_sub(&left, 1) == 1)
        (void)kill(getpid(), SIGKILL);
}

/* Most is the function of the name; `symbol` is another where C knows the name already. */
/* clang-format off */
#define STEP(type, name, parameters, arguments) STEP_AS(type, name, #name, parameters, arguments)
#define STEP_AS(type, name, symbol, parameters, arguments)                                         \
    type name parameters __asm__(symbol);                                                          \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*_Atomic real) parameters;                                                     \
        if (real == NULL)                                                                          \
            real = (type(*) parameters)dlsym(RTLD_NEXT, symbol);                                   \
        step();                                                                                    \
        return real arguments;                                                                     \
    }

STEP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
STEP(int, socketpair, (int domain, int type, int protocol, int ends[2]),
     (domain, type, protocol, ends))
STEP(int, bind, (int fd, const struct sockaddr *address, socklen_t length), (fd, address, length))
STEP(int, listen, (int fd, int backlog), (fd, backlog))
STEP(int, connect, (int fd, const struct sockaddr *address, socklen_t length),
     (fd, address, length))
STEP(int, accept4, (int fd, struct sockaddr *address, socklen_t *length, int flags),
     (fd, address, length, flags))
STEP(int, shutdown, (int fd, int how), (fd, how))
STEP(int, setsockopt, (int fd, int level, int option, const void *value, socklen_t length),
     (fd, level, option, value, length))
STEP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
STEP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
STEP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
STEP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
STEP(int, pipe2, (int ends[2], int flags), (ends, flags))
STEP(int, close, (int fd), (fd))
STEP(int, unlink, (const char *path), (path))
STEP(int, flock, (int fd, int how), (fd, how))
STEP(int, poll, (struct pollfd *fds, nfds_t count, int timeout), (fds, count, timeout))
STEP(int, epoll_create1, (int flags), (flags))
STEP(int, epoll_ctl, (int epoll, int how, int fd, struct epoll_event *event),
     (epoll, how, fd, event))
STEP(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int timeout),
     (epoll, events, most, timeout))
/* What the library calls past libc. Its arguments are words, and never more than these. */
STEP_AS(long, any_call, "syscall", (long number, long a, long b, long c, long d, long e, long f),
        (number, a, b, c, d, e, f))
