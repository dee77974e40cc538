/* See send_wait.h. The rights in the message are the caller's before and after.
 *
 * With a CancelToken a blocked send comes up for air now and then: no platform can wait for room in
 * a queue and for a descriptor at once. Without one it does so for signals alone, less often.
 */
#include "send_wait.h"

#include "errors.h"

#define SLICE_CANCELLABLE_MS 20

/* `late`: the send was tried after the deadline. */
static int check_end(struct module_state *state, struct cancel_token *cancel, bool late,
                     mach_msg_return_t result)
{
    if (!send_was_returned(result)) {
        error_set(state, "mach_msg", result, NULL);
        return -1;
    }
    if (PyErr_CheckSignals() < 0 || cancel_check(state, cancel) < 0)
        return -1;
    if (!late)
        return 0;
    error_set(state, "mach_msg", MACH_SEND_TIMED_OUT, NULL);
    return -1;
}

int send_until_queued(struct module_state *state, mach_msg_header_t *message, mach_msg_size_t size,
                      struct cancel_token *cancel, deadline_t deadline, mach_msg_return_t *result)
{
    const mach_msg_option_t options = MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_INTERRUPT;
    uint32_t slice = DEADLINE_SLICE_FIRST_MS;
    bool late = deadline_passed(deadline);
    while (*result != MACH_MSG_SUCCESS) {
        if (check_end(state, cancel, late, *result) < 0)
            return -1;
        late = deadline_passed(deadline);
        uint32_t wait = cancel ? deadline_left_ms(deadline, SLICE_CANCELLABLE_MS)
                               : deadline_slice_ms(deadline, &slice);
        mach_msg_return_t again;
        Py_BEGIN_ALLOW_THREADS again =
            mach_msg(message, options, size, 0, MACH_PORT_NULL, wait, MACH_PORT_NULL);
        Py_END_ALLOW_THREADS *result = again;
    }
    return 0;
}
