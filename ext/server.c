/* The ServerCore type. What it owns is in server.h; the wait itself is in accept.c. Any number of
 * threads may accept at once. */
#include "args.h"
#include "check_in_object.h"
#include "errors.h"
#include "right.h"
#include "server.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>

/* --- accept ----------------------------------------------------------------------------------- */

static int watch_from_argument(PyObject *object, int *descriptor)
{
    *descriptor = -1;
    if (!object)
        return 0;
    if (arg_int(object, "watch_fd", descriptor) < 0)
        return -1;
    if (*descriptor < -1) {
        PyErr_SetString(PyExc_ValueError, "watch_fd must be a descriptor, or -1 for none");
        return -1;
    }
    if (*descriptor >= 0 && fcntl(*descriptor, F_GETFD) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return 0;
}

static int core_is_ready(const struct server_core *core)
{
    if (core->port)
        return 1;
    PyErr_SetString(PyExc_RuntimeError, "ServerCore.__init__() was not called");
    return 0;
}

/* Whoever closes a server closes what it watches next: which of the two is found out first must
 * make no difference to the error. */
static int core_is_open(const struct server_core *core)
{
    if (!core_is_ready(core))
        return 0;
    struct right *port = (struct right *)core->port;
    return right_peek(port) != MACH_PORT_NULL || right_fail_closed(port) == 0;
}

static PyObject *core_accept(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    enum { TIMEOUT, CANCEL, WATCH_FD, TOTAL };
    static const char *const names[TOTAL] = {"timeout", "cancel", "watch_fd"};
    static const struct parameters parameters = {"accept", names, TOTAL, 1, 0};
    struct server_core *core = (struct server_core *)self;
    PyObject *given[TOTAL];
    struct accept_request request;
    if (!core_is_open(core) || args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        cancel_from_argument(core->state, given[CANCEL], &request.cancel) < 0 ||
        watch_from_argument(given[WATCH_FD], &request.watch_fd) < 0 ||
        deadline_from_timeout(given[TIMEOUT], &request.deadline) < 0)
        return NULL;
    return server_accept(core, &request);
}

/* --- the descriptor --------------------------------------------------------------------------- */

static PyObject *core_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct server_core *core = (struct server_core *)self;
    struct right *port = (struct right *)core->port;
    mach_port_name_t name;
    if (!core_is_ready(core) || right_pin(port, &name) < 0)
        return NULL;
    PyObject *result = port_descriptor_get(&core->descriptor, core->state, name);
    right_unpin(port);
    return result;
}

static PyObject *core_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct server_core *core = (struct server_core *)self;
    port_descriptor_drop(&core->descriptor, core->state);
    Py_RETURN_NONE;
}

/* --- the type --------------------------------------------------------------------------------- */

static PyObject *core_new(PyTypeObject *type, PyObject *Py_UNUSED(args),
                          PyObject *Py_UNUSED(kwargs))
{
    struct module_state *state = state_of_type(type);
    if (!state)
        return NULL;
    struct server_core *core = (struct server_core *)PyType_GenericAlloc(type, 0);
    if (!core)
        return NULL;
    core->state = state;
    port_descriptor_init(&core->descriptor);
    return (PyObject *)core;
}

static int core_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"port", "token", "expected_pid", "keyed", NULL};
    struct server_core *core = (struct server_core *)self;
    PyObject *port, *token, *pid = Py_None;
    int expected_pid = 0, keyed = 0;
    uint64_t secret;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|Op:ServerCore", keywords, &port, &token,
                                     &pid, &keyed) ||
        !right_expect(core->state, port, RIGHT_RECEIVE, "port") ||
        arg_uint64(token, "a token", &secret) < 0 ||
        (pid != Py_None && arg_int(pid, "expected_pid", &expected_pid) < 0))
        return -1;
    if (pid != Py_None && expected_pid <= 0) {
        PyErr_SetString(PyExc_ValueError, "expected_pid must be a process's number, above 0");
        return -1;
    }
    if (atomic_exchange(&core->claimed, true)) {
        PyErr_SetString(PyExc_RuntimeError, "ServerCore.__init__() was called twice");
        return -1;
    }
    core->token = secret;
    core->keyed = keyed != 0;
    core->pid_expected = pid != Py_None;
    core->expected_pid = (pid_t)expected_pid;
    /* Last: who sees the port sees all of it. */
    atomic_store(&core->port, Py_NewRef(port));
    return 0;
}

static int core_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct server_core *)self)->port);
    return 0;
}

static void core_dealloc(PyObject *self)
{
    struct server_core *core = (struct server_core *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    port_descriptor_drop(&core->descriptor, core->state);
    Py_XDECREF(core->port);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyObject *core_get_port(PyObject *self, void *Py_UNUSED(closure))
{
    struct server_core *core = (struct server_core *)self;
    return core_is_ready(core) ? Py_NewRef(core->port) : NULL;
}

static PyObject *core_get_token(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct server_core *)self)->token);
}

