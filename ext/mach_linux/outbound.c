/*
 * A message on its way out: the rights that it takes. See outbound.h.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "chain.h"
#include "outbound.h"
#include "queue.h"
#include "refusal.h"
#include "vm.h"

/* --- those that have rights ------------------------------------------------------------------- */

/* All that are being sent, so that a forked child finds what it has inherited. The space's lock
 * guards the list. */
static struct ml_outbound *sending;

static void list_add(struct ml_outbound *out)
{
    out->previous = NULL;
    out->next = sending;
    if (sending != NULL)
        sending->previous = out;
    sending = out;
}

void ml_outbound_unlist(struct ml_outbound *out)
{
    if (out->previous != NULL)
        out->previous->next = out->next;
    else
        sending = out->next;
    if (out->next != NULL)
        out->next->previous = out->previous;
}

void ml_outbound_abandon(struct ml_garbage *g)
{
    for (; sending != NULL; sending = sending->next) {
        ml_right_abandon(&sending->destination, g);
        ml_right_abandon(&sending->reply, g);
        for (uint32_t i = 0; i < sending->n_rights; i++)
            ml_right_abandon(&sending->rights[i], g);
        ml_garbage_add(g, sending->file);
        ml_garbage_add(g, sending->chain);
    }
}

/* --- copy-in of the header ------------------------------------------------------------------- */

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

