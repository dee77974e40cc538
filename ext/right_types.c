/* The Python types of right objects: SendRight, SendOnceRight, ReceiveRight and DeadName, on their
 * common base Right. Who owns what is in right.h; the transitions are in right.c. */
#include "right.h"

#include "args.h"
#include "errors.h"
#include "message.h"
#include "notification.h"
#include "port_set.h"
#include "right_forward.h"

/* --- methods of every kind ------------------------------------------------------------------- */

static PyObject *right_get_name(PyObject *self, void *Py_UNUSED(closure))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name = right_peek(right);
    if (name == MACH_PORT_NULL) {
        right_fail_closed(right);
        return NULL;
    }
    return PyLong_FromUnsignedLong(name);
}

static PyObject *right_get_closed(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(right_peek((struct right *)self) == MACH_PORT_NULL);
}

static PyObject *right_method_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    right_close((struct right *)self);
    Py_RETURN_NONE;
}

static PyObject *right_method_detach(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    mach_port_name_t name;
    if (right_detach((struct right *)self, &name) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(name);
}

static PyObject *right_method_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    if (right_peek(right) == MACH_PORT_NULL) {
        right_fail_closed(right);
        return NULL;
    }
    return Py_NewRef(self);
}

static PyObject *right_method_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                                   Py_ssize_t Py_UNUSED(nargs))
{
    right_close((struct right *)self);
    Py_RETURN_NONE;
}

static PyObject *right_repr(PyObject *self)
{
    struct right *right = (struct right *)self;
    mach_port_name_t name = right_peek(right);
    if (name == MACH_PORT_NULL)
        return PyUnicode_FromFormat("<child_port.%s closed>", right_kind_names[right->kind]);
    return PyUnicode_FromFormat("<child_port.%s 0x%x>", right_kind_names[right->kind],
                                (unsigned)name);
}

/* --- what only some kinds have ---------------------------------------------------------------- */

const char right_fileno_doc[] =
    "fileno($self, /)\n--\n\n"
    "A descriptor that polls readable while a message may wait; owned by this object until it is\n"
    "closed. Follow it with receive(timeout=0), which may still find nothing.";

PyObject *right_fileno_method(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name;
    if (right_pin(right, &name) < 0)
        return NULL;
    PyObject *result = port_descriptor_get(&right->descriptor, right->state, name);
    right_unpin(right);
    return result;
}

PyDoc_STRVAR(doc_new_descriptor, "_new_descriptor($self, /)\n--\n\n"
                                 "Another descriptor like fileno()'s, which the caller owns.");

/* Whoever duplicated fileno()'s might be late: another thread closes the object, and the number is
 * somebody else's. The pin keeps the name. */
static PyObject *right_new_descriptor(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name;
    if (right_pin(right, &name) < 0)
        return NULL;
    PyObject *result = port_descriptor_new(right->state, name);
    right_unpin(right);
    return result;
}

const char right_dropped_doc[] =
    "How many messages receive() destroyed that were nothing to show: forged notifications.";

PyObject *right_get_dropped(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(atomic_load(&((struct right *)self)->dropped));
}

/* Warns about a receive right that nobody closed: its senders learn of it only now. Runs while the
 * object is being deallocated, so it must not show the object to anyone. */
static void receive_right_warn(const struct right *right, mach_port_name_t name)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_WarnFormat(PyExc_ResourceWarning, 1, "unclosed <child_port.ReceiveRight 0x%x>",
                         (unsigned)name) < 0)
        PyErr_WriteUnraisable((PyObject *)right->state->right_types[RIGHT_RECEIVE]);
    PyErr_Restore(type, value, traceback);
}

