/* The parts of a received message: the kernel has laid it out, so nothing in it is checked again.
 * Knows nothing of Python. */
#ifndef CHILD_PORT_MESSAGE_PARTS_H
#define CHILD_PORT_MESSAGE_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <mach/mach.h>

static inline uint8_t *message_first_descriptor(mach_msg_header_t *message)
{
    return (uint8_t *)(message + 1) + sizeof(mach_msg_body_t);
}

/* 0 of a message that is not complex. */
static inline uint32_t message_descriptor_count(const mach_msg_header_t *message)
{
    uint32_t count = 0;
    if (message->msgh_bits & MACH_MSGH_BITS_COMPLEX)
        memcpy(&count, message + 1, sizeof count);
    return count;
}

static inline mach_msg_descriptor_type_t message_descriptor_type(const uint8_t *at)
{
    mach_msg_type_descriptor_t type;
    memcpy(&type, at, sizeof type);
    return type.type;
}

static inline size_t message_descriptor_size(const uint8_t *at)
{
    if (message_descriptor_type(at) == MACH_MSG_PORT_DESCRIPTOR)
        return sizeof(mach_msg_port_descriptor_t);
    return sizeof(mach_msg_ool_descriptor_t); /* and that of arrays of ports */
}

/* Releases all that is still in the message: rights (mach_msg_destroy) and memory, all of it. */
void message_destroy(mach_msg_header_t *message);

#endif
