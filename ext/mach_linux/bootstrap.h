/*
 * What the rest of the library tells the bootstrap registry. The space's lock is held.
 */
#ifndef ML_BOOTSTRAP_H
#define ML_BOOTSTRAP_H

#include "space.h"

/* What bootstrap_port is: a name that stands for the registry and is no right. */
#define ML_BOOTSTRAP_NAME MACH_PORT_NULL

/* The receive right of a port that is a service was destroyed: its names go. */
void ml_bootstrap_port_gone(struct ml_port *p, struct ml_garbage *g);
/* It was moved away: its names go when it dies there. */
void ml_bootstrap_port_left(struct ml_port *p);
/* The port with this identity, if it is a service of this process, borrowed; or NULL. */
struct ml_port *ml_bootstrap_port_find(uint64_t key);
void ml_bootstrap_reset_in_child(struct ml_garbage *g);

#endif
