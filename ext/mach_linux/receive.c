/*
 * Receiving: a packet is taken from a receive right or a set, checked against the buffer, and
 * delivered: its rights get names, its header becomes what Mach shows a receiver, a trailer
 * follows.
 *
 * The order matters to Mach's users: a message that does not fit stays where it was
 * (MACH_RCV_LARGE) or is destroyed, and only one that fits takes a sequence number and touches the
 * name space. That is decided under the receiver's lock, so that threads receiving from one port
 * keep its order.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "forks.h"
#include "message.h"
#include "notify.h"
#include "refusal.h"
#include "sets.h"
#include "vm.h"

#define RIGHTS_MAX (ML_FDS_MAX + 1)

/* Packets that are no messages are dropped; so many of them end a receive that should not wait. So
 * do as many looks at members of a set that have nothing after all. A member that has so few has
 * had its turn: the others may have messages. */
#define DROPS_MAX 1000u
#define DROPS_A_TURN 32u

struct inbound {
    struct ml_packet packet;
    unsigned dropped; /* before it, in this call */
    bool unowned;     /* it came with descriptors, which are counted: see forks.h */
    uint32_t seqno;
    struct ml_receiver_identity port; /* that it came to */
    uint32_t n_rights;
    struct ml_right reply;
    struct ml_right *rights; /* few_rights, or on the heap */
    struct ml_right few_rights[RIGHTS_MAX];
};

/* --- trailers -------------------------------------------------------------------------------- */

static uint32_t trailer_size(mach_msg_option_t option)
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

static void put_trailer(uint8_t *at, uint32_t size, const struct inbound *in)
{
    const struct ml_packet *packet = &in->packet;
    mach_msg_mac_trailer_t t;
    memset(&t, 0, sizeof t);
    t.msgh_trailer_type = MACH_MSG_TRAILER_FORMAT_0;
    t.msgh_trailer_size = size;
    t.msgh_seqno = in->seqno;
    t.msgh_context = in->port.context;
    if (packet->kernel) {
        t.msgh_sender.val[1] = 1;
    } else {
        uint32_t uid = packet->sender.uid, gid = packet->sender.gid;
        t.msgh_sender.val[0] = uid;
        t.msgh_sender.val[1] = gid;
        uint32_t token[8] = {UINT32_MAX, uid, gid, uid, gid, (uint32_t)packet->sender.pid, 0, 0};
        memcpy(t.msgh_audit.val, token, sizeof token);
    }
    memcpy(at, &t, size);
}

/* --- delivery -------------------------------------------------------------------------------- */

static uint32_t descriptor_count(const mach_msg_header_t *h)
{
    uint32_t count = 0;
    if ((h->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0)
        memcpy(&count, h + 1, sizeof count);
    return count;
}

static uint8_t *first_descriptor(mach_msg_header_t *h)
{
    return (uint8_t *)(h + 1) + sizeof(mach_msg_body_t);
}

/* What a descriptor's rights travel as: in the name of an inline one, behind the message for an
 * array. */
struct carries {
    const uint8_t *kinds;
    uint32_t n;
    uint8_t one;
};

/* Looks at a descriptor; `extra` walks along the bytes behind the message. */
static struct carries look_at(const uint8_t *at, const uint8_t **extra)
{
    struct carries c = {0};
    if (ml_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR) {
        uint32_t name;
        memcpy(&name, at, sizeof name);
        c.one = (uint8_t)name; /* a kind, as was checked */
        c.n = 1;
    } else if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR) {
        mach_msg_ool_descriptor_t d;
        memcpy(&d, at, sizeof d);
        *extra += ml_padded(d.size);
    } else {
        mach_msg_ool_ports_descriptor_t d;
        memcpy(&d, at, sizeof d);
        c.kinds = *extra;
        c.n = d.count;
        *extra += ml_padded(d.count);
    }
    return c;
}

static uint8_t carry_of(const struct carries *c, uint32_t i)
{
    return c->kinds != NULL ? c->kinds[i] : c->one;
}

