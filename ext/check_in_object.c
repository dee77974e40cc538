/* The CheckIn and AuditToken types.
 *
 * A CheckIn owns its right object and through it the right; closing either closes both. The audit
 * token is kept as the kernel wrote it and made into an AuditToken when somebody asks. */
#include "check_in_object.h"

#include <bsm/libbsm.h>

#include "right.h"

struct check_in_object {
    PyObject ob_base;
    PyObject *weak_references;
    struct module_state *state;
    PyObject *port; /* a right object or None */
    uint64_t token;
    mach_msg_type_name_t disposition;
    audit_token_t sender;
};

/* --- AuditToken ------------------------------------------------------------------------------- */

static PyStructSequence_Field audit_token_fields[] = {
    {"pid", "process id; can be reused once the process is gone"},
    {"pidversion", "tells processes with the same pid apart; 0 where the system gives none"},
    {"euid", "effective user id"},
    {"egid", "effective group id"},
    {"ruid", "real user id"},
    {"rgid", "real group id"},
    {"auid", "audit user id, 2**32 - 1 if unset"},
    {"asid", "audit session id"},
    {NULL, NULL},
};

static PyStructSequence_Desc audit_token_desc = {
    "child_port.AuditToken",
    "Who sent a message, as the kernel says in its audit trailer: a sender cannot forge it.",
    audit_token_fields,
    8,
};

PyObject *audit_token_make(struct module_state *state, audit_token_t token)
{
    const long long values[] = {
        audit_token_to_pid(token),  audit_token_to_pidversion(token), audit_token_to_euid(token),
        audit_token_to_egid(token), audit_token_to_ruid(token),       audit_token_to_rgid(token),
        audit_token_to_auid(token), audit_token_to_asid(token),
    };
    PyObject *result = PyStructSequence_New(state->audit_token_type);
    for (Py_ssize_t i = 0; result && i < audit_token_desc.n_in_sequence; i++) {
        PyObject *value = PyLong_FromLongLong(values[i]);
        if (!value)
            Py_CLEAR(result);
        else
            PyStructSequence_SetItem(result, i, value);
    }
    return result;
}

/* --- CheckIn ---------------------------------------------------------------------------------- */

PyObject *check_in_object_steal(struct module_state *state, mach_port_name_t port,
                                mach_msg_type_name_t disposition, uint64_t token,
                                const audit_token_t *sender)
{
    PyObject *port_object = right_arrived(state, port, disposition);
    if (!port_object)
        return NULL;
    struct check_in_object *result = PyObject_New(struct check_in_object, state->check_in_type);
    if (!result) {
        Py_DECREF(port_object);
        return NULL;
    }
    result->weak_references = NULL;
    result->state = state;
    result->port = port_object;
    result->token = token;
    result->disposition = disposition;
    result->sender = *sender;
    return (PyObject *)result;
}

static void check_in_dealloc(PyObject *self)
{
    struct check_in_object *check_in = (struct check_in_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    /* Always: another thread may be taking a weak reference out of the list right now. */
    PyObject_ClearWeakRefs(self);
    Py_DECREF(check_in->port);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *check_in_get_port(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct check_in_object *)self)->port);
}

static PyObject *check_in_get_token(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLongLong(((struct check_in_object *)self)->token);
}

static PyObject *check_in_get_disposition(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromUnsignedLong(((struct check_in_object *)self)->disposition);
}

static PyObject *check_in_get_sender(PyObject *self, void *Py_UNUSED(closure))
{
    struct check_in_object *check_in = (struct check_in_object *)self;
    return audit_token_make(check_in->state, check_in->sender);
}

static PyObject *check_in_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *check_in_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct check_in_object *check_in = (struct check_in_object *)self;
    if (check_in->port != Py_None)
        right_close((struct right *)check_in->port);
    Py_RETURN_NONE;
}

static PyObject *check_in_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                               Py_ssize_t Py_UNUSED(nargs))
{
    return check_in_close(self, NULL);
}

/* The token stays out of it: it is a secret, and this text ends up in logs. */
static PyObject *check_in_repr(PyObject *self)
{
    struct check_in_object *check_in = (struct check_in_object *)self;
    return PyUnicode_FromFormat("<child_port.CheckIn %R from pid %d>", check_in->port,
                                (int)audit_token_to_pid(check_in->sender));
}

PyDoc_STRVAR(
    doc_check_in,
    "One accepted check-in. It owns its port: closing it, leaving a with block, or dropping\n"
    "the last reference releases the right, unless it was detached or moved on.");
PyDoc_STRVAR(
    doc_port,
    "The right that was handed over: SendRight, SendOnceRight or ReceiveRight; DeadName if\n"
    "it died on its way; None if the sender gave no port. The same object each time.");
PyDoc_STRVAR(doc_disposition, "How the right arrived: 16 (receive), 17 (send) or 18 (send-once).");
PyDoc_STRVAR(doc_token, "The token that the sender gave, equal to the server's.");
PyDoc_STRVAR(doc_close, "close($self, /)\n--\n\n"
                        "Release the port, unless it was detached or moved on. Twice is fine.");
PyDoc_STRVAR(doc_sender, "The sender's AuditToken, from the message's trailer.");

static PyGetSetDef check_in_getset[] = {
    {"port", check_in_get_port, NULL, doc_port, NULL},
    {"disposition", check_in_get_disposition, NULL, doc_disposition, NULL},
    {"token", check_in_get_token, NULL, doc_token, NULL},
    {"sender", check_in_get_sender, NULL, doc_sender, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef check_in_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct check_in_object, weak_references), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef check_in_methods[] = {
    {"close", check_in_close, METH_NOARGS, doc_close},
    {"__enter__", check_in_enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(check_in_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot check_in_slots[] = {
    {Py_tp_doc, (void *)doc_check_in},
    {Py_tp_dealloc, check_in_dealloc},
    {Py_tp_repr, check_in_repr},
    {Py_tp_getset, check_in_getset},
    {Py_tp_members, check_in_members},
    {Py_tp_methods, check_in_methods},
    {0, NULL},
};

static PyType_Spec check_in_spec = {"child_port.CheckIn", sizeof(struct check_in_object), 0,
                                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
                                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                    check_in_slots};

int check_in_object_add(PyObject *module, struct module_state *state)
{
    state->audit_token_type = PyStructSequence_NewType(&audit_token_desc);
    if (!state->audit_token_type || PyModule_AddType(module, state->audit_token_type) < 0)
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &check_in_spec, NULL);
    state->check_in_type = (PyTypeObject *)type;
    return type ? PyModule_AddType(module, state->check_in_type) : -1;
}
