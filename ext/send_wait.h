/* Waiting for room in a full queue: sends a message that came back until it is queued. */
#ifndef CHILD_PORT_SEND_WAIT_H
#define CHILD_PORT_SEND_WAIT_H

#include "cancel.h"
#include "deadline.h"
#include "send_result.h"
#include "state.h"

/* Sends the returned message again until it is queued (0), or the wait must end (-1 with the
 * exception: the deadline, a signal's handler, the token, or what the kernel said). *result is that
 * of the attempt before, and of the last one in the end; the message is then as it left it. */
int send_until_queued(struct module_state *state, mach_msg_header_t *message, mach_msg_size_t size,
                      struct cancel_token *cancel, deadline_t deadline, mach_msg_return_t *result);

#endif
