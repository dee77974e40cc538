/*
 * Sending: the rights of a message are copied in, the packet is written to the destination's channel, and
 * the rights are then gone for good (committed), put back (undone), or received by the sender itself
 * (the pseudo-receive of Mach: nothing is lost when a send times out).
 *
 * The lock is not held while the kernel is asked to send. The destination and every right in the message
 * are references of the message's own, so their descriptors stay open.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "message.h"

#define INLINE_RIGHTS 6u
#define INLINE_BYTES 512u

/* How long a send without a deadline tries when the user's descriptors in flight are at their limit: no
 * receiver of ours may be the one to free them. */
#define IN_FLIGHT_PATIENCE_MS 1000u

/* Copy-in's word for: there is nothing left to send. Not one of Mach's codes. */
#define SENT_AND_DESTROYED (-1)

struct outbound {
    struct ml_right destination, reply;
    struct ml_right *rights; /* of the port descriptors, in order */
    uint32_t n_rights, rights_capacity;
    struct ml_right few_rights[INLINE_RIGHTS];

    /* The packet: what has to be rewritten is copied to `head`, the rest is sent from where it is. */
    uint8_t *head;
    uint32_t head_size;
    const uint8_t *tail;
    uint32_t tail_size;
    int fds[ML_FDS_MAX];
    unsigned n_fds;
    bool waited; /* the queue was full at least once */
    union {
        struct ml_wire align;
        uint8_t bytes[INLINE_BYTES];
    } few_bytes;
    struct ml_garbage garbage;
};

/* --- time ------------------------------------------------------------------------------------ */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

ml_deadline ml_deadline_after(mach_msg_timeout_t milliseconds)
{
    return now() + (int64_t)milliseconds * 1000000;
}

