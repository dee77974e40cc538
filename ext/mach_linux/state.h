/*
 * What moves with a receive right besides its channel.
 *
 * The senders' pipes, the send-once channels, a message that was read but not delivered, the queue
 * limit and the requests for no senders and a destroyed port travel through a socket of their own,
 * which is filled before it is sent and therefore holds as many descriptors as need be. A right
 * without such a history moves without one.
 */
#ifndef ML_STATE_H
#define ML_STATE_H

#include "receiver.h"

bool ml_state_needed(const struct ml_receiver *r);
/* A socket from which r's state can be read; the caller owns it. r keeps its own. −1 and errno. */
int ml_state_export(struct ml_receiver *r);
/* Reads what another process exported; takes fd. What is malformed is left out: a peer can only
 * spoil a right that it had in its own hands. False: something is lost for want of descriptors or
 * memory. */
bool ml_state_import(struct ml_receiver *r, int fd);

#endif
