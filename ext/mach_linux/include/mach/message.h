/*
 * Messages: their layout, and mach_msg, which sends and receives them.
 *
 * A message is a header, and if its bits say "complex" a count of descriptors and the descriptors,
 * and then data that the system does not look at. Every structure here is packed to four bytes,
 * because that is how they follow each other in a message.
 */
#ifndef _MACH_MESSAGE_H_
#define _MACH_MESSAGE_H_

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/port.h>
#include <mach/machine/vm_types.h>

/* Milliseconds; they count only with MACH_SEND_TIMEOUT or MACH_RCV_TIMEOUT. */
typedef natural_t mach_msg_timeout_t;

#define MACH_MSG_TIMEOUT_NONE ((mach_msg_timeout_t)0)

/*
 * msgh_bits: how the header's ports travel (a disposition each, see below) and whether descriptors
 * follow. A sender gives dispositions; a receiver finds what it got, with remote and local swapped.
 */
typedef unsigned int mach_msg_bits_t;
typedef natural_t mach_msg_size_t;
typedef integer_t mach_msg_id_t;

#define MACH_MSG_SIZE_NULL (mach_msg_size_t *)0

#define MACH_MSGH_BITS_ZERO 0x00000000
#define MACH_MSGH_BITS_REMOTE_MASK 0x0000001f
#define MACH_MSGH_BITS_LOCAL_MASK 0x00001f00
#define MACH_MSGH_BITS_VOUCHER_MASK 0x001f0000
#define MACH_MSGH_BITS_PORTS_MASK                                                                  \
    (MACH_MSGH_BITS_REMOTE_MASK | MACH_MSGH_BITS_LOCAL_MASK | MACH_MSGH_BITS_VOUCHER_MASK)
#define MACH_MSGH_BITS_COMPLEX 0x80000000U
#define MACH_MSGH_BITS_USER 0x801f1f1fU

#define MACH_MSGH_BITS(remote, local) ((remote) | ((local) << 8))
#define MACH_MSGH_BITS_SET_PORTS(remote, local, voucher)                                           \
    (((remote) & MACH_MSGH_BITS_REMOTE_MASK) | (((local) << 8) & MACH_MSGH_BITS_LOCAL_MASK) |      \
     (((voucher) << 16) & MACH_MSGH_BITS_VOUCHER_MASK))
#define MACH_MSGH_BITS_SET(remote, local, voucher, other)                                          \
    (MACH_MSGH_BITS_SET_PORTS((remote), (local), (voucher)) |                                      \
     ((other) & ~(mach_msg_bits_t)MACH_MSGH_BITS_PORTS_MASK))

#define MACH_MSGH_BITS_REMOTE(bits) ((bits) & MACH_MSGH_BITS_REMOTE_MASK)
#define MACH_MSGH_BITS_LOCAL(bits) (((bits) & MACH_MSGH_BITS_LOCAL_MASK) >> 8)
#define MACH_MSGH_BITS_VOUCHER(bits) (((bits) & MACH_MSGH_BITS_VOUCHER_MASK) >> 16)
#define MACH_MSGH_BITS_PORTS(bits) ((bits) & MACH_MSGH_BITS_PORTS_MASK)
#define MACH_MSGH_BITS_OTHER(bits) ((bits) & ~(mach_msg_bits_t)MACH_MSGH_BITS_PORTS_MASK)
#define MACH_MSGH_BITS_HAS_REMOTE(bits) (MACH_MSGH_BITS_REMOTE(bits) != MACH_MSGH_BITS_ZERO)
#define MACH_MSGH_BITS_HAS_LOCAL(bits) (MACH_MSGH_BITS_LOCAL(bits) != MACH_MSGH_BITS_ZERO)
#define MACH_MSGH_BITS_HAS_VOUCHER(bits) (MACH_MSGH_BITS_VOUCHER(bits) != MACH_MSGH_BITS_ZERO)
#define MACH_MSGH_BITS_IS_COMPLEX(bits) (((bits) & MACH_MSGH_BITS_COMPLEX) != MACH_MSGH_BITS_ZERO)

