/* The ports that belong to a task. task is mach_task_self(). */
#ifndef _task_user_
#define _task_user_

#include <string.h>
#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/mig_errors.h>
#include <mach/ndr.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/std_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Three send rights that a task keeps and its children inherit, over fork and exec. register copies
 * the rights given (at most three), fills up with MACH_PORT_NULL and replaces all three; the caller
 * keeps what it owned. lookup gives three names with one user reference each in an array, all owned
 * by the caller, who frees the array with vm_deallocate.
 */
extern kern_return_t mach_ports_register(task_t target_task, mach_port_array_t init_port_set,
                                         mach_msg_type_number_t init_port_setCnt);
extern kern_return_t mach_ports_lookup(task_t target_task, mach_port_array_t *init_port_set,
                                       mach_msg_type_number_t *init_port_setCnt);

/*
 * The special port which_port, TASK_BOOTSTRAP_PORT here, inherited by children over fork and exec.
 * get adds a user reference that the caller owns; set copies the right, the caller keeps its own.
 */
extern kern_return_t task_get_special_port(task_inspect_t task, int which_port,
                                           mach_port_t *special_port);
extern kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port);

#ifdef __cplusplus
}
#endif

#endif
