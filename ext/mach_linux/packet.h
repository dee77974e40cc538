/*
 * Packets: what travels through a channel for one Mach message.
 *
 *     offset  0  struct ml_wire       16 bytes
 *            16  mach_msg_header_t    24 bytes, as the receiver will see it, both names 0
 *            40  the rest of the message; in each port descriptor the name field holds the ml_carry
 *                kind of the right, in place of a name
 *            ..  out-of-line bytes, in the order of their descriptors
 *
 * and, as SCM_RIGHTS, each right's descriptors in order: the reply right's first, then those of the
 * message's descriptors. A packet comes from a peer and is believed in nothing: ml_packet_check()
 * is run before any of it is used, and a packet that fails it is dropped with all that it carries.
 */
#ifndef ML_PACKET_H
#define ML_PACKET_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <mach/mach.h>

#define ML_WIRE_MAGIC 0x31504d4cu /* "LMP1" */
#define ML_FDS_MAX 253u           /* SCM_MAX_FD */
#define ML_CHAIN_MAX 65535u       /* what fits the wire header */
/* The longest packet: what a socket takes with the kernel's default buffer, less its bookkeeping.
 */
#define ML_PACKET_MAX (208u * 1024u)

enum ml_carry {
    ML_CARRY_NULL = 0,
    ML_CARRY_DEAD,
    ML_CARRY_SEND,          /* tx, live */
    ML_CARRY_TASK,          /* pidfd */
    ML_CARRY_SEND_ONCE,     /* tx */
    ML_CARRY_RECEIVE,       /* rx, tx */
    ML_CARRY_RECEIVE_STATE, /* rx, tx, state socket */
    ML_CARRY_KINDS
};

/* The most that a message may have inline, and out of line. */
#define ML_EXTRA_MAX (1u << 30)
/* The most rights that Mach takes in the arrays of a message, and the most descriptors that it may
 * have here: with the names of more the receiver would keep other threads waiting. */
#define ML_PORTS_MAX 16382u
#define ML_DESCRIPTORS_MAX 65536u
/* What a memory file must have: then nobody can change it under the receiver. */
#define ML_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#define ML_WIRE_KERNEL 1u /* made by the library, in Mach's kernel's place */
#define ML_WIRE_MEMFD 2u  /* the packet is in a memory file, the last descriptor: memfile.h */
#define ML_WIRE_CHAIN 4u  /* the descriptors are in a socket, the first: chain.h */

struct ml_wire {
    uint32_t magic;
    uint16_t n_fds;
    uint8_t reply; /* enum ml_carry */
    uint8_t flags;
    uint32_t extra;    /* bytes of out-of-line data */
    uint32_t reserved; /* 0 */
};

_Static_assert(sizeof(struct ml_wire) == 16, "the message must stay aligned behind it");

struct ml_packet {
    uint8_t *bytes; /* struct ml_wire first; in the thread's scratch buffer, one of the next two, or
                       a stash */
    uint8_t *mapped; /* owned: `size` bytes of the memory file that it came in; else NULL */
    uint8_t *heap;   /* owned, of one that was put back and is long; else NULL */
    uint32_t size;
    int file;             /* owned: what it is in, if that is still to be read; else −1 */
    bool kernel;          /* made here, in Mach's kernel's place */
    mach_port_type_t via; /* disposition that the destination shows: PORT_SEND or PORT_SEND_ONCE */
    struct ucred sender;
    unsigned n_fds, taken; /* the first of them are rights' now, and not the packet's */
    int fds[ML_FDS_MAX];
    int *chained; /* owned: the descriptors that came in a chain, in place of `fds`; else NULL */
};

/* The packet's descriptors, wherever they are. */
static inline int *ml_packet_fds(struct ml_packet *p)
{
    return p->chained != NULL ? p->chained : p->fds;
}

static inline struct ml_wire *ml_packet_wire(const struct ml_packet *p)
{
    return (struct ml_wire *)(void *)p->bytes;
}

