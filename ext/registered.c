/* Registered ports: three send rights that the task keeps and that what it starts inherits. They go
 * to a child without any name that others could find.
 *
 * Mach replaces all three at once, so a change of one is: look them up, put the new one in,
 * register them. Each look-up gives one user reference an entry and an array; both are released
 * here, but for the references that right objects take over. Registering copies: the caller's
 * rights stay its own.
 *
 * Two changes at once would undo each other. The caller sees to it that there is one at a time. */
#include "registered.h"

#include "args.h"
#include "errors.h"
#include "right.h"

/* TASK_PORT_REGISTER_MAX of XNU, which no public header has. */
#define SLOTS 3

static kern_return_t slots_take(mach_port_t slots[SLOTS])
{
    mach_port_array_t found = NULL;
    mach_msg_type_number_t count = 0;
    kern_return_t kr = mach_ports_lookup(mach_task_self(), &found, &count);
    if (kr != KERN_SUCCESS)
        return kr;
    for (mach_msg_type_number_t i = 0; i < SLOTS; i++)
        slots[i] = i < count ? found[i] : MACH_PORT_NULL;
    (void)vm_deallocate(mach_task_self(), (vm_address_t)found, count * sizeof *found);
    return KERN_SUCCESS;
}

static void slots_release(mach_port_t slots[SLOTS])
{
    for (int i = 0; i < SLOTS; i++) {
        if (MACH_PORT_VALID(slots[i]))
            right_name_release(RIGHT_SEND, slots[i]);
        slots[i] = MACH_PORT_NULL;
    }
}

/* The right as an object, or None if there is none or its port is dead. Takes the reference, also
 * on failure: NULL. */
static PyObject *slot_steal(struct module_state *state, mach_port_t *slot)
{
    mach_port_t name = *slot;
    *slot = MACH_PORT_NULL;
    if (!MACH_PORT_VALID(name))
        Py_RETURN_NONE;
    return (PyObject *)right_steal(state, RIGHT_SEND, name);
}

PyDoc_STRVAR(doc_lookup,
             "registered_lookup($module, /)\n--\n\n"
             "The task's three registered ports, each a SendRight that the caller owns, or None\n"
             "where none is registered or its port is dead (mach_ports_lookup).");

static PyObject *lookup(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = state_of_module(module);
    mach_port_t slots[SLOTS];
    kern_return_t kr = slots_take(slots);
    if (kr != KERN_SUCCESS)
        return error_set(state, "mach_ports_lookup", kr, NULL);
    PyObject *result = PyTuple_New(SLOTS);
    for (int i = 0; result && i < SLOTS; i++) {
        PyObject *right = slot_steal(state, &slots[i]);
        if (!right || PyTuple_SetItem(result, i, right) < 0)
            Py_CLEAR(result);
    }
    slots_release(slots);
    return result;
}

static int replace_parse(struct module_state *state, PyObject *const *args, Py_ssize_t nargs,
                         int *slot, struct right **right)
{
    if (nargs != 2) {
        PyErr_Format(PyExc_TypeError, "registered_replace() takes 2 arguments (%zd given)", nargs);
        return -1;
    }
    if (arg_int(args[0], "slot", slot) < 0)
        return -1;
    if (*slot < 0 || *slot >= SLOTS) {
        PyErr_Format(PyExc_ValueError, "slot must be between 0 and %d", SLOTS - 1);
        return -1;
    }
    *right = NULL;
    if (args[1] == Py_None)
        return 0;
    *right = right_expect(state, args[1], RIGHT_SEND, "right");
    return *right ? 0 : -1;
}

PyDoc_STRVAR(doc_replace,
             "registered_replace($module, slot, right, /)\n--\n\n"
             "Register a copy of a SendRight, or nothing (None), in one of the slots 0 to 2.\n\n"
             "Returns what was there, as registered_lookup() does. The other slots stay as they\n"
             "are (mach_ports_register).");

static PyObject *replace(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    struct module_state *state = state_of_module(module);
    struct right *right;
    mach_port_name_t name = MACH_PORT_NULL;
    mach_port_t slots[SLOTS];
    int slot;
    if (replace_parse(state, args, nargs, &slot, &right) < 0 ||
        (right && right_pin(right, &name) < 0))
        return NULL;
    const char *call = "mach_ports_lookup";
    kern_return_t kr = slots_take(slots);
    mach_port_t previous = MACH_PORT_NULL;
    if (kr == KERN_SUCCESS) {
        previous = slots[slot];
        slots[slot] = name;
        call = "mach_ports_register";
        kr = mach_ports_register(mach_task_self(), slots, SLOTS);
        slots[slot] = kr == KERN_SUCCESS ? MACH_PORT_NULL : previous;
        slots_release(slots);
    }
    if (right)
        right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(state, call, kr, NULL);
    return slot_steal(state, &previous);
}

PyDoc_STRVAR(
    doc_descriptors,
    "registered_descriptors($module, /)\n--\n\n"
    "The descriptors that a new program must inherit to inherit the registered ports:\n"
    "for pass_fds. None on macOS, where the kernel keeps the ports. They change with each\n"
    "registered_replace() and belong to the library.");

static PyObject *descriptors(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    int found[REGISTERED_DESCRIPTORS_MAX];
    int count = registered_descriptors_list(found);
    (void)module;
    PyObject *result = PyTuple_New(count);
    for (int i = 0; result && i < count; i++) {
        PyObject *descriptor = PyLong_FromLong(found[i]);
        if (!descriptor || PyTuple_SetItem(result, i, descriptor) < 0)
            Py_CLEAR(result);
    }
    return result;
}

static PyMethodDef registered_functions[] = {
    {"registered_lookup", lookup, METH_NOARGS, doc_lookup},
    {"registered_replace", METHOD(replace), METH_FASTCALL, doc_replace},
    {"registered_descriptors", descriptors, METH_NOARGS, doc_descriptors},
    {NULL, NULL, 0, NULL},
};

int registered_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, registered_functions);
}
