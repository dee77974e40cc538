/*
 * Descriptors: the only place where the library closes them.
 *
 * A list of garbage is filled while the space is locked and flushed after it is unlocked, so that
 * no close(2) happens under the lock. A descriptor that came from a peer and was refused is
 * reject.h's to close.
 */
#ifndef ML_FDS_H
#define ML_FDS_H

#include <stdbool.h>
#include <stdint.h>

#include "forks.h"

#define ML_GARBAGE_MAX 32

struct ml_garbage {
    unsigned n;
    int fds[ML_GARBAGE_MAX];
};

/* An empty list. What is not in it need not be set, and on every message's way is not. */
#define ML_GARBAGE(name)                                                                           \
    struct ml_garbage name;                                                                        \
    (name).n = 0

/* Closes all of a list that is not empty. */
void ml_garbage_close(struct ml_garbage *g);
/* Closes what was added; the list is empty afterwards. */
static inline void ml_garbage_flush(struct ml_garbage *g)
{
    if (g->n != 0)
        ml_garbage_close(g);
}
/* Takes fd (−1 is ignored). A full list is closed on the spot: slower under a lock, never wrong. */
static inline void ml_garbage_add(struct ml_garbage *g, int fd)
{
    if (fd < 0)
        return;
    if (g->n == ML_GARBAGE_MAX)
        ml_garbage_close(g);
    if (g->n == 0)
        ml_unowned_begin();
    g->fds[g->n++] = fd;
}

/* Is fd a connected Unix SEQPACKET socket? Fills *cookie with the kernel's identity of it. */
bool ml_fd_is_seqpacket(int fd, uint64_t *cookie);
/* The kernel's identity of a socket, never 0; 0 and errno if fd is none. */
uint64_t ml_fd_cookie(int fd);
/* Is it a Unix socket of any kind? */
bool ml_fd_is_unix(int fd);
/* Is fd a pipe? */
bool ml_fd_is_pipe(int fd);
/* The number behind `field`, "\nPid:" say, in what the kernel tells of fd (/proc/self/fdinfo).
 * False if there is none, or no /proc. Asks no file system. */
bool ml_fd_info(int fd, const char *field, int64_t *value);
/* Has the other end of a socket or pipe gone? Asks the kernel, does not wait. */
bool ml_fd_hung_up(int fd);

/* A SEQPACKET pair for one port: pair[0] sends, pair[1] receives and reports who sent.
 * Returns 0 or errno; *cookie identifies the sending end. */
int ml_channel_create(int pair[2], uint64_t *cookie);
/* Makes fd a receiving end again: credentials on, sending off. Returns 0 or errno. */
int ml_channel_harden(int fd);
/* Is tx the sending end of the channel whose receiving end is rx, in one network namespace? */
bool ml_channel_matches(int tx, int rx);

#endif
