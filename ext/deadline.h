/* Deadlines: a timeout in seconds, as Python gives it, made a point in monotonic time.
 *
 * mach_msg counts milliseconds from each call, so whatever is interrupted and called again must
 * work out what is left by itself, or a signal every second makes a wait of ten seconds endless. */
#ifndef CHILD_PORT_DEADLINE_H
#define CHILD_PORT_DEADLINE_H

#include "state.h"

#define DEADLINE_NEVER INT64_MAX

/* Nanoseconds of the monotonic clock, or DEADLINE_NEVER. */
typedef int64_t deadline_t;

/* From a `timeout` argument: absent or None waits without end, 0 polls; negative or NaN is a
 * ValueError. 0, or -1 with an exception set. */
int deadline_from_timeout(PyObject *timeout, deadline_t *deadline);

/* The deadline, or in so many milliseconds if that is later. */
deadline_t deadline_not_before(deadline_t deadline, uint32_t ms);

bool deadline_passed(deadline_t deadline);

/* Milliseconds left, rounded up so that a wait never ends early, at most `most`. */
uint32_t deadline_left_ms(deadline_t deadline, uint32_t most);

/* A signal that comes just before a wait begins does not end it, nor does one that another thread
 * of the process takes. So a call waits in slices, each twice as long as the one before up to a
 * second, and has Python look for signals before each. A handler takes its time, and so may other
 * threads: what came meanwhile is looked for before the call ends with its deadline. */
#define DEADLINE_SLICE_FIRST_MS 10
/* How long to wait now, as above; *slice begins as DEADLINE_SLICE_FIRST_MS. */
uint32_t deadline_slice_ms(deadline_t deadline, uint32_t *slice);

#endif