static PyObject *core_get_expected_pid(PyObject *self, void *Py_UNUSED(closure))
{
    struct server_core *core = (struct server_core *)self;
    if (!core->pid_expected)
        Py_RETURN_NONE;
    return PyLong_FromLong(core->expected_pid);
}

static PyObject *core_get_stats(PyObject *self, void *Py_UNUSED(closure))
{
    static const char *const names[VERDICTS] = {
        [VERDICT_ACCEPTED] = "accepted",          [VERDICT_BAD_TOKEN] = "bad_token",
        [VERDICT_MALFORMED] = "malformed",        [VERDICT_WRONG_SENDER] = "wrong_sender",
        [VERDICT_NOTIFICATION] = "notifications",
    };
    struct server_core *core = (struct server_core *)self;
    PyObject *stats = PyDict_New();
    for (int i = 0; stats && i < VERDICTS; i++) {
        PyObject *count = PyLong_FromUnsignedLongLong(atomic_load(&core->counts[i]));
        if (!count || PyDict_SetItemString(stats, names[i], count) < 0)
            Py_CLEAR(stats);
        Py_XDECREF(count);
    }
    return stats;
}

PyDoc_STRVAR(
    doc_server_core,
    "ServerCore(port, token, expected_pid=None, keyed=False)\n--\n\n"
    "Accepts check-ins at a ReceiveRight.\n\n"
    "A check-in is valid if it carries token (0 to 2**64-1) and, where expected_pid is\n"
    "given, comes from that process. With keyed, so is one whose token has the upper 32 bits\n"
    "of token turned over, and any lower ones: what they mean is the caller's to find out.\n"
    "The ReceiveRight is kept alive but stays its owner's to close.");
PyDoc_STRVAR(
    doc_accept,
    "accept($self, /, timeout=None, *, cancel=None, watch_fd=-1)\n--\n\n"
    "The next valid check-in; the caller owns its port.\n\n"
    "Messages with another token or sender, malformed ones and notifications are destroyed\n"
    "with the rights in them, counted in stats, and the wait goes on (mach_msg, and the\n"
    "demux generated from child_port.defs). timeout is in seconds: None waits without end,\n"
    "0 polls; what is queued when it passes is looked at first.\n\n"
    "TimedOut; Cancelled by the token cancel; PeerGone once watch_fd is at its end or hung\n"
    "up (a pipe from the peer, a pidfd) and the queue has no check-in left; PortChanged if\n"
    "the port is closed or moved meanwhile; ResourceShortage when no descriptor is left to\n"
    "receive a right; ValueError if the port is closed already.\n\n"
    "Raises the audit event child_port.accept with the port's name before it takes a message;\n"
    "if a hook raises, what is queued stays queued.");
PyDoc_STRVAR(
    doc_fileno,
    "fileno($self, /)\n--\n\n"
    "A descriptor that polls readable while a message may wait; owned by this object until\n"
    "close(). Readable promises no valid check-in: follow it with accept(timeout=0).");
PyDoc_STRVAR(doc_close, "close($self, /)\n--\n\n"
                        "Close fileno()'s descriptor, if there is one. The port is not touched.");
PyDoc_STRVAR(doc_port, "The ReceiveRight at which check-ins arrive.");
PyDoc_STRVAR(doc_token, "The token that a check-in must carry.");
PyDoc_STRVAR(doc_expected_pid, "The process that a check-in must come from, None for any.");
PyDoc_STRVAR(doc_stats,
             "Messages so far, a new dict: accepted, bad_token, malformed, wrong_sender,\n"
             "notifications.");

static PyGetSetDef core_getset[] = {
    {"port", core_get_port, NULL, doc_port, NULL},
    {"token", core_get_token, NULL, doc_token, NULL},
    {"expected_pid", core_get_expected_pid, NULL, doc_expected_pid, NULL},
    {"stats", core_get_stats, NULL, doc_stats, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef core_methods[] = {
    {"accept", METHOD(core_accept), METH_FASTCALL | METH_KEYWORDS, doc_accept},
    {"fileno", core_fileno, METH_NOARGS, doc_fileno},
    {"close", core_close, METH_NOARGS, doc_close},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot core_slots[] = {
    {Py_tp_doc, (void *)doc_server_core},
    {Py_tp_new, core_new},
    {Py_tp_init, core_init},
    {Py_tp_traverse, core_traverse},
    {Py_tp_dealloc, core_dealloc},
    {Py_tp_getset, core_getset},
    {Py_tp_methods, core_methods},
    {0, NULL},
};

static PyType_Spec core_spec = {"child_port.ServerCore", sizeof(struct server_core), 0,
                                Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                                core_slots};

int server_add(PyObject *module, struct module_state *state)
{
    if (check_in_object_add(module, state) < 0)
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &core_spec, NULL);
    state->server_core_type = (PyTypeObject *)type;
    return type ? PyModule_AddType(module, state->server_core_type) : -1;
}