static void right_dealloc(PyObject *self)
{
    struct right *right = (struct right *)self;
    PyTypeObject *type = Py_TYPE(self);
    ledger_leave(right);
    /* Always: another thread may be taking a weak reference out of the list right now. */
    PyObject_ClearWeakRefs(self);
    mach_port_name_t name = right_peek(right);
    if (right->kind == RIGHT_RECEIVE && name != MACH_PORT_NULL)
        receive_right_warn(right, name);
    right_end(right);
    Py_XDECREF(right->members);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* --- adopt ------------------------------------------------------------------------------------ */

static const mach_port_type_t kind_types[RIGHT_KINDS] = {
    MACH_PORT_TYPE_SEND, MACH_PORT_TYPE_SEND_ONCE, MACH_PORT_TYPE_RECEIVE, MACH_PORT_TYPE_DEAD_NAME,
    MACH_PORT_TYPE_PORT_SET};

static PyObject *right_method_adopt(PyObject *cls, PyTypeObject *defining_class,
                                    PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    static const char *const names[] = {"name"};
    static const struct parameters parameters = {"adopt", names, 1, 1, 1};
    struct module_state *state = state_of_class(defining_class);
    PyObject *argument;
    mach_port_name_t name;
    if (args_parse(&parameters, args, nargs, kwnames, &argument) < 0 ||
        arg_name(argument, &name) < 0)
        return NULL;
    int kind = 0;
    while (kind < RIGHT_KINDS && cls != (PyObject *)state->right_types[kind])
        kind++;
    if (kind == RIGHT_KINDS) {
        PyErr_SetString(PyExc_TypeError, "adopt() belongs to the kinds of right, not to Right");
        return NULL;
    }
    if (kind != RIGHT_DEAD_NAME || name != MACH_PORT_DEAD) {
        mach_port_type_t type = 0;
        kern_return_t kr = mach_port_type(mach_task_self(), name, &type);
        if (kr == KERN_SUCCESS && !(type & kind_types[kind]))
            kr = KERN_INVALID_RIGHT;
        if (kr != KERN_SUCCESS)
            return error_set(state, "mach_port_type", kr, NULL);
    }
    return (PyObject *)right_adopt(state, (enum right_kind)kind, name);
}

/* --- send rights ------------------------------------------------------------------------------ */

static PyObject *send_right_copy(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name;
    if (right_pin(right, &name) < 0)
        return NULL;
    kern_return_t kr = mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_SEND, 1);
    right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(right->state, "mach_port_mod_refs", kr, NULL);
    return (PyObject *)right_steal(right->state, RIGHT_SEND, name);
}

static PyObject *send_right_get_dead(PyObject *self, void *Py_UNUSED(closure))
{
    struct right *right = (struct right *)self;
    mach_port_type_t type = 0;
    mach_port_name_t name;
    if (right_pin(right, &name) < 0)
        return NULL;
    /* A right that came back from a failed send may be called MACH_PORT_DEAD itself. */
    kern_return_t kr =
        name == MACH_PORT_DEAD ? KERN_SUCCESS : mach_port_type(mach_task_self(), name, &type);
    right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(right->state, "mach_port_type", kr, NULL);
    return PyBool_FromLong(name == MACH_PORT_DEAD || (type & MACH_PORT_TYPE_DEAD_NAME) != 0);
}

/* --- receive rights --------------------------------------------------------------------------- */

static PyObject *receive_right_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"qlimit", NULL};
    struct module_state *state = state_of_type(type);
    PyObject *qlimit_object = Py_None;
    mach_port_options_t options = {0};
    mach_port_name_t name = MACH_PORT_NULL;
    if (!state ||
        !PyArg_ParseTupleAndKeywords(args, kwargs, "|O:ReceiveRight", keywords, &qlimit_object))
        return NULL;
    if (qlimit_object != Py_None) {
        int qlimit;
        if (arg_int(qlimit_object, "qlimit", &qlimit) < 0)
            return NULL;
        if (qlimit < 0 || qlimit > MACH_PORT_QLIMIT_MAX) {
            PyErr_Format(PyExc_ValueError, "qlimit must be between 0 and %d",
                         (int)MACH_PORT_QLIMIT_MAX);
            return NULL;
        }
        options.flags = MPO_QLIMIT;
        options.mpl.mpl_qlimit = (mach_port_msgcount_t)qlimit;
    }
    kern_return_t kr = mach_port_construct(mach_task_self(), &options, 0, &name);
    if (kr != KERN_SUCCESS)
        return error_set(state, "mach_port_construct", kr, NULL);
    return (PyObject *)right_steal(state, RIGHT_RECEIVE, name);
}

static PyObject *receive_right_make_send(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name;
    if (right_pin(right, &name) < 0)
        return NULL;
    kern_return_t kr =
        mach_port_insert_right(mach_task_self(), name, name, MACH_MSG_TYPE_MAKE_SEND);
    right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(right->state, "mach_port_insert_right", kr, NULL);
    return (PyObject *)right_steal(right->state, RIGHT_SEND, name);
}

static PyObject *receive_right_make_send_once(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct right *right = (struct right *)self;
    mach_port_name_t name;
    mach_port_t send_once = MACH_PORT_NULL;
    mach_msg_type_name_t type = 0;
    if (right_pin(right, &name) < 0)
        return NULL;
    kern_return_t kr = mach_port_extract_right(mach_task_self(), name, MACH_MSG_TYPE_MAKE_SEND_ONCE,
                                               &send_once, &type);
    right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(right->state, "mach_port_extract_right", kr, NULL);
    return (PyObject *)right_steal(right->state, RIGHT_SEND_ONCE, send_once);
}

