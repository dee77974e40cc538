#ifndef _MACH_MACH_TRAPS_H_
#define _MACH_MACH_TRAPS_H_

#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A new receive right, for replies. MACH_PORT_NULL when there are no resources. */
extern mach_port_name_t mach_reply_port(void);

/* The process that a task's port stands for. KERN_FAILURE: no task, or it has ended. */
extern kern_return_t pid_for_task(mach_port_name_t t, int *x);

#ifdef __cplusplus
}
#endif

#endif
