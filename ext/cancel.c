/* The CancelToken type: a flag that never goes back, and a descriptor that polls readable once the
 * flag is set, for waits that sleep in the kernel.
 *
 * The token owns its descriptors. In the child of a fork they are still shared with the parent, so
 * an inherited token is never written to there and cannot be waited with.
 *
 * A token that is made of others owns a reference to each, and one more descriptor that is readable
 * when its own or one of theirs is: so nobody has to tell it that they were cancelled. */
#include "cancel.h"

#include "errors.h"
#include "wait.h"

struct cancel_token {
    PyObject ob_base;
    PyObject *weak_references;
    struct module_state *state;
    uint32_t generation;
    _Atomic(bool) cancelled;
    int ends[2];
    PyObject *others; /* a tuple of tokens; NULL: none */
    int joined;       /* readable with ends[0] and those of the others; -1: there are none */
};

static bool cancel_is_stale(const struct cancel_token *token)
{
    return token->generation != atomic_load(&token->state->generation);
}

static Py_ssize_t other_count(const struct cancel_token *token)
{
    return token->others ? PyTuple_Size(token->others) : 0;
}

static struct cancel_token *other_at(const struct cancel_token *token, Py_ssize_t at)
{
    return (struct cancel_token *)PyTuple_GetItem(token->others, at);
}

static int cancel_check_fresh(const struct cancel_token *token)
{
    if (!cancel_is_stale(token))
        return 0;
    PyErr_SetString(PyExc_ValueError, "this CancelToken was made before a fork");
    return -1;
}

int cancel_from_argument(struct module_state *state, PyObject *object, struct cancel_token **token)
{
    *token = NULL;
    if (object == NULL || object == Py_None)
        return 0;
    if (Py_TYPE(object) != state->cancel_token_type) {
        PyErr_Format(PyExc_TypeError, "cancel must be a CancelToken or None, not %R",
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    *token = (struct cancel_token *)object;
    return cancel_check_fresh(*token);
}

bool cancel_is_set(const struct cancel_token *token)
{
    if (!token)
        return false;
    bool set = atomic_load(&token->cancelled);
    for (Py_ssize_t i = 0; !set && i < other_count(token); i++)
        set = atomic_load(&other_at(token, i)->cancelled);
    return set;
}

int cancel_descriptor(const struct cancel_token *token)
{
    if (!token)
        return -1;
    return token->joined >= 0 ? token->joined : token->ends[0];
}

int cancel_check(struct module_state *state, const struct cancel_token *token)
{
    if (!cancel_is_set(token))
        return 0;
    error_set_plain(state, ERROR_CANCELLED, "the wait was cancelled by its CancelToken");
    return -1;
}

static int others_append(PyObject *others, struct cancel_token *token)
{
    int result = PyList_Append(others, (PyObject *)token);
    for (Py_ssize_t i = 0; result == 0 && i < other_count(token); i++)
        result = PyList_Append(others, (PyObject *)other_at(token, i));
    return result;
}

/* The arguments that are tokens, and what they are made of themselves: a new tuple. */
static PyObject *others_from_arguments(struct module_state *state, PyObject *args)
{
    struct cancel_token *token;
    PyObject *tuple = NULL;
    PyObject *others = PyList_New(0);
    for (Py_ssize_t i = 0; others && i < PyTuple_Size(args); i++) {
        if (cancel_from_argument(state, PyTuple_GetItem(args, i), &token) < 0 ||
            (token && others_append(others, token) < 0))
            Py_CLEAR(others);
    }
    if (others)
        tuple = PyList_AsTuple(others);
    Py_XDECREF(others);
    return tuple;
}

/* Takes the tuple. 0, or -1 with an exception. */
static int cancel_token_join(struct cancel_token *token, PyObject *others)
{
    Py_ssize_t count = PyTuple_Size(others);
    token->others = others;
    if (count == 0)
        return 0;
    token->joined = wake_join();
    bool joined = token->joined >= 0 && wake_join_add(token->joined, token->ends[0]) == 0;
    for (Py_ssize_t i = 0; joined && i < count; i++)
        joined = wake_join_add(token->joined, other_at(token, i)->ends[0]) == 0;
    if (joined)
        return 0;
    PyErr_SetFromErrno(PyExc_OSError);
    return -1;
}

static struct cancel_token *cancel_token_make(struct module_state *state, PyTypeObject *type)
{
    int ends[2];
    if (wake_make(ends) < 0) {
        PyErr_SetFromErrno(PyExc_OSError);
        return NULL;
    }
    struct cancel_token *token = PyObject_New(struct cancel_token, type);
    if (!token) {
        wake_release(ends);
        return NULL;
    }
    token->weak_references = NULL;
    token->state = state;
    token->generation = atomic_load(&state->generation);
    atomic_init(&token->cancelled, false);
    token->ends[0] = ends[0];
    token->ends[1] = ends[1];
    token->others = NULL;
    token->joined = -1;
    return token;
}

static PyObject *cancel_token_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    struct module_state *state = state_of_type(type);
    if (!state)
        return NULL;
    if (kwargs && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "CancelToken() takes no keyword arguments");
        return NULL;
    }
    PyObject *others = others_from_arguments(state, args);
    if (!others)
        return NULL;
    struct cancel_token *token = cancel_token_make(state, type);
    if (!token)
        Py_DECREF(others);
    else if (cancel_token_join(token, others) < 0)
        Py_CLEAR(token);
    return (PyObject *)token;
}

