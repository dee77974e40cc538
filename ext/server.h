/* ServerCore's struct, and accept(), the wait for a check-in. */
#ifndef CHILD_PORT_SERVER_H
#define CHILD_PORT_SERVER_H

#include "cancel.h"
#include "deadline.h"
#include "port_descriptor.h"
#include "state.h"
#include "stub_server.h"

/* A ServerCore owns a reference to its ReceiveRight object, not the right itself, and the
 * descriptor that fileno() made. */
struct server_core {
    PyObject ob_base;
    struct module_state *state;
    _Atomic(bool) claimed;    /* by the one call of __init__ that sets it up */
    _Atomic(PyObject *) port; /* a ReceiveRight; NULL until __init__ is over */
    uint64_t token;
    bool keyed;
    bool pid_expected;
    pid_t expected_pid;
    struct port_descriptor descriptor;
    _Atomic(uint64_t) counts[VERDICTS];
};

/* One accept(): the caller fills this in, and keeps all of it alive during the call. */
struct accept_request {
    struct cancel_token *cancel; /* NULL: none */
    deadline_t deadline;
    int watch_fd; /* -1: none */
};

/* The next valid check-in as a CheckIn object, or NULL with an exception set. */
PyObject *server_accept(struct server_core *core, const struct accept_request *request);

#endif
