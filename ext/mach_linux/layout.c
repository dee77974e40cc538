/*
 * A message on its way out: what it needs, measured, and the packet laid out in it. See outbound.h.
 *
 * Nothing here touches a right or a name: of the caller's message the sizes are believed as they
 * were measured, once, and whatever is allocated is the outbound message's until it is closed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memfile.h"
#include "outbound.h"

/* The packet's own length that a socket is trusted to take. */
#define SOCKET_MAX (200u * 1024u)

/* --- measuring ------------------------------------------------------------------------------- */

static mach_msg_return_t measure_one(struct ml_outbound *out, const uint8_t *at)
{
    mach_msg_ool_descriptor_t memory;
    mach_msg_ool_ports_descriptor_t ports;

    switch (ml_descriptor_type(at)) {
    case MACH_MSG_PORT_DESCRIPTOR:
        out->n_named++;
        return MACH_MSG_SUCCESS;
    case MACH_MSG_OOL_DESCRIPTOR:
        memcpy(&memory, at, sizeof memory);
        if (memory.copy != MACH_MSG_PHYSICAL_COPY && memory.copy != MACH_MSG_VIRTUAL_COPY)
            return MACH_SEND_INVALID_TYPE;
        out->extra += ml_padded(memory.size);
        out->memory = true;
        return MACH_MSG_SUCCESS;
    case MACH_MSG_OOL_PORTS_DESCRIPTOR:
        memcpy(&ports, at, sizeof ports);
        if (ports.copy != MACH_MSG_PHYSICAL_COPY && ports.copy != MACH_MSG_VIRTUAL_COPY)
            return MACH_SEND_INVALID_TYPE;
        if (ports.count > ML_PORTS_MAX - out->n_arrays)
            return MACH_SEND_TOO_LARGE;
        out->n_named += ports.count;
        out->n_arrays += ports.count;
        out->extra += ml_padded(ports.count);
        return MACH_MSG_SUCCESS;
    default:
        return MACH_SEND_INVALID_TYPE;
    }
}

static mach_msg_return_t measure(struct ml_outbound *out, const mach_msg_header_t *m, uint32_t size)
{
    uint32_t at = sizeof *m + sizeof(mach_msg_body_t);

    out->rewritten = sizeof *m;
    if ((m->msgh_bits & MACH_MSGH_BITS_COMPLEX) == 0)
        return MACH_MSG_SUCCESS;
    if (size < at)
        return MACH_SEND_MSG_TOO_SMALL;
    memcpy(&out->count, m + 1, sizeof out->count);
    for (uint32_t i = 0; i < out->count; i++) {
        const uint8_t *d = (const uint8_t *)m + at;
        if (size - at < sizeof(mach_msg_type_descriptor_t))
            return MACH_SEND_MSG_TOO_SMALL;
        if (ml_descriptor_type(d) > MACH_MSG_OOL_PORTS_DESCRIPTOR)
            return MACH_SEND_INVALID_TYPE;
        if (size - at < ml_descriptor_size(d))
            return MACH_SEND_MSG_TOO_SMALL;
        if (i == ML_DESCRIPTORS_MAX)
            return MACH_SEND_TOO_LARGE;
        mach_msg_return_t mr = measure_one(out, d);
        if (mr != MACH_MSG_SUCCESS)
            return mr;
        at += ml_descriptor_size(d);
    }
    out->rewritten = at;
    return MACH_MSG_SUCCESS;
}

/* --- laying out ------------------------------------------------------------------------------ */

static void add_piece(struct ml_outbound *out, const void *base, size_t size)
{
    if (size != 0)
        out->pieces[out->n_pieces++] = (struct iovec){(void *)(uintptr_t)base, size};
}

/* What goes behind the message: out-of-line memory from where it is, padded, then the arrays'
 * kinds. */
static void add_extra(struct ml_outbound *out, const mach_msg_header_t *m)
{
    static const uint8_t zeros[4];
    uint8_t *carries = out->carries;
    const uint8_t *at = ml_outbound_descriptors(m);

    for (uint32_t i = 0; i < out->count; i++, at += ml_descriptor_size(at)) {
        if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR) {
            mach_msg_ool_descriptor_t d;
            memcpy(&d, at, sizeof d);
            add_piece(out, d.address, d.size);
            add_piece(out, zeros, ml_padded(d.size) - d.size);
        } else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR) {
            mach_msg_ool_ports_descriptor_t d;
            memcpy(&d, at, sizeof d);
            add_piece(out, carries, ml_padded(d.count));
            carries += ml_padded(d.count);
        }
    }
}

