/* The C API: a table of functions for other native code, in a capsule.
 *
 * python/child_port/include/child_port_capi.h is its manual and says how it may grow. Each module
 * object has a table of its own, in memory that its capsule owns; the module owns the capsule. The
 * table's reserved field is the module object, borrowed: it outlives its own table. */
#include "right.h"

#include "../python/child_port/include/child_port_capi.h"

_Static_assert((int)CHILD_PORT_SEND == (int)RIGHT_SEND, "kinds of right");
_Static_assert((int)CHILD_PORT_SEND_ONCE == (int)RIGHT_SEND_ONCE, "kinds of right");
_Static_assert((int)CHILD_PORT_RECEIVE == (int)RIGHT_RECEIVE, "kinds of right");
_Static_assert((int)CHILD_PORT_DEAD_NAME == (int)RIGHT_DEAD_NAME, "kinds of right");
_Static_assert((int)CHILD_PORT_PORT_SET == (int)RIGHT_PORT_SET, "kinds of right");
_Static_assert(sizeof(mach_port_name_t) == sizeof(uint32_t), "names");

static PyObject *api_module(const struct child_port_capi *api)
{
    return api->reserved;
}

static struct module_state *api_state(const struct child_port_capi *api)
{
    return state_of_module(api_module(api));
}

/* The object as a right, or NULL with TypeError set. */
static struct right *api_right(const struct child_port_capi *api, PyObject *object)
{
    struct right *right = right_from_object(api_state(api), object);
    if (!right)
        PyErr_Format(PyExc_TypeError, "a right object is needed, not %R",
                     (PyObject *)Py_TYPE(object));
    return right;
}

/* --- rights ----------------------------------------------------------------------------------- */

static PyObject *api_right_adopt(const struct child_port_capi *api, int kind, uint32_t name)
{
    if (kind < 0 || kind >= RIGHT_KINDS) {
        PyErr_Format(PyExc_ValueError, "%d is no kind of right", kind);
        return NULL;
    }
    /* By the method, which asks the kernel whether there is such a right. */
    return PyObject_CallMethod((PyObject *)api_state(api)->right_types[kind], "adopt", "I",
                               (unsigned)name);
}

static int api_right_detach(const struct child_port_capi *api, PyObject *object, uint32_t *name)
{
    struct right *right = api_right(api, object);
    return right ? right_detach(right, name) : -1;
}

static int api_right_pin(const struct child_port_capi *api, PyObject *object, uint32_t *name)
{
    struct right *right = api_right(api, object);
    return right ? right_pin(right, name) : -1;
}

static void api_right_unpin(const struct child_port_capi *api, PyObject *object)
{
    struct right *right = right_from_object(api_state(api), object);
    if (right)
        right_unpin(right);
}

static int api_right_kind(const struct child_port_capi *api, PyObject *object)
{
    struct right *right = right_from_object(api_state(api), object);
    return right ? (int)right->kind : CHILD_PORT_NONE;
}

/* --- check-in and server ---------------------------------------------------------------------- */

/* None for a negative timeout. */
static PyObject *timeout_new(double timeout)
{
    return timeout < 0 ? Py_NewRef(Py_None) : PyFloat_FromDouble(timeout);
}

/* Calls what the owner has under this name; takes the arguments, which may be NULL with an
 * exception. */
static PyObject *call_steal(PyObject *owner, const char *name, PyObject *args, PyObject *kwargs)
{
    PyObject *function = args && kwargs ? PyObject_GetAttrString(owner, name) : NULL;
    PyObject *result = function ? PyObject_Call(function, args, kwargs) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(args);
    Py_XDECREF(kwargs);
    return result;
}

static int api_check_in(const struct child_port_capi *api, PyObject *server, uint64_t token,
                        PyObject *port, int disposition, double timeout)
{
    PyObject *limit = timeout_new(timeout);
    PyObject *how = disposition == CHILD_PORT_DEFAULT_DISPOSITION ? Py_NewRef(Py_None)
                                                                  : PyLong_FromLong(disposition);
    PyObject *args = NULL, *kwargs = NULL, *result = NULL;
    if (limit && how) {
        args = Py_BuildValue("(OKOO)", server, (unsigned long long)token, port, how);
        kwargs = Py_BuildValue("{sO}", "timeout", limit);
        result = call_steal(api_module(api), "check_in", args, kwargs);
    }
    Py_XDECREF(how);
    Py_XDECREF(limit);
    Py_XDECREF(result);
    return result ? 0 : -1;
}

