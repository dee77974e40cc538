/* What child_port.sharing needs to hand a right over by a pickle: a move that is begun long before
 * it is sent, and given back if there is no pickle after all.
 *
 * A right that is being moved stays its object's, which nobody can use meanwhile (right.h), until
 * _sharing_take makes a new object its owner or _sharing_give_back ends the move.
 *
 * A PickleEnd is put into a pickle to learn how the pickling ended. The pickler keeps a reference
 * to all that it has pickled, and dies as the call returns that it was made for; so the last
 * reference goes there, and an exception is set if the call has failed. It owns its callable. */
#include "args.h"
#include "errors.h"
#include "guard.h"
#include "right.h"

/* --- moves ------------------------------------------------------------------------------------ */

PyDoc_STRVAR(
    doc_check,
    "_sharing_check($module, right, /)\n--\n\n"
    "PermissionError if macOS might kill a process that gives the right away: a task port\n"
    "there, the receive right of a bootstrap service on every platform.");

static PyObject *sharing_check(PyObject *module, PyObject *object)
{
    struct module_state *state = state_of_module(module);
    struct right *right = right_from_object(state, object);
    mach_port_name_t name;
    if (!right)
        return PyErr_Format(PyExc_TypeError, "%R is not a right", object);
    if (right_pin(right, &name) < 0)
        return NULL;
    /* Unlike guard_carried everywhere, so that what works on Linux works on macOS. */
    bool refused = right->from_bootstrap;
    if (refused)
        PyErr_SetString(PyExc_PermissionError,
                        "the receive right of a bootstrap service stays where it was checked in: "
                        "macOS may kill a process that moves it; serve it here, or hand over the "
                        "receive right of a new port");
    else
        refused = guard_carried(name, MACH_MSG_TYPE_COPY_SEND, false) < 0;
    right_unpin(right);
    if (refused)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(doc_begin, "_sharing_begin($module, right, /)\n--\n\n"
                        "Begin to move the right: until the move ends nobody can use the object, "
                        "and\nclosing it takes effect only if the move is given back.\n\n"
                        "ValueError if it is closed, or in use by another call.");

static PyObject *sharing_begin(PyObject *module, PyObject *object)
{
    struct right *right = right_from_object(state_of_module(module), object);
    mach_port_name_t name;
    if (!right)
        return PyErr_Format(PyExc_TypeError, "%R is not a right", object);
    if (right_move_begin(right, &name) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* The right behind the argument, which must be in a move that was begun; NULL with an exception. */
static struct right *right_in_move(PyObject *module, PyObject *object)
{
    struct right *right = right_from_object(state_of_module(module), object);
    if (right && right_is_moving(right))
        return right;
    PyErr_Format(PyExc_ValueError, "%R is not being moved", object);
    return NULL;
}

PyDoc_STRVAR(doc_take, "_sharing_take($module, right, /)\n--\n\n"
                       "End the move: a new object owns the right, the one that it was in is "
                       "closed.");

static PyObject *sharing_take(PyObject *module, PyObject *object)
{
    struct right *right = right_in_move(module, object);
    return right ? (PyObject *)right_move_take(right) : NULL;
}

PyDoc_STRVAR(doc_give_back,
             "_sharing_give_back($module, right, /)\n--\n\n"
             "End the move: the right is in its object, or released if that was closed meanwhile.");

static PyObject *sharing_give_back(PyObject *module, PyObject *object)
{
    struct right *right = right_in_move(module, object);
    if (!right)
        return NULL;
    right_move_give_back(right, right_moving_name(right));
    Py_RETURN_NONE;
}

/* --- how the pickling ended ------------------------------------------------------------------- */

struct pickle_end {
    PyObject ob_base;
    PyObject *ended;
    uint64_t key;
};

static PyObject *pickle_end_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {"key", "ended", NULL};
    PyObject *key_object, *ended;
    uint64_t key;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:_PickleEnd", keywords, &key_object,
                                     &ended) ||
        arg_uint64(key_object, "key", &key) < 0)
        return NULL;
    struct pickle_end *end = PyObject_New(struct pickle_end, type);
    if (!end)
        return NULL;
    end->ended = Py_NewRef(ended);
    end->key = key;
    return (PyObject *)end;
}

static void pickle_end_dealloc(PyObject *self)
{
    struct pickle_end *end = (struct pickle_end *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *error, *value, *traceback;
    PyErr_Fetch(&error, &value, &traceback);
    PyObject *result = PyObject_CallFunction(end->ended, "KO", (unsigned long long)end->key,
                                             error ? Py_True : Py_False);
    if (!result)
        PyErr_WriteUnraisable(end->ended);
    Py_XDECREF(result);
    PyErr_Restore(error, value, traceback);
    Py_DECREF(end->ended);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *pickle_end_reduce(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_BuildValue("O(K)", (PyObject *)&PyLong_Type,
                         (unsigned long long)((struct pickle_end *)self)->key);
}

PyDoc_STRVAR(
    doc_pickle_end,
    "_PickleEnd(key, ended)\n--\n\n"
    "Is pickled as the number key, and calls ended(key, failed) when the pickling is over.");

static PyMethodDef pickle_end_methods[] = {
    {"__reduce__", pickle_end_reduce, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot pickle_end_slots[] = {
    {Py_tp_doc, (void *)doc_pickle_end},
    {Py_tp_new, pickle_end_new},
    {Py_tp_dealloc, pickle_end_dealloc},
    {Py_tp_methods, pickle_end_methods},
    {0, NULL},
};

static PyType_Spec pickle_end_spec = {"child_port._PickleEnd", sizeof(struct pickle_end), 0,
                                      Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
                                      pickle_end_slots};

static PyMethodDef sharing_functions[] = {
    {"_sharing_check", sharing_check, METH_O, doc_check},
    {"_sharing_begin", sharing_begin, METH_O, doc_begin},
    {"_sharing_take", sharing_take, METH_O, doc_take},
    {"_sharing_give_back", sharing_give_back, METH_O, doc_give_back},
    {NULL, NULL, 0, NULL},
};

int sharing_add(PyObject *module, struct module_state *state)
{
    (void)state;
    PyObject *type = PyType_FromModuleAndSpec(module, &pickle_end_spec, NULL);
    int result = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return result < 0 ? -1 : PyModule_AddFunctions(module, sharing_functions);
}
