/* What a send's result says of the message. Knows nothing of Python. */
#ifndef CHILD_PORT_SEND_RESULT_H
#define CHILD_PORT_SEND_RESULT_H

#include <stdbool.h>

#include <mach/mach.h>

/* These two are pseudo-receives: the kernel has rewritten the message in place with what it had
 * already taken from us, in the form in which it can be sent again. mach_msg may OR a hint about a
 * lack of names or memory into the code. */
static inline bool send_was_returned(mach_msg_return_t result)
{
    mach_msg_return_t code = result & ~MACH_MSG_MASK;
    return code == MACH_SEND_TIMED_OUT || code == MACH_SEND_INTERRUPTED;
}

#endif
