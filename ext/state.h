/* What every source of the extension shares: CPython's limited API and the state of one module
 * object.
 *
 * There is one struct module_state for each interpreter that imports child_port. The module owns
 * it; right objects, tokens and servers point to it without a reference of their own, because their
 * type keeps the module alive. Nothing in the extension is static and mutable but the two
 * thread-local pointers of stub_user.c and stub_server.c, each set only around one call of a
 * generated stub. */
#ifndef CHILD_PORT_STATE_H
#define CHILD_PORT_STATE_H

#ifndef PY_SSIZE_T_CLEAN
#define PY_SSIZE_T_CLEAN
#endif
#include <Python.h>
#include <structmember.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

#include "ledger.h"

/* The exceptions of errors.c, in the order in which they are made: a base before what derives from
 * it. */
enum error_class {
    ERROR_MACH,
    ERROR_TIMED_OUT,
    ERROR_INVALID_DESTINATION,
    ERROR_INVALID_RIGHT,
    ERROR_PORT_CHANGED,
    ERROR_RESOURCE_SHORTAGE,
    ERROR_BOOTSTRAP,
    ERROR_NOT_PRIVILEGED,
    ERROR_UNKNOWN_SERVICE,
    ERROR_SERVICE_ACTIVE,
    ERROR_CANCELLED,
    ERROR_PEER_GONE,
    ERROR_CLASSES,
};

/* The kinds of right object, each a Python type. */
enum right_kind {
    RIGHT_SEND,
    RIGHT_SEND_ONCE,
    RIGHT_RECEIVE,
    RIGHT_DEAD_NAME,
    RIGHT_PORT_SET,
    RIGHT_KINDS,
};

/* The kinds of notification, each a Python type: in the order of notification.c. */
#define NOTIFICATION_KINDS 5

struct module_state {
    PyObject *errors[ERROR_CLASSES];
    PyTypeObject *right_base;
    PyTypeObject *right_types[RIGHT_KINDS];
    PyTypeObject *cancel_token_type;
    PyTypeObject *audit_token_type;
    PyTypeObject *check_in_type;
    PyTypeObject *server_core_type;
    PyTypeObject *message_type;
    PyTypeObject *notification_types[NOTIFICATION_KINDS];
    /* Bumped in the child of a fork: what carries an older number names nothing here. */
    _Atomic(uint32_t) generation;
    struct ledger ledger;
    struct requests *requests;       /* owned; see requests.c */
    struct module_state *forks_next; /* in forks.c's list */
    /* PySys_Audit; see audit.c. */
    int (*audit)(const char *event, const char *format, ...);
};

static inline struct module_state *state_of_module(PyObject *module)
{
    return PyModule_GetState(module);
}

/* The state behind a method that was declared METH_METHOD. */
static inline struct module_state *state_of_class(PyTypeObject *defining_class)
{
    return PyType_GetModuleState(defining_class);
}

/* The state behind a type or any subclass of it made in Python; NULL with an exception set. */
struct module_state *state_of_type(PyTypeObject *type);

/* Casts for method tables, whose one function type stands for several. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Each subject adds its types, functions and constants to the module: 0, or -1 with an exception.
 */
int forks_add(PyObject *module, struct module_state *state); /* when all else is there */
int errors_add(PyObject *module, struct module_state *state);
int rights_add(PyObject *module, struct module_state *state);
int task_add(PyObject *module, struct module_state *state);
int cancel_add(PyObject *module, struct module_state *state);
int check_in_add(PyObject *module, struct module_state *state);
int server_add(PyObject *module, struct module_state *state);
int bootstrap_add(PyObject *module, struct module_state *state);
int messages_add(PyObject *module, struct module_state *state);
int notifications_add(PyObject *module, struct module_state *state);
int reply_port_add(PyObject *module, struct module_state *state);
int requests_add(PyObject *module, struct module_state *state);
int registered_add(PyObject *module, struct module_state *state);
int sharing_add(PyObject *module, struct module_state *state);
int ledger_add(PyObject *module, struct module_state *state);
int audit_add(PyObject *module, struct module_state *state);
int capi_add(PyObject *module, struct module_state *state);

/* The module goes; it may not have got as far as forks_add(). */
void forks_remove(struct module_state *state);

#endif
