/* What must be refused before it is sent, because the kernel would not answer with an error but
 * kill the process. Each platform has its own half. */
#ifndef CHILD_PORT_GUARD_H
#define CHILD_PORT_GUARD_H

#include "state.h"

/* A check-in about to be sent. `from_bootstrap`: port is a receive right that bootstrap check-in
 * gave. 0, or -1 with an exception that says why. */
int guard_send(struct module_state *state, mach_port_name_t server, mach_port_name_t port,
               mach_msg_type_name_t disposition, bool from_bootstrap);

/* "darwin" or "linux". */
extern const char platform_name[];

#endif
