/* The ledger: which names this task has, how many user references each, and which right objects own
 * them.
 *
 * The names are the kernel's own account (mach_port_names, mach_port_get_refs), the owners that of
 * ledger.h. What native code and other interpreters own is in the first alone. Between the two, and
 * from name to name, other threads go on; so in a busy process the accounts may differ a little. */
#include "ledger.h"

#include "errors.h"
#include "right.h"

/* Where the object is being made: a new reference, or NULL without an exception. */
static PyObject *origin_new(struct ledger *ledger)
{
    PyObject *hook = atomic_load(&ledger->origin);
    PyObject *type, *value, *traceback;
    if (!hook || !atomic_load_explicit(&ledger->tracing, memory_order_relaxed))
        return NULL;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *origin = PyObject_CallObject(hook, NULL);
    if (!origin)
        PyErr_WriteUnraisable(hook);
    PyErr_Restore(type, value, traceback);
    return origin;
}

void ledger_enter(struct right *right)
{
    struct ledger *ledger = &right->state->ledger;
    right->entry.origin = origin_new(ledger);
    lock_take(&ledger->lock);
    right->entry.next = ledger->first;
    right->entry.link = &ledger->first;
    if (ledger->first)
        ledger->first->entry.link = &right->entry.next;
    ledger->first = right;
    lock_drop(&ledger->lock);
}

void ledger_leave(struct right *right)
{
    struct ledger *ledger = &right->state->ledger;
    if (right->generation == atomic_load(&right->state->generation)) {
        lock_take(&ledger->lock);
        *right->entry.link = right->entry.next;
        if (right->entry.next)
            right->entry.next->entry.link = right->entry.link;
        lock_drop(&ledger->lock);
    }
    Py_CLEAR(right->entry.origin);
}

void ledger_forget(struct module_state *state)
{
    state->ledger.first = NULL;
    lock_init(&state->ledger.lock);
}

/* --- who owns what ---------------------------------------------------------------------------- */

struct owner {
    const struct right *right; /* only to tell it from others */
    PyObject *origin;          /* owned, or NULL */
    enum right_kind kind;
    mach_port_name_t name;
};

/* Copies as many owners as there is room for, and says how many there are. */
static size_t owners_copy(struct ledger *ledger, struct owner *owners, size_t room)
{
    size_t count = 0;
    lock_take(&ledger->lock);
    for (struct right *right = ledger->first; right; right = right->entry.next) {
        mach_port_name_t name = right_peek(right);
        if (name == MACH_PORT_NULL)
            continue;
        if (count < room)
            owners[count] =
                (struct owner){right, Py_XNewRef(right->entry.origin), right->kind, name};
        count++;
    }
    lock_drop(&ledger->lock);
    return count;
}

static void owners_release(struct owner *owners, size_t count)
{
    for (size_t i = 0; i < count; i++)
        Py_XDECREF(owners[i].origin);
    PyMem_Free(owners);
}

/* All owners; the caller releases them. NULL with MemoryError. */
static struct owner *owners_take(struct ledger *ledger, size_t *count)
{
    for (size_t room = 64;; room = *count + 64) {
        struct owner *owners = PyMem_Calloc(room, sizeof *owners);
        if (!owners)
            return (struct owner *)PyErr_NoMemory();
        *count = owners_copy(ledger, owners, room);
        if (*count <= room)
            return owners;
        owners_release(owners, room);
    }
}

PyDoc_STRVAR(
    doc_owners,
    "_ledger_owners($module, /)\n--\n\n"
    "Of each open right object: its name, the name of its type, its id(), and where it was\n"
    "made, None if that was not traced.");

static PyObject *ledger_owners(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    size_t count = 0;
    struct owner *owners = owners_take(&state_of_module(module)->ledger, &count);
    PyObject *list = owners ? PyList_New(0) : NULL;
    for (size_t i = 0; list && i < count; i++) {
        const struct owner *owner = &owners[i];
        PyObject *id = PyLong_FromVoidPtr((void *)(uintptr_t)owner->right);
        PyObject *item =
            id ? Py_BuildValue("(IsOO)", (unsigned)owner->name, right_kind_names[owner->kind], id,
                               owner->origin ? owner->origin : Py_None)
               : NULL;
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        Py_XDECREF(id);
    }
    if (owners)
        owners_release(owners, count);
    return list;
}