static PyObject *api_server_new(const struct child_port_capi *api, PyObject *port, uint64_t token)
{
    (void)api;
    PyObject *package = PyImport_ImportModule("child_port");
    PyObject *server = NULL;
    if (package)
        server = call_steal(package, "Server", Py_BuildValue("(O)", port ? port : Py_None),
                            Py_BuildValue("{sK}", "token", (unsigned long long)token));
    Py_XDECREF(package);
    return server;
}

/* The attribute as a number; -1 with an exception. */
static int attribute_number(PyObject *object, const char *name, unsigned long long *number)
{
    PyObject *value = PyObject_GetAttrString(object, name);
    if (!value)
        return -1;
    *number = PyLong_AsUnsignedLongLongMask(value);
    Py_DECREF(value);
    return PyErr_Occurred() ? -1 : 0;
}

/* Fills in all but the right, and takes that last, so that it stays with the check-in's object
 * until nothing more can fail. */
static int accepted_take(const struct child_port_capi *api, PyObject *check_in,
                         struct child_port_accepted *accepted)
{
    unsigned long long token, disposition, sender_pid;
    int result = -1;
    struct child_port_accepted found = {.name = MACH_PORT_NULL, .kind = CHILD_PORT_NONE};
    PyObject *port = PyObject_GetAttrString(check_in, "port");
    PyObject *sender = port ? PyObject_GetAttrString(check_in, "sender") : NULL;
    if (!sender || attribute_number(sender, "pid", &sender_pid) < 0 ||
        attribute_number(check_in, "token", &token) < 0 ||
        attribute_number(check_in, "disposition", &disposition) < 0)
        goto done;
    found.token = token;
    found.sender = (int32_t)sender_pid;
    found.disposition = (int32_t)disposition;
    if (port != Py_None) {
        found.kind = api_right_kind(api, port);
        if (api_right_detach(api, port, &found.name) < 0)
            goto done;
    }
    *accepted = found;
    result = 0;
done:
    Py_XDECREF(sender);
    Py_XDECREF(port);
    return result;
}

static int api_server_accept(const struct child_port_capi *api, PyObject *server, double timeout,
                             struct child_port_accepted *accepted)
{
    PyObject *limit = timeout_new(timeout);
    PyObject *check_in = limit ? PyObject_CallMethod(server, "accept", "O", limit) : NULL;
    int result = check_in ? accepted_take(api, check_in, accepted) : -1;
    Py_XDECREF(check_in);
    Py_XDECREF(limit);
    return result;
}

/* --- the capsule ------------------------------------------------------------------------------ */

static void capsule_free(PyObject *capsule)
{
    PyMem_Free(PyCapsule_GetPointer(capsule, CHILD_PORT_CAPI_NAME));
}

/* What has the table may use it as late as in its own end: so the module, and the table with it,
 * stays until its interpreter goes. */
static int module_keep(PyObject *module)
{
    PyObject *kept = PyInterpreterState_GetDict(PyInterpreterState_Get()); /* borrowed */
    if (!kept) {
        PyErr_NoMemory();
        return -1;
    }
    return PyDict_SetItem(kept, module, module);
}

int capi_add(PyObject *module, struct module_state *state)
{
    (void)state;
    if (module_keep(module) < 0)
        return -1;
    struct child_port_capi *api = PyMem_Calloc(1, sizeof *api);
    if (!api) {
        PyErr_NoMemory();
        return -1;
    }
    *api = (struct child_port_capi){
        .major = CHILD_PORT_CAPI_MAJOR,
        .minor = CHILD_PORT_CAPI_MINOR,
        .size = sizeof *api,
        .reserved = module,
        .right_adopt = api_right_adopt,
        .right_detach = api_right_detach,
        .right_pin = api_right_pin,
        .right_unpin = api_right_unpin,
        .right_kind = api_right_kind,
        .check_in = api_check_in,
        .server_new = api_server_new,
        .server_accept = api_server_accept,
    };
    PyObject *capsule = PyCapsule_New(api, CHILD_PORT_CAPI_NAME, capsule_free);
    if (!capsule) {
        PyMem_Free(api);
        return -1;
    }
    int result = PyModule_AddObjectRef(module, "_C_API", capsule);
    Py_DECREF(capsule);
    return result;
}