/* --- the types -------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    doc_right,
    "Base of SendRight, SendOnceRight, ReceiveRight, DeadName and PortSet.\n\n"
    "A right object owns exactly one user reference of its name (a ReceiveRight the receive\n"
    "right itself) and releases it when closed, at the end of a with block, or when\n"
    "collected. It compares by identity, and only multiprocessing can pickle it. In the child of a "
    "fork every\n"
    "right object of the parent is closed: port names do not survive a fork.");
PyDoc_STRVAR(
    doc_name,
    "The mach_port_name_t, an int. ValueError once the object is closed, detached or moved.");
PyDoc_STRVAR(doc_closed, "True once the object owns nothing: closed, detached, moved or forked.");
PyDoc_STRVAR(
    doc_close,
    "close($self, /)\n--\n\n"
    "Release the right (mach_port_deallocate, or mach_port_destruct for a ReceiveRight).\n\n"
    "Closing twice is fine, from any thread. A wait on a ReceiveRight ends with PortChanged;\n"
    "a send in progress keeps the right until it is over.");
PyDoc_STRVAR(doc_detach,
             "detach($self, /)\n--\n\n"
             "Give the name up: the caller, or native code, owns the right from now on.\n\n"
             "ValueError if the object is closed, or in use by another thread.");
PyDoc_STRVAR(
    doc_adopt,
    "adopt($type, /, name)\n--\n\n"
    "Take over one user reference (or the receive right) that native code owned as name.\n\n"
    "InvalidRight if the name has no right of this kind (mach_port_type); then nothing has\n"
    "changed hands. OverflowError if name is not between 0 and 2**32 - 1.");
PyDoc_STRVAR(doc_copy,
             "copy($self, /)\n--\n\n"
             "A second SendRight with a user reference of its own (mach_port_mod_refs).\n\n"
             "InvalidRight if the port is dead.");
PyDoc_STRVAR(doc_dead, "True once the receive right is gone, so that the name is a dead name.");
PyDoc_STRVAR(doc_send_right,
             "The right to send any number of messages to a port.\n\n"
             "Owns one user reference. Made by ReceiveRight.make_send(), received, or\n"
             "adopted from native code.");
PyDoc_STRVAR(doc_send_once_right,
             "The right to send one message to a port.\n\n"
             "If it is closed unused, the port receives a send-once notification.");
PyDoc_STRVAR(
    doc_receive_right,
    "ReceiveRight(qlimit=None)\n--\n\n"
    "A new port's receive right (mach_port_construct); qlimit is how many messages may wait,\n"
    "0 to 1024, Mach's default of 5 if None.\n\n"
    "Closing it destroys the port, the messages that wait and the rights in them; its send\n"
    "rights become dead names. One that is collected unclosed gives a ResourceWarning.");
PyDoc_STRVAR(
    doc_make_send,
    "make_send($self, /)\n--\n\n"
    "A new SendRight to this port (mach_port_insert_right, MAKE_SEND). It has the same name.");
PyDoc_STRVAR(doc_make_send_once,
             "make_send_once($self, /)\n--\n\n"
             "A new SendOnceRight to this port (mach_port_extract_right, MAKE_SEND_ONCE).");
PyDoc_STRVAR(doc_dead_name,
             "What is left of a right whose port died: owns one user reference of a dead name.\n\n"
             "For a right that died on its way here the name is MACH_PORT_DEAD, 0xFFFFFFFF, which\n"
             "has no references; closing it does nothing.");

static PyGetSetDef right_getset[] = {
    {"name", right_get_name, NULL, doc_name, NULL},
    {"closed", right_get_closed, NULL, doc_closed, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef right_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct right, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef right_methods[] = {
    {"close", right_method_close, METH_NOARGS, doc_close},
    {"detach", right_method_detach, METH_NOARGS, doc_detach},
    {"adopt", METHOD(right_method_adopt), METH_CLASS | METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     doc_adopt},
    {"__enter__", right_method_enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(right_method_exit), METH_FASTCALL, NULL},
    {"__reduce__", METHOD(right_reduce_method), METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot right_slots[] = {
    {Py_tp_doc, (void *)doc_right},
    {Py_tp_dealloc, right_dealloc},
    {Py_tp_repr, right_repr},
    {Py_tp_getset, right_getset},
    {Py_tp_members, right_members},
    {Py_tp_methods, right_methods},
    {0, NULL},
};

static PyGetSetDef send_right_getset[] = {
    {"dead", send_right_get_dead, NULL, doc_dead, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

#define WITH_KEYWORDS (METH_FASTCALL | METH_KEYWORDS)

static PyMethodDef send_right_methods[] = {
    {"copy", send_right_copy, METH_NOARGS, doc_copy},
    {"send", METHOD(message_send_method), WITH_KEYWORDS, message_send_doc},
    {"send_async", METHOD(right_send_async_method), WITH_KEYWORDS, right_send_async_doc},
    {"request", METHOD(right_request_method), WITH_KEYWORDS, right_request_doc},
    {"request_async", METHOD(right_request_async_method), WITH_KEYWORDS, right_request_async_doc},
    {"notify_dead", METHOD(notify_dead_method), WITH_KEYWORDS, notify_dead_doc},
    {"wait_dead", METHOD(right_wait_dead_method), WITH_KEYWORDS, right_wait_dead_doc},
    {"wait_until_dead", METHOD(right_wait_until_dead_method), WITH_KEYWORDS,
     right_wait_until_dead_doc},
    {NULL, NULL, 0, NULL},
};

/* Each kind names right_dealloc itself: what would be inherited finds its way there by asking the
 * types, for every right that goes. */
