/*
 * Port sets: an epoll descriptor over the members' channels.
 *
 * A member that has more to wait for than its channel (send-once rights, a message that was put
 * back) has an epoll descriptor of its own, which the set then watches instead. A membership joins
 * one receiver and one set; it is in a list of each and owned by both ends together: whichever goes
 * first removes it. A thread that waits on a set holds a reference to the set, and takes one to the
 * member it was sent to. The space's lock is held in all of these but ml_set_wait.
 */
#ifndef ML_SETS_H
#define ML_SETS_H

#include "message.h"
#include "receiver.h"

struct ml_pset;
struct ml_membership;

kern_return_t ml_set_create(struct ml_pset **out);
struct ml_pset *ml_set_retain(struct ml_pset *set);
void ml_set_release(struct ml_pset *set, struct ml_garbage *g);
/* Empties and closes the set that e names, and frees the name; waiters end with PORT_CHANGED. */
void ml_set_destroy(struct ml_entry *e, struct ml_garbage *g);
/* In a forked child: closes it without touching what the parent shares. */
void ml_set_abandon(struct ml_entry *e, struct ml_garbage *g);

/* KERN_ALREADY_IN_SET, KERN_RESOURCE_SHORTAGE. */
kern_return_t ml_set_insert(struct ml_pset *set, struct ml_receiver *r);
/* KERN_NOT_IN_SET. */
kern_return_t ml_set_extract(struct ml_pset *set, struct ml_receiver *r);
/* r leaves all its sets. */
void ml_sets_leave(struct ml_receiver *r);
/* Its sets watch r's epoll from now on, and not its channel; r's lock is held, the space's need not
 * be. False and errno: not all of them do. */
bool ml_sets_follow(struct ml_receiver *r);
bool ml_receiver_in_set(const struct ml_receiver *r);
/* Copies up to `room` members' names; returns how many there are. */
uint32_t ml_set_members(const struct ml_pset *set, mach_port_name_t *names, uint32_t room);

/* Waits for a member that is ready; *r is then a reference of the caller's. */
mach_msg_return_t ml_set_wait(struct ml_pset *set, mach_msg_option_t option, ml_deadline deadline,
                              struct ml_receiver **r);
bool ml_set_alive(const struct ml_pset *set);
/* The set's epoll descriptor, borrowed. */
int ml_set_epoll(const struct ml_pset *set);

#endif
