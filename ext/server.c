/* ServerCore: receives check-ins and judges them.
 *
 * A ServerCore owns a reference to its ReceiveRight object, not the right itself, and the
 * descriptor that fileno() made. accept() owns each message it receives until server_dispatch()
 * has destroyed it or handed its port over. Any number of threads may accept at once. */
#include "args.h"
#include "cancel.h"
#include "check_in_object.h"
#include "deadline.h"
#include "errors.h"
#include "right.h"
#include "stub_server.h"
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <bsm/libbsm.h>

/* Once a wait is to end, what is queued is looked at first: a check-in that arrived in time counts,
 * also behind a stranger's messages. No more can have been queued by then than the highest queue
 * limit there is, so one who keeps sending does not put the end off for ever. */
#define LAST_PASS_LONGEST MACH_PORT_QLIMIT_MAX
#define WAIT_LONGEST_MS (60 * 60 * 1000)

struct server_core {
    PyObject ob_base;
    struct module_state *state;
    PyObject *port; /* a ReceiveRight; NULL until __init__ */
    uint64_t token;
    bool pid_expected;
    pid_t expected_pid;
    _Atomic(int) descriptor; /* -1: not made */
    _Atomic(uint32_t) descriptor_generation;
    _Atomic(uint64_t) counts[VERDICTS];
};

enum ending { ENDING_NONE, ENDING_PEER_GONE, ENDING_TIMED_OUT };

struct accept_call {
    struct server_core *core;
    struct right *port;
    struct cancel_token *cancel;
    deadline_t deadline;
    struct waiter waiter;
    enum ending ending; /* why the pass over the queue that is under way is the last one */
    int last_pass_left;
    struct server_call call;
    audit_token_t sender;
    union server_message message;
};

/* --- one message ------------------------------------------------------------------------------ */

/* Reads the audit trailer, which lies behind the message at its size rounded up. False if there is
 * none: then nothing is known about the sender. */
static bool trailer_read(struct accept_call *accept)
{
    const mach_msg_header_t *header = &accept->message.header;
    size_t offset = ((size_t)header->msgh_size + 3) & ~(size_t)3;
    if (offset + sizeof(mach_msg_audit_trailer_t) > sizeof accept->message)
        return false;
    const mach_msg_audit_trailer_t *trailer = (const void *)(accept->message.room + offset);
    if (trailer->msgh_trailer_type != MACH_MSG_TRAILER_FORMAT_0 ||
        trailer->msgh_trailer_size < sizeof *trailer)
        return false;
    accept->sender = trailer->msgh_audit;
    return true;
}

static bool sender_is_kernel(const audit_token_t *sender)
{
    static const audit_token_t kernel = {{0}};
    return memcmp(sender, &kernel, sizeof kernel) == 0;
}

static enum verdict message_judge(struct accept_call *accept)
{
    const struct server_core *core = accept->core;
    if (!trailer_read(accept)) {
        mach_msg_destroy(&accept->message.header);
        return VERDICT_MALFORMED;
    }
    accept->call = (struct server_call){
        .token = core->token,
        .pid_expected = core->pid_expected,
        .expected_pid = core->expected_pid,
        .sender_pid = audit_token_to_pid(accept->sender),
    };
    return server_dispatch(&accept->call, &accept->message, sender_is_kernel(&accept->sender));
}

static mach_msg_return_t message_receive(struct accept_call *accept, mach_port_name_t name,
                                         uint32_t timeout_ms)
{
    const mach_msg_option_t options = MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_INTERRUPT |
                                      MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                                      MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);
    mach_msg_header_t *header = &accept->message.header;
    /* A receive that fails before it writes the header must leave nothing to destroy. */
    header->msgh_bits = 0;
    header->msgh_remote_port = MACH_PORT_NULL;
    return mach_msg(header, options, 0, sizeof accept->message, name, timeout_ms, MACH_PORT_NULL);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* STEP_AGAIN: a message that was no check-in, or a wake-up: look at the queue once more. */
enum step { STEP_ACCEPTED, STEP_AGAIN, STEP_EMPTY, STEP_INTERRUPTED, STEP_FAILED };

