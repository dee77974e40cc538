/*
 * A message on its way out: the rights that were copied in, and the packet that is made of it.
 *
 * The packet is gathered from where things are: what has to be rewritten (headers, descriptors) is
 * copied to `head`, inline data and out-of-line memory are sent from the caller's memory. A packet
 * that is longer than a socket takes goes as a sealed memory file instead.
 *
 * Who owns what: the message owns its rights, which are references, and what was allocated for the
 * packet; the caller's buffer and its out-of-line memory stay the caller's until it was sent.
 */
#ifndef ML_OUTBOUND_H
#define ML_OUTBOUND_H

#include <sys/uio.h>

#include "message.h"

#define ML_INLINE_RIGHTS 6u
#define ML_INLINE_BYTES 512u
#define ML_INLINE_PIECES 4u

struct ml_outbound {
    struct ml_right destination, reply;
    struct ml_right *rights; /* of the descriptors, in the order in which they are named */
    uint32_t n_rights;
    struct ml_right few_rights[ML_INLINE_RIGHTS];

    uint8_t *head;
    struct iovec *pieces; /* head first */
    uint32_t n_pieces;
    struct iovec few_pieces[ML_INLINE_PIECES];
    union {
        struct ml_wire align;
        uint8_t bytes[ML_INLINE_BYTES];
    } few_bytes;
    uint8_t *carries; /* kinds of the rights in out-of-line arrays, behind everything else */
    int *fds;         /* few_fds, or on the heap: then they go in a chain */
    int few_fds[ML_FDS_MAX];
    unsigned n_fds;
    struct ml_outbound *next,
        *previous;        /* of those that have rights now: see ml_outbound_abandon */
    struct iovec *copies; /* memory for the sender, of each descriptor; or NULL */
    int file;             /* the packet as a memory file, −1 if it goes as it is */
    int chain;            /* its descriptors as a chain, −1 if they go as they are */
    struct ml_garbage garbage;

    /* What measuring found. */
    uint32_t count;     /* descriptors */
    uint32_t rewritten; /* bytes of the message that have to be copied */
    uint32_t n_named;   /* rights that the descriptors name */
    uint32_t n_arrays;  /* names in out-of-line arrays */
    uint64_t extra;     /* bytes that go behind the message */
    bool memory;        /* it has out-of-line memory */
};

/* The first descriptor of a complex message. */
static inline const uint8_t *ml_outbound_descriptors(const mach_msg_header_t *m)
{
    return (const uint8_t *)(m + 1) + sizeof(mach_msg_body_t);
}

/* The packet: layout.c. The lock is not held. */

/* Looks at the message without consuming anything and gets the room that is needed. */
mach_msg_return_t ml_outbound_open(struct ml_outbound *out, const mach_msg_header_t *m,
                                   uint32_t size);
void ml_outbound_close(struct ml_outbound *out);

/* Is the packet too long for a socket? */
bool ml_outbound_is_long(const struct ml_outbound *out);
/* Puts the packet into a memory file. */
mach_msg_return_t ml_outbound_spill(struct ml_outbound *out);

/* The rights: outbound.c. The lock is held. */

/* Takes the rights out of the space and completes the packet. On failure nothing is left to do,
 * whatever was consumed. ML_SENT_AND_DESTROYED: it went to a port that it carried, which is
 * success. */
mach_msg_return_t ml_outbound_copyin(struct ml_outbound *out, const mach_msg_header_t *m,
                                     uint32_t size);
#define ML_SENT_AND_DESTROYED (-1) /* not one of Mach's codes */

typedef void (*ml_right_end)(struct ml_right *right, struct ml_garbage *g);
/* Commits, undoes or destroys all rights. */
void ml_outbound_end(struct ml_outbound *out, ml_right_end end);
/* Its rights are dealt with elsewhere: a forked child need not look for them. */
void ml_outbound_unlist(struct ml_outbound *out);
/* In a forked child: closes what the messages hold that other threads of the parent were sending.
 */
void ml_outbound_abandon(struct ml_garbage *g);

/* Afterwards: returned.c. */

/* Makes the sender's copies of out-of-line memory for the pseudo-receive, whose reason is `mr`; the
 * lock is not held. Gives `mr`, or why there is none and the rights are to be undone. */
mach_msg_return_t ml_outbound_copy_memory(struct ml_outbound *out, const mach_msg_header_t *m,
                                          mach_msg_return_t mr);
/* Hands everything back to the sender, in its buffer, as if it had received the message; the lock
 * is held. */
void ml_outbound_pseudo_receive(struct ml_outbound *out, mach_msg_header_t *m);
/* It was sent: memory that was given away with `deallocate` goes. */
void ml_outbound_deallocate(const struct ml_outbound *out, const mach_msg_header_t *m);

#endif