/*
 * Dispositions: what the sender gives up and the receiver gains.
 *
 *   sender writes     sender must hold    and afterwards             receiver finds
 *   MOVE_RECEIVE      receive right       has it no more             PORT_RECEIVE
 *   MOVE_SEND         send right          one user reference less    PORT_SEND
 *   MOVE_SEND_ONCE    send-once right     has it no more             PORT_SEND_ONCE
 *   COPY_SEND         send right          unchanged                  PORT_SEND
 *   MAKE_SEND         receive right       unchanged                  PORT_SEND
 *   MAKE_SEND_ONCE    receive right       unchanged                  PORT_SEND_ONCE
 *
 * The receiver owns what it finds: a receive right, one more user reference, or a send-once right
 * under a name of its own.
 */
typedef unsigned int mach_msg_type_name_t;

#define MACH_MSG_TYPE_PORT_NONE 0
#define MACH_MSG_TYPE_PORT_NAME 15
#define MACH_MSG_TYPE_MOVE_RECEIVE 16
#define MACH_MSG_TYPE_MOVE_SEND 17
#define MACH_MSG_TYPE_MOVE_SEND_ONCE 18
#define MACH_MSG_TYPE_COPY_SEND 19
#define MACH_MSG_TYPE_MAKE_SEND 20
#define MACH_MSG_TYPE_MAKE_SEND_ONCE 21
#define MACH_MSG_TYPE_LAST 22
#define MACH_MSG_TYPE_PORT_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define MACH_MSG_TYPE_PORT_SEND MACH_MSG_TYPE_MOVE_SEND
#define MACH_MSG_TYPE_PORT_SEND_ONCE MACH_MSG_TYPE_MOVE_SEND_ONCE
#define MACH_MSG_TYPE_POLYMORPHIC ((mach_msg_type_name_t) - 1)

#define MACH_MSG_TYPE_PORT_ANY(x)                                                                  \
    (((x) >= MACH_MSG_TYPE_MOVE_RECEIVE) && ((x) <= MACH_MSG_TYPE_MAKE_SEND_ONCE))
#define MACH_MSG_TYPE_PORT_ANY_SEND(x)                                                             \
    (((x) >= MACH_MSG_TYPE_MOVE_SEND) && ((x) <= MACH_MSG_TYPE_MAKE_SEND_ONCE))
#define MACH_MSG_TYPE_PORT_ANY_SEND_ONCE(x)                                                        \
    (((x) == MACH_MSG_TYPE_MOVE_SEND_ONCE) || ((x) == MACH_MSG_TYPE_MAKE_SEND_ONCE))
#define MACH_MSG_TYPE_PORT_ANY_RIGHT(x)                                                            \
    (((x) >= MACH_MSG_TYPE_MOVE_RECEIVE) && ((x) <= MACH_MSG_TYPE_MOVE_SEND_ONCE))

typedef natural_t mach_msg_type_size_t;
typedef natural_t mach_msg_type_number_t;

/* Descriptors. The last byte of the first twelve says which kind one is. */
typedef unsigned int mach_msg_descriptor_type_t;
typedef unsigned int mach_msg_copy_options_t;

#define MACH_MSG_PORT_DESCRIPTOR 0
#define MACH_MSG_OOL_DESCRIPTOR 1
#define MACH_MSG_OOL_PORTS_DESCRIPTOR 2
#define MACH_MSG_OOL_VOLATILE_DESCRIPTOR 3 /* refused: MACH_SEND_INVALID_TYPE */

/*
 * How out-of-line memory is sent. The receiver always gets private memory that it must free with
 * vm_deallocate, or with the message by mach_msg_destroy if it arrived as a virtual copy.
 */
