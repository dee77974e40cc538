/* Bootstrap: service names, for processes that share nothing else. A check-in gives a ReceiveRight
 * that owns the service, a look-up a SendRight.
 *
 * The bootstrap port is asked for by each call (one user reference, dropped at once): the global
 * variable of that name is stale in the child of a fork. */
#include <string.h>

#include <servers/bootstrap.h>

#include "args.h"
#include "errors.h"
#include "right.h"

/* The bootstrap server's limit counts the NUL; it cuts longer names off without a word. */
#define SERVICE_NAME_LONGEST 127

static const char *service_name_from_argument(PyObject *object)
{
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "a service name must be a str, not %R",
                     (PyObject *)Py_TYPE(object));
        return NULL;
    }
    Py_ssize_t length;
    const char *name = PyUnicode_AsUTF8AndSize(object, &length);
    if (!name)
        return NULL;
    if (length == 0 || length > SERVICE_NAME_LONGEST || strlen(name) != (size_t)length) {
        PyErr_Format(PyExc_ValueError, "a service name must have 1 to %d bytes in UTF-8 and no NUL",
                     SERVICE_NAME_LONGEST);
        return NULL;
    }
    return name;
}

typedef kern_return_t (*bootstrap_call)(mach_port_t bootstrap, const char *name,
                                        mach_port_t *service);

static kern_return_t call_check_in(mach_port_t bootstrap, const char *name, mach_port_t *service)
{
    return bootstrap_check_in(bootstrap, name, service);
}

static kern_return_t call_look_up(mach_port_t bootstrap, const char *name, mach_port_t *service)
{
    kern_return_t kr = bootstrap_look_up(bootstrap, name, service);
    /* The service died while the reply was on its way. */
    if (kr == KERN_SUCCESS && !MACH_PORT_VALID(*service))
        kr = BOOTSTRAP_UNKNOWN_SERVICE;
    return kr;
}

/* Both calls ask another process and may wait for it: without the GIL. */
static kern_return_t bootstrap_ask(bootstrap_call call, const char *name, mach_port_t *service)
{
    kern_return_t kr;
    mach_port_t bootstrap = MACH_PORT_NULL;
    Py_BEGIN_ALLOW_THREADS kr =
        task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &bootstrap);
    if (kr == KERN_SUCCESS) {
        kr = call(bootstrap, name, service);
        (void)mach_port_deallocate(mach_task_self(), bootstrap);
    }
    Py_END_ALLOW_THREADS return kr;
}

PyDoc_STRVAR(doc_check_in,
             "bootstrap_check_in($module, name, /)\n--\n\n"
             "A ReceiveRight that others can find as the service name until it is closed.\n\n"
             "ServiceActive if the name is taken, NotPrivileged if policy (a sandbox) forbids it;\n"
             "ValueError unless name has 1 to 127 bytes in UTF-8 and no NUL.");

static PyObject *check_in(PyObject *module, PyObject *argument)
{
    struct module_state *state = state_of_module(module);
    const char *name = service_name_from_argument(argument);
    mach_port_t service = MACH_PORT_NULL;
    if (!name)
        return NULL;
    kern_return_t kr = bootstrap_ask(call_check_in, name, &service);
    if (kr != KERN_SUCCESS)
        return error_set(state, "bootstrap_check_in", kr, NULL);
    struct right *right = right_steal(state, RIGHT_RECEIVE, service);
    if (right)
        right->from_bootstrap = true;
    return (PyObject *)right;
}

PyDoc_STRVAR(doc_look_up, "bootstrap_look_up($module, name, /)\n--\n\n"
                          "A new SendRight to the service of that name (bootstrap_look_up).\n\n"
                          "UnknownService if nobody serves it, or its owner has just died.");

static PyObject *look_up(PyObject *module, PyObject *argument)
{
    struct module_state *state = state_of_module(module);
    const char *name = service_name_from_argument(argument);
    mach_port_t service = MACH_PORT_NULL;
    if (!name)
        return NULL;
    kern_return_t kr = bootstrap_ask(call_look_up, name, &service);
    if (kr != KERN_SUCCESS)
        return error_set(state, "bootstrap_look_up", kr, NULL);
    return (PyObject *)right_steal(state, RIGHT_SEND, service);
}

static PyMethodDef bootstrap_functions[] = {
    {"bootstrap_check_in", check_in, METH_O, doc_check_in},
    {"bootstrap_look_up", look_up, METH_O, doc_look_up},
    {NULL, NULL, 0, NULL},
};

int bootstrap_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, bootstrap_functions);
}