static PyType_Slot send_right_slots[] = {
    {Py_tp_dealloc, right_dealloc},
    {Py_tp_doc, (void *)doc_send_right},
    {Py_tp_getset, send_right_getset},
    {Py_tp_methods, send_right_methods},
    {0, NULL},
};

static PyMethodDef send_once_right_methods[] = {
    {"send", METHOD(message_send_method), WITH_KEYWORDS, message_send_doc},
    {"notify_dead", METHOD(notify_dead_method), WITH_KEYWORDS, notify_dead_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot send_once_right_slots[] = {
    {Py_tp_dealloc, right_dealloc},
    {Py_tp_doc, (void *)doc_send_once_right},
    {Py_tp_methods, send_once_right_methods},
    {0, NULL},
};

static PyMethodDef receive_right_methods[] = {
    {"make_send", receive_right_make_send, METH_NOARGS, doc_make_send},
    {"make_send_once", receive_right_make_send_once, METH_NOARGS, doc_make_send_once},
    {"receive", METHOD(message_receive_method), WITH_KEYWORDS, message_receive_doc},
    {"receive_async", METHOD(right_receive_async_method), WITH_KEYWORDS, right_receive_async_doc},
    {"fileno", right_fileno_method, METH_NOARGS, right_fileno_doc},
    {"_new_descriptor", right_new_descriptor, METH_NOARGS, doc_new_descriptor},
    {"notify_no_senders", METHOD(notify_no_senders_method), WITH_KEYWORDS, notify_no_senders_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef receive_right_getset[] = {
    {"dropped", right_get_dropped, NULL, right_dropped_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot receive_right_slots[] = {
    {Py_tp_dealloc, right_dealloc},         {Py_tp_getset, receive_right_getset},
    {Py_tp_doc, (void *)doc_receive_right}, {Py_tp_new, receive_right_new},
    {Py_tp_methods, receive_right_methods}, {0, NULL},
};

static PyType_Slot dead_name_slots[] = {
    {Py_tp_dealloc, right_dealloc},
    {Py_tp_doc, (void *)doc_dead_name},
    {0, NULL},
};

#define FLAGS_NOT_CALLABLE                                                                         \
    (Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION)

static PyType_Spec right_spec = {"child_port.Right", sizeof(struct right), 0,
                                 FLAGS_NOT_CALLABLE | Py_TPFLAGS_BASETYPE, right_slots};

static PyType_Spec kind_specs[RIGHT_KINDS] = {
    {"child_port.SendRight", sizeof(struct right), 0, FLAGS_NOT_CALLABLE, send_right_slots},
    {"child_port.SendOnceRight", sizeof(struct right), 0, FLAGS_NOT_CALLABLE,
     send_once_right_slots},
    {"child_port.ReceiveRight", sizeof(struct right), 0,
     Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE, receive_right_slots},
    {"child_port.DeadName", sizeof(struct right), 0, FLAGS_NOT_CALLABLE, dead_name_slots},
    {"child_port.PortSet", sizeof(struct right), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
     port_set_slots},
};

int rights_add(PyObject *module, struct module_state *state)
{
    state->right_base = (PyTypeObject *)PyType_FromModuleAndSpec(module, &right_spec, NULL);
    if (!state->right_base || PyModule_AddType(module, state->right_base) < 0)
        return -1;
    for (int kind = 0; kind < RIGHT_KINDS; kind++) {
        PyObject *type =
            PyType_FromModuleAndSpec(module, &kind_specs[kind], (PyObject *)state->right_base);
        state->right_types[kind] = (PyTypeObject *)type;
        if (!type || PyModule_AddType(module, (PyTypeObject *)type) < 0)
            return -1;
    }
    return 0;
}
