/*
 * Descriptors: see fds.h. Nothing here knows ports or names.
 *
 * The identity of a socket is its SO_COOKIE: 64 bits that the kernel gives once and never again,
 * the same through every duplicate in every process. An inode number would be 32 bits and reused.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "calls.h"
#include "fds.h"
#include "forks.h"
#include "refusal.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* A right's two descriptors are often neighbours, which takes one call instead of two. */
static bool close_both(const int *fds)
{
    static atomic_bool refused; /* by a sandbox: written once, for it is asked for each right */
    if (fds[1] != fds[0] + 1 || atomic_load_explicit(&refused, memory_order_relaxed))
        return false;
    if (ml_close_range(fds[0], fds[1]) == 0)
        return true;
    atomic_store_explicit(&refused, true, memory_order_relaxed);
    return false;
}

void ml_garbage_close(struct ml_garbage *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        if (i + 1 < g->n && close_both(g->fds + i))
            i++;
        else
            ml_close(g->fds[i]);
    }
    g->n = 0;
    ml_unowned_end();
}

static int socket_domain(int fd)
{
    int domain = -1;
    socklen_t len = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 ? domain : -1;
}

/* --- what a descriptor is ------------------------------------------------------------------ */

bool ml_fd_is_pipe(int fd)
{
    return fcntl(fd, F_GETPIPE_SZ) >= 0;
}

bool ml_fd_is_unix(int fd)
{
    return socket_domain(fd) == AF_UNIX;
}

uint64_t ml_fd_cookie(int fd)
{
    uint64_t cookie;
    socklen_t len = sizeof cookie;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0 ? cookie : 0;
}

bool ml_fd_is_seqpacket(int fd, uint64_t *cookie)
{
    /* A cookie is never reused, so what was checked once stays checked. Each slot is one atomic
     * word: a race between threads costs a second check, nothing else. */
    static _Atomic uint64_t checked[64];
    int type = 0;
    struct sockaddr_un peer;
    socklen_t len = sizeof type, peer_len = sizeof peer;

    *cookie = ml_fd_cookie(fd);
    if (*cookie == 0)
        return false;
    if (checked[*cookie % 64] == *cookie)
        return true;
    if (socket_domain(fd) != AF_UNIX || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 ||
        type != SOCK_SEQPACKET)
        return false;
    /* One that listens or was never connected has no other end. Once connected it stays so. */
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) != 0)
        return false;
    checked[*cookie % 64] = *cookie;
    return true;
}

bool ml_fd_info(int fd, const char *field, int64_t *value)
{
    ML_UNCANCELLED;
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    int info = open(path, O_RDONLY | O_CLOEXEC);
    if (info < 0)
        return false;
    ssize_t n = read(info, text, sizeof text - 1);
    ml_close(info);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *line = strstr(text, field);
    if (line == NULL)
        return false;
    *value = strtoll(line + strlen(field), NULL, 10);
    return true;
}

bool ml_fd_hung_up(int fd)
{
    /* After the receiver's SHUT_WR a sending end is always readable, so ask for no event at all:
     * POLLHUP and POLLERR are reported unasked. */
    struct pollfd p = {.fd = fd, .events = 0};
    return ml_poll(&p, 1, 0) == 1 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

/* --- channels ------------------------------------------------------------------------------ */

int ml_channel_harden(int fd)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
        return errno;
    if (shutdown(fd, SHUT_WR) != 0 && errno != ENOTCONN)
        return errno;
    return 0;
}

int ml_channel_create(int pair[2], uint64_t *cookie)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        ml_refused("socketpair", errno);
        return errno;
    }
    int error = ml_channel_harden(pair[1]);
    *cookie = error == 0 ? ml_fd_cookie(pair[0]) : 0;
    if (error == 0 && *cookie == 0)
        error = errno;
    if (error != 0) {
        ml_refused("setsockopt", error);
        ml_close(pair[0]);
        ml_close(pair[1]);
    }
    return error;
}

static bool netns_cookie(int fd, uint64_t *cookie)
{
    socklen_t len = sizeof *cookie;
    return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len) == 0;
}

bool ml_channel_matches(int tx, int rx)
{
    struct sockaddr_un family = {.sun_family = AF_UNIX}, own = {0}, peer = {0};
    socklen_t own_len = sizeof own, peer_len = sizeof peer;
    uint64_t tx_net = 0, rx_net = 1;

    /* Autobind gives rx an abstract name that no other socket of its network namespace has; the
     * peer's name as tx sees it is then that name only if tx really is rx's other end. */
    if (bind(rx, (struct sockaddr *)&family, sizeof(sa_family_t)) != 0 && errno != EINVAL)
        return false;
    if (getsockname(rx, (struct sockaddr *)&own, &own_len) != 0 ||
        getpeername(tx, (struct sockaddr *)&peer, &peer_len) != 0)
        return false;
    size_t prefix = offsetof(struct sockaddr_un, sun_path);
    if (own_len <= prefix + 1 || own.sun_path[0] != '\0' || own_len != peer_len ||
        memcmp(&own, &peer, own_len) != 0)
        return false;
    return netns_cookie(tx, &tx_net) && netns_cookie(rx, &rx_net) && tx_net == rx_net;
}