int ml_deadline_left(ml_deadline deadline)
{
    if (deadline == ML_FOREVER)
        return -1;
    int64_t left = deadline - now();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* --- copy-in --------------------------------------------------------------------------------- */

static bool sendable(mach_msg_type_name_t disposition)
{
    return disposition >= MACH_MSG_TYPE_MOVE_SEND && disposition <= MACH_MSG_TYPE_MAKE_SEND_ONCE;
}

/* May (name, disposition) be sent to, or replied to? Nothing is consumed to find out. */
static bool usable(mach_port_name_t name, mach_msg_type_name_t disposition)
{
    struct ml_entry *e = ml_entry_lookup(name);
    if (e == NULL)
        return false;
    switch (disposition) {
    case MACH_MSG_TYPE_MOVE_SEND:
    case MACH_MSG_TYPE_COPY_SEND:
        return e->kind == ML_SEND_RECEIVE && e->urefs != 0;
    case MACH_MSG_TYPE_MAKE_SEND:
    case MACH_MSG_TYPE_MAKE_SEND_ONCE:
        return e->kind == ML_SEND_RECEIVE && e->port->receiver != NULL;
    default:
        return e->kind == ML_ONCE;
    }
}

static mach_msg_return_t copyin_destination(struct outbound *out, const mach_msg_header_t *m)
{
    mach_port_name_t name = m->msgh_remote_port;
    mach_msg_type_name_t disposition = MACH_MSGH_BITS_REMOTE(m->msgh_bits);

    if (!usable(name, disposition))
        return MACH_SEND_INVALID_DEST;
    struct ml_entry *e = ml_entry_lookup(name);
    if (e->port->kind == ML_TASK)
        return MACH_SEND_INVALID_DEST; /* no kernel listens behind it */
    if (disposition != MACH_MSG_TYPE_COPY_SEND && disposition != MACH_MSG_TYPE_MAKE_SEND) {
        kern_return_t kr = ml_copyin(name, disposition, &out->destination, &out->garbage);
        return kr == KERN_SUCCESS ? MACH_MSG_SUCCESS : MACH_SEND_NO_BUFFER;
    }
    /* A right made or copied for this one message goes nowhere: a reference to the port will do. */
    out->destination = (struct ml_right){.carry = ML_CARRY_SEND,
                                         .fds = {-1, -1},
                                         .port = e->port,
                                         .disposition = (uint8_t)disposition};
    ml_port_retain(e->port);
    if (disposition == MACH_MSG_TYPE_MAKE_SEND)
        e->port->receiver->mscount++;
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t copyin_header(struct outbound *out, const mach_msg_header_t *m)
{
    mach_msg_type_name_t remote = MACH_MSGH_BITS_REMOTE(m->msgh_bits);
    mach_msg_type_name_t local = MACH_MSGH_BITS_LOCAL(m->msgh_bits);
    mach_port_name_t reply = m->msgh_local_port;
    bool named = reply != MACH_PORT_NULL && reply != MACH_PORT_DEAD;

    if (!sendable(remote) || (local == 0 ? reply != MACH_PORT_NULL : !sendable(local)))
        return MACH_SEND_INVALID_HEADER;
    if (named && remote == MACH_MSG_TYPE_MOVE_SEND_ONCE && reply == m->msgh_remote_port)
        return MACH_SEND_INVALID_DEST;
    if (!usable(m->msgh_remote_port, remote))
        return MACH_SEND_INVALID_DEST;
    if (named && !usable(reply, local)) {
        struct ml_entry *e = ml_entry_lookup(reply);
        if (e == NULL || e->kind != ML_DEAD)
            return MACH_SEND_INVALID_REPLY;
    }
    /* The reply first: a destination that is moved may be the same name's last reference. */
    if (local != 0) {
        kern_return_t kr = ml_copyin(reply, local, &out->reply, &out->garbage);
        if (kr != KERN_SUCCESS)
            return kr == KERN_RESOURCE_SHORTAGE ? MACH_SEND_NO_BUFFER : MACH_SEND_INVALID_REPLY;
    }
    mach_msg_return_t mr = copyin_destination(out, m);
    if (mr != MACH_MSG_SUCCESS)
        ml_right_undo(&out->reply, &out->garbage);
    return mr;
}

static bool rights_reserve(struct outbound *out, uint32_t n)
{
    out->rights = out->few_rights;
    if (n <= INLINE_RIGHTS)
        return true;
    out->rights = malloc(n * sizeof *out->rights);
    return out->rights != NULL;
}

/* Copies the descriptors in, rewriting them in the packet. On failure those before the bad one are
 * destroyed with the message; the bad one and those behind it are untouched: Mach's rule. */
static mach_msg_return_t copyin_descriptors(struct outbound *out, uint8_t *descriptors,
                                            uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        mach_msg_port_descriptor_t d;
        memcpy(&d, descriptors + i * sizeof d, sizeof d);
        struct ml_right *right = &out->rights[i];
        kern_return_t kr = ml_copyin(d.name, d.disposition, right, &out->garbage);
        if (kr != KERN_SUCCESS)
            return kr == KERN_RESOURCE_SHORTAGE ? MACH_SEND_NO_BUFFER : MACH_SEND_INVALID_RIGHT;
        out->n_rights++;
        d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
        d.name = right->carry;
        d.pad1 = 0;
        d.pad2 = 0;
        memcpy(descriptors + i * sizeof d, &d, sizeof d);
    }
    return MACH_MSG_SUCCESS;
}

/* How much of the message has to be rewritten; found before anything is consumed. */
static mach_msg_return_t measure(const mach_msg_header_t *m, uint32_t size, uint32_t *count,
                                 uint32_t *rewritten)
{
    *count = 0;
    *rewritten = sizeof *m;
    if ((m->msgh_bits & MACH_MSGH_BITS_COMPLEX) == 0)
        return MACH_MSG_SUCCESS;
    uint32_t at = sizeof *m + sizeof(mach_msg_body_t);
    if (size < at)
        return MACH_SEND_MSG_TOO_SMALL;
    memcpy(count, m + 1, sizeof *count);
    if (*count > (size - at) / sizeof(mach_msg_port_descriptor_t))
        return MACH_SEND_MSG_TOO_SMALL;
    const uint8_t *d = (const uint8_t *)m + at;
    for (uint32_t i = 0; i < *count; i++)
        if (d[i * sizeof(mach_msg_port_descriptor_t) + 11] != MACH_MSG_PORT_DESCRIPTOR)
            return MACH_SEND_INVALID_TYPE;
    *rewritten = at + *count * (uint32_t)sizeof(mach_msg_port_descriptor_t);
    return MACH_MSG_SUCCESS;
}

/* Lays the packet out: a small message whole in the head, of a large one what is rewritten. */
static bool lay_out(struct outbound *out, const mach_msg_header_t *m, uint32_t size,
                    uint32_t rewritten)
{
    uint32_t whole = sizeof(struct ml_wire) + size;
    uint32_t copied = whole <= INLINE_BYTES ? size : rewritten;

    out->head_size = (uint32_t)sizeof(struct ml_wire) + copied;
    out->head = out->head_size <= INLINE_BYTES ? out->few_bytes.bytes : malloc(out->head_size);
    if (out->head == NULL)
        return false;
    memcpy(out->head + sizeof(struct ml_wire), m, copied);
    out->tail = (const uint8_t *)m + copied;
    out->tail_size = size - copied;
    return true;
}

static int gather(struct outbound *out, struct ml_right *right)
{
    int fds[3];
    int n = ml_right_descriptors(right, fds, &out->garbage);
    if (n < 0)
        return errno;
    if (out->n_fds + (unsigned)n > ML_FDS_MAX)
        return E2BIG;
    for (int i = 0; i < n; i++)
        out->fds[out->n_fds++] = fds[i];
    return 0;
}

/* Fills in what depends on the rights: the wire header, the Mach header, the descriptors to pass. */
static int complete(struct outbound *out, const mach_msg_header_t *m, uint32_t size)
{
    int error = gather(out, &out->reply);
    for (uint32_t i = 0; error == 0 && i < out->n_rights; i++) {
        error = gather(out, &out->rights[i]);
        if (out->rights[i].carry == ML_CARRY_RECEIVE_STATE) {
            uint32_t name = ML_CARRY_RECEIVE_STATE;
            memcpy(out->head + sizeof(struct ml_wire) + sizeof *m + sizeof(mach_msg_body_t) +
                       i * sizeof(mach_msg_port_descriptor_t),
                   &name, sizeof name);
        }
    }
    mach_msg_type_name_t reply = MACH_MSGH_BITS_LOCAL(m->msgh_bits);
    mach_msg_header_t header = {
        .msgh_bits = (m->msgh_bits & MACH_MSGH_BITS_COMPLEX) | ml_disposition_arrived(reply),
        .msgh_size = size,
        .msgh_id = m->msgh_id,
    };
    struct ml_wire wire = {.magic = ML_WIRE_MAGIC, .n_fds = (uint16_t)out->n_fds,
                           .reply = out->reply.carry};
    memcpy(out->head, &wire, sizeof wire);
    memcpy(out->head + sizeof wire, &header, sizeof header);
    return error;
}

/* --- transmission ---------------------------------------------------------------------------- */

/* Waits for room. The kernel reports room only when three quarters of the buffer are free, so look
 * again now and then: the message may fit before. */
static mach_msg_return_t wait_for_room(int tx, mach_msg_option_t option, ml_deadline deadline,
                                       int *slice)
{
    int left = ml_deadline_left(deadline);
    if (left == 0)
        return MACH_SEND_TIMED_OUT;
    struct pollfd p = {.fd = tx, .events = POLLOUT};
    int ms = left < 0 || *slice < left ? *slice : left;
    if (poll(&p, 1, ms) < 0 && errno == EINTR && (option & MACH_SEND_INTERRUPT) != 0)
        return MACH_SEND_INTERRUPTED;
    *slice = *slice < 8 ? *slice * 2 : 8;
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t transmit(struct outbound *out, mach_msg_option_t option,
                                  ml_deadline deadline)
{
    struct iovec iov[2] = {{out->head, out->head_size},
                           {(void *)(uintptr_t)out->tail, out->tail_size}};
    int tx = out->destination.port->tx, slice = 1;
    ml_deadline patience = 0;

    for (;;) {
        int error = ml_packet_write(tx, iov, out->tail_size != 0 ? 2 : 1, out->fds, out->n_fds);
        switch (error) {
        case 0:
            return MACH_MSG_SUCCESS;
        case ETOOMANYREFS:
            if (deadline == ML_FOREVER) {
                if (patience == 0)
                    patience = ml_deadline_after(IN_FLIGHT_PATIENCE_MS);
                else if (ml_deadline_left(patience) == 0)
                    return MACH_SEND_NO_BUFFER;
            }
            slice = 8;
            break;
        case EAGAIN:
            break;
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
            return MACH_SEND_INVALID_DEST;
        case EMSGSIZE:
        case EINVAL:
            return MACH_SEND_TOO_LARGE;
        case EFAULT:
            return MACH_SEND_INVALID_DATA;
        default:
            return MACH_SEND_NO_BUFFER;
        }
        out->waited = true;
        mach_msg_return_t mr =
            error == ETOOMANYREFS && deadline != ML_FOREVER && ml_deadline_left(deadline) == 0
                ? MACH_SEND_TIMED_OUT
                : wait_for_room(tx, option, deadline, &slice);
        if (mr != MACH_MSG_SUCCESS)
            return mr;
    }
}

/* --- what becomes of the rights -------------------------------------------------------------- */

typedef void (*right_end)(struct ml_right *right, struct ml_garbage *g);

static void end_rights(struct outbound *out, right_end end)
{
    for (uint32_t i = out->n_rights; i-- > 0;)
        end(&out->rights[i], &out->garbage);
    end(&out->destination, &out->garbage);
    end(&out->reply, &out->garbage);
}

/* The sender receives its own message: the buffer names rights that it owns, with the dispositions
 * under which it may send it again as it stands. */
static void pseudo_receive(struct outbound *out, mach_msg_header_t *m)
{
    bool full = false;
    mach_msg_bits_t bits = m->msgh_bits & MACH_MSGH_BITS_COMPLEX;
    mach_msg_type_name_t remote =
        ml_disposition_arrived(MACH_MSGH_BITS_REMOTE(m->msgh_bits));
    mach_msg_type_name_t local = ml_disposition_arrived(MACH_MSGH_BITS_LOCAL(m->msgh_bits));

    if (out->destination.carry == ML_CARRY_SEND)
        remote = MACH_MSG_TYPE_PORT_SEND;
    m->msgh_remote_port = ml_copyout(&out->destination, &full, &out->garbage);
    m->msgh_local_port = ml_copyout(&out->reply, &full, &out->garbage);
    m->msgh_bits = bits | MACH_MSGH_BITS(remote, local);
    uint8_t *at = (uint8_t *)(m + 1) + sizeof(mach_msg_body_t);
    for (uint32_t i = 0; i < out->n_rights; i++, at += sizeof(mach_msg_port_descriptor_t)) {
        mach_msg_port_descriptor_t d;
        memcpy(&d, at, sizeof d);
        d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
        d.name = ml_copyout(&out->rights[i], &full, &out->garbage);
        memcpy(at, &d, sizeof d);
    }
}

static mach_msg_return_t conclude(struct outbound *out, mach_msg_header_t *m, mach_msg_return_t mr)
{
    switch (mr) {
    case MACH_MSG_SUCCESS:
        end_rights(out, ml_right_commit);
        return mr;
    case MACH_SEND_TIMED_OUT:
    case MACH_SEND_INTERRUPTED:
        pseudo_receive(out, m);
        return mr;
    case MACH_SEND_INVALID_DEST:
        out->destination.port->dead = true;
        if (!out->waited && out->destination.carry == ML_CARRY_SEND) {
            end_rights(out, ml_right_undo);
            return mr;
        }
        /* The port died with the message on its way: to the sender it was sent, and what it carries
         * is destroyed with the port. A send-once right is used up by that. */
        end_rights(out, ml_right_destroy);
        return MACH_MSG_SUCCESS;
    default:
        end_rights(out, ml_right_undo);
        return mr;
    }
}

/* Rights that cannot be put back without a trace are not taken out for a port that is known dead. */
static bool dead_already(const struct outbound *out, const mach_msg_header_t *m, uint32_t count)
{
    if (count == 0 && MACH_MSGH_BITS_LOCAL(m->msgh_bits) != MACH_MSG_TYPE_MAKE_SEND_ONCE)
        return false;
    const struct ml_port *p = out->destination.port;
    const uint8_t *d = (const uint8_t *)(m + 1) + sizeof(mach_msg_body_t);
    bool ask = MACH_MSGH_BITS_LOCAL(m->msgh_bits) == MACH_MSG_TYPE_MAKE_SEND_ONCE;
    for (uint32_t i = 0; !ask && i < count; i++) {
        uint8_t disposition = d[i * sizeof(mach_msg_port_descriptor_t) + 10];
        ask = disposition == MACH_MSG_TYPE_MOVE_RECEIVE ||
              disposition == MACH_MSG_TYPE_MAKE_SEND_ONCE;
    }
    return ask && p->receiver == NULL && p->kind == ML_PORT && ml_fd_hung_up(p->tx);
}

/* A receive right sent to its own port: nobody could ever receive it. */
static bool carries_its_destination(const struct outbound *out)
{
    for (uint32_t i = 0; i < out->n_rights; i++)
        if (out->rights[i].receiver != NULL && out->rights[i].port == out->destination.port)
            return true;
    return false;
}

/* Everything that is done under the lock before the packet is sent. */
static mach_msg_return_t copyin(struct outbound *out, const mach_msg_header_t *m, uint32_t size,
                                uint32_t count)
{
    mach_msg_return_t mr = copyin_header(out, m);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    if (dead_already(out, m, count)) {
        end_rights(out, ml_right_undo);
        return MACH_SEND_INVALID_DEST;
    }
    if (count != 0)
        mr = copyin_descriptors(out,
                                out->head + sizeof(struct ml_wire) + sizeof *m +
                                    sizeof(mach_msg_body_t),
                                count);
    if (mr == MACH_SEND_INVALID_RIGHT) {
        end_rights(out, ml_right_destroy);
        return mr;
    }
    if (mr == MACH_MSG_SUCCESS && carries_its_destination(out)) {
        end_rights(out, ml_right_destroy);
        return SENT_AND_DESTROYED;
    }
    int error = mr == MACH_MSG_SUCCESS ? complete(out, m, size) : ENOBUFS;
    if (error == 0)
        return MACH_MSG_SUCCESS;
    end_rights(out, ml_right_undo);
    return error == E2BIG ? MACH_SEND_TOO_LARGE : MACH_SEND_NO_BUFFER;
}

mach_msg_return_t ml_send(mach_msg_header_t *m, mach_msg_option_t option, mach_msg_size_t size,
                          ml_deadline deadline)
{
    struct outbound out;
    uint32_t count, rewritten;

    if (m == NULL)
        return MACH_SEND_INVALID_DATA;
    if (size < sizeof *m || size % 4 != 0)
        return MACH_SEND_MSG_TOO_SMALL;
    mach_msg_return_t mr = measure(m, size, &count, &rewritten);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    if (size > ML_PACKET_MAX - sizeof(struct ml_wire))
        return MACH_SEND_TOO_LARGE;
    out.n_rights = 0;
    out.n_fds = 0;
    out.waited = false;
    out.garbage.n = 0;
    out.destination = out.reply = (struct ml_right){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    out.head = NULL;
    if (!rights_reserve(&out, count))
        return MACH_SEND_NO_BUFFER;
    if (lay_out(&out, m, size, rewritten)) {
        ml_lock();
        mr = copyin(&out, m, size, count);
        ml_unlock();
        if (mr == SENT_AND_DESTROYED) {
            mr = MACH_MSG_SUCCESS;
        } else if (mr == MACH_MSG_SUCCESS) {
            mr = transmit(&out, option, deadline);
            ml_lock();
            mr = conclude(&out, m, mr);
            ml_unlock();
        }
        ml_garbage_flush(&out.garbage);
    } else {
        mr = MACH_SEND_NO_BUFFER;
    }
    if (out.head != out.few_bytes.bytes)
        free(out.head);
    if (out.rights != out.few_rights)
        free(out.rights);
    return mr;
}
