/* Wraps the mach_msg of the generated user stub, at compile time.
 *
 * child_port.defs gives its routine no timeout, so the stub asks mach_msg to block for as long as
 * the server's queue is full, deaf to Ctrl-C. Neither the .defs nor the generated text is ours to
 * edit; but the stub calls mach_msg by name, and stub_user.c includes this header just before the
 * generated text. The replacement makes one attempt that never blocks. If the kernel gives the
 * message back, it keeps it, so that stub_send_again() can send the very message once more within
 * the caller's deadline. Included nowhere else. */
#ifndef CHILD_PORT_STUB_MACH_MSG_H
#define CHILD_PORT_STUB_MACH_MSG_H

#include <mach/mach.h>

static mach_msg_return_t stub_mach_msg(mach_msg_header_t *message, mach_msg_option_t option,
                                       mach_msg_size_t send_size, mach_msg_size_t receive_size,
                                       mach_port_name_t receive_name, mach_msg_timeout_t timeout,
                                       mach_port_name_t notify);

#define mach_msg stub_mach_msg

#endif
