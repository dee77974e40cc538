/* Methods of right objects that are written in Python: see right_forward.c. */
#ifndef CHILD_PORT_RIGHT_FORWARD_H
#define CHILD_PORT_RIGHT_FORWARD_H

#include "state.h"

#define RIGHT_FORWARDED(name)                                                                      \
    PyObject *right_##name##_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,       \
                                    PyObject *kwnames)

RIGHT_FORWARDED(reduce);
RIGHT_FORWARDED(send_async);
RIGHT_FORWARDED(request);
RIGHT_FORWARDED(request_async);
RIGHT_FORWARDED(receive_async);
RIGHT_FORWARDED(wait_dead);
RIGHT_FORWARDED(wait_until_dead);

extern const char right_send_async_doc[], right_request_doc[], right_request_async_doc[],
    right_receive_async_doc[], right_wait_dead_doc[], right_wait_until_dead_doc[];

#endif