static void cancel_token_dealloc(PyObject *self)
{
    struct cancel_token *token = (struct cancel_token *)self;
    PyTypeObject *type = Py_TYPE(self);
    /* Always: another thread may be taking a weak reference out of the list right now. */
    PyObject_ClearWeakRefs(self);
    if (token->joined >= 0)
        port_descriptor_release(token->joined, cancel_is_stale(token));
    wake_release(token->ends);
    Py_XDECREF(token->others);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *cancel_token_cancel(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    struct cancel_token *token = (struct cancel_token *)self;
    bool was_set = atomic_exchange(&token->cancelled, true);
    if (!was_set && !cancel_is_stale(token))
        wake_signal(token->ends[1]);
    Py_RETURN_NONE;
}

static PyObject *cancel_token_get_cancelled(PyObject *self, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(cancel_is_set((struct cancel_token *)self));
}

static PyObject *cancel_token_fileno(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct cancel_token *token = (struct cancel_token *)self;
    return cancel_check_fresh(token) < 0 ? NULL : PyLong_FromLong(cancel_descriptor(token));
}

PyDoc_STRVAR(
    doc_cancel_token,
    "CancelToken(*others)\n--\n\n"
    "Ends waits: pass it as cancel= to any number of them, call cancel() from any thread or\n"
    "from a signal handler, and each raises Cancelled, now and later: it cannot be unset.\n\n"
    "One that is made of others is cancelled with any of them, too; None among them is none.\n\n"
    "In the child of a fork a token of the parent no longer cancels anything, and to wait with\n"
    "it is a ValueError.");
PyDoc_STRVAR(doc_cancel, "cancel($self, /)\n--\n\nEnd every wait that uses this token.");
PyDoc_STRVAR(doc_cancelled, "True once cancel() was called, of this token or one it is made of.");
PyDoc_STRVAR(doc_fileno,
             "fileno($self, /)\n--\n\n"
             "A descriptor, owned by the token, that polls readable once it is cancelled.");

static PyGetSetDef cancel_token_getset[] = {
    {"cancelled", cancel_token_get_cancelled, NULL, doc_cancelled, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef cancel_token_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct cancel_token, weak_references), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef cancel_token_methods[] = {
    {"cancel", cancel_token_cancel, METH_NOARGS, doc_cancel},
    {"fileno", cancel_token_fileno, METH_NOARGS, doc_fileno},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot cancel_token_slots[] = {
    {Py_tp_doc, (void *)doc_cancel_token},
    {Py_tp_new, cancel_token_new},
    {Py_tp_dealloc, cancel_token_dealloc},
    {Py_tp_getset, cancel_token_getset},
    {Py_tp_members, cancel_token_members},
    {Py_tp_methods, cancel_token_methods},
    {0, NULL},
};

static PyType_Spec cancel_token_spec = {"child_port.CancelToken", sizeof(struct cancel_token), 0,
                                        Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                                        cancel_token_slots};

int cancel_add(PyObject *module, struct module_state *state)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &cancel_token_spec, NULL);
    state->cancel_token_type = (PyTypeObject *)type;
    return type ? PyModule_AddType(module, state->cancel_token_type) : -1;
}
