/*
 * A message on its way out: what its sender gets back, or gives up. See outbound.h.
 *
 * A send that timed out or was interrupted ends in the pseudo-receive: rights, arrays of names and
 * memory are handed back in the sender's buffer, as if it had received the message. What it gets is
 * its own from then on; copies that were made for it and not handed over go when the message is
 * closed.
 */
#include <stdlib.h>
#include <string.h>

#include "outbound.h"
#include "vm.h"

mach_msg_return_t ml_outbound_copy_memory(struct ml_outbound *out, const mach_msg_header_t *m,
                                          mach_msg_return_t mr)
{
    const uint8_t *at = ml_outbound_descriptors(m);

    out->copies = calloc(out->count, sizeof *out->copies);
    if (out->copies == NULL)
        return MACH_SEND_NO_BUFFER;
    for (uint32_t i = 0; i < out->count; i++, at += ml_descriptor_size(at)) {
        mach_msg_ool_descriptor_t d;
        if (ml_descriptor_type(at) != MACH_MSG_OOL_DESCRIPTOR)
            continue;
        memcpy(&d, at, sizeof d);
        void *copy = ml_vm_allocate(d.size);
        if (copy == NULL && d.size != 0)
            return MACH_SEND_NO_BUFFER;
        out->copies[i] = (struct iovec){copy, d.size};
        if (!ml_vm_read(copy, d.address, d.size))
            return MACH_SEND_INVALID_MEMORY;
    }
    return mr;
}

static void hand_back_memory(uint8_t *at, struct iovec *copy)
{
    mach_msg_ool_descriptor_t d;
    memcpy(&d, at, sizeof d);
    if (d.deallocate)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)d.address, d.size);
    d.address = copy->iov_base;
    d.size = (mach_msg_size_t)copy->iov_len;
    d.copy = MACH_MSG_VIRTUAL_COPY;
    d.deallocate = 1;
    memcpy(at, &d, sizeof d);
    *copy = (struct iovec){NULL, 0}; /* the sender's now */
}

static void hand_back_array(struct ml_outbound *out, uint8_t *at, uint32_t *next)
{
    mach_msg_ool_ports_descriptor_t d;
    bool full = false;

    memcpy(&d, at, sizeof d);
    mach_port_name_t *names = ml_vm_allocate(d.count * sizeof *names);
    for (uint32_t i = 0; i < d.count; i++) {
        struct ml_right *right = &out->rights[(*next)++];
        if (names != NULL)
            names[i] = ml_copyout(right, &full, &out->garbage);
        else
            ml_right_destroy(right, &out->garbage);
    }
    if (d.deallocate)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)d.address, d.count * sizeof *names);
    d.address = names;
    d.count = names == NULL ? 0 : d.count;
    d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
    d.copy = MACH_MSG_VIRTUAL_COPY;
    d.deallocate = 1;
    memcpy(at, &d, sizeof d);
}

void ml_outbound_pseudo_receive(struct ml_outbound *out, mach_msg_header_t *m)
{
    bool full = false;
    mach_msg_bits_t bits = m->msgh_bits & MACH_MSGH_BITS_COMPLEX;
    mach_msg_type_name_t remote = ml_disposition_arrived(MACH_MSGH_BITS_REMOTE(m->msgh_bits));
    mach_msg_type_name_t local = ml_disposition_arrived(MACH_MSGH_BITS_LOCAL(m->msgh_bits));
    uint8_t *at = (uint8_t *)(m + 1) + sizeof(mach_msg_body_t);

    ml_outbound_unlist(out);
    m->msgh_remote_port = ml_copyout(&out->destination, &full, &out->garbage);
    m->msgh_local_port = ml_copyout(&out->reply, &full, &out->garbage);
    m->msgh_bits = bits | MACH_MSGH_BITS(remote, local);
    for (uint32_t i = 0, next = 0; i < out->count; i++, at += ml_descriptor_size(at)) {
        if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR) {
            hand_back_memory(at, &out->copies[i]);
        } else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR) {
            hand_back_array(out, at, &next);
        } else {
            mach_msg_port_descriptor_t d;
            memcpy(&d, at, sizeof d);
            d.disposition = ml_disposition_arrived(d.disposition) & 0xff;
            d.name = ml_copyout(&out->rights[next++], &full, &out->garbage);
            memcpy(at, &d, sizeof d);
        }
    }
}

void ml_outbound_deallocate(const struct ml_outbound *out, const mach_msg_header_t *m)
{
    const uint8_t *at = ml_outbound_descriptors(m);
    if (out->extra == 0)
        return;
    for (uint32_t i = 0; i < out->count; i++, at += ml_descriptor_size(at)) {
        mach_msg_ool_descriptor_t d;
        if (ml_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR)
            continue;
        memcpy(&d, at, sizeof d); /* an array's descriptor has the same shape */
        vm_size_t size = d.size;
        if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            size *= sizeof(mach_port_name_t);
        if (d.deallocate)
            (void)vm_deallocate(mach_task_self(), (vm_address_t)d.address, size);
    }
}
