/*
 * A message on its way in: see inbound.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "inbound.h"
#include "notify.h"
#include "receiver.h"
#include "refusal.h"
#include "vm.h"

/* --- trailers -------------------------------------------------------------------------------- */

/* As much of it as was asked for. It is written where it belongs: to put it together elsewhere and
 * copy it would have the processor wait for its own last writes. */
static void put_trailer(uint8_t *at, uint32_t size, const struct ml_inbound *in)
{
    const struct ml_packet *packet = &in->packet;
    const uint32_t uid = packet->sender.uid, gid = packet->sender.gid;
    const uint32_t pid = (uint32_t)packet->sender.pid;
    mach_msg_mac_trailer_t *t = (mach_msg_mac_trailer_t *)(void *)at;

    t->msgh_trailer_type = MACH_MSG_TRAILER_FORMAT_0;
    t->msgh_trailer_size = size;
    if (size >= sizeof(mach_msg_seqno_trailer_t))
        t->msgh_seqno = in->seqno;
    if (size >= sizeof(mach_msg_security_trailer_t))
        t->msgh_sender =
            packet->kernel ? (security_token_t){{0, 1}} : (security_token_t){{uid, gid}};
    if (size >= sizeof(mach_msg_audit_trailer_t))
        t->msgh_audit = packet->kernel
                            ? (audit_token_t){{0}}
                            : (audit_token_t){{UINT32_MAX, uid, gid, uid, gid, pid, 0, 0}};
    if (size >= sizeof(mach_msg_context_trailer_t))
        t->msgh_context = in->port.context;
    if (size >= sizeof(mach_msg_mac_trailer_t)) {
        t->msgh_ad = 0;
        t->msgh_labels.sender = MACH_PORT_NULL;
    }
}

/* --- the rights that came -------------------------------------------------------------------- */

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
static bool take_some(struct ml_inbound *in, const struct carries *c)
{
    for (uint32_t i = 0; i < c->n; i++) {
        uint8_t carry = carry_of(c, i);
        if (ml_carry_fds(carry) == 0)
            continue; /* NULL or DEAD: as many as fit the message, and nothing to keep */
        if (!ml_right_arrive(&in->packet, carry, in->recent, &in->rights[in->n_rights]))
            return false;
        in->n_rights++;
    }
    return true;
}

/* Room for all rights that the packet can have: each takes a descriptor at least. */
static bool rights_open(struct ml_inbound *in)
{
    in->n_rights = 0;
    in->rights = in->few_rights;
    if (in->packet.n_fds <= ML_FEW_RIGHTS)
        return true;
    in->rights = malloc(in->packet.n_fds * sizeof *in->rights);
    if (in->rights != NULL)
        return true;
    ml_refused("malloc", ENOMEM);
    ml_packet_drop(&in->packet);
    return false;
}

static void rights_close(struct ml_inbound *in)
{
    if (in->rights != in->few_rights)
        free(in->rights);
}

/* Turns the packet's descriptors into rights. False: one was not what it claimed, all are dropped.
 */
static bool take_rights(struct ml_inbound *in)
{
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint8_t *at = first_descriptor(h), *extra = (const uint8_t *)h + h->msgh_size;
    uint32_t count = descriptor_count(h);

    in->parts = false;
    in->reply = (struct ml_right){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    uint8_t reply = ml_packet_wire(&in->packet)->reply;
    bool good =
        reply == ML_CARRY_NULL || ml_right_arrive(&in->packet, reply, in->recent, &in->reply);
    for (uint32_t i = 0; good && i < count; i++, at += ml_descriptor_size(at)) {
        struct carries c = look_at(at, &extra);
        in->parts |= ml_descriptor_type(at) != MACH_MSG_PORT_DESCRIPTOR;
        good = take_some(in, &c);
    }
    if (good)
        return true;
    ml_right_reject(&in->reply);
    while (in->n_rights != 0)
        ml_right_reject(&in->rights[--in->n_rights]);
    ml_packet_drop(&in->packet);
    return false;
}

/* --- names and memory ------------------------------------------------------------------------ */

/* Gives the rights that one descriptor is for their names, in order. */
static void name_some(struct ml_inbound *in, const struct carries *c, uint32_t *next,
                      uint8_t *names, bool *full, struct ml_garbage *g)
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
static bool place_parts(struct ml_inbound *in)
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

static void name_array(struct ml_inbound *in, uint8_t *at, const struct carries *c, uint32_t *next,
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

static void name_descriptor(struct ml_inbound *in, uint8_t *at, const uint8_t **extra,
                            uint32_t *next, bool *full, struct ml_garbage *g)
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
static bool name_rights(struct ml_inbound *in)
{
    ML_GARBAGE(g);
    mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint8_t *extra = (const uint8_t *)h + h->msgh_size;
    uint8_t *at = first_descriptor(h);
    uint32_t count = descriptor_count(h), next = 0;
    bool full = in->parts && !place_parts(in);

    if (count != 0 || in->reply.carry != ML_CARRY_NULL) {
        ml_lock();
        if (in->reply.carry != ML_CARRY_NULL)
            h->msgh_remote_port = ml_copyout(&in->reply, &full, &g);
        for (uint32_t i = 0; i < count; i++, at += ml_descriptor_size(at))
            name_descriptor(in, at, &extra, &next, &full, &g);
        /* While the lock is held anyway; but what is garbage now may be senders' ends, which are to
         * be gone when senders are looked for. */
        if (!in->receiver->no_senders_due)
            ml_inbound_leave(in, &g);
        ml_unlock();
        ml_garbage_flush(&g);
    }
    return !full;
}

void ml_inbound_leave(struct ml_inbound *in, struct ml_garbage *g)
{
    struct ml_receiver *r = in->receiver;
    in->receiver = NULL;
    if (r->no_senders_due && r->port != NULL)
        ml_notify_senders_changed(r->port, g);
    ml_receiver_release(r, g);
}

/* --- delivery -------------------------------------------------------------------------------- */

/* A message that is not delivered: rights that found no room are gone, all else goes with it,
 * memory also that its receiver would have had to free by itself. */
static void destroy_named(struct ml_inbound *in)
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

static mach_msg_return_t deliver(struct ml_inbound *in, mach_msg_header_t *buffer,
                                 mach_msg_option_t option)
{
    if (!name_rights(in)) {
        destroy_named(in);
        return MACH_RCV_BODY_ERROR | MACH_MSG_IPC_SPACE;
    }
    const mach_msg_header_t *h = ml_packet_header(&in->packet);
    const uint32_t size = h->msgh_size;
    memcpy(buffer, h, size);
    buffer->msgh_bits = h->msgh_bits | in->packet.via << 8;
    buffer->msgh_local_port = in->port.name;
    buffer->msgh_voucher_port = MACH_PORT_NULL;
    put_trailer((uint8_t *)buffer + size, ml_trailer_size(option), in);
    ml_packet_drop(&in->packet);
    return MACH_MSG_SUCCESS;
}

bool ml_inbound_deliver(struct ml_inbound *in, mach_msg_header_t *buffer, mach_msg_option_t option,
                        mach_msg_return_t *result)
{
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

void ml_inbound_put_bare_header(struct ml_inbound *in, mach_msg_header_t *buffer,
                                mach_msg_size_t size)
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
