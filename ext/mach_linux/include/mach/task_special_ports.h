/*
 * The special ports of a task, by number. Here there is the bootstrap port alone: the others stand
 * for kernel objects that this platform does not have.
 */
#ifndef _MACH_TASK_SPECIAL_PORTS_H_
#define _MACH_TASK_SPECIAL_PORTS_H_

typedef int task_special_port_t;

#define TASK_BOOTSTRAP_PORT 4

#define task_get_bootstrap_port(task, port)                                                        \
    (task_get_special_port((task), TASK_BOOTSTRAP_PORT, (port)))
#define task_set_bootstrap_port(task, port)                                                        \
    (task_set_special_port((task), TASK_BOOTSTRAP_PORT, (port)))

#endif
