/*
 * System calls that are no cancellation points, because Mach's calls are none: a thread that was
 * cancelled within one would leave a lock taken and descriptors without an owner.
 *
 * What is on every message's way is called here past libc, which also takes a little less time.
 * Where libc is to see the call all the same (a sanitizer wants to; musl puts structures right on
 * the way) the cancellation is put off. So it is for all of a function that makes other calls, with
 * ML_UNCANCELLED at its beginning.
 */
#ifndef ML_CALLS_H
#define ML_CALLS_H

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sanitizers.h"

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

static inline int ml_cancel_put_off(void)
{
    int before;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void ml_cancel_restore(const int *before)
{
    int ours;
    (void)pthread_setcancelstate(*before, &ours);
}

/* To the end of the block it stands in. */
#define ML_UNCANCELLED                                                                             \
    const int ml_cancel_before __attribute__((cleanup(ml_cancel_restore), unused)) =               \
        ml_cancel_put_off()

#if defined(__GLIBC__) && !defined(ML_SANITIZED)
#define ML_CALL(type, name, parameters, direct, by_libc)                                           \
    static inline type name parameters                                                             \
    {                                                                                              \
        return (type)(direct);                                                                     \
    }
#else
#define ML_CALL(type, name, parameters, direct, by_libc)                                           \
    static inline type name parameters                                                             \
    {                                                                                              \
        ML_UNCANCELLED;                                                                            \
        return by_libc;                                                                            \
    }
#endif

/* clang-format off */
ML_CALL(int, ml_close, (int fd),
        syscall(SYS_close, fd),
        close(fd))
/* Of two neighbours. Fails where it is forbidden, and then nothing is closed. */
ML_CALL(int, ml_close_range, (int first, int last),
        syscall(SYS_close_range, first, last, 0),
        (close(first), close(last)))
ML_CALL(ssize_t, ml_sendmsg, (int fd, const struct msghdr *m, int flags),
        syscall(SYS_sendmsg, fd, m, flags),
        sendmsg(fd, m, flags))
ML_CALL(ssize_t, ml_recvmsg, (int fd, struct msghdr *m, int flags),
        syscall(SYS_recvmsg, fd, m, flags),
        recvmsg(fd, m, flags))
/* Without waiting, and with descriptors that are closed on exec. (Whether flags have a sign is a
 * matter of the library.) */
ML_CALL(int, ml_recvmmsg, (int fd, struct mmsghdr *m, unsigned n),
        syscall(SYS_recvmmsg, fd, m, n, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL),
        recvmmsg(fd, m, n, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL))
ML_CALL(ssize_t, ml_recv, (int fd, void *buffer, size_t size, int flags),
        syscall(SYS_recvfrom, fd, buffer, size, flags, NULL, NULL),
        recv(fd, buffer, size, flags))
ML_CALL(ssize_t, ml_tee, (int from, int to, size_t size, unsigned flags),
        syscall(SYS_tee, from, to, size, flags),
        tee(from, to, size, flags))
ML_CALL(int, ml_epoll_wait, (int epoll, struct epoll_event *events, int n, int ms),
        syscall(SYS_epoll_pwait, epoll, events, n, ms, NULL, 0),
        epoll_wait(epoll, events, n, ms))
#ifdef SYS_poll
ML_CALL(int, ml_poll, (struct pollfd *fds, nfds_t n, int ms),
        syscall(SYS_poll, fds, n, ms),
        poll(fds, n, ms))
#else
ML_CALL(int, ml_ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *t),
        syscall(SYS_ppoll, fds, n, t, NULL, 0),
        ppoll(fds, n, t, NULL))
static inline int ml_poll(struct pollfd *fds, nfds_t n, int ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};
    return ml_ppoll(fds, n, ms < 0 ? NULL : &t);
}
#endif
/* clang-format on */

#endif
