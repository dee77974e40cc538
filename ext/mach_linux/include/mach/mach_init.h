/* This task's own port, and the one through which services are found. */
#ifndef _MACH_MACH_INIT_H_
#define _MACH_MACH_INIT_H_

#include <mach/mach_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A send right that belongs to the library: use it freely, but take a reference to keep one. */
extern mach_port_t mach_task_self_;
extern mach_port_t mach_task_self(void);
#define mach_task_self() mach_task_self_

extern mach_port_t bootstrap_port;

#ifdef __cplusplus
}
#endif

#include <mach/mach_traps.h>

#endif
