/* Looking a service up, with a wait that can end before there is an answer. Each platform has its
 * own half, look_up_linux.c and look_up_darwin.c; none of these functions touches Python, so they
 * are called without the GIL. */
#ifndef CHILD_PORT_LOOK_UP_H
#define CHILD_PORT_LOOK_UP_H

#include <stdint.h>

#include <mach/mach.h>

/* One look-up. The caller owns the name; the struct owns what the platform needs. */
struct look_up {
    const char *name;
    int question; /* linux: the descriptor at which the answer comes; -1: not asked yet */
};

void look_up_init(struct look_up *look_up, const char *name);
void look_up_release(struct look_up *look_up);

/* Waits for the answer. KERN_SUCCESS: *service is a send right, the caller's. MACH_RCV_TIMED_OUT
 * and MACH_RCV_INTERRUPTED (a signal, or cancel_fd is readable): call it again, or give up. Any
 * other code is bootstrap_look_up's, and final. */
kern_return_t look_up_wait(struct look_up *look_up, int cancel_fd, uint32_t timeout_ms,
                           mach_port_t *service);

#endif
