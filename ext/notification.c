/* Notifications: what the kernel tells of rights, and asking for it.
 *
 * A Notification owns the right that came with it: a user reference of the dead name, or the
 * receive right of a port that would have been destroyed. Each kind is a type of its own. */
#include <string.h>

#include <mach/notify.h>

#include "args.h"
#include "errors.h"
#include "message.h"
#include "notification.h"
#include "requests.h"

struct notification_object {
    PyObject ob_base;
    PyObject *port;  /* the ReceiveRight that it came to, or None */
    PyObject *right; /* a right or None */
    uint32_t number; /* a name, or a make-send count */
};

/* --- from the message ------------------------------------------------------------------------- */

/* What a notification carries behind its header. */
enum payload { NOTHING, NAME, DEAD_NAME, COUNT, RECEIVE_RIGHT };

static const struct {
    mach_msg_id_t id;
    const char *name;
    enum payload payload;
    const char *doc;
} kinds[NOTIFICATION_KINDS] = {
    {MACH_NOTIFY_PORT_DELETED, "child_port.PortDeleted", NAME,
     "A name with a request was released before what was asked for could happen. name: the name,\n"
     "which means nothing any more."},
    {MACH_NOTIFY_PORT_DESTROYED, "child_port.PortDestroyed", RECEIVE_RIGHT,
     "A port with such a request would have been destroyed. right: its ReceiveRight, messages and\n"
     "all."},
    {MACH_NOTIFY_NO_SENDERS, "child_port.NoSenders", COUNT,
     "Nobody holds a send right to the port any more. count: its make-send count, how many were\n"
     "ever made."},
    {MACH_NOTIFY_SEND_ONCE, "child_port.SendOnce", NOTHING,
     "A send-once right to this port was given up unused: no answer will come by it."},
    {MACH_NOTIFY_DEAD_NAME, "child_port.Died", DEAD_NAME,
     "The port of a right died. name: the right's name. right: a DeadName, one more reference of\n"
     "it, which this notification owns."},
};

static bool port_take(mach_msg_header_t *message, mach_port_name_t *name)
{
    uint8_t *at = (uint8_t *)(message + 1) + sizeof(mach_msg_body_t);
    mach_msg_port_descriptor_t port;
    if (!(message->msgh_bits & MACH_MSGH_BITS_COMPLEX) ||
        message->msgh_size < sizeof *message + sizeof(mach_msg_body_t) + sizeof port)
        return false;
    memcpy(&port, at, sizeof port);
    *name = port.name;
    port.name = MACH_PORT_NULL;
    memcpy(at, &port, sizeof port);
    return true;
}

/* The right in it, a new reference, perhaps None; NULL, without an exception if it is malformed. */
static PyObject *payload_take(struct module_state *state, enum payload payload,
                              mach_msg_header_t *message, uint32_t *number)
{
    mach_port_name_t name = MACH_PORT_NULL;
    switch (payload) {
    case NAME:
    case COUNT:
        return notification_number(message, number) ? Py_NewRef(Py_None) : NULL;
    case DEAD_NAME:
        if (!notification_number(message, number))
            return NULL;
        return (PyObject *)right_steal(state, RIGHT_DEAD_NAME, *number);
    case RECEIVE_RIGHT:
        if (!port_take(message, &name))
            return NULL;
        return right_arrived(state, name, MACH_MSG_TYPE_PORT_RECEIVE);
    default:
        return Py_NewRef(Py_None);
    }
}

PyObject *notification_from_message(struct module_state *state, mach_msg_header_t *message,
                                    PyObject *port)
{
    int kind = 0;
    uint32_t number = 0;
    while (kind < NOTIFICATION_KINDS && kinds[kind].id != message->msgh_id)
        kind++;
    if (kind == NOTIFICATION_KINDS)
        return NULL;
    PyObject *right = payload_take(state, kinds[kind].payload, message, &number);
    if (!right)
        return NULL;
    struct notification_object *result =
        PyObject_New(struct notification_object, state->notification_types[kind]);
    if (!result) {
        Py_DECREF(right);
        return NULL;
    }
    result->port = Py_NewRef(port);
    result->right = right;
    result->number = number;
    return (PyObject *)result;
}

/* --- the types -------------------------------------------------------------------------------- */

static void notification_dealloc(PyObject *self)
{
    struct notification_object *notification = (struct notification_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    Py_DECREF(notification->port);
    Py_DECREF(notification->right);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *notification_get_port(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct notification_object *)self)->port);
}

static PyObject *notification_get_right(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct notification_object *)self)->right);
}

static PyObject *notification_get_number(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((struct notification_object *)self)->number);
}

static PyObject *notification_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *notification_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                                   Py_ssize_t Py_UNUSED(nargs))
{
    PyObject *right = ((struct notification_object *)self)->right;
    if (right != Py_None)
        right_close((struct right *)right);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    doc_notification,
    "What the kernel tells of a right, received like a message. Its types are Died,\n"
    "NoSenders, SendOnce, PortDestroyed and PortDeleted. Died, NoSenders and PortDeleted come\n"
    "only where this module asked for them: one that somebody else sent, or made the kernel\n"
    "send, is dropped.");
PyDoc_STRVAR(doc_port, "The ReceiveRight that it came to; None if that has been taken out of its\n"
                       "set meanwhile.");
PyDoc_STRVAR(doc_right, "The right that came with it, or None. The same object each time.");
PyDoc_STRVAR(doc_name, "The name that it is about, an int.");
PyDoc_STRVAR(doc_count, "The make-send count.");

