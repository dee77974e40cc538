/* Mach return codes as Python exceptions.
 *
 * The classes are made when the module is executed and belong to its state. An exception says which
 * Mach call failed, the code's symbol and number, the system's own text, and what to do about it.
 * Two code spaces meet here without a clash: kern_return_t and bootstrap codes are small, the
 * mach_msg ones lie above 0x10000000, MIG's are negative. */
#include "errors.h"
#include "platform.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <mach/mach_error.h>
#include <mach/mig_errors.h>
#include <servers/bootstrap.h>

struct code_row {
    kern_return_t code;
    enum error_class error_class;
    const char *symbol;
    const char *advice;
};

#define ROW(symbol, error_class, advice) {symbol, error_class, #symbol, advice}

static const char ADVICE_NAME_SPACE[] =
    "the task ran out of names or descriptors; close rights that are no longer needed, or raise "
    "the limit (on Linux RLIMIT_NOFILE, 'ulimit -n')";

static const struct code_row code_rows[] = {
    ROW(KERN_INVALID_NAME, ERROR_INVALID_RIGHT, "no right has this name in this task"),
    ROW(KERN_INVALID_RIGHT, ERROR_INVALID_RIGHT, "the name has another kind of right, or is dead"),
    ROW(KERN_INVALID_CAPABILITY, ERROR_INVALID_RIGHT, "the right is dead"),
    ROW(KERN_INVALID_VALUE, ERROR_MACH, "an argument is out of range"),
    ROW(KERN_INVALID_ARGUMENT, ERROR_MACH, "an argument is not accepted here"),
    ROW(KERN_INVALID_TASK, ERROR_INVALID_RIGHT, "the right is not a task's, or the task is gone"),
    ROW(KERN_FAILURE, ERROR_MACH, "the call was refused; the process may be gone"),
    ROW(KERN_NO_ACCESS, ERROR_MACH, "the operation is not permitted"),
    ROW(KERN_NOT_SUPPORTED, ERROR_MACH, "this platform does not support the operation"),
    ROW(KERN_NAME_EXISTS, ERROR_MACH, "the name is taken"),
    ROW(KERN_RIGHT_EXISTS, ERROR_MACH, "this task holds the right under another name"),
    ROW(KERN_ALREADY_IN_SET, ERROR_MACH, "the port is a member of the set already"),
    ROW(KERN_NOT_IN_SET, ERROR_MACH, "the port is no member of the set"),
    ROW(KERN_ABORTED, ERROR_MACH, "the call was aborted; try again"),
    ROW(KERN_UREFS_OVERFLOW, ERROR_RESOURCE_SHORTAGE,
        "too many user references to one name; close some copies"),
    ROW(KERN_NO_SPACE, ERROR_RESOURCE_SHORTAGE, ADVICE_NAME_SPACE),
    ROW(KERN_RESOURCE_SHORTAGE, ERROR_RESOURCE_SHORTAGE, ADVICE_NAME_SPACE),

    ROW(MACH_SEND_INVALID_DEST, ERROR_INVALID_DESTINATION,
        "the server is dead, or the name was never a send right to it"),
    ROW(MACH_SEND_INVALID_RIGHT, ERROR_INVALID_RIGHT,
        "the port to hand over does not have the right that the disposition names"),
    ROW(MACH_SEND_INVALID_HEADER, ERROR_MACH, "the message header is not valid"),
    ROW(MACH_SEND_INVALID_REPLY, ERROR_INVALID_RIGHT, "the reply port is not usable"),
    ROW(MACH_SEND_TIMED_OUT, ERROR_TIMED_OUT,
        "the server's queue stayed full until the deadline; the server does not drain it"),
    ROW(MACH_SEND_INTERRUPTED, ERROR_MACH, "the send was interrupted; try again"),
    ROW(MACH_SEND_MSG_TOO_SMALL, ERROR_MACH, "the message is shorter than its header says"),
    ROW(MACH_SEND_TOO_LARGE, ERROR_RESOURCE_SHORTAGE, "the message or its rights are too many"),
    ROW(MACH_SEND_INVALID_TYPE, ERROR_MACH, "a descriptor has an unknown type"),
    ROW(MACH_SEND_INVALID_DATA, ERROR_MACH, "the message is not readable memory"),
    ROW(MACH_SEND_INVALID_MEMORY, ERROR_MACH, "out-of-line memory is not readable"),
    ROW(MACH_SEND_NO_BUFFER, ERROR_RESOURCE_SHORTAGE,
        "the system has no message buffer left; try again later"),

    ROW(MACH_RCV_TIMED_OUT, ERROR_TIMED_OUT, "no message arrived before the deadline"),
    ROW(MACH_RCV_INTERRUPTED, ERROR_MACH, "the receive was interrupted; try again"),
    ROW(MACH_RCV_INVALID_NAME, ERROR_INVALID_RIGHT, "the name is not a receive right"),
    ROW(MACH_RCV_PORT_CHANGED, ERROR_PORT_CHANGED, ADVICE_PORT_CHANGED),
    ROW(MACH_RCV_PORT_DIED, ERROR_PORT_CHANGED, "the receive right was closed during the wait"),
    ROW(MACH_RCV_TOO_LARGE, ERROR_MACH, "the message does not fit the buffer"),
    ROW(MACH_RCV_INVALID_DATA, ERROR_MACH, "the receive buffer is not writable memory"),
    ROW(MACH_RCV_HEADER_ERROR, ERROR_RESOURCE_SHORTAGE, ADVICE_NAME_SPACE),
    ROW(MACH_RCV_BODY_ERROR, ERROR_RESOURCE_SHORTAGE, ADVICE_NAME_SPACE),

    ROW(BOOTSTRAP_NOT_PRIVILEGED, ERROR_NOT_PRIVILEGED,
        "policy refused it: a sandbox without the mach-register exception, or the name belongs to "
        "another job"),
    ROW(BOOTSTRAP_NAME_IN_USE, ERROR_BOOTSTRAP, "choose another service name"),
    ROW(BOOTSTRAP_UNKNOWN_SERVICE, ERROR_UNKNOWN_SERVICE,
        "nobody has checked this name in, or its owner is gone; both sides must share one "
        "bootstrap context (user, session)"),
    ROW(BOOTSTRAP_SERVICE_ACTIVE, ERROR_SERVICE_ACTIVE,
        "another receive right serves this name; choose another one, or end its owner"),
    ROW(BOOTSTRAP_NO_MEMORY, ERROR_RESOURCE_SHORTAGE, "the bootstrap server is out of memory"),

    ROW(MIG_TYPE_ERROR, ERROR_MACH, "the message does not match the interface"),
    ROW(MIG_BAD_ARGUMENTS, ERROR_MACH, "the message does not match the interface"),
    ROW(MIG_BAD_ID, ERROR_MACH, "the message belongs to another interface"),
};

