/*
 * fork: the child of a fork has an empty name space, as on Mach. Its copies of the descriptors are
 * closed, never shut down: they are the parent's ports.
 */
#include <pthread.h>

#include "space.h"

static void before_fork(void)
{
    ml_lock();
}

static void after_in_parent(void)
{
    ml_unlock();
}

__attribute__((constructor)) static void install(void)
{
    pthread_atfork(before_fork, after_in_parent, ml_space_reset_in_child);
}
