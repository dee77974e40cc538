/*
 * Sending and receiving one message: the two halves of mach_msg().
 */
#ifndef ML_MESSAGE_H
#define ML_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

#include "rights.h"

/* A point in time, by the monotonic clock; ML_FOREVER never comes, and ML_AT_ONCE has passed
 * without a look at the clock. */
typedef int64_t ml_deadline;
#define ML_FOREVER INT64_MAX
#define ML_AT_ONCE 0

ml_deadline ml_deadline_after(mach_msg_timeout_t milliseconds);
/* Milliseconds that are left, rounded up, at most INT_MAX: what poll(2) takes. 0 when it has
 * passed, −1 for ML_FOREVER. */
int ml_deadline_left(ml_deadline deadline);

mach_msg_return_t ml_send(mach_msg_header_t *message, mach_msg_option_t option,
                          mach_msg_size_t size, ml_deadline deadline);
mach_msg_return_t ml_receive(mach_msg_header_t *buffer, mach_msg_option_t option,
                             mach_msg_size_t size, mach_port_name_t name, ml_deadline deadline);

/* Sends a message of the library's own, in Mach's kernel's place, through a send-once right; never
 * waits. The space's lock is held. Consumes the caller's reference to `notify`. `carried` (may be
 * NULL) is a right for its one descriptor, committed if it was sent and else destroyed. */
void ml_send_kernel(struct ml_port *notify, mach_msg_header_t *message, struct ml_right *carried,
                    struct ml_garbage *g);

#endif
