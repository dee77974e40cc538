/*
 * The space: this task's names, and the ports that they stand for.
 *
 * Two kinds of object. A `struct ml_port` is a port as a sender sees it: a descriptor to send
 * through, and an identity. A `struct ml_receiver` is the receive right: the queue's other end and
 * all state that Mach keeps with a port (sequence number, limits, attributes). An entry of the
 * table owns one reference to the port that it names, and the receiver if the task holds the
 * receive right. A message being sent owns references of its own (message.h), and so does a thread
 * inside a system call: a pin. The last reference closes the descriptors; none is ever closed while
 * it is in use.
 *
 * One mutex guards the table, every port and every reference count. A receiver has a second one,
 * for its queue, that is taken after the first or alone, never before it.
 */
#ifndef ML_SPACE_H
#define ML_SPACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

#include "fds.h"

enum ml_port_kind {
    ML_PORT,      /* an ordinary port */
    ML_SEND_ONCE, /* the sending end of one send-once right */
    ML_TASK,      /* a process: tx is a pidfd */
};

struct ml_receiver;

struct ml_port {
    uint32_t refs; /* entry, messages and pins */
    enum ml_port_kind kind;
    bool dead;                    /* its receiver is known to be gone */
    bool service;                 /* bootstrap names stand for it */
    int tx;                       /* what is sent through; for a task its pidfd */
    int live;                     /* our share of the senders' pipe, −1 if this task needs none */
    uint64_t key;                 /* socket cookie, or the pidfd's inode: equal keys, one port */
    uint64_t rx_cookie;           /* of its receiving end, if the receive right has left; else 0 */
    uint32_t index;               /* the entry that names it, 0 if it has no name */
    struct ml_receiver *receiver; /* the receive right, if this task holds it; owned */
    struct ml_port *hash_next;
};

enum ml_entry_kind {
    ML_FREE = 0,
    ML_RESERVED,     /* its right is in a message that may still come back */
    ML_SEND_RECEIVE, /* send user references, the receive right, or both */
    ML_ONCE,
    ML_DEAD,
    ML_SET,
};

struct ml_entry {
    uint8_t kind;
    uint32_t urefs; /* of the send right, or of the dead name */
    mach_port_name_t name;
    struct ml_port *port;
    struct ml_pset *set;
    struct ml_dead_name_request *request;
    uint32_t next, previous; /* the list of free entries */
};

#define ML_UREFS_MAX 65535u
#define ML_TASK_SELF_INDEX 1u
#define ML_TASK_SELF_NAME ((ML_TASK_SELF_INDEX << 8) | 3u)

/* --- the lock ------------------------------------------------------------------------------- */

void ml_lock(void);
/* False: it is held, perhaps by this thread. */
bool ml_try_lock(void);
void ml_unlock(void);

/* Called in a forked child with every lock new: forgets all names, closing descriptors. */
void ml_space_reset_in_child(void);

/* --- names; the lock is held ---------------------------------------------------------------- */

/* NULL when the name means nothing here. The pointer is good until the next ml_entry_allocate. */
struct ml_entry *ml_entry_lookup(mach_port_name_t name);
/* As above, but a send right whose port has died since is first turned into a dead name. */
struct ml_entry *ml_entry_look(mach_port_name_t name, struct ml_garbage *g);
/* Has the port of e's send or send-once right died? The entry stays what it is. */
bool ml_entry_has_died(const struct ml_entry *e);
/* The entry of a name that the caller has reserved, whatever it stands for now. */
struct ml_entry *ml_entry_at(mach_port_name_t name);
static inline mach_port_name_t ml_entry_name(const struct ml_entry *e)
{
    return e->name;
}
/* A fresh entry (kind still ML_FREE: the caller sets it), or NULL when the table is full. */
struct ml_entry *ml_entry_allocate(void);
/* The free entry that `name` stands for. KERN_NAME_EXISTS, KERN_INVALID_VALUE, KERN_NO_SPACE. */
kern_return_t ml_entry_allocate_name(mach_port_name_t name, struct ml_entry **out);
/* Gives the name back. What the entry owned must have been released. */
void ml_entry_free(struct ml_entry *e);
/* Entries in table order, for listing: NULL past the end; free ones are skipped. */
struct ml_entry *ml_entry_next(uint32_t *cursor);
bool ml_is_task_self(mach_port_name_t task);

/* --- ports; the lock is held ---------------------------------------------------------------- */

/* A new port object with one reference, owning the descriptors (also on failure: NULL). */
struct ml_port *ml_port_adopt(enum ml_port_kind kind, int tx, int live, uint64_t key,
                              struct ml_garbage *g);
void ml_port_retain(struct ml_port *p);
void ml_port_release(struct ml_port *p, struct ml_garbage *g);
/* The named port with this identity, or NULL. */
struct ml_port *ml_port_find(enum ml_port_kind kind, uint64_t key);
struct ml_entry *ml_port_entry(const struct ml_port *p);

/* Gives p a name, or joins the one it has, with one more send user reference. Consumes the caller's
 * reference to p. Returns the name; MACH_PORT_NULL when the table is full. */
mach_port_name_t ml_name_send(struct ml_port *p, struct ml_garbage *g);
/* The same for a send-once right: always a fresh name. */
mach_port_name_t ml_name_send_once(struct ml_port *p, struct ml_garbage *g);
/* Makes entry e name p, for p without a name; consumes the caller's reference. */
void ml_entry_bind(struct ml_entry *e, enum ml_entry_kind kind, struct ml_port *p);
/* Takes the port out of its entry, which becomes ML_RESERVED; the reference is the caller's. */
struct ml_port *ml_entry_unbind(struct ml_entry *e);

/* Adds delta user references, sticking at the maximum. */
void ml_urefs_add(struct ml_entry *e, uint32_t delta);
/* Drops n ≤ urefs references of a send right or dead name; frees the entry when nothing is left. */
void ml_urefs_drop(struct ml_entry *e, uint32_t n, struct ml_garbage *g);
/* The receive right or last sender is gone: what is left of the entry is a dead name, or nothing.
 */
void ml_entry_die(struct ml_entry *e, struct ml_garbage *g);
/* Drops all that a name stands for, whatever it is. */
void ml_entry_destroy(struct ml_entry *e, struct ml_garbage *g);

#endif
