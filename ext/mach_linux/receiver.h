/*
 * A receive right: the receiving end of a port's channel and all that Mach keeps with the port.
 *
 * Who owns what: the receiver owns rx, its sources' descriptors, the write ends (and the cached
 * read end) of the senders' pipes, the stash, and one reference to its port, whose tx is the
 * anchor from which send rights are made. Moving the right takes all of that into a fresh receiver
 * and leaves the old object, alive = false, to the threads that are still pinned to it.
 *
 * `lock` guards the queue, which is all that is received from (queue.h). It is taken after the
 * space's lock, or alone.
 */
#ifndef ML_RECEIVER_H
#define ML_RECEIVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "space.h"

struct ml_source;
struct ml_stash;

/* One pipe whose read ends the senders hold: see pipes.h. */
struct ml_generation {
    int write_end;
    uint64_t watch; /* of the watcher, 0 for none */
};

/* A read end of the newest one, which this task's own send rights leave with. A message that is
 * being sent has a reference, so that the descriptor stays what it is when the receiver gives it
 * up. */
struct ml_live {
    uint32_t refs;
    int fd;
};

struct ml_receiver {
    /* The space's lock guards these. */
    uint32_t refs;
    struct ml_port *port; /* owned: the anchor; NULL while the right is in a message */
    uint32_t mscount;
    mach_port_limits_t limits;
    mach_port_context_t context;
    bool guarded; /* by its context: MPO_CONTEXT_AS_GUARD */
    bool strict;
    bool watched;                      /* somebody has a descriptor that tells of messages */
    struct ml_generation *generations; /* the senders' pipes, with some that are hung up */
    unsigned n_generations;
    struct ml_live *live;              /* NULL: the next send right that leaves makes a new pipe */
    struct ml_port *no_senders;        /* send-once right to notify, or NULL */
    bool no_senders_due;               /* once the queue is empty */
    struct ml_port *port_destroyed;    /* the same, for PORT_DESTROYED */
    struct ml_membership *memberships; /* changed only with `lock` held too, read with either */

    /* `lock` guards these, the queue. */
    pthread_mutex_t lock;
    bool alive;
    bool behind; /* a set does not watch `epoll` yet */
    int rx;
    bool foreign; /* rx was somebody else's before: he may have a duplicate */
    int epoll;    /* −1 until needed */
    uint32_t seqno;
    struct ml_stash *stash;
    struct ml_source *sources;
    uint32_t n_slots, free_slot, n_sources;
};

/* The space's lock is held in all of these. */

/* A new port with its receive right and no name: KERN_RESOURCE_SHORTAGE when descriptors or memory
 * are at their limit. *out has one reference; its receiver is set. */
kern_return_t ml_receiver_create(struct ml_port **out);
/* A receiver around descriptors that arrived in a message; owns rx in any case. NULL: no memory. */
struct ml_receiver *ml_receiver_adopt(int rx, struct ml_garbage *g);
/* p's receive right is r from now on; consumes the caller's reference to r. */
void ml_receiver_attach(struct ml_port *p, struct ml_receiver *r, struct ml_garbage *g);
/* Takes the receive right out of p, for a message: waiters end with MACH_RCV_PORT_CHANGED, sets and
 * per-holder counters are left behind. The caller owns the result. NULL (nothing changed): no
 * memory. */
struct ml_receiver *ml_receiver_take(struct ml_port *p, struct ml_garbage *g);
/* The port dies: queue, sources and waiters end; the entry is the caller's to tidy. */
void ml_receiver_destroy(struct ml_port *p, struct ml_garbage *g);
/* Closes a receiver that no port holds, killing its port unless `handed_on` (then the descriptors
 * live on in a message). Consumes the caller's reference. */
void ml_receiver_discard(struct ml_receiver *r, bool handed_on, struct ml_garbage *g);
/* In a forked child: closes what the child inherited, touching nothing that is shared. */
void ml_receiver_abandon(struct ml_port *p, struct ml_garbage *g);
/* The same of one that is in a message, and no port's. */
void ml_receiver_abandon_moving(struct ml_receiver *r, struct ml_garbage *g);
void ml_receiver_release(struct ml_receiver *r, struct ml_garbage *g);

/* What a message says of the port that it came to. */
struct ml_receiver_identity {
    mach_port_name_t name;
    mach_port_context_t context;
};
struct ml_receiver_identity ml_receiver_identify(const struct ml_receiver *r);

/* The live end for a send right that leaves, with a reference for the caller. NULL and errno. */
struct ml_live *ml_receiver_live(struct ml_receiver *r);
void ml_live_release(struct ml_live *live, struct ml_garbage *g);
/* Gives up the read end that the library keeps for itself: the pipes then tell whether there are
 * senders. */
void ml_receiver_forget_live(struct ml_receiver *r);
/* Closes the pipes that nobody holds any more. */
void ml_receiver_prune(struct ml_receiver *r, struct ml_garbage *g);
/* A send right is made from p's receive right. */
void ml_receiver_count_send(struct ml_port *p, struct ml_garbage *g);
/* This task's last send reference to its own port has gone, or a senders' pipe has hung up. */
void ml_receiver_senders_changed(struct ml_port *p, struct ml_garbage *g);
/* Do send rights exist outside this task's own names: in other tasks, or in messages? */
bool ml_receiver_has_remote_senders(struct ml_receiver *r);
/* Remembers one more pipe of senders; takes its write end. */
bool ml_receiver_add_generation(struct ml_receiver *r, int write_end, struct ml_garbage *g);

#endif
