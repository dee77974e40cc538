/* Right objects: what owns a Mach right in Python.
 *
 * A right object owns exactly one user reference to a send right, a send-once right or a dead name,
 * or the receive right, under `name`. All that says whether it still does lives in one atomic word,
 * so that an operation takes the name out, or keeps others from taking it out, in one step, with or
 * without the GIL:
 *
 *   pin … unpin       other threads' close() is put off until the call that uses the name is over
 *   move_begin … end  this call alone may give the right away; on failure it is given back
 *   detach, close     take the name out for good
 *
 * A wait on a receive right pins nothing: closing the right must end the wait (PortChanged).
 * An object of an older fork generation is closed, and its right is never released: in the child of
 * a fork its name means nothing, or something else. */
#ifndef CHILD_PORT_RIGHT_H
#define CHILD_PORT_RIGHT_H

#include "state.h"

struct right {
    PyObject ob_base;
    PyObject *weak_references;
    struct module_state *state;
    _Atomic(uint64_t) word;
    uint32_t generation;
    enum right_kind kind;
    bool from_bootstrap; /* a receive right that bootstrap check-in gave */
};

/* The types' names, for messages. */
extern const char *const right_kind_names[RIGHT_KINDS];

/* A new object that owns what `name` refers to. On failure the caller still owns it: NULL. */
struct right *right_adopt(struct module_state *state, enum right_kind kind, mach_port_name_t name);

/* The same, but on failure the right is released. */
struct right *right_steal(struct module_state *state, enum right_kind kind, mach_port_name_t name);

/* The object as one of our right types, or NULL without an exception. */
struct right *right_from_object(struct module_state *state, PyObject *object);

/* Is `object` a right of this kind? Sets TypeError, naming `what`, if not. */
struct right *right_expect(struct module_state *state, PyObject *object, enum right_kind kind,
                           const char *what);

/* Each: 0, or -1 with ValueError set (closed, or in use by another thread). */
int right_pin(struct right *right, mach_port_name_t *name);
int right_move_begin(struct right *right, mach_port_name_t *name);
/* The caller owns the right from now on. */
int right_detach(struct right *right, mach_port_name_t *name);

/* Sets the ValueError for an object that is closed; -1. */
int right_fail_closed(const struct right *right);

void right_unpin(struct right *right);
/* The right was consumed: the object is closed. */
void right_move_end(struct right *right);
/* The right is back, perhaps under another name. A close() that came meanwhile takes effect now. */
void right_move_give_back(struct right *right, mach_port_name_t name);

/* The name while the object is open, MACH_PORT_NULL once it is not; keeps nobody from closing it.
 */
mach_port_name_t right_peek(struct right *right);

/* Releases the right if the object still owns it; for close() and context managers. */
void right_close(struct right *right);

/* Releases one user reference, or the receive right, that no object owns. */
void right_name_release(enum right_kind kind, mach_port_name_t name);

#endif
