/* What fileno() gives: a descriptor that is readable while a message may wait at a port or set. */
#ifndef CHILD_PORT_PORT_DESCRIPTOR_H
#define CHILD_PORT_PORT_DESCRIPTOR_H

#include "state.h"

/* Made when it is first asked for; its owner drops it. Any thread may do either. */
struct port_descriptor {
    _Atomic(int) fd; /* -1: not made */
    _Atomic(uint32_t) generation;
};

void port_descriptor_init(struct port_descriptor *descriptor);

/* The descriptor for this name, which the caller has pinned, as an int; it stays the struct's own.
 * NULL with an exception. */
PyObject *port_descriptor_get(struct port_descriptor *descriptor, struct module_state *state,
                              mach_port_name_t name);

/* Another one for this name, which the caller has pinned, as an int: Python's own from now on. NULL
 * with an exception. */
PyObject *port_descriptor_new(struct module_state *state, mach_port_name_t name);

void port_descriptor_drop(struct port_descriptor *descriptor, struct module_state *state);

#endif
