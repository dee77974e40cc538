/*
 * Chains: how a message carries more descriptors than one packet takes.
 *
 * The descriptors are queued in a socket, as many as a packet takes at a time, and the socket goes
 * with the message in their place (ML_WIRE_CHAIN). It is filled before it is sent, so that the
 * receiver has all of them at once, in their order, whoever else sends to the port.
 */
#ifndef ML_CHAIN_H
#define ML_CHAIN_H

#include "packet.h"

/* A socket with copies of fds[0..n) in it; the caller's. −1 and errno. */
int ml_chain_create(const int *fds, unsigned n);
/* Takes the descriptors out of the chain that the packet came with: they are then the packet's, and
 * the chain is gone. 0, EBADMSG, EMFILE or ENOMEM: the packet is to be dropped. */
int ml_chain_open(struct ml_packet *packet);

#endif
