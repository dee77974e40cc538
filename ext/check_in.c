/* check_in(): hands a right to a server through the generated user stub.
 *
 * Who owns what: for a COPY_SEND or MAKE_* disposition the caller keeps its right, and the object
 * is only pinned for the call. For a MOVE_* disposition the object's right is set aside (MOVING);
 * if the message is queued, the right is the server's and the object is closed, else the right is
 * given back to the object, if need be under its new name. A destination that is a send-once right
 * is moved likewise.
 *
 * When the queue is full the kernel gives the message back with more than it took: the copied
 * destination and a copied or made right as one more user reference each. It is sent again as it
 * stands until it goes or the call gives up; then what the kernel added is dropped here. */
#include "args.h"
#include "audit.h"
#include "cancel.h"
#include "deadline.h"
#include "errors.h"
#include "guard.h"
#include "right.h"
#include "send_wait.h"
#include "stub_user.h"

struct check_in_call {
    struct module_state *state;
    struct right *server; /* NULL: given as a name */
    struct right *port;   /* NULL: given as a name, or none */
    mach_port_name_t server_name;
    mach_port_name_t port_name;
    mach_msg_type_name_t disposition;
    uint64_t token;
    struct cancel_token *cancel;
    deadline_t deadline;
    struct stub_send send;
};

/* --- arguments -------------------------------------------------------------------------------- */

static int disposition_from_argument(struct check_in_call *call, PyObject *port,
                                     PyObject *disposition)
{
    int value;
    if (call->port)
        return right_disposition(call->port, disposition, &call->disposition);
    if (arg_is_none(disposition) && port == Py_None) {
        call->disposition = MACH_MSG_TYPE_COPY_SEND;
        return 0;
    }
    if (arg_is_none(disposition)) {
        PyErr_SetString(PyExc_TypeError, "a disposition must be given for a port name");
        return -1;
    }
    if (arg_int(disposition, "disposition", &value) < 0)
        return -1;
    if (value < MACH_MSG_TYPE_MOVE_RECEIVE || value > MACH_MSG_TYPE_MAKE_SEND_ONCE) {
        PyErr_Format(PyExc_ValueError, "disposition %d does not fit the port given as %R", value,
                     port);
        return -1;
    }
    call->disposition = (mach_msg_type_name_t)value;
    return 0;
}

static int server_from_argument(struct check_in_call *call, PyObject *server)
{
    call->server = right_from_object(call->state, server);
    if (!call->server)
        return arg_name(server, &call->server_name);
    if (call->server->kind == RIGHT_SEND || call->server->kind == RIGHT_SEND_ONCE)
        return 0;
    PyErr_Format(PyExc_TypeError, "server must be a SendRight, a SendOnceRight or a name, not %R",
                 (PyObject *)Py_TYPE(server));
    return -1;
}

static int port_from_argument(struct check_in_call *call, PyObject *port, PyObject *disposition)
{
    call->port = right_from_object(call->state, port);
    call->port_name = MACH_PORT_NULL;
    if (!call->port && port != Py_None && arg_name(port, &call->port_name) < 0)
        return -1;
    return disposition_from_argument(call, port, disposition);
}

static int call_parse(struct check_in_call *call, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    enum { SERVER, TOKEN, PORT, DISPOSITION, TIMEOUT, CANCEL, TOTAL };
    static const char *const names[TOTAL] = {"server",      "token",   "port",
                                             "disposition", "timeout", "cancel"};
    static const struct parameters parameters = {"check_in", names, TOTAL, 4, 3};
    PyObject *given[TOTAL];
    if (args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        server_from_argument(call, given[SERVER]) < 0 ||
        arg_uint64(given[TOKEN], "a token", &call->token) < 0 ||
        port_from_argument(call, given[PORT], given[DISPOSITION]) < 0 ||
        cancel_from_argument(call->state, given[CANCEL], &call->cancel) < 0)
        return -1;
    return deadline_from_timeout(given[TIMEOUT], &call->deadline);
}

/* --- holding the rights for the time of the call ---------------------------------------------- */

static bool server_is_moved(const struct check_in_call *call)
{
    return call->server && call->server->kind == RIGHT_SEND_ONCE;
}

static int port_hold(struct check_in_call *call)
{
    if (!call->port)
        return 0;
    if (disposition_moves(call->disposition))
        return right_move_begin(call->port, &call->port_name);
    return right_pin(call->port, &call->port_name);
}

static int server_hold(struct check_in_call *call)
{
    if (!call->server)
        return 0;
    if (server_is_moved(call))
        return right_move_begin(call->server, &call->server_name);
    /* Handing a port its own last send right: the kernel reads the destination first. */
    if (call->server == call->port && disposition_moves(call->disposition)) {
        call->server_name = call->port_name;
        return 0;
    }
    return right_pin(call->server, &call->server_name);
}

/* Lets go of the port; it stays with its object unless it was consumed. */
static void port_let_go(struct check_in_call *call, bool consumed, mach_port_name_t name)
{
    if (!call->port)
        return;
    if (!disposition_moves(call->disposition))
        right_unpin(call->port);
    else if (consumed)
        right_move_end(call->port);
    else
        right_move_give_back(call->port, name);
}

