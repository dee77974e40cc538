/* The generated user stub with a deadline; see stub_mach_msg.h. Knows nothing of Python. */
#ifndef CHILD_PORT_STUB_USER_H
#define CHILD_PORT_STUB_USER_H

#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

#include "child_port.h"

/* One check-in on its way. The caller owns the struct, and, while `returned` is true, the rights
 * that `message` names: the kernel gave them back, as the header and the descriptor say. */
struct stub_send {
    bool to_send_once; /* the server is a send-once right: it is moved, not copied */
    bool returned;
    __Request__child_port_check_in_t message;
};

/* Fills the message in and tries to send it, without blocking. Sets `returned` if the result is
 * MACH_SEND_TIMED_OUT (the queue is full) or MACH_SEND_INTERRUPTED; any other failure consumed
 * nothing (but see MACH_SEND_INVALID_RIGHT in check_in.c). */
mach_msg_return_t stub_send(struct stub_send *send, mach_port_name_t server, uint64_t token,
                            mach_port_name_t port, mach_msg_type_name_t disposition);

#endif