static mach_msg_return_t copyin_destination(struct ml_outbound *out, const mach_msg_header_t *m)
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
    if (disposition == MACH_MSG_TYPE_MAKE_SEND)
        ml_receiver_count_send(e->port, &out->garbage);
    /* A right made or copied for this one message goes nowhere: a reference to the port will do. */
    out->destination = (struct ml_right){.carry = ML_CARRY_SEND,
                                         .fds = {-1, -1},
                                         .port = e->port,
                                         .disposition = (uint8_t)disposition};
    ml_port_retain(e->port);
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t copyin_header(struct ml_outbound *out, const mach_msg_header_t *m)
{
    mach_msg_type_name_t remote = MACH_MSGH_BITS_REMOTE(m->msgh_bits);
    mach_msg_type_name_t local = MACH_MSGH_BITS_LOCAL(m->msgh_bits);
    mach_port_name_t reply = m->msgh_local_port;
    bool named = reply != MACH_PORT_NULL && reply != MACH_PORT_DEAD;

    /* A send-once right that somebody watches is known dead at once, any other when it is looked
     * at.
     */
    struct ml_entry *e = ml_entry_lookup(m->msgh_remote_port);
    if (e != NULL && e->kind == ML_ONCE && e->request != NULL)
        (void)ml_entry_look(m->msgh_remote_port, &out->garbage);
    if (!sendable(remote) || (local == 0 ? reply != MACH_PORT_NULL : !sendable(local)))
        return MACH_SEND_INVALID_HEADER;
    if (named && remote == MACH_MSG_TYPE_MOVE_SEND_ONCE && reply == m->msgh_remote_port)
        return MACH_SEND_INVALID_DEST;
    if (!usable(m->msgh_remote_port, remote))
        return MACH_SEND_INVALID_DEST;
    if (named && !usable(reply, local)) {
        e = ml_entry_lookup(reply);
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

/* --- copy-in of the descriptors ----------------------------------------------------------------
 */

/* Takes the next right. On failure those before it are destroyed with the message; it and those
 * behind it are untouched: Mach's rule. */
static mach_msg_return_t copyin_right(struct ml_outbound *out, mach_port_name_t name,
                                      mach_msg_type_name_t disposition)
{
    kern_return_t kr = ml_copyin(name, disposition, &out->rights[out->n_rights], &out->garbage);
    if (kr != KERN_SUCCESS)
        return kr == KERN_RESOURCE_SHORTAGE ? MACH_SEND_NO_BUFFER : MACH_SEND_INVALID_RIGHT;
    out->n_rights++;
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t copyin_port(struct ml_outbound *out, uint8_t *at)
{
    mach_msg_port_descriptor_t d;
    memcpy(&d, at, sizeof d);
    mach_msg_return_t mr = copyin_right(out, d.name, d.disposition);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
    d.name = out->rights[out->n_rights - 1].carry;
    d.pad1 = 0;
    d.pad2 = 0;
    memcpy(at, &d, sizeof d);
    return mr;
}

static mach_msg_return_t copyin_array(struct ml_outbound *out, uint8_t *at)
{
    mach_msg_ool_ports_descriptor_t d;
    mach_msg_return_t mr = MACH_MSG_SUCCESS;

    memcpy(&d, at, sizeof d);
    mach_port_name_t *names = d.count == 0 ? NULL : malloc(d.count * sizeof *names);
    if (d.count != 0 && names == NULL)
        return MACH_SEND_NO_BUFFER;
    if (!ml_vm_read(names, d.address, d.count * sizeof *names))
        mr = MACH_SEND_INVALID_MEMORY;
    for (uint32_t i = 0; mr == MACH_MSG_SUCCESS && i < d.count; i++)
        mr = copyin_right(out, names[i], d.disposition);
    free(names);
    d.address = NULL;
    d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
    memcpy(at, &d, sizeof d);
    return mr;
}

static mach_msg_return_t copyin_descriptors(struct ml_outbound *out, uint8_t *at)
{
    mach_msg_return_t mr = MACH_MSG_SUCCESS;
    for (uint32_t i = 0; mr == MACH_MSG_SUCCESS && i < out->count; i++) {
        uint32_t size = ml_descriptor_size(at);
        if (ml_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR)
            mr = copyin_port(out, at);
        else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            mr = copyin_array(out, at);
        else
            memset(at, 0, sizeof(void *)); /* an address means nothing to the receiver */
        at += size;
    }
    return mr;
}

/* --- completing the packet ------------------------------------------------------------------- */

static int gather(struct ml_outbound *out, struct ml_right *right)
{
    int fds[3];
    int n = ml_right_descriptors(right, fds);
    if (n < 0)
        return errno;
    for (int i = 0; i < n; i++)
        out->fds[out->n_fds++] = fds[i];
    return 0;
}

/* More descriptors than a packet takes, and a place for a memory file beside them, go in a chain.
 */
static int chain(struct ml_outbound *out)
{
    if (out->n_fds < ML_FDS_MAX)
        return 0;
    if (out->n_fds > ML_CHAIN_MAX) {
        ml_refused("mach_msg", E2BIG);
        return E2BIG;
    }
    out->chain = ml_chain_create(out->fds, out->n_fds);
    if (out->chain < 0)
        return errno;
    out->fds[0] = out->chain;
    out->n_fds = 1;
    return 0;
}

/* Notes how each right travels, where the receiver looks for it. */
static void note_carries(struct ml_outbound *out, uint8_t *at)
{
    uint8_t *carries = out->carries;
    const struct ml_right *right = out->rights;

    for (uint32_t i = 0; i < out->count; i++, at += ml_descriptor_size(at)) {
        if (ml_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR) {
            uint32_t name = right++->carry;
            memcpy(at, &name, sizeof name);
        } else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR) {
            mach_msg_ool_ports_descriptor_t d;
            memcpy(&d, at, sizeof d);
            for (uint32_t k = 0; k < d.count; k++)
                carries[k] = right++->carry;
            carries += ml_padded(d.count);
        }
    }
}

/* Fills in what depends on the rights: the wire header, the Mach header, the descriptors to pass.
 */
static int complete(struct ml_outbound *out, const mach_msg_header_t *m, uint32_t size)
{
    int error = gather(out, &out->reply);
    for (uint32_t i = 0; error == 0 && i < out->n_rights; i++)
        error = gather(out, &out->rights[i]);
    if (out->count != 0)
        note_carries(out, out->head + sizeof(struct ml_wire) + sizeof *m + sizeof(mach_msg_body_t));
    mach_msg_type_name_t reply = MACH_MSGH_BITS_LOCAL(m->msgh_bits);
    mach_msg_header_t header = {
        .msgh_bits = (m->msgh_bits & MACH_MSGH_BITS_COMPLEX) | ml_disposition_arrived(reply),
        .msgh_size = size,
        .msgh_id = m->msgh_id,
    };
    unsigned n_fds = out->n_fds;
    if (error == 0)
        error = chain(out);
    struct ml_wire wire = {.magic = ML_WIRE_MAGIC,
                           .n_fds = (uint16_t)n_fds,
                           .flags = out->chain < 0 ? 0 : ML_WIRE_CHAIN,
                           .reply = out->reply.carry,
                           .extra = (uint32_t)out->extra};
    memcpy(out->head, &wire, sizeof wire);
    memcpy(out->head + sizeof wire, &header, sizeof header);
    return error;
}

/* Rights that cannot be put back without a trace are not taken out for a port that is known dead.
 */
static bool dead_already(const struct ml_outbound *out, const mach_msg_header_t *m)
{
    const struct ml_port *p = out->destination.port;
    bool ask = MACH_MSGH_BITS_LOCAL(m->msgh_bits) == MACH_MSG_TYPE_MAKE_SEND_ONCE;
    const uint8_t *at = ml_outbound_descriptors(m);

    if (p->receiver != NULL || p->kind != ML_PORT)
        return false;
    for (uint32_t i = 0; !ask && i < out->count; i++, at += ml_descriptor_size(at))
        ask = ml_descriptor_type(at) != MACH_MSG_OOL_DESCRIPTOR &&
              (at[10] == MACH_MSG_TYPE_MOVE_RECEIVE || at[10] == MACH_MSG_TYPE_MAKE_SEND_ONCE);
    return ask && ml_fd_hung_up(p->tx);
}

/* A receive right sent to its own port: nobody could ever receive it. */
static bool carries_its_destination(const struct ml_outbound *out)
{
    const struct ml_port *to = out->destination.port;
    for (uint32_t i = 0; i < out->n_rights; i++) {
        struct ml_receiver *r = out->rights[i].receiver;
        if (r != NULL &&
            (out->rights[i].port == to || (to->kind == ML_SEND_ONCE && ml_receiver_hears(r, to))))
            return true;
    }
    return false;
}

mach_msg_return_t ml_outbound_copyin(struct ml_outbound *out, const mach_msg_header_t *m,
                                     uint32_t size)
{
    mach_msg_return_t mr = copyin_header(out, m);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    list_add(out);
    if (dead_already(out, m)) {
        ml_outbound_end(out, ml_right_undo);
        return MACH_SEND_INVALID_DEST;
    }
    if (out->count != 0)
        mr = copyin_descriptors(out, out->head + sizeof(struct ml_wire) + sizeof *m +
                                         sizeof(mach_msg_body_t));
    if (mr == MACH_MSG_SUCCESS && carries_its_destination(out)) {
        ml_outbound_end(out, ml_right_destroy);
        return ML_SENT_AND_DESTROYED;
    }
    if (mr == MACH_SEND_INVALID_RIGHT) {
        ml_outbound_end(out, ml_right_destroy);
        return mr;
    }
    int error = mr == MACH_MSG_SUCCESS ? complete(out, m, size) : ENOBUFS;
    if (error == 0)
        return MACH_MSG_SUCCESS;
    ml_outbound_end(out, ml_right_undo);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    return error == E2BIG ? MACH_SEND_TOO_LARGE : MACH_SEND_NO_BUFFER;
}

/* --- the end of the rights ------------------------------------------------------------------- */

void ml_outbound_end(struct ml_outbound *out, ml_right_end end)
{
    ml_outbound_unlist(out);
    for (uint32_t i = out->n_rights; i-- > 0;)
        end(&out->rights[i], &out->garbage);
    end(&out->destination, &out->garbage);
    end(&out->reply, &out->garbage);
}
