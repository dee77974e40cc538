/* A lock for what takes more than one step and more than one atomic word. Owns nothing.
 *
 * With a GIL it is nothing at all: the steps between take and drop call neither Python nor anything
 * that lets go of the GIL, so they are one already. That is also what keeps a thread that holds the
 * lock from ever asking for it again. */
#ifndef CHILD_PORT_LOCK_H
#define CHILD_PORT_LOCK_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#ifdef Py_GIL_DISABLED

struct lock {
    PyMutex mutex;
};

static inline void lock_init(struct lock *lock)
{
    lock->mutex = (PyMutex){0};
}

static inline void lock_take(struct lock *lock)
{
    PyMutex_Lock(&lock->mutex);
}

static inline void lock_drop(struct lock *lock)
{
    PyMutex_Unlock(&lock->mutex);
}

#else

struct lock {
    char none;
};

static inline void lock_init(struct lock *lock)
{
    lock->none = 0;
}

static inline void lock_take(struct lock *lock)
{
    (void)lock;
}

static inline void lock_drop(struct lock *lock)
{
    (void)lock;
}

#endif

#endif
