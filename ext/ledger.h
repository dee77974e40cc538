/* Which right objects there are, for child_port.ledger().
 *
 * A list through all right objects of one module state. It owns none of them: an object puts itself
 * in when it is made and takes itself out before anything else when it is deallocated, so whatever
 * is in the list may be read under its lock. The lock is held for a few instructions that call
 * nothing. Objects that a forked child has from its parent are closed and belong to no list. */
#ifndef CHILD_PORT_LEDGER_H
#define CHILD_PORT_LEDGER_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>

#include <stdatomic.h>
#include <stdbool.h>

#include "lock.h"

struct module_state;
struct right;

struct ledger {
    struct lock lock;
    struct right *first;
    atomic_bool tracing;
    _Atomic(PyObject *) origin; /* says where an object is being made; set once, owned */
};

/* A right object's place in the list, and where it was made if that was traced (owned). */
struct ledger_entry {
    struct right *next;
    struct right **link; /* what points to this object */
    PyObject *origin;
};

void ledger_enter(struct right *right);
/* First of all in a deallocation. */
void ledger_leave(struct right *right);
/* In the child of a fork, whose objects are all stale. */
void ledger_forget(struct module_state *state);

#endif
