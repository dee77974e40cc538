/*
 * What a peer sent and nobody wants: see reject.h.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fds.h"
#include "packet.h"
#include "reject.h"

/* Nobody can send to fd any more. Of a port's sending end that is so from the beginning, and the
 * receiver, whom shutdown(2) would wake, is not to notice. */
static bool shut(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP) != 0)
        return true;
    return shutdown(fd, SHUT_RD) == 0 || errno == ENOTCONN;
}

/* Takes what is queued in a socket of which nobody can send any more. Is it empty then? */
static bool drain(int fd)
{
    const int on = 1;
    struct ml_packet packet;
    uint8_t byte;
    int error;

    /* Credentials tell a packet without content from the end. */
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    do {
        error = ml_packet_read_raw(fd, &packet, &byte, sizeof byte);
        if (error == 0)
            ml_packet_drop(&packet);
    } while (error == 0 || error == EBADMSG || error == EMFILE);
    return error == EPIPE || error == EAGAIN;
}

bool ml_channel_quiet(int tx, uint64_t cookie)
{
    /* Once closed it stays so. A slot is one atomic word, as in ml_fd_is_seqpacket(). */
    static _Atomic uint64_t checked[64];
    const int on = 1, off = 0;
    struct ml_packet packet;
    uint8_t byte;

    if (checked[cookie % 64] == cookie)
        return true;
    if (!shut(tx))
        return false;
    (void)setsockopt(tx, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    int error = ml_packet_read_raw(tx, &packet, &byte, sizeof byte);
    if (error == 0)
        ml_packet_drop(&packet);
    /* A sender with the option on would be given an address at its first message. */
    (void)setsockopt(tx, SOL_SOCKET, SO_PASSCRED, &off, sizeof off);
    if (error != EPIPE)
        return false;
    checked[cookie % 64] = cookie;
    return true;
}

void ml_channel_end(int fd)
{
    (void)shutdown(fd, SHUT_RDWR);
    (void)drain(fd);
}

static bool closes_at_once(int fd)
{
    int type;
    socklen_t len = sizeof type;
    if (ml_fd_is_pipe(fd))
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0 || type != SOCK_SEQPACKET ||
        !ml_fd_is_unix(fd))
        return false;
    /* Whoever sent it could have done the same to it; and a port's sending end receives nothing. */
    return shut(fd) && drain(fd);
}

/* Descriptors whose close may block. A few threads at the most take them from a list, so that a
 * flood of them costs neither the caller's time nor a thread each. */
#define CLOSERS_MAX 8u

struct doomed {
    struct doomed *next;
    unsigned n;
    int fds[];
};

static struct {
    pthread_mutex_t lock;
    struct doomed *waiting;
    unsigned threads;
} closers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void close_doomed(struct doomed *d)
{
    for (unsigned i = 0; i < d->n; i++) {
        /* A lingering TCP socket would hold even this thread for as long as its sender chose. */
        struct linger off = {0};
        (void)setsockopt(d->fds[i], SOL_SOCKET, SO_LINGER, &off, sizeof off);
        close(d->fds[i]);
    }
    free(d);
}

/* The next of the list; NULL when there is none: then the caller's place is free. */
static struct doomed *next_doomed(void)
{
    pthread_mutex_lock(&closers.lock);
    struct doomed *d = closers.waiting;
    if (d != NULL)
        closers.waiting = d->next;
    else
        closers.threads--;
    pthread_mutex_unlock(&closers.lock);
    return d;
}

static void *close_all(void *unused)
{
    for (struct doomed *d; (d = next_doomed()) != NULL;)
        close_doomed(d);
    return unused;
}

static bool start_closer(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    bool started = false;

    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, 64 * 1024);
    sigfillset(&all);
    /* The program's signals are not for this thread. */
    if (pthread_sigmask(SIG_SETMASK, &all, &before) == 0) {
        started = pthread_create(&thread, &attr, close_all, NULL) == 0;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attr);
    return started;
}

/* Takes d. */
static void close_elsewhere(struct doomed *d)
{
    pthread_mutex_lock(&closers.lock);
    d->next = closers.waiting;
    closers.waiting = d;
    bool start = closers.threads < CLOSERS_MAX;
    closers.threads += start;
    pthread_mutex_unlock(&closers.lock);
    if (start && !start_closer())
        close_all(NULL); /* no thread was to be had: better late than never */
}

void ml_close_untrusted(const int *fds, unsigned n)
{
    struct doomed *d = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (fds[i] < 0)
            continue;
        if (closes_at_once(fds[i])) {
            close(fds[i]);
            continue;
        }
        if (d == NULL) {
            d = malloc(sizeof *d + n * sizeof(int));
            if (d == NULL) {
                close(fds[i]);
                continue;
            }
            d->n = 0;
        }
        d->fds[d->n++] = fds[i];
    }
    if (d != NULL)
        close_elsewhere(d);
}

void ml_close_reset_in_child(void)
{
    closers.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    closers.threads = 1; /* this one, while it closes what the parent's threads have not */
    close_all(NULL);
}