#define MACH_MSG_PHYSICAL_COPY 0
#define MACH_MSG_VIRTUAL_COPY 1

#pragma pack(push, 4)

typedef struct {
    natural_t pad1;
    mach_msg_size_t pad2;
    unsigned int pad3 : 24;
    mach_msg_descriptor_type_t type : 8;
} mach_msg_type_descriptor_t;

/* One right. */
typedef struct {
    mach_port_t name;
    mach_msg_size_t pad1;
    unsigned int pad2 : 16;
    mach_msg_type_name_t disposition : 8;
    mach_msg_descriptor_type_t type : 8;
} mach_msg_port_descriptor_t;

/* Memory. deallocate: the sender's pages go with the message. */
typedef struct {
    void *address;
#if !defined(__LP64__)
    mach_msg_size_t size;
#endif
    boolean_t deallocate : 8;
    mach_msg_copy_options_t copy : 8;
    unsigned int pad1 : 8;
    mach_msg_descriptor_type_t type : 8;
#if defined(__LP64__)
    mach_msg_size_t size;
#endif
} mach_msg_ool_descriptor_t;

/* An array of names, all with one disposition; the receiver frees the array with vm_deallocate. */
typedef struct {
    void *address;
#if !defined(__LP64__)
    mach_msg_size_t count;
#endif
    boolean_t deallocate : 8;
    mach_msg_copy_options_t copy : 8;
    mach_msg_type_name_t disposition : 8;
    mach_msg_descriptor_type_t type : 8;
#if defined(__LP64__)
    mach_msg_size_t count;
#endif
} mach_msg_ool_ports_descriptor_t;

/*
 * Any of them. The kinds differ in size, so descriptors cannot be indexed as an array of this: look
 * at one's type, then step over its own size.
 */
typedef union {
    mach_msg_port_descriptor_t port;
    mach_msg_ool_descriptor_t out_of_line;
    mach_msg_ool_ports_descriptor_t ool_ports;
    mach_msg_type_descriptor_t type;
} mach_msg_descriptor_t;

typedef struct {
    mach_msg_size_t msgh_descriptor_count;
} mach_msg_body_t;

#define MACH_MSG_BODY_NULL ((mach_msg_body_t *)0)
#define MACH_MSG_DESCRIPTOR_NULL ((mach_msg_descriptor_t *)0)

/*
 * The header. To a sender remote is the destination and local the port for the reply (or null); to
 * the receiver local is the port that the message came to and remote the right to reply to.
 * msgh_voucher_port is always null here.
 */
typedef struct {
    mach_msg_bits_t msgh_bits;
    mach_msg_size_t msgh_size;
    mach_port_t msgh_remote_port;
    mach_port_t msgh_local_port;
    mach_port_name_t msgh_voucher_port;
    mach_msg_id_t msgh_id;
} mach_msg_header_t;

#define msgh_reserved msgh_voucher_port
#define MACH_MSG_NULL ((mach_msg_header_t *)0)

typedef struct {
    mach_msg_header_t header;
    mach_msg_body_t body;
} mach_msg_base_t;

/*
 * Trailers: what the system says about a message it delivers, written behind it at
 * round_msg(msgh_size). The receiver's options say how much it wants; each form extends the one
 * before. The receive buffer must have room for it.
 */
typedef unsigned int mach_msg_trailer_type_t;
typedef unsigned int mach_msg_trailer_size_t;
typedef char *mach_msg_trailer_info_t;

#define MACH_MSG_TRAILER_FORMAT_0 0

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
} mach_msg_trailer_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
} mach_msg_seqno_trailer_t;

/* The sender's effective user and group. */
typedef struct {
    unsigned int val[2];
} security_token_t;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
} mach_msg_security_trailer_t;

/* Who the sender is; take it apart with the functions of <bsm/libbsm.h>. */
typedef struct {
    unsigned int val[8];
} audit_token_t;

