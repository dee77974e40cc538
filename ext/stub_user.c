/* The generated user stub, compiled with its mach_msg replaced.
 *
 * The replacement finds the struct stub_send of its caller through a thread-local pointer, which is
 * set only while the stub runs; the stub neither blocks nor calls back, so nothing can come
 * between. The struct belongs to the caller of stub_send(). */
#include "stub_user.h"

#include <string.h>

#include "send_result.h"

static _Thread_local struct stub_send *current_send;

static mach_msg_return_t attempt(struct stub_send *send, mach_msg_header_t *header,
                                 mach_msg_option_t option, mach_msg_size_t size)
{
    if (send->to_send_once) {
        /* The .defs can only say "mach_port_t", that is COPY_SEND. */
        mach_msg_bits_t others = header->msgh_bits & ~(mach_msg_bits_t)MACH_MSGH_BITS_REMOTE_MASK;
        header->msgh_bits = others | MACH_MSG_TYPE_MOVE_SEND_ONCE;
    }
    mach_msg_return_t result = mach_msg(header, option | MACH_SEND_TIMEOUT | MACH_SEND_INTERRUPT,
                                        size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
    if (send_was_returned(result)) {
        memcpy(&send->message, header, sizeof send->message);
        send->returned = true;
    }
    return result;
}

#include "stub_mach_msg.h"

static mach_msg_return_t stub_mach_msg(mach_msg_header_t *message, mach_msg_option_t option,
                                       mach_msg_size_t send_size, mach_msg_size_t receive_size,
                                       mach_port_name_t receive_name, mach_msg_timeout_t timeout,
                                       mach_port_name_t notify)
{
    (void)receive_size; /* a simpleroutine receives nothing and waits for nothing */
    (void)receive_name;
    (void)timeout;
    (void)notify;
    return attempt(current_send, message, option, send_size);
}

#include "child_portUser.c"

mach_msg_return_t stub_send(struct stub_send *send, mach_port_name_t server, uint64_t token,
                            mach_port_name_t port, mach_msg_type_name_t disposition)
{
    current_send = send;
    mach_msg_return_t result = child_port_check_in(server, token, port, disposition);
    current_send = NULL;
    return result;
}
