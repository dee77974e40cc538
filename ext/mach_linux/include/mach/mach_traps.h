/* Calls that need no message to the task port. */
#ifndef _MACH_MACH_TRAPS_H_
#define _MACH_MACH_TRAPS_H_

#include <stdint.h>
#include <mach/error.h>
#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/port.h>
#include <mach/std_types.h>
#include <mach/vm_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new receive right, which the caller owns; MACH_PORT_NULL if it cannot be made. */
extern mach_port_name_t mach_reply_port(void);

/* The process that a task port stands for. KERN_FAILURE if t is no task port; then *x is -1. */
extern kern_return_t pid_for_task(mach_port_name_t t, int *x);

#ifdef __cplusplus
}
#endif

#endif
