/* What must be refused before it is sent, because the kernel would not answer with an error but
 * kill the process. Each platform has its own half. Each function: 0, or -1 with an exception that
 * says why. */
#ifndef CHILD_PORT_GUARD_H
#define CHILD_PORT_GUARD_H

#include "right.h"

/* The destination of a message: `name`, which `right` owns, or NULL if it was given as a name. */
int guard_destination(struct module_state *state, struct right *right, mach_port_name_t name);

/* A right that a message carries, or offers for the answer. `from_bootstrap`: it is a receive right
 * that bootstrap check-in gave. */
int guard_carried(mach_port_name_t port, mach_msg_type_name_t disposition, bool from_bootstrap);

/* "darwin" or "linux". */
extern const char platform_name[];

#endif
