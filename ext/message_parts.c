/* message_destroy(): see message_parts.h. */
#include "message_parts.h"

/* mach_msg_destroy() frees memory only if the descriptor says so, and that is for the sender to
 * choose: of a physical copy it does not, and memory that the sender called volatile is passed over
 * by Apple's. Whatever it was sent as, here it is pages of ours. */
static void memory_is_ours(uint8_t *at)
{
    mach_msg_ool_descriptor_t memory;
    memcpy(&memory, at, sizeof memory);
    memory.deallocate = 1;
    memory.type = MACH_MSG_OOL_DESCRIPTOR;
    memcpy(at, &memory, sizeof memory);
}

/* And an array for which the kernel had no room has no names to read. */
static void array_is_ours(uint8_t *at)
{
    mach_msg_ool_ports_descriptor_t array;
    memcpy(&array, at, sizeof array);
    array.deallocate = 1;
    if (array.address == NULL)
        array.count = 0;
    memcpy(at, &array, sizeof array);
}

void message_destroy(mach_msg_header_t *message)
{
    uint32_t count = message_descriptor_count(message);
    uint8_t *at = message_first_descriptor(message);
    for (uint32_t i = 0; i < count; i++, at += message_descriptor_size(at)) {
        switch (message_descriptor_type(at)) {
        case MACH_MSG_OOL_DESCRIPTOR:
        case MACH_MSG_OOL_VOLATILE_DESCRIPTOR:
            memory_is_ours(at);
            break;
        case MACH_MSG_OOL_PORTS_DESCRIPTOR:
            array_is_ours(at);
            break;
        default:
            break;
        }
    }
    mach_msg_destroy(message);
}
