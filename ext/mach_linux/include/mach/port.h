/*
 * Ports and the names by which a task knows them.
 *
 * A port is a queue of messages with one receiver and any number of senders. A task holds *rights*
 * to ports and knows each by a *name*, an integer that means something in that task alone:
 *
 *   receive right     takes messages from the queue; there is exactly one, and the port dies with
 * it send right        puts messages into the queue; a name counts its user references (urefs)
 *   send-once right   as a send right, for a single message; destroying it unused sends a
 * notification port set          receives from any of the ports that are its members dead name what
 * a send or send-once right becomes when its port dies
 *
 * A task that holds receive and send rights to one port holds them under one name. Each send-once
 * right has a name of its own.
 */
#ifndef _MACH_PORT_H_
#define _MACH_PORT_H_

#include <stdint.h>
#include <mach/boolean.h>
#include <mach/machine/vm_types.h>

/*
 * Names. mach_port_t is a name that comes with a right, mach_port_name_t the name alone; they are
 * the same integer. MACH_PORT_NULL is no port; MACH_PORT_DEAD arrives in place of a right whose
 * port died on the way.
 */
typedef natural_t mach_port_name_t;
typedef mach_port_name_t *mach_port_name_array_t;
typedef natural_t mach_port_t;
typedef mach_port_t *mach_port_array_t;

#define MACH_PORT_NULL 0
#define MACH_PORT_DEAD ((mach_port_name_t)~0)
#define MACH_PORT_VALID(name) (((name) != MACH_PORT_NULL) && ((name) != MACH_PORT_DEAD))

/* A name is an index and a generation, so that a reused index makes another name. */
#define MACH_PORT_INDEX(name) ((name) >> 8)
#define MACH_PORT_GEN(name) (((name) & 0xff) << 24)
#define MACH_PORT_MAKE(index, gen) (((index) << 8) | ((gen) >> 24))

/* Kinds of rights, as mach_port_allocate, mach_port_get_refs and mach_port_mod_refs take them. */
typedef natural_t mach_port_right_t;

#define MACH_PORT_RIGHT_SEND ((mach_port_right_t)0)
#define MACH_PORT_RIGHT_RECEIVE ((mach_port_right_t)1)
#define MACH_PORT_RIGHT_SEND_ONCE ((mach_port_right_t)2)
#define MACH_PORT_RIGHT_PORT_SET ((mach_port_right_t)3)
#define MACH_PORT_RIGHT_DEAD_NAME ((mach_port_right_t)4)
#define MACH_PORT_RIGHT_LABELH ((mach_port_right_t)5)
#define MACH_PORT_RIGHT_NUMBER ((mach_port_right_t)6)

/* What mach_port_type and mach_port_names report: one bit for each kind of right under the name. */
typedef natural_t mach_port_type_t;
typedef mach_port_type_t *mach_port_type_array_t;

#define MACH_PORT_TYPE(right)                                                                      \
    ((mach_port_type_t)(((mach_port_type_t)1) << ((right) + ((mach_port_right_t)16))))
#define MACH_PORT_TYPE_NONE ((mach_port_type_t)0L)
#define MACH_PORT_TYPE_SEND MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND)
#define MACH_PORT_TYPE_RECEIVE MACH_PORT_TYPE(MACH_PORT_RIGHT_RECEIVE)
#define MACH_PORT_TYPE_SEND_ONCE MACH_PORT_TYPE(MACH_PORT_RIGHT_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_SET MACH_PORT_TYPE(MACH_PORT_RIGHT_PORT_SET)
#define MACH_PORT_TYPE_DEAD_NAME MACH_PORT_TYPE(MACH_PORT_RIGHT_DEAD_NAME)
#define MACH_PORT_TYPE_LABELH MACH_PORT_TYPE(MACH_PORT_RIGHT_LABELH)

/* A dead-name notification is requested for the name; cleared when it fires. */
#define MACH_PORT_TYPE_DNREQUEST 0x80000000
#define MACH_PORT_TYPE_SPREQUEST 0x40000000
#define MACH_PORT_TYPE_SPREQUEST_DELAYED 0x20000000

#define MACH_PORT_TYPE_SEND_RECEIVE (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_SEND_RIGHTS (MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_SEND_ONCE)
#define MACH_PORT_TYPE_PORT_RIGHTS (MACH_PORT_TYPE_SEND_RIGHTS | MACH_PORT_TYPE_RECEIVE)
#define MACH_PORT_TYPE_PORT_OR_DEAD (MACH_PORT_TYPE_PORT_RIGHTS | MACH_PORT_TYPE_DEAD_NAME)
#define MACH_PORT_TYPE_ALL_RIGHTS (MACH_PORT_TYPE_PORT_OR_DEAD | MACH_PORT_TYPE_PORT_SET)

