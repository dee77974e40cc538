/* The bootstrap port on macOS, a special port of the task: one user reference for each copy. The
 * global variable bootstrap_port is not used: in the child of a fork it is the parent's name. */
#include "bootstrap_port.h"

kern_return_t bootstrap_port_copy(mach_port_t *port)
{
    return task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, port);
}

void bootstrap_port_release(mach_port_t port)
{
    (void)mach_port_deallocate(mach_task_self(), port);
}
