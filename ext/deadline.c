/* Deadlines on the monotonic clock; see deadline.h. No state. */
#include "deadline.h"

#include <math.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
/* About a century: beyond it a timeout is as good as none. */
#define TIMEOUT_LIMIT_S 3.0e9
#define SLICE_LONGEST_MS 1000

static int64_t monotonic_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

int deadline_from_timeout(PyObject *timeout, deadline_t *deadline)
{
    *deadline = DEADLINE_NEVER;
    if (timeout == NULL || timeout == Py_None)
        return 0;
    double seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds) || seconds < 0) {
        PyErr_SetString(PyExc_ValueError, "timeout must be None or a number of seconds, 0 or more");
        return -1;
    }
    if (seconds < TIMEOUT_LIMIT_S)
        *deadline = monotonic_now() + (int64_t)(seconds * (double)NS_PER_S);
    return 0;
}

deadline_t deadline_not_before(deadline_t deadline, uint32_t ms)
{
    int64_t least = monotonic_now() + (int64_t)ms * NS_PER_MS;
    return deadline < least ? least : deadline;
}

bool deadline_passed(deadline_t deadline)
{
    return deadline != DEADLINE_NEVER && monotonic_now() >= deadline;
}

uint32_t deadline_left_ms(deadline_t deadline, uint32_t most)
{
    if (deadline == DEADLINE_NEVER)
        return most;
    int64_t left = deadline - monotonic_now();
    if (left <= 0)
        return 0;
    int64_t ms = (left + NS_PER_MS - 1) / NS_PER_MS;
    return ms < (int64_t)most ? (uint32_t)ms : most;
}

uint32_t deadline_slice_ms(deadline_t deadline, uint32_t *slice)
{
    uint32_t most = *slice;
    *slice = most < SLICE_LONGEST_MS / 2 ? 2 * most : SLICE_LONGEST_MS;
    return deadline_left_ms(deadline, most);
}