#define INVALID_AUDIT_TOKEN_VALUE                                                                  \
    {                                                                                              \
        {                                                                                          \
            UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX, UINT_MAX         \
        }                                                                                          \
    }

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
} mach_msg_audit_trailer_t;

/* With the context of the receive right. */
typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
    mach_port_context_t msgh_context;
} mach_msg_context_trailer_t;

/* The longest form. Labels and filters do not exist here: the two fields arrive as zero. */
typedef struct {
    mach_port_name_t sender;
} msg_labels_t;

typedef int mach_msg_filter_id;

typedef struct {
    mach_msg_trailer_type_t msgh_trailer_type;
    mach_msg_trailer_size_t msgh_trailer_size;
    mach_port_seqno_t msgh_seqno;
    security_token_t msgh_sender;
    audit_token_t msgh_audit;
    mach_port_context_t msgh_context;
    mach_msg_filter_id msgh_ad;
    msg_labels_t msgh_labels;
} mach_msg_mac_trailer_t;

typedef mach_msg_mac_trailer_t mach_msg_max_trailer_t;
typedef mach_msg_security_trailer_t mach_msg_format_0_trailer_t;

#define MACH_MSG_TRAILER_MINIMUM_SIZE sizeof(mach_msg_trailer_t)
#define MAX_TRAILER_SIZE ((mach_msg_size_t)sizeof(mach_msg_max_trailer_t))
#define MACH_MSG_TRAILER_FORMAT_0_SIZE sizeof(mach_msg_format_0_trailer_t)

/* Who sends the system's own messages, the notifications. */
#define KERNEL_SECURITY_TOKEN_VALUE {{0, 1}}
#define KERNEL_AUDIT_TOKEN_VALUE {{0, 0, 0, 0, 0, 0, 0, 0}}

/* A message of a header alone, and the buffer that receives it. */
typedef struct {
    mach_msg_header_t header;
} mach_msg_empty_send_t;

typedef struct {
    mach_msg_header_t header;
    mach_msg_trailer_t trailer;
} mach_msg_empty_rcv_t;

typedef union {
    mach_msg_empty_send_t send;
    mach_msg_empty_rcv_t rcv;
} mach_msg_empty_t;

#pragma pack(pop)

/* A message's size as it lies in the queue: where its trailer begins. */
#define round_msg(x) (((size_t)(mach_msg_size_t)(x) + 3) & ~(size_t)3)

#define MACH_MSG_SIZE_MAX ((mach_msg_size_t)~0)

/*
 * Options of mach_msg. The first two say what to do; with both, the message is sent and then one is
 * received into the same buffer.
 */
typedef integer_t mach_msg_option_t;
typedef integer_t mach_msg_options_t;

#define MACH_MSG_OPTION_NONE 0x00000000
#define MACH_SEND_MSG 0x00000001
#define MACH_RCV_MSG 0x00000002
#define MACH_RCV_LARGE 0x00000004          /* a message that does not fit stays queued */
#define MACH_RCV_LARGE_IDENTITY 0x00000008 /* and the port that it waits at is told */
#define MACH_SEND_TIMEOUT 0x00000010
#define MACH_SEND_INTERRUPT 0x00000040 /* a signal ends the call; else it is started again */
#define MACH_RCV_TIMEOUT 0x00000100
#define MACH_RCV_INTERRUPT 0x00000400 /* a signal ends the call; else it is started again */
#define MACH_RCV_OVERWRITE 0x00000000 /* of old meaning; sets nothing */
#define MACH_RCV_NOTIFY 0x00000000    /* of old meaning; sets nothing */

