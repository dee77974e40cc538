/*
 * A message on its way in: what was read, and the rights that are made of it.
 *
 * Its rights get names, its header becomes what Mach shows a receiver, a trailer follows. All of it
 * is the thread's that receives: the packet owns its descriptors until they are rights, and those
 * belong to the inbound message until they have names. Either it is delivered whole, or nothing is
 * left of it. No lock is held in any of these, unless they say so.
 */
#ifndef ML_INBOUND_H
#define ML_INBOUND_H

#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

#include "message.h"
#include "rights.h"

#define ML_FEW_RIGHTS (ML_FDS_MAX + 1)

struct ml_inbound {
    struct ml_packet packet;
    unsigned dropped;     /* before it, in this call */
    ml_deadline patience; /* with more that is dropped, once the call should be over; 0: not yet */
    bool unowned;         /* it came with descriptors, which are counted: see forks.h */
    uint32_t seqno;
    struct ml_receiver *receiver;     /* that it came to: a reference, until it is given up */
    const struct ml_receiver *recent; /* the same, if what comes often is to be kept for it */
    struct ml_receiver_identity port; /* the same, as the message says it */
    bool parts;                       /* some of it travels out of line */
    uint32_t n_rights;
    struct ml_right reply;
    struct ml_right *rights; /* few_rights, or on the heap */
    struct ml_right few_rights[ML_FEW_RIGHTS];
};

/* Gives up the reference to the receiver, from which nothing more is taken. The space's lock is
 * held. */
void ml_inbound_leave(struct ml_inbound *in, struct ml_garbage *g);

/* How long a trailer the caller asks for. */
static inline uint32_t ml_trailer_size(mach_msg_option_t option)
{
    switch ((uint32_t)option >> 24 & 0xf) {
    case MACH_RCV_TRAILER_NULL:
        return sizeof(mach_msg_trailer_t);
    case MACH_RCV_TRAILER_SEQNO:
        return sizeof(mach_msg_seqno_trailer_t);
    case MACH_RCV_TRAILER_SENDER:
        return sizeof(mach_msg_security_trailer_t);
    case MACH_RCV_TRAILER_AUDIT:
        return sizeof(mach_msg_audit_trailer_t);
    case MACH_RCV_TRAILER_CTX:
        return sizeof(mach_msg_context_trailer_t);
    default:
        return sizeof(mach_msg_mac_trailer_t);
    }
}

/* Delivers the packet, which is gone then. False: it was no message after all; else *result is what
 * the receive comes to. */
bool ml_inbound_deliver(struct ml_inbound *in, mach_msg_header_t *buffer, mach_msg_option_t option,
                        mach_msg_return_t *result);
/* A message that was destroyed because it was too large leaves a bare header. */
void ml_inbound_put_bare_header(struct ml_inbound *in, mach_msg_header_t *buffer,
                                mach_msg_size_t size);

#endif