static inline mach_msg_header_t *ml_packet_header(const struct ml_packet *p)
{
    return (mach_msg_header_t *)(void *)(p->bytes + sizeof(struct ml_wire));
}

/* Each descriptor of a message has its type in its twelfth byte, whatever else is in it. */
static inline uint8_t ml_descriptor_type(const uint8_t *descriptor)
{
    return descriptor[11];
}

static inline uint32_t ml_descriptor_size(const uint8_t *descriptor)
{
    return ml_descriptor_type(descriptor) == MACH_MSG_PORT_DESCRIPTOR
               ? (uint32_t)sizeof(mach_msg_port_descriptor_t)
               : (uint32_t)sizeof(mach_msg_ool_descriptor_t);
}

/* What follows the message starts at multiples of four. */
static inline uint64_t ml_padded(uint64_t size)
{
    return (size + 3) & ~(uint64_t)3;
}

/* How many descriptors a right of this kind travels as. */
static inline unsigned ml_carry_fds(enum ml_carry kind)
{
    switch (kind) {
    case ML_CARRY_TASK:
    case ML_CARRY_SEND_ONCE:
        return 1;
    case ML_CARRY_SEND:
    case ML_CARRY_RECEIVE:
        return 2;
    case ML_CARRY_RECEIVE_STATE:
        return 3;
    default:
        return 0;
    }
}

/* Reads one packet from a channel without waiting, into the thread's scratch buffer. One that is in
 * a memory file is then its headers alone, unchecked but for its length, until it is loaded.
 * 0; EAGAIN; EPIPE at the end of the channel; EBADMSG for a packet that was dropped; EMFILE when
 * descriptors were lost and the message with them; ENOMEM. */
int ml_packet_read(int fd, struct ml_packet *packet);
/* The same from a channel that is for one packet. *over: nothing is in it any more, nor will be. */
int ml_packet_read_only(int fd, struct ml_packet *packet, bool *over);
/* The same as ml_packet_read() into any buffer, and without the check of what it says. */
int ml_packet_read_raw(int fd, struct ml_packet *packet, uint8_t *buffer, uint32_t size);
/* And leaving it to the caller to drop it if it is no good: n_fds is set in any case. */
int ml_packet_take(int fd, struct ml_packet *packet, uint8_t *buffer, uint32_t size);
/* The check, of one that was read raw: 0; EBADMSG, EMFILE or ENOMEM: to be dropped. */
int ml_packet_examine(struct ml_packet *packet);
/* Does it say that its descriptors are in a chain? */
bool ml_packet_has_chain(const struct ml_packet *packet);
/* How long the packet is by its headers, which must be there; 0 if no packet has such headers. */
uint64_t ml_packet_length_said(const struct ml_packet *packet);
/* Is everything in it consistent? Sizes, kinds, dispositions, descriptor count. */
bool ml_packet_check(const struct ml_packet *packet);
/* Sends iov with fds; 0 or errno. Never waits, never raises SIGPIPE. */
int ml_packet_write(int fd, const struct iovec *iov, unsigned n_iov, const int *fds,
                    unsigned n_fds);
/* Closes the descriptors that are left in it, and frees its memory. Of a message that was delivered
 * neither is left, mostly. */
void ml_packet_release(struct ml_packet *packet);
static inline void ml_packet_drop(struct ml_packet *packet)
{
    if (packet->n_fds != packet->taken || packet->file >= 0 || packet->chained != NULL ||
        packet->heap != NULL || packet->mapped != NULL)
        ml_packet_release(packet);
}
/* Copies a packet that was set aside into the thread's scratch buffer, with its descriptors. On
 * failure it is dropped. */
bool ml_packet_unstash(struct ml_packet *packet, struct ml_packet *aside);
/* Makes it a message of the library's own: a bare header with `id`. */
bool ml_packet_make_kernel(struct ml_packet *packet, mach_msg_id_t id);

#endif
