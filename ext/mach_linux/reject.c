/*
 * What a peer sent and nobody wants: see reject.h.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "fds.h"
#include "packet.h"
#include "reject.h"

/* Nobody can send to fd any more. Of a port's sending end that is so from the beginning, and the
 * receiver, whom shutdown(2) would wake, is not to notice. */
static bool shut(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLRDHUP};
    if (ml_poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP) != 0)
        return true;
    return shutdown(fd, SHUT_RD) == 0 || errno == ENOTCONN;
}

/* A read has found nothing more: is there nothing? With credentials a packet without content does
 * not look like the end. But whoever has a duplicate can turn them off meanwhile. */

/* By the kernel's count of the descriptors in the queue. Asking takes as long as ten other calls.
 */
static bool counts_none(int fd, bool *known)
{
    int64_t n = 0;
    *known = ml_fd_info(fd, "\nscm_fds:", &n);
    return *known && n == 0;
}

/* Are credentials still on? To be fooled so many times in a row they would have to be turned off
 * and on again around each of as many reads. */
#define ROUNDS 4u
static bool still_on(int fd)
{
    int on = 0;
    socklen_t len = sizeof on;
    return getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &len) == 0 && on != 0;
}

static bool reads_nothing(int tx)
{
    struct ml_packet packet;
    uint8_t byte;
    int error = ml_packet_read_raw(tx, &packet, &byte, sizeof byte);
    if (error == 0)
        ml_packet_drop(&packet);
    return error == EPIPE;
}

/* The same without taking anything. There is no place for credentials or descriptors: that there
 * are some is said all the same. */
static bool shows_nothing(int tx)
{
    uint8_t byte;
    struct iovec iov = {&byte, sizeof byte};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    return ml_recvmsg(tx, &m, MSG_PEEK | MSG_DONTWAIT) == 0 && (m.msg_flags & MSG_CTRUNC) == 0;
}

static bool is_empty(int tx, bool for_good)
{
    bool known = false;
    if (!reads_nothing(tx))
        return false;
    if (for_good && counts_none(tx, &known))
        return true;
    if (known)
        return false;
    for (unsigned i = 0; i < ROUNDS; i++)
        if (!shows_nothing(tx) || !still_on(tx))
            return false;
    return true;
}

static bool is_quiet(int tx, bool for_good)
{
    const int on = 1, off = 0;

    if (!shut(tx))
        return false;
    (void)setsockopt(tx, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    bool empty = is_empty(tx, for_good);
    /* A sender with the option on would be given an address at its first message. */
    (void)setsockopt(tx, SOL_SOCKET, SO_PASSCRED, &off, sizeof off);
    return empty;
}

bool ml_fd_sends(int fd, uint64_t *cookie, bool for_good)
{
    /* Once closed it stays so. A slot is one atomic word, as in ml_fd_is_seqpacket(). */
    static _Atomic uint64_t checked[64];

    if (!for_good) /* what has a channel of its own each time was never seen before */
        return ml_fd_is_seqpacket(fd, cookie) && is_quiet(fd, false);
    *cookie = ml_fd_cookie(fd);
    if (*cookie != 0 && checked[*cookie % 64] == *cookie)
        return true;
    if (!ml_fd_is_seqpacket(fd, cookie) || !is_quiet(fd, true))
        return false;
    checked[*cookie % 64] = *cookie;
    return true;
}

/* --- queues, whatever is in them likewise ---------------------------------------------------- */

/* Descriptors that are still to be looked at. A list and no recursion: how deep queues lie in
 * queues is for whoever filled them to choose. */
#define PILE_FEW 320u
#define PILE_SHORT 64u /* a longer one is worked off first, lest all of a queue be open at once */

struct pile {
    int *fds;
    unsigned n, room;
    int few[PILE_FEW];
};

static void pile_begin(struct pile *pile)
{
    pile->fds = pile->few;
    pile->n = 0;
    pile->room = PILE_FEW;
}

static void pile_end(struct pile *pile)
{
    if (pile->fds != pile->few)
        free(pile->fds);
}

static void pile_add(struct pile *pile, int fd)
{
    if (fd < 0)
        return;
    if (pile->n == pile->room) {
        unsigned room = 2 * pile->room + PILE_FEW;
        int *more = malloc(room * sizeof *more);
        if (more == NULL) {
            ml_close(fd); /* it may take its time: better than never */
            return;
        }
        memcpy(more, pile->fds, pile->n * sizeof *more);
        pile_end(pile);
        pile->fds = more;
        pile->room = room;
    }
    pile->fds[pile->n++] = fd;
}

enum look { EMPTY, MORE, SLOW };

/* Reads that bring nothing while there still is something. A packet without content is one, and no
 * socket with the kernel's usual limits holds more of them; of a stream there is no such read. */
#define DRAWS_MAX 16384u
#define STREAM_DRAWS_MAX 4u

/* Takes what is queued in a socket of which nobody can send any more, onto the pile: all of it, or
 * as much as makes it long. The socket is `ours` if nobody else has ever had a duplicate. */
static enum look draw_all(int fd, bool ours, unsigned empty_max, struct pile *pile)
{
    struct ml_packet packet;
    uint8_t bytes[1024]; /* of a stream as many at once */
    bool known = true;

    for (unsigned empty = 0, sure = 0; empty < empty_max;) {
        int error = ml_packet_take(fd, &packet, bytes, sizeof bytes);
        bool over = error == EPIPE || error == EAGAIN;
        bool nothing = over || (error == 0 && packet.size == 0 && packet.n_fds == 0);
        for (unsigned k = 0; k < packet.n_fds; k++)
            pile_add(pile, packet.fds[k]);
        if (pile->n >= PILE_SHORT && packet.n_fds != 0)
            return MORE;
        if (!nothing && error != 0 && error != EBADMSG && error != EMFILE)
            return SLOW;
        if (over && ours)
            return EMPTY;
        if (nothing && known && counts_none(fd, &known))
            return EMPTY;
        /* Without /proc: see reads_nothing(). */
        sure = over && !known && still_on(fd) ? sure + 1 : 0;
        if (sure == ROUNDS)
            return EMPTY;
        empty += nothing;
    }
    return SLOW;
}

static enum look draw(int fd, bool ours, struct pile *pile)
{
    const int on = 1, off = 0;
    int type = 0;
    socklen_t len = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return SLOW;
    if (type == SOCK_STREAM) /* whose end has credentials, too */
        return draw_all(fd, ours, STREAM_DRAWS_MAX, pile);
    /* They stay off afterwards: it may be a duplicate of a sending end, which would be given an
     * address with its next message. */
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    enum look look = draw_all(fd, ours, DRAWS_MAX, pile);
    (void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &off, sizeof off);
    return look;
}

/* The same of a socket that listens: its connections. */
static enum look draw_connections(int listener, struct pile *pile)
{
    ML_UNCANCELLED;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return errno == EMFILE || errno == ENFILE ? SLOW : EMPTY;
        pile_add(pile, fd);
        if (pile->n >= PILE_SHORT)
            return MORE;
    }
}