/* --- what the kernel says --------------------------------------------------------------------- */

static const struct {
    mach_port_type_t type;
    mach_port_right_t right;
    const char *name;
} kinds[] = {
    {MACH_PORT_TYPE_SEND, MACH_PORT_RIGHT_SEND, "send"},
    {MACH_PORT_TYPE_RECEIVE, MACH_PORT_RIGHT_RECEIVE, "receive"},
    {MACH_PORT_TYPE_SEND_ONCE, MACH_PORT_RIGHT_SEND_ONCE, "send-once"},
    {MACH_PORT_TYPE_PORT_SET, MACH_PORT_RIGHT_PORT_SET, "port-set"},
    {MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_RIGHT_DEAD_NAME, "dead-name"},
};

/* The user references of each kind of right under the name: a dictionary, empty if the name is gone
 * by now; NULL with an exception. */
static PyObject *references_of(mach_port_name_t name, mach_port_type_t type)
{
    PyObject *result = PyDict_New();
    for (size_t i = 0; result && i < sizeof kinds / sizeof kinds[0]; i++) {
        mach_port_urefs_t references = 0;
        if (!(type & kinds[i].type) ||
            mach_port_get_refs(mach_task_self(), name, kinds[i].right, &references) != KERN_SUCCESS)
            continue;
        PyObject *count = PyLong_FromUnsignedLong(references);
        if (!count || PyDict_SetItemString(result, kinds[i].name, count) < 0)
            Py_CLEAR(result);
        Py_XDECREF(count);
    }
    return result;
}

PyDoc_STRVAR(doc_names,
             "_ledger_names($module, /)\n--\n\n"
             "Each name of this task (mach_port_names) with the user references of each\n"
             "kind of right that it stands for (mach_port_get_refs).");

static PyObject *ledger_names(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t names_count = 0, types_count = 0;
    kern_return_t kr =
        mach_port_names(mach_task_self(), &names, &names_count, &types, &types_count);
    if (kr != KERN_SUCCESS)
        return error_set(state_of_module(module), "mach_port_names", kr, NULL);
    PyObject *list = PyList_New(0);
    for (mach_msg_type_number_t i = 0; list && i < names_count && i < types_count; i++) {
        PyObject *references = references_of(names[i], types[i]);
        PyObject *item = references ? Py_BuildValue("(IO)", (unsigned)names[i], references) : NULL;
        if (!item || PyList_Append(list, item) < 0)
            Py_CLEAR(list);
        Py_XDECREF(item);
        Py_XDECREF(references);
    }
    (void)vm_deallocate(mach_task_self(), (vm_address_t)names, names_count * sizeof *names);
    (void)vm_deallocate(mach_task_self(), (vm_address_t)types, types_count * sizeof *types);
    return list;
}

/* --- tracing ---------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    doc_trace,
    "_ledger_trace($module, origin, /)\n--\n\n"
    "Ask origin() where each right object is made from now on, or with None stop. The\n"
    "first function that is given stays the one that is asked. Returns whether it was on.");

static PyObject *ledger_trace(PyObject *module, PyObject *origin)
{
    struct ledger *ledger = &state_of_module(module)->ledger;
    PyObject *expected = NULL;
    if (origin != Py_None) {
        Py_INCREF(origin);
        if (!atomic_compare_exchange_strong(&ledger->origin, &expected, origin))
            Py_DECREF(origin);
    }
    return PyBool_FromLong(atomic_exchange(&ledger->tracing, origin != Py_None));
}

static PyMethodDef ledger_functions[] = {
    {"_ledger_names", ledger_names, METH_NOARGS, doc_names},
    {"_ledger_owners", ledger_owners, METH_NOARGS, doc_owners},
    {"_ledger_trace", ledger_trace, METH_O, doc_trace},
    {NULL, NULL, 0, NULL},
};

int ledger_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, ledger_functions);
}