/* Takes the descriptors of one descriptor's rights. */
static bool take_some(struct inbound *in, const struct carries *c, unsigned *next)
{
    for (uint32_t i = 0; i < c->n; i++) {
        uint8_t carry = carry_of(c, i);
        if (ml_carry_fds(carry) == 0)
            continue; /* NULL or DEAD: as many as fit the message, and nothing to keep */
        if (!ml_right_arrive(&in->packet, next, carry, &in->rights[in->n_rights]))
            return false;
        in->n_rights++;
    }
    return true;
}

/* Room for all rights that the packet can have: each takes a descriptor at least. */
static bool rights_open(struct inbound *in)
{
    in->n_rights = 0;
    in->rights = in->few_rights;
    if (in->packet.n_fds <= RIGHTS_MAX)
        return true;
    in->rights = malloc(in->packet.n_fds * sizeof *in->rights);
    if (in->rights != NULL)
        return true;
    ml_refused("malloc", ENOMEM);
    ml_packet_drop(&in->packet);
    return false;
}

static void rights_close(struct inbound *in)
{
    if (in->rights != in->few_rights)
        free(in->rights);
}

/* Turns the packet's descriptors into rights. False: one was not what it claimed, all are dropped.
 */
static bool take_rights(struct inbound *in)
{
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint8_t *at = first_descriptor(h), *extra = (const uint8_t *)h + h->msgh_size;
    unsigned next = 0;
    uint32_t count = descriptor_count(h);

    bool good = ml_right_arrive(&in->packet, &next, ml_packet_wire(&in->packet)->reply, &in->reply);
    if (!good)
        in->reply = (struct ml_right){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    for (uint32_t i = 0; good && i < count; i++, at += ml_descriptor_size(at)) {
        struct carries c = look_at(at, &extra);
        good = take_some(in, &c, &next);
    }
    if (good)
        return true;
    ml_right_reject(&in->reply);
    while (in->n_rights != 0)
        ml_right_reject(&in->rights[--in->n_rights]);
    ml_packet_drop(&in->packet);
    return false;
}

/* Gives the rights that one descriptor is for their names, in order. */
static void name_some(struct inbound *in, const struct carries *c, uint32_t *next, uint8_t *names,
                      bool *full, struct ml_garbage *g)
{
    for (uint32_t i = 0; i < c->n; i++) {
        uint8_t carry = carry_of(c, i);
        mach_port_name_t name = carry == ML_CARRY_DEAD ? MACH_PORT_DEAD : MACH_PORT_NULL;
        if (ml_carry_fds(carry) != 0)
            name = ml_copyout(&in->rights[(*next)++], full, g);
        memcpy(names + i * sizeof name, &name, sizeof name);
    }
}

/* Out-of-line memory: pages of the receiver's own, with what was sent. */
static void place_memory(uint8_t *at, const uint8_t *content, bool *full)
{
    mach_msg_ool_descriptor_t d;
    memcpy(&d, at, sizeof d);
    d.address = ml_vm_allocate(d.size);
    if (d.address != NULL)
        memcpy(d.address, content, d.size);
    else
        *full = *full || d.size != 0;
    d.deallocate = d.copy == MACH_MSG_VIRTUAL_COPY;
    memcpy(at, &d, sizeof d);
}

static void place_array(uint8_t *at, bool *full)
{
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    d.address = ml_vm_allocate(d.count * sizeof(mach_port_name_t));
    *full = *full || (d.address == NULL && d.count != 0);
    d.deallocate = 1;
    memcpy(at, &d, sizeof d);
}

/* Memory of all that came out of line. It takes time, so not with the lock held. False: there was
 * no room for some of it. */
static bool place_parts(struct inbound *in)
{
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint8_t *extra = (const uint8_t *)h + h->msgh_size;
    uint8_t *at = first_descriptor(h);
    uint32_t count = descriptor_count(h);
    bool full = false;

    for (uint32_t i = 0; i < count; i++, at += ml_descriptor_size(at)) {
        const uint8_t *content = extra;
        (void)look_at(at, &extra);
        if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR)
            place_memory(at, content, &full);
        else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            place_array(at, &full);
    }
    return !full;
}

static void name_array(struct inbound *in, uint8_t *at, const struct carries *c, uint32_t *next,
                       bool *full, struct ml_garbage *g)
{
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    if (d.address != NULL) {
        name_some(in, c, next, d.address, full, g);
        return;
    }
    for (uint32_t i = 0; i < c->n; i++)
        if (ml_carry_fds(carry_of(c, i)) != 0)
            ml_right_destroy(&in->rights[(*next)++], g);
    d.count = 0;
    memcpy(at, &d, sizeof d);
}

