/* What a program finds ready when it starts: its task port and its bootstrap port. */
#ifndef _MACH_INIT_
#define _MACH_INIT_ 1

#include <mach/mach_types.h>
#include <mach/mach_traps.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A send right to the caller's task. The name is borrowed: copy the right to own one. */
extern mach_port_t mach_task_self_;
#define mach_task_self() mach_task_self_
#define current_task() mach_task_self()

/* The task's bootstrap port as of its start, borrowed; see <servers/bootstrap.h>. */
extern mach_port_t bootstrap_port;

#ifdef __cplusplus
}
#endif

/* How many ports mach_ports_register takes, and what the first ones once were for. */
#define NAME_SERVER_SLOT 0
#define ENVIRONMENT_SLOT 1
#define SERVICE_SLOT 2
#define MACH_PORTS_SLOTS_USED 3

#endif