static bool lay_out(struct ml_outbound *out, const mach_msg_header_t *m, uint32_t size)
{
    /* A small message is copied whole, of a large one what is rewritten. */
    uint32_t copied = sizeof(struct ml_wire) + size <= ML_INLINE_BYTES ? size : out->rewritten;
    uint32_t head_size = (uint32_t)sizeof(struct ml_wire) + copied;
    uint32_t n_pieces = 2 + 2 * out->count;
    /* The most that the rights and the reply can take, and one for a memory file. */
    size_t n_fds = 3 * ((size_t)out->n_named + 1) + 1;

    if (head_size > ML_INLINE_BYTES)
        out->head = malloc(head_size);
    if (n_pieces > ML_INLINE_PIECES)
        out->pieces = malloc(n_pieces * sizeof *out->pieces);
    if (out->n_named > ML_INLINE_RIGHTS)
        out->rights = malloc(out->n_named * sizeof *out->rights);
    if (n_fds > ML_FDS_MAX)
        out->fds = malloc(n_fds * sizeof *out->fds);
    if (out->n_arrays != 0)
        out->carries = calloc(1, out->n_arrays + 4 * (size_t)out->count);
    if (out->head == NULL || out->pieces == NULL || out->rights == NULL || out->fds == NULL ||
        (out->n_arrays != 0 && out->carries == NULL))
        return false;
    memcpy(out->head + sizeof(struct ml_wire), m, copied);
    add_piece(out, out->head, head_size);
    add_piece(out, (const uint8_t *)m + copied, size - copied);
    if (out->extra != 0)
        add_extra(out, m);
    return true;
}

mach_msg_return_t ml_outbound_open(struct ml_outbound *out, const mach_msg_header_t *m,
                                   uint32_t size)
{
    const struct ml_right none = {.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    out->destination = out->reply = none;
    out->rights = out->few_rights;
    out->head = out->few_bytes.bytes;
    out->pieces = out->few_pieces;
    out->carries = NULL;
    out->n_rights = out->n_pieces = out->n_fds = out->garbage.n = 0;
    out->fds = out->few_fds;
    out->file = out->chain = -1;
    out->copies = NULL;
    out->count = out->n_named = out->n_arrays = 0;
    out->extra = 0;
    out->memory = false;
    mach_msg_return_t mr = measure(out, m, size);
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    if (out->extra > ML_EXTRA_MAX || size > ML_EXTRA_MAX)
        return MACH_SEND_TOO_LARGE;
    return lay_out(out, m, size) ? MACH_MSG_SUCCESS : MACH_SEND_NO_BUFFER;
}

/* --- as a memory file ------------------------------------------------------------------------ */

bool ml_outbound_is_long(const struct ml_outbound *out)
{
    size_t total = 0;
    for (uint32_t i = 0; i < out->n_pieces; i++)
        total += out->pieces[i].iov_len;
    return total > SOCKET_MAX;
}

mach_msg_return_t ml_outbound_spill(struct ml_outbound *out)
{
    int file = ml_packet_file(out->pieces, out->n_pieces);
    if (file < 0)
        return errno == EFAULT ? MACH_SEND_INVALID_MEMORY : MACH_SEND_NO_BUFFER;
    /* The packet itself is then the two headers; the file has everything, these included. */
    ((struct ml_wire *)(void *)out->head)->flags |= ML_WIRE_MEMFD;
    out->pieces[0] = (struct iovec){out->head, sizeof(struct ml_wire) + sizeof(mach_msg_header_t)};
    out->n_pieces = 1;
    ml_lock();
    out->file = file;
    ml_unlock();
    out->fds[out->n_fds++] = file;
    return MACH_MSG_SUCCESS;
}

/* --- closing --------------------------------------------------------------------------------- */

/* Of those that have not been handed over. */
static void free_copies(struct ml_outbound *out)
{
    for (uint32_t i = 0; i < out->count; i++)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)out->copies[i].iov_base,
                            out->copies[i].iov_len);
    free(out->copies);
}

void ml_outbound_close(struct ml_outbound *out)
{
    ml_garbage_add(&out->garbage, out->file);
    ml_garbage_add(&out->garbage, out->chain);
    ml_garbage_flush(&out->garbage);
    if (out->fds != out->few_fds)
        free(out->fds);
    if (out->head != out->few_bytes.bytes)
        free(out->head);
    if (out->pieces != out->few_pieces)
        free(out->pieces);
    if (out->rights != out->few_rights)
        free(out->rights);
    free(out->carries);
    if (out->copies != NULL)
        free_copies(out);
}