static enum step step_after(struct accept_call *accept, mach_msg_return_t mr)
{
    enum verdict verdict = VERDICT_MALFORMED;
    switch (mr & ~MACH_MSG_MASK) {
    case MACH_MSG_SUCCESS:
        verdict = message_judge(accept);
        atomic_fetch_add_explicit(&accept->core->counts[verdict], 1, memory_order_relaxed);
        return verdict == VERDICT_ACCEPTED ? STEP_ACCEPTED : STEP_AGAIN;
    case MACH_RCV_TOO_LARGE: /* the kernel destroyed the message, rights and all */
        atomic_fetch_add_explicit(&accept->core->counts[verdict], 1, memory_order_relaxed);
        return STEP_AGAIN;
    case MACH_RCV_TIMED_OUT:
        return STEP_EMPTY;
    case MACH_RCV_INTERRUPTED:
        return STEP_INTERRUPTED;
    case MACH_RCV_INVALID_NAME: /* it was one when the call began */
    case MACH_RCV_PORT_CHANGED:
    case MACH_RCV_PORT_DIED:
        error_set_as(accept->core->state, ERROR_PORT_CHANGED, "mach_msg", mr, NULL);
        return STEP_FAILED;
    case MACH_RCV_BODY_ERROR: /* the message came without some of its rights */
        mach_msg_destroy(&accept->message.header);
        error_set(accept->core->state, "mach_msg", mr, NULL);
        return STEP_FAILED;
    default:
        error_set(accept->core->state, "mach_msg", mr, NULL);
        return STEP_FAILED;
    }
}

static void accept_last_pass(struct accept_call *accept, enum ending ending)
{
    if (accept->ending != ENDING_NONE)
        return;
    accept->ending = ending;
    accept->last_pass_left = LAST_PASS_LONGEST;
}

static enum step accept_poll(struct accept_call *accept, mach_port_name_t name)
{
    return step_after(accept, message_receive(accept, name, 0));
}

/* Blocks until something happens: in mach_msg itself if only a message or the deadline can end the
 * wait, else in the waiter, after which the caller looks at the queue again. */
static enum step accept_block(struct accept_call *accept, mach_port_name_t name)
{
    uint32_t left = deadline_left_ms(accept->deadline, WAIT_LONGEST_MS);
    bool alone = accept->waiter.cancel_fd < 0 && accept->waiter.peer_fd < 0;
    mach_msg_return_t mr;
    Py_BEGIN_ALLOW_THREADS mr =
        alone ? message_receive(accept, name, left) : waiter_wait(&accept->waiter, name, left);
    Py_END_ALLOW_THREADS if (alone || mr != MACH_MSG_SUCCESS) return step_after(accept, mr);
    if (accept->waiter.peer_gone)
        accept_last_pass(accept, ENDING_PEER_GONE);
    return STEP_AGAIN;
}

/* After a message that was no check-in: signals, and a chance for other threads, so that a flood of
 * them holds nobody up. 0, or -1 with an exception. */
static int accept_breathe(void)
{
    Py_BEGIN_ALLOW_THREADS Py_END_ALLOW_THREADS return PyErr_CheckSignals();
}

static PyObject *accept_result(struct accept_call *accept)
{
    return check_in_object_steal(accept->core->state, accept->call.port, accept->call.disposition,
                                 accept->core->token, &accept->sender);
}

/* Raises what ends the wait: 0 to go on, -1 with the exception. */
static int accept_check_end(struct accept_call *accept, enum step step)
{
    struct module_state *state = accept->core->state;
    if (cancel_check(state, accept->cancel) < 0)
        return -1;
    if (deadline_passed(accept->deadline))
        accept_last_pass(accept, ENDING_TIMED_OUT);
    if (accept->ending == ENDING_NONE)
        return 0;
    if (step != STEP_EMPTY && accept->last_pass_left-- > 0)
        return 0;
    if (accept->ending == ENDING_PEER_GONE)
        error_set_plain(state, ERROR_PEER_GONE,
                        "the peer died, or closed its end, before it checked in");
    else
        error_set(state, "mach_msg", MACH_RCV_TIMED_OUT, NULL);
    return -1;
}

static PyObject *accept_run(struct accept_call *accept)
{
    if (cancel_check(accept->core->state, accept->cancel) < 0)
        return NULL;
    bool block = false;
    for (;;) {
        mach_port_name_t name = right_peek(accept->port);
        if (name == MACH_PORT_NULL)
            return error_set_as(accept->core->state, ERROR_PORT_CHANGED, "mach_msg",
                                MACH_RCV_PORT_CHANGED, NULL);
        enum step step = block ? accept_block(accept, name) : accept_poll(accept, name);
        if (step == STEP_ACCEPTED)
            return accept_result(accept);
        if (step == STEP_FAILED)
            return NULL;
        if (step != STEP_EMPTY && accept_breathe() < 0)
            return NULL;
        if (accept_check_end(accept, step) < 0)
            return NULL;
        block = step == STEP_EMPTY;
    }
}

