/*
 * Notifications: what Mach's kernel would tell a task about its rights.
 *
 * Whoever asks gives a send-once right, which the library keeps and in the end uses for one
 * message; if it is never used, closing it makes the SEND_ONCE notification by itself. A request
 * for a dead name belongs to the name's entry, those for no senders and for a destroyed port to the
 * receiver. The space's lock is held in all of these.
 */
#ifndef ML_NOTIFY_H
#define ML_NOTIFY_H

#include "receiver.h"
#include "space.h"

struct ml_right;

/* What happened to the name that e still stands for. */
void ml_notify_name_deleted(struct ml_entry *e, struct ml_garbage *g);
void ml_notify_name_died(struct ml_entry *e, struct ml_garbage *g);
/* Its right was in a message, and is back. */
void ml_notify_name_back(struct ml_entry *e);

/* The receive right is about to leave a name that keeps send references. False, with a reason:
 * whoever asked to be told of its death could not be. */
bool ml_notify_receiver_leaves(struct ml_entry *e);
/* What happened to a receive right. */
void ml_notify_receiver_attached(struct ml_receiver *r, struct ml_garbage *g);
void ml_notify_receiver_moved(struct ml_receiver *from, struct ml_receiver *to);
/* Also of one that was handed on: its requests have moved before that. */
void ml_notify_receiver_gone(struct ml_receiver *r, struct ml_garbage *g);
void ml_notify_generation_added(struct ml_receiver *r);
void ml_notify_senders_changed(struct ml_port *p, struct ml_garbage *g);
/* What is about to happen to p's receive right, or to the number of senders made, comes after the
 * departure of the last sender, of which the watcher may not have told yet. */
void ml_notify_look_for_senders(struct ml_port *p, struct ml_garbage *g);
/* e's receive right is about to be destroyed. True: it was given to whoever asked for that instead,
 * and e is as after any move (send-only, or gone). */
bool ml_notify_port_destroyed(struct ml_entry *e, struct ml_garbage *g);
/* The same of a receive right in a message that is destroyed here. True: it is gone. */
bool ml_notify_right_destroyed(struct ml_right *right, struct ml_garbage *g);

/* In a forked child: forgets a request, closing its send-once right. */
void ml_notify_abandon_entry(struct ml_entry *e, struct ml_garbage *g);
void ml_notify_abandon_receiver(struct ml_receiver *r, struct ml_garbage *g);

#endif
