/* Audit events (PEP 578), for those who watch what a process hands over. */
#ifndef CHILD_PORT_AUDIT_H
#define CHILD_PORT_AUDIT_H

#include "state.h"

/* Before anything is sent or held: 0, or -1 with the exception of a hook that forbids it. */
int audit_check_in(const struct module_state *state, mach_port_name_t server, mach_port_name_t port,
                   mach_msg_type_name_t disposition);
/* Before a message is taken from the queue; likewise. */
int audit_accept(const struct module_state *state, mach_port_name_t port);

#endif