static void server_let_go(struct check_in_call *call, bool consumed, mach_port_name_t name)
{
    if (!call->server)
        return;
    if (server_is_moved(call)) {
        if (consumed)
            right_move_end(call->server);
        else
            right_move_give_back(call->server, name);
    } else if (call->server != call->port || !disposition_moves(call->disposition)) {
        right_unpin(call->server);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

/* A returned message was given up: drops the references that the kernel added, and hands what it
 * took from a MOVE_* back. `result` is that of the last attempt. */
static void call_take_back(struct check_in_call *call, mach_msg_return_t result)
{
    const __Request__child_port_check_in_t *message = &call->send.message;
    mach_port_name_t server = message->Head.msgh_remote_port;
    mach_port_name_t port = message->port.name;
    bool moved = disposition_moves(call->disposition);
    /* MACH_SEND_INVALID_RIGHT on a second attempt: somebody released the name that the message
     * carries. The kernel had by then consumed the destination, and the name is not ours to drop.
     */
    bool body_failed = (result & ~MACH_MSG_MASK) == MACH_SEND_INVALID_RIGHT;
    /* Apple's stub copies the thread's voucher into the message, where there is one. */
    if (!body_failed && MACH_MSGH_BITS_HAS_VOUCHER(message->Head.msgh_bits))
        right_name_release(RIGHT_SEND, message->Head.msgh_voucher_port);
    if (!body_failed && !server_is_moved(call))
        right_name_release(RIGHT_SEND, server);
    if (!body_failed && !moved)
        right_name_release(RIGHT_SEND, port); /* or a send-once right: both are deallocated */
    server_let_go(call, body_failed, server);
    port_let_go(call, false, port);
    if (moved && !call->port && port != call->port_name)
        error_note_name(port);
}

static int call_send(struct check_in_call *call)
{
    mach_msg_return_t result =
        stub_send(&call->send, call->server_name, call->token, call->port_name, call->disposition);
    if (result == MACH_MSG_SUCCESS) {
        server_let_go(call, true, MACH_PORT_NULL);
        port_let_go(call, true, MACH_PORT_NULL);
        return 0;
    }
    if (!call->send.returned) {
        /* Nothing was consumed, but that a moved destination is destroyed when the body fails. */
        bool server_lost = (result & ~MACH_MSG_MASK) == MACH_SEND_INVALID_RIGHT;
        server_let_go(call, server_lost, call->server_name);
        port_let_go(call, false, call->port_name);
        error_set(call->state, "mach_msg", result, NULL);
        return -1;
    }
    if (send_until_queued(call->state, &call->send.message.Head, sizeof call->send.message,
                          call->cancel, call->deadline, &result) < 0) {
        call_take_back(call, result);
        return -1;
    }
    server_let_go(call, true, MACH_PORT_NULL);
    port_let_go(call, true, MACH_PORT_NULL);
    return 0;
}

PyDoc_STRVAR(
    doc_check_in,
    "check_in($module, /, server, token, port, disposition=None, *, timeout=None, cancel=None)\n"
    "--\n\n"
    "Hand a right to a server: the child_port_check_in routine of child_port.defs.\n\n"
    "server is a SendRight, a SendOnceRight (used up by a check-in that succeeds) or a name;\n"
    "port a right object, a name, or None for no port; token the server's secret, 0 to 2**64-1.\n"
    "disposition is COPY_SEND for a SendRight or DeadName and MOVE_SEND_ONCE for a SendOnceRight\n"
    "unless given; a ReceiveRight (MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE) and a name need "
    "one.\n\n"
    "Returns once the message is queued (mach_msg); the server does not answer. A MOVE_* then\n"
    "closes the object. On any failure the caller owns what it owned; if that is now under\n"
    "another name, the object knows, and for a port given by name the exception's name says it.\n\n"
    "While the queue is full it waits for timeout seconds (None: without end; 0: not at all).\n"
    "TimedOut, Cancelled, InvalidDestination (server dead), InvalidRight; TypeError, ValueError\n"
    "(closed, in use, or a disposition that does not fit) and OverflowError for the arguments.\n\n"
    "Raises the audit event child_port.check_in with the names of server and port, and the\n"
    "disposition, before it does anything.");

/* Before anything is held, which a hook might wait for or look at. */
static int call_audit(const struct check_in_call *call)
{
    return audit_check_in(call->state, call->server ? right_peek(call->server) : call->server_name,
                          call->port ? right_peek(call->port) : call->port_name, call->disposition);
}

static PyObject *check_in(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    struct check_in_call call = {.state = state_of_module(module)};
    if (call_parse(&call, args, nargs, kwnames) < 0 || cancel_check(call.state, call.cancel) < 0 ||
        call_audit(&call) < 0 || port_hold(&call) < 0)
        return NULL;
    if (server_hold(&call) < 0) {
        port_let_go(&call, false, call.port_name);
        return NULL;
    }
    call.send.to_send_once = server_is_moved(&call);
    if (guard_destination(call.state, call.server, call.server_name) < 0 ||
        guard_carried(call.port_name, call.disposition, call.port && call.port->from_bootstrap) <
            0) {
        server_let_go(&call, false, call.server_name);
        port_let_go(&call, false, call.port_name);
        return NULL;
    }
    if (call_send(&call) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef check_in_functions[] = {
    {"check_in", METHOD(check_in), METH_FASTCALL | METH_KEYWORDS, doc_check_in},
    {NULL, NULL, 0, NULL},
};

int check_in_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, check_in_functions);
}
