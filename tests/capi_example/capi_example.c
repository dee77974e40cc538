/* An extension that is no part of child_port and uses its C API: what another native tool does.
 *
 * hand_over and take are the two sides of a check-in in native code; the rest shows one function
 * each. The table is kept with the state of this module. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <child_port_capi.h>

struct state {
    const struct child_port_capi *api;
};

static const struct child_port_capi *api_of(PyObject *module)
{
    return ((struct state *)PyModule_GetState(module))->api;
}

static PyObject *adopt(PyObject *module, PyObject *args)
{
    int kind;
    unsigned int name;
    if (!PyArg_ParseTuple(args, "iI", &kind, &name))
        return NULL;
    const struct child_port_capi *api = api_of(module);
    return api->right_adopt(api, kind, name);
}

static PyObject *detach(PyObject *module, PyObject *right)
{
    const struct child_port_capi *api = api_of(module);
    uint32_t name;
    if (api->right_detach(api, right, &name) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(name);
}

static PyObject *kind(PyObject *module, PyObject *object)
{
    const struct child_port_capi *api = api_of(module);
    return PyLong_FromLong(api->right_kind(api, object));
}

/* Calls function(name) while the right is pinned. */
static PyObject *pinned(PyObject *module, PyObject *args)
{
    const struct child_port_capi *api = api_of(module);
    PyObject *right, *function;
    uint32_t name;
    if (!PyArg_ParseTuple(args, "OO", &right, &function) || api->right_pin(api, right, &name) < 0)
        return NULL;
    PyObject *result = PyObject_CallFunction(function, "I", (unsigned)name);
    api->right_unpin(api, right);
    return result;
}

static PyObject *hand_over(PyObject *module, PyObject *args)
{
    const struct child_port_capi *api = api_of(module);
    PyObject *server, *port;
    unsigned long long token;
    int disposition = CHILD_PORT_DEFAULT_DISPOSITION;
    double timeout = -1;
    if (!PyArg_ParseTuple(args, "OKO|id", &server, &token, &port, &disposition, &timeout) ||
        api->check_in(api, server, token, port, disposition, timeout) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *serve(PyObject *module, PyObject *args)
{
    const struct child_port_capi *api = api_of(module);
    PyObject *port = NULL;
    unsigned long long token;
    if (!PyArg_ParseTuple(args, "K|O", &token, &port))
        return NULL;
    return api->server_new(api, port, token);
}

static PyObject *take(PyObject *module, PyObject *args)
{
    const struct child_port_capi *api = api_of(module);
    struct child_port_accepted accepted;
    PyObject *server;
    double timeout = -1;
    if (!PyArg_ParseTuple(args, "O|d", &server, &timeout) ||
        api->server_accept(api, server, timeout, &accepted) < 0)
        return NULL;
    return Py_BuildValue("(iIKii)", (int)accepted.kind, (unsigned)accepted.name,
                         (unsigned long long)accepted.token, (int)accepted.sender,
                         (int)accepted.disposition);
}

static PyObject *version(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    const struct child_port_capi *api = api_of(module);
    return Py_BuildValue("(IIi)", (unsigned)api->major, (unsigned)api->minor,
                         CHILD_PORT_CAPI_HAS(api, server_accept));
}

/* Asks for a minor version that there is not: ImportError. */
static PyObject *ask_for_more(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    uint32_t next = api_of(module)->minor + 1;
    if (!child_port_capi_import_at_least(next))
        return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"adopt", adopt, METH_VARARGS, NULL},
    {"ask_for_more", ask_for_more, METH_NOARGS, NULL},
    {"detach", detach, METH_O, NULL},
    {"hand_over", hand_over, METH_VARARGS, NULL},
    {"kind", kind, METH_O, NULL},
    {"pinned", pinned, METH_VARARGS, NULL},
    {"serve", serve, METH_VARARGS, NULL},
    {"take", take, METH_VARARGS, NULL},
    {"version", version, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int exec(PyObject *module)
{
    struct state *state = PyModule_GetState(module);
    state->api = child_port_capi_import();
    return state->api ? 0 : -1;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, exec},
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT,
                                 "capi_example",
                                 NULL,
                                 sizeof(struct state),
                                 functions,
                                 slots,
                                 NULL,
                                 NULL,
                                 NULL};

PyMODINIT_FUNC PyInit_capi_example(void)
{
    return PyModuleDef_Init(&definition);
}