/* Which trailer a receiver wants: an _TYPE of format 0 and one of the _ELEMENTS. */
#define MACH_RCV_TRAILER_NULL 0   /* mach_msg_trailer_t */
#define MACH_RCV_TRAILER_SEQNO 1  /* mach_msg_seqno_trailer_t */
#define MACH_RCV_TRAILER_SENDER 2 /* mach_msg_security_trailer_t */
#define MACH_RCV_TRAILER_AUDIT 3  /* mach_msg_audit_trailer_t */
#define MACH_RCV_TRAILER_CTX 4    /* mach_msg_context_trailer_t */
#define MACH_RCV_TRAILER_AV 7     /* mach_msg_mac_trailer_t, as any element above 4 */
#define MACH_RCV_TRAILER_LABELS 8

#define MACH_RCV_TRAILER_TYPE(x) (((x) & 0xf) << 28)
#define MACH_RCV_TRAILER_ELEMENTS(x) (((x) & 0xf) << 24)
#define MACH_RCV_TRAILER_MASK ((0xf << 24))
#define GET_RCV_ELEMENTS(y) (((y) >> 24) & 0xf)

/* The size of the trailer that the options ask for. */
#define REQUESTED_TRAILER_SIZE_NATIVE(y)                                                           \
    ((mach_msg_trailer_size_t)(GET_RCV_ELEMENTS(y) == MACH_RCV_TRAILER_NULL                        \
                                   ? sizeof(mach_msg_trailer_t)                                    \
                               : GET_RCV_ELEMENTS(y) == MACH_RCV_TRAILER_SEQNO                     \
                                   ? sizeof(mach_msg_seqno_trailer_t)                              \
                               : GET_RCV_ELEMENTS(y) == MACH_RCV_TRAILER_SENDER                    \
                                   ? sizeof(mach_msg_security_trailer_t)                           \
                               : GET_RCV_ELEMENTS(y) == MACH_RCV_TRAILER_AUDIT                     \
                                   ? sizeof(mach_msg_audit_trailer_t)                              \
                               : GET_RCV_ELEMENTS(y) == MACH_RCV_TRAILER_CTX                       \
                                   ? sizeof(mach_msg_context_trailer_t)                            \
                                   : sizeof(mach_msg_max_trailer_t)))
#define REQUESTED_TRAILER_SIZE(y) REQUESTED_TRAILER_SIZE_NATIVE(y)

/*
 * What mach_msg returns. A code may have one of the MASK bits added, which says what ran short.
 *
 * A send that failed with INVALID_DEST, INVALID_REPLY, INVALID_HEADER or MSG_TOO_SMALL consumed
 * nothing. TIMED_OUT and INTERRUPTED hand the message back: the buffer is rewritten so that it owns
 * its rights, to be sent again as it stands or given to mach_msg_destroy. INVALID_RIGHT and the
 * other failures of the body have consumed the descriptors before the one that failed.
 */
typedef kern_return_t mach_msg_return_t;

#define MACH_MSG_SUCCESS 0x00000000

#define MACH_MSG_MASK 0x00003e00
#define MACH_MSG_IPC_SPACE 0x00002000  /* no room for another name */
#define MACH_MSG_VM_SPACE 0x00001000   /* no room for out-of-line memory */
#define MACH_MSG_IPC_KERNEL 0x00000800 /* the system is short of something for ports */
#define MACH_MSG_VM_KERNEL 0x00000400  /* the system is short of memory */

