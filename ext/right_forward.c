/* The methods of right objects that are coroutines, or made of other methods: each calls the
 * function of its name in the module child_port._messages. Nothing is owned here. */
#include "right_forward.h"

static PyObject *forward(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    PyObject *module = PyImport_ImportModule("child_port._messages");
    PyObject *function = module ? PyObject_GetAttrString(module, name) : NULL;
    PyObject *positional = function ? PyTuple_New(nargs + 1) : NULL;
    PyObject *named = positional ? PyDict_New() : NULL;
    PyObject *result = NULL;
    bool failed = named == NULL;
    if (positional)
        PyTuple_SetItem(positional, 0, Py_NewRef(self));
    for (Py_ssize_t i = 0; positional && i < nargs; i++)
        PyTuple_SetItem(positional, i + 1, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; !failed && i < keywords; i++)
        failed = PyDict_SetItem(named, PyTuple_GetItem(kwnames, i), args[nargs + i]) < 0;
    if (!failed)
        result = PyObject_Call(function, positional, named);
    Py_XDECREF(named);
    Py_XDECREF(positional);
    Py_XDECREF(function);
    Py_XDECREF(module);
    return result;
}

#define FORWARD(name)                                                                              \
    RIGHT_FORWARDED(name)                                                                          \
    {                                                                                              \
        return forward(self, #name, args, nargs, kwnames);                                         \
    }

FORWARD(reduce)
FORWARD(send_async)
FORWARD(request)
FORWARD(request_async)
FORWARD(receive_async)
FORWARD(wait_dead)
FORWARD(wait_until_dead)

const char right_send_async_doc[] =
    "send_async($self, /, data=b'', rights=(), *, id=0, reply_to=None, timeout=None, cancel=None)\n"
    "--\n\n"
    "Coroutine: send() without blocking the event loop while the queue is full. No kernel tells\n"
    "of room in a queue, so it tries again, after 50 ms at the latest. If the task is cancelled,\n"
    "nothing was sent.";

const char right_request_doc[] =
    "request($self, /, data=b'', rights=(), *, id=0, timeout=None, cancel=None)\n--\n\n"
    "Send a message with a send-once right for the answer, and wait for that: a Message.\n\n"
    "PeerGone if the receiver gives the send-once right up, as it does when it dies; else what\n"
    "send() and receive() raise. An answer that comes after the deadline is destroyed.";

const char right_request_async_doc[] =
    "request_async($self, /, data=b'', rights=(), *, id=0, timeout=None, cancel=None)\n--\n\n"
    "Coroutine: request() without blocking the event loop. If the task is cancelled, the request\n"
    "may have been sent, with the rights in it; an answer to it is destroyed.";

const char right_receive_async_doc[] =
    "receive_async($self, /, timeout=None, *, cancel=None)\n--\n\n"
    "Coroutine: receive() without blocking the event loop. A task that is cancelled loses\n"
    "no message.";

const char right_wait_dead_doc[] =
    "wait_dead($self, /, timeout=None)\n--\n\n"
    "Coroutine: returns when the port is dead, or raises TimeoutError.\n\n"
    "Any number of tasks and threads may wait for one port. They share the notify_dead() request\n"
    "of its name, which takes the place of an earlier one; ValueError if a later one takes its\n"
    "place. A wait holds a reference of its own: closing this object does not end it.";

const char right_wait_until_dead_doc[] =
    "wait_until_dead($self, /, timeout=None, *, cancel=None)\n--\n\n"
    "wait_dead() for threads: blocks until the port is dead. TimedOut, Cancelled.";