static void name_descriptor(struct inbound *in, uint8_t *at, const uint8_t **extra, uint32_t *next,
                            bool *full, struct ml_garbage *g)
{
    struct carries c = look_at(at, extra);

    if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR) {
        name_array(in, at, &c, next, full, g);
    } else if (ml_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR) {
        name_some(in, &c, next, at, full, g);
        memset(at + sizeof(mach_port_name_t), 0, 6); /* the pads of a port descriptor */
    }
}

/* Gives out-of-line parts their memory and every right its name, in the message's order. False:
 * there was no room for some of it. */
static bool name_rights(struct inbound *in)
{
    struct ml_garbage g = {0};
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint8_t *extra = (const uint8_t *)h + h->msgh_size;
    uint8_t *at = first_descriptor(h);
    uint32_t count = descriptor_count(h), next = 0;
    bool full = count != 0 && !place_parts(in);

    if (count != 0 || in->reply.carry != ML_CARRY_NULL) {
        ml_lock();
        h->msgh_remote_port = ml_copyout(&in->reply, &full, &g);
        for (uint32_t i = 0; i < count; i++, at += ml_descriptor_size(at))
            name_descriptor(in, at, &extra, &next, &full, &g);
        ml_unlock();
        ml_garbage_flush(&g);
    }
    return !full;
}

/* A message that is not delivered: rights that found no room are gone, all else goes with it,
 * memory also that its receiver would have had to free by itself. */
static void destroy_named(struct inbound *in)
{
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    uint8_t *at = first_descriptor(h);

    for (uint32_t i = 0, n = descriptor_count(h); i < n; i++, at += ml_descriptor_size(at)) {
        mach_msg_ool_descriptor_t d;
        if (ml_descriptor_type(at) != MACH_MSG_OOL_DESCRIPTOR)
            continue;
        memcpy(&d, at, sizeof d);
        d.deallocate = 1;
        if (d.address == NULL)
            d.size = 0;
        memcpy(at, &d, sizeof d);
    }
    mach_msg_destroy(h);
    ml_packet_drop(&in->packet);
}

static mach_msg_return_t deliver(struct inbound *in, mach_msg_header_t *buffer,
                                 mach_msg_option_t option)
{
    if (!name_rights(in)) {
        destroy_named(in);
        return MACH_RCV_BODY_ERROR | MACH_MSG_IPC_SPACE;
    }
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    h->msgh_bits |= in->packet.via << 8;
    h->msgh_local_port = in->port.name;
    h->msgh_voucher_port = MACH_PORT_NULL;
    uint32_t size = h->msgh_size;
    memcpy(buffer, h, size);
    put_trailer((uint8_t *)buffer + size, trailer_size(option), in);
    ml_packet_drop(&in->packet);
    return MACH_MSG_SUCCESS;
}

/* A message that was destroyed because it was too large leaves a bare header. */
static void put_bare_header(struct inbound *in, mach_msg_header_t *buffer, mach_msg_size_t size)
{
    struct {
        mach_msg_header_t h;
        uint8_t trailer[sizeof(mach_msg_mac_trailer_t)];
    } bare;
    memset(&bare, 0, sizeof bare);
    bare.h.msgh_bits = in->packet.via << 8;
    bare.h.msgh_size = sizeof bare.h;
    bare.h.msgh_local_port = in->port.name;
    bare.h.msgh_id = ml_packet_header(&in->packet)->msgh_id;
    put_trailer(bare.trailer, sizeof(mach_msg_trailer_t), in);
    uint32_t whole = sizeof bare.h + sizeof(mach_msg_trailer_t);
    memcpy(buffer, &bare, size < whole ? size : whole);
}

/* --- taking from a queue --------------------------------------------------------------------- */

enum taken { TAKEN, EMPTY, LEFT_LARGE, GONE_LARGE, DROPPED, CHANGED, FAILED };

/* The descriptors that a message came with did not fit the table, or it did not fit the memory. */
static mach_msg_return_t reading_failed(int error)
{
    return MACH_RCV_BODY_ERROR | (error == EMFILE ? MACH_MSG_IPC_SPACE : MACH_MSG_IPC_KERNEL);
}

