/*
 * mach_msg(), mach_msg_destroy(), and the messages that the library sends in Mach's kernel's place.
 */
#include <stdlib.h>
#include <string.h>

#include <mach/mach.h>

#include "message.h"

mach_msg_return_t mach_msg_overwrite(mach_msg_header_t *msg, mach_msg_option_t option,
                                     mach_msg_size_t send_size, mach_msg_size_t rcv_size,
                                     mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
                                     mach_port_name_t notify, mach_msg_header_t *rcv_msg,
                                     mach_msg_size_t rcv_limit)
{
    const mach_msg_option_t timed = MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT;
    ml_deadline deadline = (option & timed) != 0 ? ml_deadline_after(timeout) : ML_FOREVER;
    mach_msg_return_t mr = MACH_MSG_SUCCESS;

    (void)notify;
    (void)rcv_limit;
    if ((option & MACH_SEND_MSG) != 0)
        mr = ml_send(msg, option, send_size,
                     (option & MACH_SEND_TIMEOUT) != 0 ? deadline : ML_FOREVER);
    if (mr == MACH_MSG_SUCCESS && (option & MACH_RCV_MSG) != 0)
        mr = ml_receive(rcv_msg != NULL ? rcv_msg : msg, option, rcv_size, rcv_name,
                        (option & MACH_RCV_TIMEOUT) != 0 ? deadline : ML_FOREVER);
    return mr;
}

mach_msg_return_t mach_msg(mach_msg_header_t *msg, mach_msg_option_t option,
                           mach_msg_size_t send_size, mach_msg_size_t rcv_size,
                           mach_port_name_t rcv_name, mach_msg_timeout_t timeout,
                           mach_port_name_t notify)
{
    return mach_msg_overwrite(msg, option, send_size, rcv_size, rcv_name, timeout, notify, msg, 0);
}

mach_msg_return_t mach_msg_send(mach_msg_header_t *msg)
{
    return mach_msg(msg, MACH_SEND_MSG, msg->msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
                    MACH_PORT_NULL);
}

mach_msg_return_t mach_msg_receive(mach_msg_header_t *msg)
{
    return mach_msg(msg, MACH_RCV_MSG, 0, msg->msgh_size, msg->msgh_local_port,
                    MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
}

/* --- destroying ------------------------------------------------------------------------------ */

static void destroy_right(mach_port_name_t name, mach_msg_type_name_t disposition)
{
    mach_port_t made;
    mach_msg_type_name_t type;

    if (name == MACH_PORT_NULL || name == MACH_PORT_DEAD)
        return;
    switch (disposition) {
    case MACH_MSG_TYPE_MOVE_RECEIVE:
        (void)mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1);
        break;
    case MACH_MSG_TYPE_MOVE_SEND:
    case MACH_MSG_TYPE_MOVE_SEND_ONCE:
        (void)mach_port_deallocate(mach_task_self(), name);
        break;
    case MACH_MSG_TYPE_MAKE_SEND:
    case MACH_MSG_TYPE_MAKE_SEND_ONCE:
        /* What would have been made is made and dropped, so that its receiver can tell. */
        if (mach_port_extract_right(mach_task_self(), name, disposition, &made, &type) ==
            KERN_SUCCESS)
            (void)mach_port_deallocate(mach_task_self(), made);
        break;
    default:
        break;
    }
}

/* Frees out-of-line memory that came with the message and is ours to free. */
static void destroy_memory(const uint8_t *at)
{
    mach_msg_ool_descriptor_t d;
    memcpy(&d, at, sizeof d);
    if (d.deallocate)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)d.address, d.size);
}

static void destroy_array(const uint8_t *at)
{
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    const mach_port_t *names = d.address;
    for (uint32_t i = 0; i < d.count; i++)
        destroy_right(names[i], d.disposition);
    if (d.deallocate)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)d.address, d.count * sizeof *names);
}

void mach_msg_destroy(mach_msg_header_t *msg)
{
    uint32_t count;
    destroy_right(msg->msgh_remote_port, MACH_MSGH_BITS_REMOTE(msg->msgh_bits));
    if ((msg->msgh_bits & MACH_MSGH_BITS_COMPLEX) == 0)
        return;
    memcpy(&count, msg + 1, sizeof count);
    const uint8_t *at = (const uint8_t *)(msg + 1) + sizeof(mach_msg_body_t);
    for (uint32_t i = 0; i < count; i++, at += ml_descriptor_size(at)) {
        mach_msg_port_descriptor_t d;
        if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR) {
            destroy_memory(at);
        } else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR) {
            destroy_array(at);
        } else {
            memcpy(&d, at, sizeof d);
            destroy_right(d.name, d.disposition);
        }
    }
}

/* --- in the kernel's place ------------------------------------------------------------------- */

void ml_send_kernel(struct ml_port *notify, mach_msg_header_t *message, struct ml_right *carried,
                    struct ml_garbage *g)
{
    struct ml_wire wire = {.magic = ML_WIRE_MAGIC, .flags = ML_WIRE_KERNEL};
    struct iovec iov[2] = {{&wire, sizeof wire}, {message, message->msgh_size}};
    int fds[3] = {-1, -1, -1}, n = 0;

    if (carried != NULL) {
        n = ml_right_descriptors(carried, fds);
        uint32_t name = carried->carry;
        memcpy((uint8_t *)(message + 1) + sizeof(mach_msg_body_t), &name, sizeof name);
    }
    wire.n_fds = (uint16_t)(n < 0 ? 0 : n);
    /* A send-once channel always has room for its one message. If its receiver is gone, so be it.
     */
    bool sent = n >= 0 && ml_packet_write(notify->tx, iov, 2, fds, (unsigned)n) == 0;
    if (carried != NULL) {
        if (sent)
            ml_right_commit(carried, g);
        else
            ml_right_destroy(carried, g);
    }
    ml_port_release(notify, g);
}
