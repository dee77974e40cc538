/* The bootstrap port of this process; each platform has its own half. */
#ifndef CHILD_PORT_BOOTSTRAP_PORT_H
#define CHILD_PORT_BOOTSTRAP_PORT_H

#include <mach/mach.h>

/* Gives the name of the bootstrap port, to be handed to bootstrap_port_release() after use. */
kern_return_t bootstrap_port_copy(mach_port_t *port);
void bootstrap_port_release(mach_port_t port);

#endif