/* --- accept's arguments ----------------------------------------------------------------------- */

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

static PyObject *core_accept(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    enum { TIMEOUT, CANCEL, WATCH_FD, TOTAL };
    static const char *const names[TOTAL] = {"timeout", "cancel", "watch_fd"};
    static const struct parameters parameters = {"accept", names, TOTAL, 1, 0};
    struct server_core *core = (struct server_core *)self;
    PyObject *given[TOTAL];
    struct accept_call accept;
    int watch_fd;
    mach_port_name_t name;
    if (!core_is_ready(core) || args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        cancel_from_argument(core->state, given[CANCEL], &accept.cancel) < 0 ||
        watch_from_argument(given[WATCH_FD], &watch_fd) < 0 ||
        deadline_from_timeout(given[TIMEOUT], &accept.deadline) < 0)
        return NULL;
    accept.core = core;
    accept.port = (struct right *)core->port;
    accept.ending = ENDING_NONE;
    accept.last_pass_left = 0;
    if (right_pin(accept.port, &name) < 0) /* ValueError if it is closed already */
        return NULL;
    right_unpin(accept.port);
    waiter_init(&accept.waiter, cancel_descriptor(accept.cancel), watch_fd);
    PyObject *result = accept_run(&accept);
    waiter_release(&accept.waiter);
    return result;
}

/* --- the descriptor --------------------------------------------------------------------------- */

static void core_descriptor_close(struct server_core *core)
{
    int descriptor = atomic_exchange(&core->descriptor, -1);
    if (descriptor >= 0)
        port_descriptor_release(descriptor, atomic_load(&core->descriptor_generation) !=
                                                atomic_load(&core->state->generation));
}

static PyObject *core_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct server_core *core = (struct server_core *)self;
    struct right *port = (struct right *)core->port;
    mach_port_name_t name;
    if (!core_is_ready(core) || right_pin(port, &name) < 0)
        return NULL;
    kern_return_t kr = KERN_SUCCESS;
    int descriptor = atomic_load(&core->descriptor);
    if (descriptor < 0) {
        int none = -1;
        kr = port_descriptor_make(name, &descriptor);
        atomic_store(&core->descriptor_generation, atomic_load(&core->state->generation));
        /* Two threads that ask first: the second uses what the first made. */
        if (kr == KERN_SUCCESS &&
            !atomic_compare_exchange_strong(&core->descriptor, &none, descriptor)) {
            port_descriptor_release(descriptor, false);
            descriptor = none;
        }
    }
    right_unpin(port);
    if (kr != KERN_SUCCESS)
        return error_set(core->state, "fileno", kr, NULL);
    return PyLong_FromLong(descriptor);
}

static PyObject *core_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    core_descriptor_close((struct server_core *)self);
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
    atomic_init(&core->descriptor, -1);
    return (PyObject *)core;
}

static int core_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"port", "token", "expected_pid", NULL};
    struct server_core *core = (struct server_core *)self;
    PyObject *port, *token, *pid = Py_None;
    int expected_pid = 0;
    if (core->port) {
        PyErr_SetString(PyExc_RuntimeError, "ServerCore.__init__() was called twice");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO|O:ServerCore", keywords, &port, &token,
                                     &pid) ||
        !right_expect(core->state, port, RIGHT_RECEIVE, "port") ||
        arg_uint64(token, "a token", &core->token) < 0 ||
        (pid != Py_None && arg_int(pid, "expected_pid", &expected_pid) < 0))
        return -1;
    core->pid_expected = pid != Py_None;
    core->expected_pid = (pid_t)expected_pid;
    core->port = Py_NewRef(port);
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
    core_descriptor_close(core);
    Py_CLEAR(core->port);
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
    "ServerCore(port, token, expected_pid=None)\n--\n\n"
    "Accepts check-ins at a ReceiveRight.\n\n"
    "A check-in is valid if it carries token (0 to 2**64-1) and, where expected_pid is\n"
    "given, comes from that process. The ReceiveRight is kept alive but stays its owner's\n"
    "to close.");
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
    "receive a right; ValueError if the port is closed already.");
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
