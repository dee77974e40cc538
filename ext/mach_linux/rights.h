/*
 * Rights on their way: between a name in the space and a message.
 *
 * Copy-in takes the right that (name, disposition) stands for out of the space, into a `struct
 * ml_right` that the message owns. Then exactly one of four things happens to it: it was sent
 * (commit), the send could not take place and the space is to look as before (undo), it is given a
 * name again as if it had been received (copy-out: the pseudo-receive of a send that timed out, and
 * every real receive), or it is destroyed.
 *
 * A right that arrives in a packet starts as descriptors and becomes a port at copy-out, and only
 * if the space does not know the port yet. The space's lock is held in all of these but
 * ml_right_arrive.
 */
#ifndef ML_RIGHTS_H
#define ML_RIGHTS_H

#include "packet.h"
#include "receiver.h"
#include "space.h"

struct ml_right {
    uint8_t carry;                /* enum ml_carry: what is owned */
    uint8_t disposition;          /* how the sender named it; 0 for one that arrived */
    bool reserved;                /* `origin` is kept for undo */
    bool incomplete;              /* arrived without some of what was to come with it */
    bool dead;                    /* arrived after its port died */
    mach_port_name_t origin;      /* the name that it came from */
    struct ml_port *port;         /* a reference, or NULL: then `fds` */
    struct ml_receiver *receiver; /* of a receive right */
    struct ml_live
        *live;    /* copied in, of a port whose receive right is here: a reference, or NULL */
    int fds[2];   /* arrived: tx and live, or tx; else −1 */
    uint64_t key; /* arrived: identity of the port; a send-once right made here: its source */
};

/* KERN_SUCCESS; KERN_INVALID_NAME, KERN_INVALID_RIGHT or KERN_RESOURCE_SHORTAGE: nothing changed.
 */
kern_return_t ml_copyin(mach_port_name_t name, mach_msg_type_name_t disposition,
                        struct ml_right *right, struct ml_garbage *g);
/* What the disposition becomes on arrival; 0 for one that does not exist. */
mach_msg_type_name_t ml_disposition_arrived(mach_msg_type_name_t disposition);

/* The name that the right was taken from, and would go back to, is given up. */
void ml_right_forget_origin(struct ml_right *right, struct ml_garbage *g);
void ml_right_commit(struct ml_right *right, struct ml_garbage *g);
void ml_right_undo(struct ml_right *right, struct ml_garbage *g);
void ml_right_destroy(struct ml_right *right, struct ml_garbage *g);
/* Closes what is left of a right that has been dealt with: a part of these. */
void ml_right_close(struct ml_right *right, struct ml_garbage *g);
/* In a forked child: closes what the right of a message of the parent's is, touching nothing that
 * is shared. */
void ml_right_abandon(struct ml_right *right, struct ml_garbage *g);
/* The name that the right has now. MACH_PORT_DEAD for the right of a dead port. *full is set when
 * there was no room for it: it is destroyed and MACH_PORT_NULL returned. */
mach_port_name_t ml_copyout(struct ml_right *right, bool *full, struct ml_garbage *g);

/* The descriptors that the right travels as, borrowed, into fds. A receive right with a history
 * gets a state socket, which is closed with the right. Returns their number, or −1 with errno. */
int ml_right_descriptors(struct ml_right *right, int fds[3]);

/* Takes the next descriptors of a packet for a right of `carry` and looks at what they are. False
 * when they are not what they claim to be; they are then still the packet's. `by` is the receiver
 * that it came to, NULL if nothing is to be kept for it: see recent.h. */
bool ml_right_arrive(struct ml_packet *packet, enum ml_carry carry, const struct ml_receiver *by,
                     struct ml_right *right);
/* Drops a right that arrived and has no name yet; the lock is not held. */
void ml_right_reject(struct ml_right *right);

#endif
