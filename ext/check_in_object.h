/* CheckIn: one accepted check-in, and AuditToken: who sent it. */
#ifndef CHILD_PORT_CHECK_IN_OBJECT_H
#define CHILD_PORT_CHECK_IN_OBJECT_H

#include "state.h"

/* A new CheckIn that owns the right `port`; on failure the right is released. */
PyObject *check_in_object_steal(struct module_state *state, mach_port_name_t port,
                                mach_msg_type_name_t disposition, uint64_t token,
                                const audit_token_t *sender);

/* A new AuditToken. */
PyObject *audit_token_make(struct module_state *state, audit_token_t token);

int check_in_object_add(PyObject *module, struct module_state *state);

#endif
