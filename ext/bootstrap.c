/* Bootstrap: service names, for processes that share nothing else. A check-in gives a ReceiveRight
 * that owns the service, a look-up a SendRight.
 *
 * The bootstrap port is asked for by each call (one user reference, dropped at once): the global
 * variable of that name is stale in the child of a fork. */
#include <string.h>

#include <servers/bootstrap.h>

#include "args.h"
#include "cancel.h"
#include "deadline.h"
#include "errors.h"
#include "look_up.h"
#include "right.h"

/* The bootstrap server's limit counts the NUL; it cuts longer names off without a word. */
#define SERVICE_NAME_LONGEST 127
/* The answer to a look-up comes from another process: a poll, too, gives it the time that takes. */
#define ANSWER_LEAST_MS 250

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

/* It asks another process and may wait for it: without the GIL. */
static kern_return_t bootstrap_claim(const char *name, mach_port_t *service)
{
    kern_return_t kr;
    mach_port_t bootstrap = MACH_PORT_NULL;
    Py_BEGIN_ALLOW_THREADS kr =
        task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &bootstrap);
    if (kr == KERN_SUCCESS) {
        kr = bootstrap_check_in(bootstrap, name, service);
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
    kern_return_t kr = bootstrap_claim(name, &service);
    if (kr != KERN_SUCCESS)
        return error_set(state, "bootstrap_check_in", kr, NULL);
    struct right *right = right_steal(state, RIGHT_RECEIVE, service);
    if (right)
        right->from_bootstrap = true;
    return (PyObject *)right;
}

struct look_up_call {
    struct module_state *state;
    const char *name;
    struct cancel_token *cancel;
    deadline_t deadline;
};

static int look_up_parse(struct look_up_call *call, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    enum { NAME, TIMEOUT, CANCEL, TOTAL };
    static const char *const names[TOTAL] = {"name", "timeout", "cancel"};
    static const struct parameters parameters = {"bootstrap_look_up", names, TOTAL, 1, 1};
    PyObject *given[TOTAL];
    if (args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        !(call->name = service_name_from_argument(given[NAME])) ||
        cancel_from_argument(call->state, given[CANCEL], &call->cancel) < 0 ||
        deadline_from_timeout(given[TIMEOUT], &call->deadline) < 0)
        return -1;
    call->deadline = deadline_not_before(call->deadline, ANSWER_LEAST_MS);
    return cancel_check(call->state, call->cancel);
}

/* Waits for the answer once, without the GIL. */
static kern_return_t look_up_step(const struct look_up_call *call, struct look_up *look_up,
                                  uint32_t *slice, mach_port_t *service)
{
    uint32_t left = deadline_slice_ms(call->deadline, slice);
    int cancel_fd = cancel_descriptor(call->cancel);
    kern_return_t kr;
    Py_BEGIN_ALLOW_THREADS kr = look_up_wait(look_up, cancel_fd, left, service);
    Py_END_ALLOW_THREADS
        /* The service died while the reply was on its way. */
        if (kr == KERN_SUCCESS && !MACH_PORT_VALID(*service)) return BOOTSTRAP_UNKNOWN_SERVICE;
    return kr;
}

/* After a step that brought no service: 0 to wait again, -1 with the exception. `late`: the step
 * began after the deadline. */
static int look_up_check_end(const struct look_up_call *call, bool late, kern_return_t kr)
{
    if (kr != MACH_RCV_TIMED_OUT && kr != MACH_RCV_INTERRUPTED) {
        error_set(call->state, "bootstrap_look_up", kr, NULL);
        return -1;
    }
    if (PyErr_CheckSignals() < 0 || cancel_check(call->state, call->cancel) < 0)
        return -1;
    if (!late)
        return 0;
    error_set_as(call->state, ERROR_TIMED_OUT, "bootstrap_look_up", MACH_RCV_TIMED_OUT,
                 "a process has checked this name in, but does not answer; it may be stopped");
    return -1;
}

/* The service's send right, which the caller owns; MACH_PORT_NULL with the exception. */
static mach_port_t look_up_run(const struct look_up_call *call)
{
    struct look_up look_up;
    mach_port_t service = MACH_PORT_NULL;
    uint32_t slice = DEADLINE_SLICE_FIRST_MS;
    kern_return_t kr;
    bool late;
    look_up_init(&look_up, call->name);
    do {
        late = deadline_passed(call->deadline);
        kr = look_up_step(call, &look_up, &slice, &service);
    } while (kr != KERN_SUCCESS && look_up_check_end(call, late, kr) == 0);
    look_up_release(&look_up);
    return kr == KERN_SUCCESS ? service : MACH_PORT_NULL;
}

PyDoc_STRVAR(
    doc_look_up,
    "bootstrap_look_up($module, /, name, *, timeout=None, cancel=None)\n--\n\n"
    "A new SendRight to the service of that name (bootstrap_look_up).\n\n"
    "UnknownService if nobody serves it, or its owner has just died; TimedOut if its owner\n"
    "does not answer; Cancelled. macOS's call takes no deadline.");

static PyObject *look_up(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames)
{
    struct look_up_call call = {.state = state_of_module(module)};
    if (look_up_parse(&call, args, nargs, kwnames) < 0)
        return NULL;
    mach_port_t service = look_up_run(&call);
    if (service == MACH_PORT_NULL)
        return NULL;
    return (PyObject *)right_steal(call.state, RIGHT_SEND, service);
}

static PyMethodDef bootstrap_functions[] = {
    {"bootstrap_check_in", check_in, METH_O, doc_check_in},
    {"bootstrap_look_up", METHOD(look_up), METH_FASTCALL | METH_KEYWORDS, doc_look_up},
    {NULL, NULL, 0, NULL},
};

int bootstrap_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, bootstrap_functions);
}
