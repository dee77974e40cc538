/*
 * Forks: see forks.h.
 */
#include <sched.h>
#include <time.h>

#include "calls.h"
#include "forks.h"

#define ROUNDS_MAX 4000u /* about half a second: a thread may have been put off by others */
#define LOOKS 50u        /* a round: as long as it takes to close a few descriptors */

atomic_int ml_forks_near, ml_forks_unowned;

void ml_fork_pause(void)
{
    ML_UNCANCELLED;
    const struct timespec t = {.tv_nsec = 50000};
    (void)nanosleep(&t, NULL);
}

void ml_fork_begin(void)
{
    atomic_fetch_add(&ml_forks_near, 1);
}

bool ml_fork_quiet(unsigned round)
{
    for (unsigned i = 0; i < LOOKS; i++) {
        if (atomic_load_explicit(&ml_forks_unowned, memory_order_acquire) == 0)
            return true;
        sched_yield();
    }
    return round >= ROUNDS_MAX;
}

void ml_fork_end(void)
{
    atomic_fetch_sub(&ml_forks_near, 1);
}

void ml_fork_reset_in_child(void)
{
    atomic_store(&ml_forks_near, 0);
    atomic_store(&ml_forks_unowned, 0);
}
