/* Asking for notifications: methods of the right types. */
#ifndef CHILD_PORT_NOTIFICATION_H
#define CHILD_PORT_NOTIFICATION_H

#include "state.h"

PyObject *notify_dead_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);
PyObject *notify_no_senders_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames);
extern const char notify_dead_doc[], notify_no_senders_doc[];

#endif
