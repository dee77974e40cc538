/* child_port._child_port: the module itself.
 *
 * Multi-phase initialisation; each module object owns its struct module_state and through it the
 * types and exceptions, so that every interpreter has its own. */
#include "guard.h"
#include "platform.h"
#include "requests.h"
#include "state.h"

/* The mig that made the stubs, from setup.py. */
#ifndef CHILD_PORT_MIG
#error "CHILD_PORT_MIG is not defined: build with setup.py"
#endif

PyDoc_STRVAR(doc_module,
             "The C layer of child_port: rights, check-in, receive-and-dispatch, bootstrap.\n\n"
             "Import child_port instead, which has all of this and more.");

static struct module_state *state_if_ours(PyTypeObject *type);

struct module_state *state_of_type(PyTypeObject *type)
{
    for (PyTypeObject *at = type; at; at = PyType_GetSlot(at, Py_tp_base)) {
        struct module_state *state = state_if_ours(at);
        if (state || PyErr_Occurred())
            return state;
    }
    PyErr_SetString(PyExc_SystemError, "not a type of child_port");
    return NULL;
}

/* --- the module object ------------------------------------------------------------------------ */

static int constants_add(PyObject *module)
{
    static const struct {
        const char *name;
        long value;
    } dispositions[] = {
        {"MACH_MSG_TYPE_MOVE_RECEIVE", MACH_MSG_TYPE_MOVE_RECEIVE},
        {"MACH_MSG_TYPE_MOVE_SEND", MACH_MSG_TYPE_MOVE_SEND},
        {"MACH_MSG_TYPE_MOVE_SEND_ONCE", MACH_MSG_TYPE_MOVE_SEND_ONCE},
        {"MACH_MSG_TYPE_COPY_SEND", MACH_MSG_TYPE_COPY_SEND},
        {"MACH_MSG_TYPE_MAKE_SEND", MACH_MSG_TYPE_MAKE_SEND},
        {"MACH_MSG_TYPE_MAKE_SEND_ONCE", MACH_MSG_TYPE_MAKE_SEND_ONCE},
    };
    for (size_t i = 0; i < sizeof dispositions / sizeof dispositions[0]; i++) {
        if (PyModule_AddIntConstant(module, dispositions[i].name, dispositions[i].value) < 0)
            return -1;
    }
    if (PyModule_AddStringConstant(module, "PLATFORM", platform_name) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "MIG", CHILD_PORT_MIG);
}

static int module_exec(PyObject *module)
{
    struct module_state *state = state_of_module(module);
    const char *missing = platform_missing();
    if (missing) {
        PyErr_Format(PyExc_ImportError, "child_port has no Mach ports here: %s", missing);
        return -1;
    }
    if (errors_add(module, state) < 0 || rights_add(module, state) < 0 ||
        task_add(module, state) < 0 || cancel_add(module, state) < 0 ||
        check_in_add(module, state) < 0 || server_add(module, state) < 0 ||
        bootstrap_add(module, state) < 0 || registered_add(module, state) < 0 ||
        messages_add(module, state) < 0 || notifications_add(module, state) < 0 ||
        requests_add(module, state) < 0 || reply_port_add(module, state) < 0 ||
        sharing_add(module, state) < 0 || ledger_add(module, state) < 0 ||
        audit_add(module, state) < 0 || capi_add(module, state) < 0 || constants_add(module) < 0)
        return -1;
    return forks_add(module, state);
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    struct module_state *state = state_of_module(module);
    for (int i = 0; i < ERROR_CLASSES; i++)
        Py_VISIT(state->errors[i]);
    for (int i = 0; i < RIGHT_KINDS; i++)
        Py_VISIT(state->right_types[i]);
    Py_VISIT(state->right_base);
    Py_VISIT(state->cancel_token_type);
    Py_VISIT(state->audit_token_type);
    Py_VISIT(state->check_in_type);
    Py_VISIT(state->server_core_type);
    Py_VISIT(state->message_type);
    for (int i = 0; i < NOTIFICATION_KINDS; i++)
        Py_VISIT(state->notification_types[i]);
    Py_VISIT(atomic_load(&state->ledger.origin));
    return 0;
}

static int module_clear(PyObject *module)
{
    struct module_state *state = state_of_module(module);
    for (int i = 0; i < ERROR_CLASSES; i++)
        Py_CLEAR(state->errors[i]);
    for (int i = 0; i < RIGHT_KINDS; i++)
        Py_CLEAR(state->right_types[i]);
    Py_CLEAR(state->right_base);
    Py_CLEAR(state->cancel_token_type);
    Py_CLEAR(state->audit_token_type);
    Py_CLEAR(state->check_in_type);
    Py_CLEAR(state->server_core_type);
    Py_CLEAR(state->message_type);
    for (int i = 0; i < NOTIFICATION_KINDS; i++)
        Py_CLEAR(state->notification_types[i]);
    Py_XDECREF(atomic_exchange(&state->ledger.origin, NULL));
    return 0;
}

static void module_free(void *module)
{
    (void)module_clear(module);
    forks_remove(state_of_module(module));
    requests_free(state_of_module(module));
}

/* What later versions want to know: nothing here relies on the GIL or on being in one interpreter
 * only. A wheel for the limited API is compiled with headers that know no slot younger than 3.11,
 * so the slots' numbers, which belong to the stable ABI, are picked by the version that runs. */
#define SLOT_MULTIPLE_INTERPRETERS 3 /* Py_mod_multiple_interpreters, since 3.12 */
#define SLOT_GIL 4                   /* Py_mod_gil, since 3.13 */
#define PER_INTERPRETER_GIL ((void *)2)
#define GIL_NOT_USED ((void *)1)
#define VERSION_MULTIPLE_INTERPRETERS 0x030c0000
#define VERSION_GIL 0x030d0000

static PyModuleDef_Slot slots_3_11[] = {
    {Py_mod_exec, module_exec},
    {0, NULL},
};

static PyModuleDef_Slot slots_3_12[] = {
    {Py_mod_exec, module_exec},
    {SLOT_MULTIPLE_INTERPRETERS, PER_INTERPRETER_GIL},
    {0, NULL},
};

static PyModuleDef_Slot slots_3_13[] = {
    {Py_mod_exec, module_exec},
    {SLOT_MULTIPLE_INTERPRETERS, PER_INTERPRETER_GIL},
    {SLOT_GIL, GIL_NOT_USED},
    {0, NULL},
};

#define MODULE_DEF(slots)                                                                          \
    {PyModuleDef_HEAD_INIT, "_child_port", doc_module, sizeof(struct module_state), NULL, slots,   \
     module_traverse,       module_clear,  module_free}

static PyModuleDef def_3_11 = MODULE_DEF(slots_3_11);
static PyModuleDef def_3_12 = MODULE_DEF(slots_3_12);
static PyModuleDef def_3_13 = MODULE_DEF(slots_3_13);

static PyModuleDef *def_for_this_version(void)
{
    if (Py_Version >= VERSION_GIL)
        return &def_3_13;
    return Py_Version >= VERSION_MULTIPLE_INTERPRETERS ? &def_3_12 : &def_3_11;
}

static struct module_state *state_if_ours(PyTypeObject *type)
{
    PyObject *module = PyType_GetModule(type);
    if (module)
        return PyModule_GetDef(module) == def_for_this_version() ? state_of_module(module) : NULL;
    if (PyErr_ExceptionMatches(PyExc_TypeError)) /* a type that belongs to no module */
        PyErr_Clear();
    return NULL;
}

PyMODINIT_FUNC PyInit__child_port(void)
{
    return PyModuleDef_Init(def_for_this_version());
}
