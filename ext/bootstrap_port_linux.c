/* The bootstrap port in mach_linux, a name that stands for the registry and holds no reference. */
#include "bootstrap_port.h"

kern_return_t bootstrap_port_copy(mach_port_t *port)
{
    *port = bootstrap_port;
    return KERN_SUCCESS;
}

void bootstrap_port_release(mach_port_t port)
{
    (void)port;
}