/* One try at the queue, under its lock. */
static enum taken take(struct ml_receiver *r, mach_msg_option_t option, mach_msg_size_t size,
                       struct inbound *in, mach_msg_return_t *failure)
{
    enum taken result = TAKEN;
    pthread_mutex_lock(&r->lock);
    while (ml_fork_is_near()) {
        pthread_mutex_unlock(&r->lock);
        ml_fork_pause();
        pthread_mutex_lock(&r->lock);
    }
    if (!r->alive) {
        in->unowned = false;
        pthread_mutex_unlock(&r->lock);
        return CHANGED;
    }
    int error = ml_receiver_next(r, &in->packet);
    switch (error) {
    case 0: {
        uint32_t needed = ml_packet_header(&in->packet)->msgh_size + trailer_size(option);
        if (needed <= size) {
            in->seqno = r->seqno++;
        } else if ((option & MACH_RCV_LARGE) != 0) {
            result = ml_receiver_stash(r, &in->packet) == 0 ? LEFT_LARGE : FAILED;
            *failure = MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
        } else {
            in->seqno = r->seqno++;
            result = GONE_LARGE;
        }
        break;
    }
    case EAGAIN:
        result = EMPTY;
        break;
    case EBADMSG:
        result = DROPPED;
        break;
    case EPIPE: /* somebody shut the shared sending end down: no message will ever come */
        ml_receiver_severed(r);
        *failure = MACH_RCV_PORT_DIED;
        result = FAILED;
        break;
    default:
        *failure = reading_failed(error);
        result = FAILED;
        break;
    }
    in->unowned = error == 0 && (in->packet.n_fds != 0 || in->packet.file >= 0);
    if (in->unowned)
        ml_unowned_begin();
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* False: it was no message after all. */
static bool settle_taken(struct inbound *in, mach_msg_header_t *buffer, mach_msg_option_t option,
                         mach_msg_return_t *result)
{
    int error = in->packet.file >= 0 ? ml_packet_load(&in->packet) : 0;
    if (error != 0) {
        ml_packet_drop(&in->packet);
        if (error != EBADMSG)
            *result = reading_failed(error);
        return error != EBADMSG;
    }
    if (!rights_open(in)) {
        *result = MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
        return true;
    }
    bool good = take_rights(in);
    if (good)
        *result = deliver(in, buffer, option);
    rights_close(in);
    return good;
}

/* What one try means for the call. True: it is over, with *result. */
static bool settle_one(enum taken taken, struct inbound *in, mach_msg_header_t *buffer,
                       mach_msg_option_t option, mach_msg_size_t size, mach_msg_return_t *result)
{
    switch (taken) {
    case TAKEN:
        return settle_taken(in, buffer, option, result);
    case LEFT_LARGE:
        *result = MACH_RCV_TOO_LARGE;
        if (size >= 16) /* the size is written where there is room for the header's first half */
            buffer->msgh_size = ml_packet_header(&in->packet)->msgh_size;
        if ((option & MACH_RCV_LARGE_IDENTITY) == MACH_RCV_LARGE_IDENTITY && size >= 16)
            buffer->msgh_local_port = in->port.name;
        ml_packet_drop(&in->packet);
        return true;
    case GONE_LARGE:
        *result = MACH_RCV_TOO_LARGE;
        put_bare_header(in, buffer, size);
        ml_packet_drop(&in->packet);
        return true;
    case CHANGED:
        *result = MACH_RCV_PORT_CHANGED;
        return true;
    case FAILED:
        return true;
    default:
        return false;
    }
}

static bool settle(enum taken taken, struct inbound *in, mach_msg_header_t *buffer,
                   mach_msg_option_t option, mach_msg_size_t size, mach_msg_return_t *result)
{
    bool over = settle_one(taken, in, buffer, option, size, result);
    if (in->unowned)
        ml_unowned_end();
    in->unowned = false;
    return over;
}

/* --- waiting --------------------------------------------------------------------------------- */

mach_msg_return_t ml_wait_epoll(int epoll, mach_msg_option_t option, ml_deadline deadline)
{
    struct epoll_event event;
    int left = ml_deadline_left(deadline);
    if (left == 0)
        return MACH_RCV_TIMED_OUT;
    int n = epoll_wait(epoll, &event, 1, left);
    if (n < 0 && errno == EINTR)
        return (option & MACH_RCV_INTERRUPT) != 0 ? MACH_RCV_INTERRUPTED : MACH_MSG_SUCCESS;
    return MACH_MSG_SUCCESS; /* look again: at the queue, or at the time */
}

static mach_msg_return_t wait_for_message(struct ml_receiver *r, mach_msg_option_t option,
                                          ml_deadline deadline)
{
    if (ml_deadline_left(deadline) == 0)
        return MACH_RCV_TIMED_OUT;
    pthread_mutex_lock(&r->lock);
    int epoll = r->alive ? ml_receiver_epoll(r) : r->epoll;
    bool alive = r->alive;
    pthread_mutex_unlock(&r->lock);
    if (!alive)
        return MACH_RCV_PORT_CHANGED;
    if (epoll < 0)
        return MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
    return ml_wait_epoll(epoll, option, deadline);
}

static mach_msg_return_t receive_from(struct ml_receiver *r, mach_msg_header_t *buffer,
                                      mach_msg_option_t option, mach_msg_size_t size,
                                      struct inbound *in, ml_deadline deadline, unsigned drops_max)
{
    mach_msg_return_t result = MACH_MSG_SUCCESS;
    for (const unsigned last = in->dropped + drops_max;;) {
        enum taken taken = take(r, option, size, in, &result);
        if (settle(taken, in, buffer, option, size, &result))
            return result;
        if (taken == EMPTY)
            result = wait_for_message(r, option, deadline);
        else if (++in->dropped >= last && ml_deadline_left(deadline) == 0)
            result = MACH_RCV_TIMED_OUT;
        if (result != MACH_MSG_SUCCESS)
            return result;
    }
}

mach_msg_return_t ml_receive(mach_msg_header_t *buffer, mach_msg_option_t option,
                             mach_msg_size_t size, mach_port_name_t name, ml_deadline deadline)
{
    struct ml_garbage g = {0};
    struct inbound in;
    struct ml_receiver *r = NULL;
    struct ml_pset *set = NULL;
    mach_msg_return_t mr;

    if (buffer == NULL)
        return MACH_RCV_INVALID_DATA;
    ml_refused_nothing();
    in.dropped = 0;
    ml_lock();
    struct ml_entry *e = ml_entry_lookup(name);
    if (e != NULL && e->kind == ML_SEND_RECEIVE)
        r = e->port->receiver;
    else if (e != NULL && e->kind == ML_SET)
        set = ml_set_retain(e->set);
    if (r != NULL) {
        r->refs++;
        in.port = ml_receiver_identify(r);
    }
    ml_unlock();
    if (r == NULL && set == NULL)
        return MACH_RCV_INVALID_NAME;

    for (;;) {
        if (set != NULL) {
            mr = ml_set_wait(set, option, deadline, &r);
            if (mr != MACH_MSG_SUCCESS)
                break;
            ml_lock();
            in.port = ml_receiver_identify(r);
            ml_unlock();
            mr = receive_from(r, buffer, option, size, &in, 0, DROPS_A_TURN);
        } else {
            mr = receive_from(r, buffer, option, size, &in, deadline, DROPS_MAX);
        }
        /* Another thread may have been quicker, or the member may just have gone; or it has no
         * senders left, which says nothing of the others. */
        if (set == NULL ||
            (mr != MACH_RCV_TIMED_OUT && mr != MACH_RCV_PORT_CHANGED && mr != MACH_RCV_PORT_DIED))
            break;
        ml_lock();
        ml_receiver_release(r, &g);
        ml_unlock();
        ml_garbage_flush(&g);
        r = NULL;
        if (++in.dropped >= DROPS_MAX && ml_deadline_left(deadline) == 0) {
            mr = MACH_RCV_TIMED_OUT;
            break;
        }
    }
    ml_lock();
    if (r != NULL) {
        if (r->no_senders_due && r->port != NULL)
            ml_notify_senders_changed(r->port, &g);
        ml_receiver_release(r, &g);
    }
    if (set != NULL)
        ml_set_release(set, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return mr;
}
