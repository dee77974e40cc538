/*
 * The sending end that came last: see recent.h.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "calls.h"
#include "fds.h"
#include "forks.h"
#include "recent.h"
#include "space.h"

/* Of any thread's arrivals. What a race between threads makes of these two costs time only. */
static _Atomic uint64_t last;
static atomic_uint in_a_row;

/* The duplicate, its key (0 if there is none) and its owner. Whoever changes them makes `turn` odd
 * first, and a match counts only if meanwhile nobody has. */
static atomic_int kept = -1;
static _Atomic uint64_t kept_key;
static const struct ml_receiver *_Atomic owner;
static atomic_uint turn;

static atomic_bool unknown_here; /* an older kernel */

static bool begin_change(unsigned *now)
{
    *now = turn;
    return (*now & 1) == 0 && atomic_compare_exchange_strong(&turn, now, *now + 1);
}

static void end_change(unsigned now)
{
    turn = now + 2;
}

static bool is_same(int fd, int other)
{
    return fcntl(fd, F_DUPFD_QUERY, other) == 1;
}

uint64_t ml_recent_key(int fd)
{
    const unsigned now = turn;
    const uint64_t key = kept_key;
    if (key == 0 || key != last || in_a_row < ML_RECENT_FEW || (now & 1) != 0)
        return 0;
    return is_same(fd, kept) && turn == now ? key : 0;
}

/* Is the number still the duplicate's, or the program's by now? */
static bool is_ours(void)
{
    return kept_key != 0 && ml_fd_cookie(kept) == kept_key;
}

static int duplicate(int fd)
{
    if (is_ours()) {
        int copy = dup3(fd, kept, O_CLOEXEC);
        if (copy >= 0)
            return copy;
        ml_close(kept); /* its number is above the limit by now */
    }
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static void keep(int fd, uint64_t key, const struct ml_receiver *by)
{
    unsigned now;
    if (!begin_change(&now))
        return;
    int copy = duplicate(fd);
    if (copy < 0) {
        in_a_row = 0; /* there is no room, and will not be at once */
    } else if (!is_same(fd, copy)) {
        unknown_here = true;
        ml_close(copy);
        copy = -1;
    }
    kept = copy;
    kept_key = copy >= 0 ? key : 0;
    owner = by;
    end_change(now);
}

void ml_recent_note(int fd, uint64_t key, const struct ml_receiver *by)
{
    if (key != last) {
        last = key;
        in_a_row = 1;
        return;
    }
    if (in_a_row < ML_RECENT_FEW)
        in_a_row++;
    if (in_a_row >= ML_RECENT_FEW && kept_key != key && !unknown_here)
        keep(fd, key, by);
}

int ml_recent_kept(void)
{
    return kept;
}

/* Gives what was kept, −1 if there is nothing or the number is not the duplicate's any more. */
static int forget(void)
{
    const int fd = is_ours() ? kept : -1;
    kept = -1;
    kept_key = 0;
    owner = NULL;
    in_a_row = 0;
    return fd;
}

void ml_recent_end(const struct ml_receiver *by, struct ml_garbage *g)
{
    unsigned now;
    /* If somebody is at it, what is kept will be his. */
    if (owner != by || !begin_change(&now))
        return;
    if (owner == by)
        ml_garbage_add(g, forget());
    end_change(now);
}

void ml_recent_idle(const struct ml_receiver *by)
{
    ML_GARBAGE(g);
    while (owner == by) {
        ml_lock();
        ml_recent_end(by, &g);
        ml_unlock();
        ml_garbage_flush(&g);
        if (owner == by)
            ml_fork_pause(); /* whoever is at it may have a lower priority */
    }
}

void ml_recent_reset_in_child(void)
{
    const int fd = forget();
    if (fd >= 0)
        ml_close(fd);
    turn = 0;
}