/* Counters of a port. */
typedef natural_t mach_port_urefs_t;    /* user references of a name */
typedef integer_t mach_port_delta_t;    /* a change to them */
typedef natural_t mach_port_seqno_t;    /* messages taken from the queue so far */
typedef natural_t mach_port_mscount_t;  /* send rights made so far */
typedef natural_t mach_port_msgcount_t; /* messages in the queue */
typedef natural_t mach_port_rights_t;   /* how many rights */
typedef unsigned int mach_port_srights_t;

#define MACH_PORT_SRIGHTS_NONE 0
#define MACH_PORT_SRIGHTS_PRESENT 1

/*
 * Attributes of a receive right. mach_port_get_attributes takes either flavor,
 * mach_port_set_attributes only MACH_PORT_LIMITS_INFO; the count is in natural_t words.
 */
typedef integer_t *mach_port_info_t;
typedef int mach_port_flavor_t;

#define MACH_PORT_LIMITS_INFO 1    /* mach_port_limits_t */
#define MACH_PORT_RECEIVE_STATUS 2 /* mach_port_status_t */

typedef struct mach_port_limits {
    mach_port_msgcount_t mpl_qlimit; /* senders wait while this many messages are queued */
} mach_port_limits_t;

typedef struct mach_port_status {
    mach_port_rights_t mps_pset;       /* is it a member of a set */
    mach_port_seqno_t mps_seqno;       /* of the next message */
    mach_port_mscount_t mps_mscount;   /* send rights made */
    mach_port_msgcount_t mps_qlimit;   /* see mpl_qlimit */
    mach_port_msgcount_t mps_msgcount; /* messages queued */
    mach_port_rights_t mps_sorights;   /* send-once rights in existence */
    boolean_t mps_srights;             /* are there send rights */
    boolean_t mps_pdrequest;           /* is a port-destroyed notification requested */
    boolean_t mps_nsrequest;           /* is a no-senders notification requested */
    natural_t mps_flags;               /* MACH_PORT_STATUS_FLAG_ */
} mach_port_status_t;

#define MACH_PORT_LIMITS_INFO_COUNT ((natural_t)(sizeof(mach_port_limits_t) / sizeof(natural_t)))
#define MACH_PORT_RECEIVE_STATUS_COUNT ((natural_t)(sizeof(mach_port_status_t) / sizeof(natural_t)))

#define MACH_PORT_STATUS_FLAG_TEMPOWNER 0x01
#define MACH_PORT_STATUS_FLAG_GUARDED 0x02
#define MACH_PORT_STATUS_FLAG_STRICT_GUARD 0x04
#define MACH_PORT_STATUS_FLAG_GUARD_IMMOVABLE_RECEIVE 0x40

#define MACH_PORT_QLIMIT_ZERO (0)
#define MACH_PORT_QLIMIT_BASIC (5)
#define MACH_PORT_QLIMIT_SMALL (16)
#define MACH_PORT_QLIMIT_LARGE (1024)
#define MACH_PORT_QLIMIT_MIN MACH_PORT_QLIMIT_ZERO
#define MACH_PORT_QLIMIT_DEFAULT MACH_PORT_QLIMIT_BASIC
#define MACH_PORT_QLIMIT_MAX MACH_PORT_QLIMIT_LARGE

/*
 * What mach_port_construct is to make: flags, and the limits if MPO_QLIMIT is among them. Zero the
 * structure first; the reserved words stay zero.
 */
typedef struct mach_port_options {
    uint32_t flags; /* MPO_ */
    mach_port_limits_t mpl;
    uint64_t reserved[2];
} mach_port_options_t;

typedef mach_port_options_t *mach_port_options_ptr_t;

#define MPO_CONTEXT_AS_GUARD                                                                       \
    0x01                   /* the context guards the port: mach_port_destruct must match it */
#define MPO_QLIMIT 0x02    /* take the queue limit from mpl */
#define MPO_TEMPOWNER 0x04 /* accepted, without meaning here */
#define MPO_IMPORTANCE_RECEIVER 0x08 /* accepted, without meaning here */
#define MPO_INSERT_SEND_RIGHT 0x10   /* one send right under the same name */
#define MPO_STRICT 0x20              /* with a guard: a strict one, as the port status says */
#define MPO_IMMOVABLE_RECEIVE 0x80   /* accepted, without meaning here */

#endif