static const struct code_row *code_find(kern_return_t code)
{
    for (size_t i = 0; i < sizeof code_rows / sizeof code_rows[0]; i++) {
        if (code_rows[i].code == code)
            return &code_rows[i];
    }
    return NULL;
}

/* mach_msg ORs hints about the resource it lacked into its codes; the code is what remains. */
static kern_return_t code_without_hints(kern_return_t code)
{
    bool from_mach_msg = (code & 0x70000000) == 0x10000000;
    return from_mach_msg ? code & ~MACH_MSG_MASK : code;
}

static int error_number_of(enum error_class error_class)
{
    switch (error_class) {
    case ERROR_TIMED_OUT:
        return ETIMEDOUT;
    case ERROR_NOT_PRIVILEGED:
        return EPERM;
    default:
        return 0;
    }
}

static int attribute_set_long(PyObject *object, const char *attribute, long value)
{
    PyObject *number = PyLong_FromLong(value);
    if (!number)
        return -1;
    int result = PyObject_SetAttrString(object, attribute, number);
    Py_DECREF(number);
    return result;
}

static int attribute_set_text(PyObject *object, const char *attribute, const char *value)
{
    PyObject *text = PyUnicode_FromString(value);
    if (!text)
        return -1;
    int result = PyObject_SetAttrString(object, attribute, text);
    Py_DECREF(text);
    return result;
}

static const char *system_text(const char *symbol, kern_return_t code)
{
    /* mach_error_string knows nothing of launchd's codes and takes them for the kernel's. */
    if (strncmp(symbol, "BOOTSTRAP_", sizeof "BOOTSTRAP_" - 1) == 0)
        return bootstrap_strerror(code);
    return mach_error_string(code);
}

void *error_set_as(struct module_state *state, enum error_class error_class, const char *call,
                   kern_return_t raw_code, const char *advice)
{
    kern_return_t code = code_without_hints(raw_code);
    const struct code_row *row = code_find(code);
    const char *symbol = row ? row->symbol : "unknown code";
    PyObject *type = state->errors[error_class];
    PyObject *error = NULL;
    char number[16];
    if (code < 0x10000)
        snprintf(number, sizeof number, "%d", code);
    else
        snprintf(number, sizeof number, "0x%x", (unsigned)code);
    if (!advice && error_class == ERROR_RESOURCE_SHORTAGE)
        advice = platform_reason();
    if (!advice)
        advice = row ? row->advice : "see the documentation of the call";
    PyObject *message = PyUnicode_FromFormat("%s: %s (%s): %s; %s", call, symbol, number,
                                             system_text(symbol, code), advice);
    if (!message)
        goto done;
    error = PyObject_CallFunctionObjArgs(type, message, NULL);
    if (!error)
        goto done;
    int error_number = error_number_of(error_class);
    if (attribute_set_long(error, "code", code) < 0 ||
        attribute_set_text(error, "symbol", symbol) < 0 ||
        attribute_set_text(error, "call", call) < 0 ||
        (error_number && attribute_set_long(error, "errno", error_number) < 0))
        goto done;
    PyErr_SetObject(type, error);
done:
    Py_XDECREF(message);
    Py_XDECREF(error);
    return NULL;
}

