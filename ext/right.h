/* Right objects: what owns a Mach right in Python.
 *
 * A right object owns exactly one user reference to a send right, a send-once right or a dead name,
 * the receive right or a port set, under `name`. All that says whether it still does lives in one
 * atomic word, so that an operation takes the name out, or keeps others from taking it out, in one
 * step, with or without the GIL:
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

#include "lock.h"
#include "port_descriptor.h"
#include "state.h"

/* The fewest members of a set among which closed ones are looked for. */
#define MEMBERS_TIDIED_AT 16

struct right {
    PyObject ob_base;
    PyObject *weak_references;
    struct module_state *state;
    struct ledger_entry entry;
    _Atomic(uint64_t) word;
    _Atomic(uint64_t) dropped; /* messages to a receive right that were nothing to show */
    uint32_t generation;
    enum right_kind kind;
    struct port_descriptor descriptor; /* of a receive right or a port set */
    PyObject *members;                 /* of a port set: its ReceiveRight objects by their names */
    struct lock members_lock;          /* for `members` and the kernel's list of them at once */
    _Atomic(Py_ssize_t) members_most;  /* when there are so many, closed ones are looked for */
    bool from_bootstrap;               /* a receive right that bootstrap check-in gave */
    _Atomic(bool) is_to_queue;         /* guard_darwin.c found that it may be sent to */
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

/* How the right is to travel: what the argument says, if it fits this kind, or the kind's default
 * if it is NULL or None. 0, or -1 with TypeError, ValueError or OverflowError set. */
int right_disposition(const struct right *right, PyObject *argument,
                      mach_msg_type_name_t *disposition);

/* Does a send with this disposition take the right away from its object? */
static inline bool disposition_moves(mach_msg_type_name_t disposition)
{
    return disposition == MACH_MSG_TYPE_MOVE_RECEIVE || disposition == MACH_MSG_TYPE_MOVE_SEND ||
           disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE;
}

/* What arrived in a message under this name, as an object that owns it: None for no port, a
 * DeadName for one that died on its way. On failure the right is released. */
PyObject *right_arrived(struct module_state *state, mach_port_name_t name,
                        mach_msg_type_name_t disposition);

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
/* The right goes to a new object, and the one that it was in is closed. NULL with an exception: the
 * move is still under way. */
struct right *right_move_take(struct right *right);
/* Whether a move is under way, and of which name. */
bool right_is_moving(struct right *right);
mach_port_name_t right_moving_name(struct right *right);

/* The name while the object is open, MACH_PORT_NULL once it is not; keeps nobody from closing it.
 */
mach_port_name_t right_peek(struct right *right);

/* Releases the right if the object still owns it; for close() and context managers. */
void right_close(struct right *right);
/* The same when the object is deallocated, whatever was under way with it. */
void right_end(struct right *right);

/* Releases one user reference, or the receive right, that no object owns. */
void right_name_release(enum right_kind kind, mach_port_name_t name);

#endif