#define MACH_SEND_IN_PROGRESS 0x10000001
#define MACH_SEND_INVALID_DATA 0x10000002 /* the message cannot be read */
#define MACH_SEND_INVALID_DEST 0x10000003 /* no usable right to the destination, or it is dead */
#define MACH_SEND_TIMED_OUT 0x10000004    /* the queue stayed full */
#define MACH_SEND_INVALID_VOUCHER 0x10000005
#define MACH_SEND_INTERRUPTED 0x10000007   /* by a signal, with MACH_SEND_INTERRUPT */
#define MACH_SEND_MSG_TOO_SMALL 0x10000008 /* shorter than it says, or not a multiple of four */
#define MACH_SEND_INVALID_REPLY 0x10000009 /* no usable right to the reply port */
#define MACH_SEND_INVALID_RIGHT 0x1000000a /* a descriptor's name lacks the right */
#define MACH_SEND_INVALID_NOTIFY 0x1000000b
#define MACH_SEND_INVALID_MEMORY 0x1000000c /* out-of-line memory cannot be read */
#define MACH_SEND_NO_BUFFER 0x1000000d      /* the system cannot hold the message */
#define MACH_SEND_TOO_LARGE 0x1000000e      /* too long, or too many rights, for one message */
#define MACH_SEND_INVALID_TYPE 0x1000000f   /* a descriptor of no known kind */
#define MACH_SEND_INVALID_HEADER 0x10000010 /* msgh_bits make no sense */
#define MACH_SEND_INVALID_TRAILER 0x10000011
#define MACH_SEND_INVALID_CONTEXT 0x10000012
#define MACH_SEND_INVALID_OPTIONS 0x10000013
#define MACH_SEND_INVALID_RT_OOL_SIZE 0x10000015
#define MACH_SEND_NO_GRANT_DEST 0x10000016
#define MACH_SEND_MSG_FILTERED 0x10000017

#define MACH_RCV_IN_PROGRESS 0x10004001
#define MACH_RCV_INVALID_NAME 0x10004002 /* neither a receive right nor a port set */
#define MACH_RCV_TIMED_OUT 0x10004003    /* nothing came */
#define MACH_RCV_TOO_LARGE 0x10004004    /* lost, or still queued with MACH_RCV_LARGE */
#define MACH_RCV_INTERRUPTED 0x10004005  /* by a signal, with MACH_RCV_INTERRUPT */
#define MACH_RCV_PORT_CHANGED 0x10004006 /* the right or set went away while waiting */
#define MACH_RCV_INVALID_NOTIFY 0x10004007
#define MACH_RCV_INVALID_DATA 0x10004008 /* the buffer cannot be written */
#define MACH_RCV_PORT_DIED 0x10004009
#define MACH_RCV_IN_SET 0x1000400a
#define MACH_RCV_HEADER_ERROR 0x1000400b /* received but for the header's rights */
#define MACH_RCV_BODY_ERROR 0x1000400c   /* received but for some of the body's rights or memory */
#define MACH_RCV_INVALID_TYPE 0x1000400d
#define MACH_RCV_SCATTER_SMALL 0x1000400e
#define MACH_RCV_INVALID_TRAILER 0x1000400f
#define MACH_RCV_IN_PROGRESS_TIMED 0x10004011
#define MACH_RCV_INVALID_REPLY 0x10004012
#define MACH_RCV_INVALID_ARGUMENTS 0x10004013

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sends send_size bytes from msg if option says MACH_SEND_MSG, then receives from rcv_name (a
 * receive right or a port set) into the rcv_size bytes at msg if it says MACH_RCV_MSG. Both wait
 * without end unless MACH_SEND_TIMEOUT or MACH_RCV_TIMEOUT lends timeout a meaning. After a
 * successful send the message owns its rights no more and msg is unchanged; after a successful
 * receive the caller owns every right and all memory in msg. rcv_size must cover the message and
 * its trailer. notify is MACH_PORT_NULL.
 */
extern mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option,
                                  mach_msg_size_t send_size, mach_msg_size_t rcv_size,
                                  mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
                                  mach_port_name_t notify);

/*
 * As mach_msg, but receives into rcv_msg if that is not null, leaving msg as it was sent. rcv_limit
 * is ignored, as it has long been.
 */
extern mach_msg_return_t mach_msg_overwrite(mach_msg_header_t *msg, mach_msg_option_t option,
                                            mach_msg_size_t send_size, mach_msg_size_t rcv_size,
                                            mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
                                            mach_port_name_t notify, mach_msg_header_t *rcv_msg,
                                            mach_msg_size_t rcv_limit);

#ifdef __cplusplus
}
#endif

#endif
