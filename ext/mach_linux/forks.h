/*
 * Forks: what a forked child must not find in between.
 *
 * A child has copies of all descriptors and closes those that the space knows. Some are nobody's
 * for a moment: those that have just been received and have no name yet, and garbage that is not
 * closed yet. A copy of one of them would stay open in the child, and a right that is gone would
 * live on there. They are counted, only where there are any, and a fork waits until there are none;
 * nobody begins to receive meanwhile. A message without descriptors costs one look at a flag.
 */
#ifndef ML_FORKS_H
#define ML_FORKS_H

#include <stdatomic.h>
#include <stdbool.h>

#ifdef __has_include
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#define ML_HAS_SINGLE_THREADED
#endif
#endif

/* Read and changed through the functions below. */
extern atomic_int ml_forks_near, ml_forks_unowned;

/* Where the C library knows that there is one thread only, it takes no locked instruction. */
static inline void ml_unowned_add(int n)
{
#ifdef ML_HAS_SINGLE_THREADED
    if (__libc_single_threaded) {
        n += atomic_load_explicit(&ml_forks_unowned, memory_order_relaxed);
        atomic_store_explicit(&ml_forks_unowned, n, memory_order_relaxed);
        return;
    }
#endif
    atomic_fetch_add_explicit(&ml_forks_unowned, n, memory_order_release);
}

/* There are descriptors now that nobody owns, and then there are none. */
static inline void ml_unowned_begin(void)
{
    ml_unowned_add(1);
}

static inline void ml_unowned_end(void)
{
    ml_unowned_add(-1);
}

/* Asked with a receiver's lock held, before it is received from. */
static inline bool ml_fork_is_near(void)
{
    return atomic_load_explicit(&ml_forks_near, memory_order_relaxed) != 0;
}

/* Waits a little, without a lock. */
void ml_fork_pause(void);

/* For who forks. Quiet is when no descriptor is without an owner, or when `round` says that it has
 * been asked for long enough: a fork out of a signal handler would wait for its own thread. The
 * space's lock is held. */
void ml_fork_begin(void);
bool ml_fork_quiet(unsigned round);
void ml_fork_end(void);
void ml_fork_reset_in_child(void);

#endif
