/*
 * What the kernel refused: see refusal.h.
 *
 * The text is made when it is asked for, in the thread's own buffer; noting a refusal costs two
 * stores. What is asked of the kernel at the beginning is all that no call could do without: a
 * right whose identity cannot be known, or a sender without credentials, would be wrong answers.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <mach_linux.h>

#include "calls.h"
#include "fds.h"
#include "refusal.h"
#include "task.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

struct refusal {
    const char *call; /* NULL: none yet */
    int error;
};

static _Thread_local struct refusal last;
static _Thread_local char text[256];

void ml_refused(const char *call, int error)
{
    last = (struct refusal){call, error};
}

void ml_refused_nothing(void)
{
    last.call = NULL;
}

/* --- in words -------------------------------------------------------------------------------- */

static unsigned long long descriptor_limit(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (unsigned long long)limit.rlim_cur : 0;
}

static const char *describe(struct refusal r)
{
    switch (r.error) {
    case EMFILE:
        snprintf(text, sizeof text,
                 "%s: this process has no descriptor left (RLIMIT_NOFILE is %llu; see ulimit -n)",
                 r.call, descriptor_limit());
        break;
    case ENFILE:
        snprintf(text, sizeof text, "%s: the system has no open file left (/proc/sys/fs/file-max)",
                 r.call);
        break;
    case ETOOMANYREFS:
        snprintf(text, sizeof text,
                 "%s: this user's messages hold as many descriptors as they may (RLIMIT_NOFILE is "
                 "%llu; see ulimit -n)",
                 r.call, descriptor_limit());
        break;
    case E2BIG:
        snprintf(
            text, sizeof text,
            "%s: the rights of a message travel as at most 65535 descriptors, two a send right",
            r.call);
        break;
    case ENOSPC:
        snprintf(text, sizeof text,
                 "%s: this user watches as many descriptors as it may "
                 "(/proc/sys/fs/epoll/max_user_watches)",
                 r.call);
        break;
    case ENOMEM:
    case ENOBUFS:
        snprintf(text, sizeof text, "%s: there is not enough memory", r.call);
        break;
    default:
        snprintf(text, sizeof text,
                 "%s is refused (%s) by this kernel or its sandbox; Mach ports need Linux 5.14 or "
                 "later",
                 r.call, strerror(r.error));
        break;
    }
    return text;
}

const char *mach_linux_reason(void)
{
    return last.call != NULL ? describe(last) : NULL;
}

/* --- what ports need ------------------------------------------------------------------------- */

/* Limits and shortages pass; these do not. */
static bool is_missing(int error)
{
    switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case EINTR:
    case EAGAIN:
        return false;
    default:
        return true;
    }
}

static bool note(struct refusal *r, const char *call, bool given)
{
    if (given)
        return true;
    *r = (struct refusal){call, errno};
    return false;
}

static bool cookie_of(int fd, uint64_t *cookie)
{
    socklen_t len = sizeof *cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len) == 0;
}

/* The options of one channel's two ends. */
static bool sockets_will_do(const int pair[2], struct refusal *r)
{
    uint64_t one = 0, other = 0, net;
    int domain, on = 1;
    socklen_t net_len = sizeof net, domain_len = sizeof domain;

    if (!note(r, "setsockopt(SO_PASSCRED)",
              setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0) ||
        !note(r, "getsockopt(SO_COOKIE)", cookie_of(pair[0], &one) && cookie_of(pair[1], &other)) ||
        !note(r, "getsockopt(SO_NETNS_COOKIE)",
              getsockopt(pair[0], SOL_SOCKET, SO_NETNS_COOKIE, &net, &net_len) == 0) ||
        !note(r, "getsockopt(SO_DOMAIN)",
              getsockopt(pair[0], SOL_SOCKET, SO_DOMAIN, &domain, &domain_len) == 0))
        return false;
    /* An emulated kernel may have the option and not what it is for. */
    errno = ENOTSUP;
    return note(r, "getsockopt(SO_COOKIE)", one != 0 && other != 0 && one != other);
}

static bool check_sockets(struct refusal *r)
{
    int pair[2];
    if (!note(r, "socketpair(AF_UNIX, SOCK_SEQPACKET)",
              socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0))
        return false;
    bool good = sockets_will_do(pair, r);
    ml_close(pair[0]);
    ml_close(pair[1]);
    return good;
}

static bool check_fd(struct refusal *r, const char *call, int fd)
{
    bool good = note(r, call, fd >= 0);
    if (good)
        ml_close(fd);
    return good;
}

static bool check_pipe(struct refusal *r)
{
    int ends[2];
    if (!note(r, "pipe2", pipe2(ends, O_CLOEXEC) == 0))
        return false;
    ml_close(ends[0]);
    ml_close(ends[1]);
    return true;
}

/* What was found. No lock, which a fork could leave taken: two threads that are first look twice,
 * and one of them writes it down. */
static struct {
    atomic_int state;
    atomic_bool asked; /* the program looks after it itself */
    struct refusal missing;
} support;
enum { UNKNOWN, WRITING, KNOWN };

static struct refusal look(void)
{
    struct refusal r = {0};
    uint64_t key;
    bool good = check_sockets(&r) && check_pipe(&r) &&
                check_fd(&r, "epoll_create1", epoll_create1(EPOLL_CLOEXEC)) &&
                check_fd(&r, "eventfd", eventfd(0, EFD_CLOEXEC)) &&
                check_fd(&r, "pidfd_open", ml_task_open_self(&key));
    if (!good && !is_missing(r.error))
        return (struct refusal){0}; /* asked again when there are descriptors or memory */
    int unknown = UNKNOWN;
    if (atomic_compare_exchange_strong(&support.state, &unknown, WRITING)) {
        support.missing = r;
        if (!good && !support.asked)
            fprintf(stderr, "mach_linux: %s\n", describe(r));
        support.state = KNOWN;
    }
    return r;
}

static struct refusal missing(void)
{
    return support.state == KNOWN ? support.missing : look();
}

bool ml_supported(void)
{
    struct refusal r = missing();
    if (r.call != NULL)
        last = r;
    return r.call == NULL;
}

const char *mach_linux_missing(void)
{
    support.asked = true;
    struct refusal r = missing();
    return r.call != NULL ? describe(r) : NULL;
}