void *error_set(struct module_state *state, const char *call, kern_return_t code,
                const char *advice)
{
    const struct code_row *row = code_find(code_without_hints(code));
    return error_set_as(state, row ? row->error_class : ERROR_MACH, call, code, advice);
}

void *error_set_plain(struct module_state *state, enum error_class error_class, const char *message)
{
    PyErr_SetString(state->errors[error_class], message);
    return NULL;
}

void error_note_name(mach_port_name_t name)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    PyObject *number = PyLong_FromUnsignedLong(name);
    if (!number || !value || PyObject_SetAttrString(value, "name", number) < 0)
        PyErr_Clear(); /* the first exception matters more than its attribute */
    Py_XDECREF(number);
    PyErr_Restore(type, value, traceback);
}

static PyObject *class_bases(struct module_state *state, int mach_base, PyObject *builtin_base)
{
    if (mach_base >= 0 && builtin_base)
        return PyTuple_Pack(2, state->errors[mach_base], builtin_base);
    return PyTuple_Pack(1, mach_base >= 0 ? state->errors[mach_base] : builtin_base);
}

/* Every MachError has its attributes, also one that Python code raised with a message alone. */
static PyObject *mach_error_defaults(void)
{
    return Py_BuildValue("{s:i,s:s,s:s,s:O}", "code", 0, "symbol", "", "call", "", "name", Py_None);
}

static int class_add(PyObject *module, struct module_state *state, enum error_class error_class,
                     const char *name, const char *doc, int mach_base, PyObject *builtin_base)
{
    char qualified[64];
    snprintf(qualified, sizeof qualified, "child_port.%s", name);
    PyObject *bases = class_bases(state, mach_base, builtin_base);
    PyObject *namespace = error_class == ERROR_MACH ? mach_error_defaults() : PyDict_New();
    PyObject *type = NULL;
    if (bases && namespace)
        type = PyErr_NewExceptionWithDoc(qualified, doc, bases, namespace);
    Py_XDECREF(bases);
    Py_XDECREF(namespace);
    if (!type)
        return -1;
    state->errors[error_class] = type;
    return PyModule_AddObjectRef(module, name, type);
}

int errors_add(PyObject *module, struct module_state *state)
{
    const struct {
        enum error_class error_class;
        const char *name;
        int mach_base;
        PyObject *builtin_base;
        const char *doc;
    } classes[ERROR_CLASSES] = {
        {ERROR_MACH, "MachError", -1, PyExc_OSError,
         "A Mach call failed: code (its return code), symbol (the code's name), call (the\n"
         "function). After a failed send that gave a right back under another name, name\n"
         "is the new one, else None."},
        {ERROR_TIMED_OUT, "TimedOut", ERROR_MACH, PyExc_TimeoutError,
         "The deadline passed. Nothing was consumed."},
        {ERROR_INVALID_DESTINATION, "InvalidDestination", ERROR_MACH, NULL,
         "The server is dead, or the right was never one that can be sent to."},
        {ERROR_INVALID_RIGHT, "InvalidRight", ERROR_MACH, NULL,
         "A name does not have the right that the operation needs."},
        {ERROR_PORT_CHANGED, "PortChanged", ERROR_MACH, NULL,
         "The receive right was closed or moved during the wait."},
        {ERROR_RESOURCE_SHORTAGE, "ResourceShortage", ERROR_MACH, NULL,
         "A limit was reached; the message names it."},
        {ERROR_BOOTSTRAP, "BootstrapError", ERROR_MACH, NULL, "The bootstrap server refused."},
        {ERROR_NOT_PRIVILEGED, "NotPrivileged", ERROR_BOOTSTRAP, PyExc_PermissionError,
         "Policy forbids the service name: a sandbox, or a name of another job."},
        {ERROR_UNKNOWN_SERVICE, "UnknownService", ERROR_BOOTSTRAP, NULL,
         "Nobody has checked the service name in."},
        {ERROR_SERVICE_ACTIVE, "ServiceActive", ERROR_BOOTSTRAP, NULL,
         "Somebody else has checked the service name in."},
        {ERROR_CANCELLED, "Cancelled", -1, PyExc_Exception, "A CancelToken ended the wait."},
        {ERROR_PEER_GONE, "PeerGone", -1, PyExc_ConnectionError,
         "The peer died or closed its end before it did what was awaited."},
    };
    for (int i = 0; i < ERROR_CLASSES; i++) {
        if (class_add(module, state, classes[i].error_class, classes[i].name, classes[i].doc,
                      classes[i].mach_base, classes[i].builtin_base) < 0)
            return -1;
    }
    return 0;
}