/* Would closing fd take long? What was queued in it is on the pile then. */
static enum look look_into(int fd, struct pile *pile)
{
    int listens = 0;
    socklen_t len = sizeof listens;
    if (ml_fd_is_pipe(fd))
        return EMPTY;
    if (!ml_fd_is_unix(fd))
        return SLOW;
    /* Whoever sent it could have done the same to it; and a port's sending end receives nothing. */
    if (!shut(fd))
        return SLOW;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
        return draw_connections(fd, pile);
    return draw(fd, false, pile);
}

/* Closes the next of the pile, or puts it under what was in it. −1, or the one that closes slowly.
 */
static int work_off_one(struct pile *pile)
{
    int fd = pile->fds[--pile->n];
    unsigned under = pile->n;
    switch (look_into(fd, pile)) {
    case EMPTY:
        ml_close(fd);
        return -1;
    case MORE:
        pile_add(pile, pile->fds[under]);
        pile->fds[under] = fd;
        return -1;
    default:
        return fd;
    }
}

/* --- elsewhere ------------------------------------------------------------------------------- */

/* Descriptors whose close may block, or that are too many. A few threads at the most take them from
 * a list, so that a flood of them costs neither the caller's time nor a thread each. */
#define CLOSERS_MAX 8u

struct doomed {
    struct doomed *next;
    bool shared; /* somebody else goes on using what they stand for: they are closed, no more */
    unsigned n;
    int fds[];
};

static struct {
    pthread_mutex_t lock;
    struct doomed *waiting;
    unsigned threads;
} closers = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void close_slowly(int fd)
{
    /* A lingering TCP socket would hold even this thread for as long as its sender chose. */
    struct linger off = {0};
    if (fd < 0)
        return;
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    ml_close(fd);
}

static void close_doomed(struct doomed *d)
{
    struct pile pile;
    pile_begin(&pile);
    for (unsigned i = 0; i < d->n; i++) {
        if (d->shared) {
            ml_close(d->fds[i]);
            continue;
        }
        pile_add(&pile, d->fds[i]);
        while (pile.n != 0)
            close_slowly(work_off_one(&pile));
    }
    pile_end(&pile);
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

static void close_elsewhere(const int *fds, unsigned n, bool shared)
{
    if (n == 0)
        return;
    struct doomed *d = malloc(sizeof *d + n * sizeof(int));
    if (d == NULL) {
        for (unsigned i = 0; i < n; i++)
            ml_close(fds[i]);
        return;
    }
    d->shared = shared;
    d->n = n;
    memcpy(d->fds, fds, n * sizeof(int));
    pthread_mutex_lock(&closers.lock);
    d->next = closers.waiting;
    closers.waiting = d;
    bool start = closers.threads < CLOSERS_MAX;
    closers.threads += start;
    pthread_mutex_unlock(&closers.lock);
    if (start && !start_closer())
        close_all(NULL); /* no thread is to be had: better late than never */
}

/* So many the caller looks at itself. What an honest peer sends at once is less. */
#define HERE_MAX 4096u

/* Closes all of the pile, at once or elsewhere. */
static void work_off(struct pile *pile)
{
    struct pile slow;
    pile_begin(&slow);
    for (unsigned i = 0; pile->n != 0 && i < HERE_MAX; i++)
        pile_add(&slow, work_off_one(pile));
    close_elsewhere(slow.fds, slow.n, false);
    close_elsewhere(pile->fds, pile->n, false);
    pile_end(&slow);
    pile_end(pile);
}

void ml_close_untrusted(const int *fds, unsigned n)
{
    struct pile pile;
    if (n == 0)
        return;
    pile_begin(&pile);
    for (unsigned i = n; i-- > 0;)
        pile_add(&pile, fds[i]);
    if (pile.n != 0)
        work_off(&pile);
}

void ml_close_shared(const int *fds, unsigned n)
{
    close_elsewhere(fds, n, true);
}

void ml_channel_end(int fd, bool ours)
{
    enum look look = MORE;
    (void)shutdown(fd, SHUT_RDWR);
    while (look == MORE) {
        struct pile pile;
        pile_begin(&pile);
        look = draw(fd, ours, &pile);
        work_off(&pile);
    }
}

void ml_close_reset_in_child(void)
{
    /* What the parent's threads have not closed may take its time here, too: with the next that is
     * refused. */
    closers.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    closers.threads = 0;
}
