/* The PortSet type; see port_set.c. right_types.c makes it with the other kinds of right. */
#ifndef CHILD_PORT_PORT_SET_H
#define CHILD_PORT_PORT_SET_H

#include "right.h"

extern PyType_Slot port_set_slots[];

/* What it shares with ReceiveRight; in right_types.c. */
PyObject *right_fileno_method(PyObject *self, PyObject *ignored);
PyObject *right_get_dropped(PyObject *self, void *closure);
extern const char right_fileno_doc[], right_dropped_doc[];

#endif
