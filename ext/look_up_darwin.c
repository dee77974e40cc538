/* Looking a service up on macOS: bootstrap_look_up() asks launchd, which answers at once and at
 * length alike; the call takes no deadline and cannot be called off. Owns nothing. */
#include "look_up.h"

#include <servers/bootstrap.h>

void look_up_init(struct look_up *look_up, const char *name)
{
    *look_up = (struct look_up){.name = name, .question = -1};
}

void look_up_release(struct look_up *look_up)
{
    (void)look_up;
}

kern_return_t look_up_wait(struct look_up *look_up, int cancel_fd, uint32_t timeout_ms,
                           mach_port_t *service)
{
    /* Asked for by each call: the global variable of that name is stale in the child of a fork. */
    mach_port_t bootstrap = MACH_PORT_NULL;
    (void)cancel_fd;
    (void)timeout_ms;
    kern_return_t kr = task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &bootstrap);
    if (kr != KERN_SUCCESS)
        return kr;
    kr = bootstrap_look_up(bootstrap, look_up->name, service);
    (void)mach_port_deallocate(mach_task_self(), bootstrap);
    return kr;
}