static PyGetSetDef base_getset[] = {
    {"port", notification_get_port, NULL, doc_port, NULL},
    {"right", notification_get_right, NULL, doc_right, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef name_getset[] = {
    {"name", notification_get_number, NULL, doc_name, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyGetSetDef count_getset[] = {
    {"count", notification_get_number, NULL, doc_count, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef base_methods[] = {
    {"__enter__", notification_enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(notification_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

#define FLAGS (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Slot base_slots[] = {
    {Py_tp_doc, (void *)doc_notification},
    {Py_tp_dealloc, notification_dealloc},
    {Py_tp_getset, base_getset},
    {Py_tp_methods, base_methods},
    {0, NULL},
};

static PyType_Spec base_spec = {"child_port.Notification", sizeof(struct notification_object), 0,
                                FLAGS | Py_TPFLAGS_BASETYPE, base_slots};

static PyTypeObject *kind_make(PyObject *module, PyObject *base, int kind)
{
    enum payload payload = kinds[kind].payload;
    PyType_Slot slots[] = {{Py_tp_doc, (void *)kinds[kind].doc}, {0, NULL}, {0, NULL}};
    if (payload == NAME || payload == DEAD_NAME)
        slots[1] = (PyType_Slot){Py_tp_getset, name_getset};
    else if (payload == COUNT)
        slots[1] = (PyType_Slot){Py_tp_getset, count_getset};
    PyType_Spec spec = {kinds[kind].name, sizeof(struct notification_object), 0, FLAGS, slots};
    return (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, base);
}

int notifications_add(PyObject *module, struct module_state *state)
{
    PyObject *base = PyType_FromModuleAndSpec(module, &base_spec, NULL);
    int result = base ? PyModule_AddType(module, (PyTypeObject *)base) : -1;
    for (int kind = 0; result == 0 && kind < NOTIFICATION_KINDS; kind++) {
        state->notification_types[kind] = kind_make(module, base, kind);
        result = state->notification_types[kind]
                     ? PyModule_AddType(module, state->notification_types[kind])
                     : -1;
    }
    Py_XDECREF(base);
    return result;
}

/* --- asking for them -------------------------------------------------------------------------- */

/* Asks for one at `notify`, NULL to call the request off. A request that it replaces is dropped. */
static PyObject *notification_request(struct right *right, mach_msg_id_t id, uint32_t sync,
                                      struct right *notify)
{
    mach_port_name_t name, target = MACH_PORT_NULL;
    mach_port_t previous = MACH_PORT_NULL;
    if (right_pin(right, &name) < 0)
        return NULL;
    if (notify && right_pin(notify, &target) < 0) {
        right_unpin(right);
        return NULL;
    }
    kern_return_t kr = requests_ask(right->state, name, id, sync, target, &previous);
    if (notify)
        right_unpin(notify);
    right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(right->state, "mach_port_request_notification", kr, NULL);
    right_name_release(RIGHT_SEND_ONCE, previous);
    Py_RETURN_NONE;
}

static int notify_from_argument(struct right *right, PyObject *argument, struct right **notify)
{
    *notify = NULL;
    if (argument == Py_None)
        return 0;
    *notify = right_expect(right->state, argument, RIGHT_RECEIVE, "notify");
    return *notify ? 0 : -1;
}

const char notify_dead_doc[] =
    "notify_dead($self, /, notify)\n--\n\n"
    "Ask the kernel for a Died notification at the ReceiveRight notify when this right's port "
    "dies\n"
    "(mach_port_request_notification). It is sent once, at once if the port is dead already. None\n"
    "calls a request off. If the right is closed first, PortDeleted comes instead.\n\n"
    "A right's name has one request: a later one takes the place of it, and the port that it was\n"
    "to notify gets SendOnce. So does a port that is sent on before it was notified: the request "
    "is\n"
    "called off, since the name means nothing where the port has gone.";

PyObject *notify_dead_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    static const char *const names[] = {"notify"};
    static const struct parameters parameters = {"notify_dead", names, 1, 1, 1};
    struct right *right = (struct right *)self, *notify;
    PyObject *given;
    if (args_parse(&parameters, args, nargs, kwnames, &given) < 0 ||
        notify_from_argument(right, given, &notify) < 0)
        return NULL;
    return notification_request(right, MACH_NOTIFY_DEAD_NAME, notify ? 1 : 0, notify);
}

const char notify_no_senders_doc[] =
    "notify_no_senders($self, /, notify, *, sync=1)\n--\n\n"
    "Ask the kernel for a NoSenders notification at the ReceiveRight notify, which may be this "
    "one,\n"
    "when nobody holds a send right to this port any more (mach_port_request_notification). It is\n"
    "sent once. None calls a request off.\n\n"
    "It is sent at once if there are no senders now and sync send rights have ever been made: "
    "with\n"
    "1 it waits for the first, with 0 for none, and with count + 1 of the last notification for "
    "one\n"
    "made since.";

PyObject *notify_no_senders_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                   PyObject *kwnames)
{
    static const char *const names[] = {"notify", "sync"};
    static const struct parameters parameters = {"notify_no_senders", names, 2, 1, 1};
    struct right *right = (struct right *)self, *notify;
    PyObject *given[2];
    uint32_t sync = 1;
    if (args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        notify_from_argument(right, given[0], &notify) < 0 ||
        (given[1] && arg_uint32(given[1], "sync", &sync) < 0))
        return NULL;
    return notification_request(right, MACH_NOTIFY_NO_SENDERS, sync, notify);
}
