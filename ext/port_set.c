/* PortSet: several receive rights that are received from as one.
 *
 * A set is a right of its own (see right.h) and owns a reference to each member's object, not the
 * member's right: closing a member takes it out of the set, closing the set leaves its members as
 * they are. The members stand in a dictionary under their names; one that was closed is found out
 * when it is looked at, and the dictionary is gone through for such ones whenever it has doubled.
 */
#include "port_set.h"

#include "args.h"
#include "errors.h"
#include "message.h"

#include <stdlib.h>

/* --- members ---------------------------------------------------------------------------------- */

static PyObject *name_object(mach_port_name_t name)
{
    return PyLong_FromUnsignedLong(name);
}

/* What the dictionary has under the key, a new reference; NULL, with an exception only if it fails.
 * Under the lock: that there is nothing makes no exception, hence no object, and runs no Python. */
static PyObject *member_look(struct right *set, PyObject *key)
{
    return Py_XNewRef(PyDict_GetItemWithError(set->members, key));
}

/* The member of this name, a new reference; None if it is gone. */
static PyObject *member_find(PyObject *set, mach_port_name_t name)
{
    struct lock *lock = &((struct right *)set)->members_lock;
    PyObject *key = name_object(name), *member = NULL;
    lock_take(lock);
    if (key)
        member = member_look((struct right *)set, key);
    lock_drop(lock);
    Py_XDECREF(key);
    if (member && right_peek((struct right *)member) == name)
        return member;
    Py_XDECREF(member);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

static int member_forget(struct right *set, PyObject *key)
{
    int has = PyDict_Contains(set->members, key);
    return has > 0 ? PyDict_DelItem(set->members, key) : has;
}

/* Lets go of what the dictionary has under the key, if it is still this object. */
static int member_forget_object(struct right *set, PyObject *key, PyObject *member)
{
    lock_take(&set->members_lock);
    PyObject *now = member_look(set, key);
    int result = now == member ? member_forget(set, key) : 0;
    lock_drop(&set->members_lock);
    if (!now && PyErr_Occurred())
        result = -1;
    Py_XDECREF(now);
    return result;
}

/* Has the port another name than that under which it stands in the dictionary, or none? */
static bool item_is_stale(PyObject *item)
{
    unsigned long name = PyLong_AsUnsignedLong(PyTuple_GetItem(item, 0));
    return right_peek((struct right *)PyTuple_GetItem(item, 1)) != name;
}

/* Lets go of every member that is closed or was given back under another name, or of this one alone
 * if it is not NULL. How many, or -1. */
static Py_ssize_t members_forget_stale(struct right *set, PyObject *only)
{
    PyObject *items = PyDict_Items(set->members);
    Py_ssize_t count = 0, total = items ? PyList_Size(items) : 0;
    for (Py_ssize_t i = 0; items && count >= 0 && i < total; i++) {
        PyObject *item = PyList_GetItem(items, i), *member = PyTuple_GetItem(item, 1);
        if ((only && member != only) || !item_is_stale(item))
            continue;
        count = member_forget_object(set, PyTuple_GetItem(item, 0), member) < 0 ? -1 : count + 1;
    }
    Py_XDECREF(items);
    return items ? count : -1;
}

/* Before one more is added. 0, or -1 with an exception. */
static int members_tidy(struct right *set)
{
    Py_ssize_t count = PyDict_Size(set->members);
    if (count < atomic_load(&set->members_most))
        return 0;
    Py_ssize_t forgotten = members_forget_stale(set, NULL);
    if (forgotten < 0)
        return -1;
    Py_ssize_t most = 2 * (count - forgotten);
    atomic_store(&set->members_most, most > MEMBERS_TIDIED_AT ? most : MEMBERS_TIDIED_AT);
    return 0;
}

typedef kern_return_t (*member_call)(ipc_space_t, mach_port_name_t, mach_port_name_t);

/* The kernel's list of members and the dictionary change together. What the dictionary lets go of
 * is kept until the lock is dropped: its end may run Python. */
static int member_change_both(struct right *set, mach_port_name_t set_name, struct right *member,
                              mach_port_name_t name, bool add)
{
    member_call call = add ? mach_port_insert_member : mach_port_extract_member;
    kern_return_t kr = KERN_SUCCESS;
    int result = -1;
    PyObject *key = name_object(name);
    if (!key)
        return -1;
    lock_take(&set->members_lock);
    PyObject *before = member_look(set, key);
    if (before || !PyErr_Occurred())
        kr = call(mach_task_self(), name, set_name);
    if (!PyErr_Occurred() && kr == KERN_SUCCESS)
        result =
            add ? PyDict_SetItem(set->members, key, (PyObject *)member) : member_forget(set, key);
    else if (kr == KERN_NOT_IN_SET) /* it left its sets when it was to be sent: see members_of() */
        (void)member_forget(set, key);
    lock_drop(&set->members_lock);
    Py_XDECREF(before);
    Py_DECREF(key);
    if (kr != KERN_SUCCESS)
        error_set(set->state, add ? "mach_port_insert_member" : "mach_port_extract_member", kr,
                  NULL);
    return result;
}

static PyObject *member_change(PyObject *self, PyObject *object, bool add)
{
    struct right *set = (struct right *)self;
    struct right *member = right_expect(set->state, object, RIGHT_RECEIVE, "port");
    mach_port_name_t set_name, name;
    if (!member || right_pin(set, &set_name) < 0)
        return NULL;
    int result = right_pin(member, &name);
    if (result == 0) {
        result = member_change_both(set, set_name, member, name, add);
        right_unpin(member);
    }
    right_unpin(set);
    return result < 0 ? NULL : Py_NewRef(Py_None);
}

static PyObject *set_add(PyObject *self, PyObject *object)
{
    return members_tidy((struct right *)self) < 0 ? NULL : member_change(self, object, true);
}

static PyObject *set_remove(PyObject *self, PyObject *object)
{
    Py_ssize_t forgotten = members_forget_stale((struct right *)self, object);
    if (forgotten < 0)
        return NULL;
    if (forgotten > 0 && right_peek((struct right *)object) == MACH_PORT_NULL)
        return Py_NewRef(Py_None);
    return member_change(self, object, false);
}

static int by_number(const void *one, const void *other)
{
    mach_port_name_t a = *(const mach_port_name_t *)one, b = *(const mach_port_name_t *)other;
    return (a > b) - (a < b);
}

/* Those of the objects that are open and by `names` members, in a new list. */
static PyObject *members_among(PyObject *all, const mach_port_name_t *names, size_t count)
{
    PyObject *result = PyList_New(0);
    for (Py_ssize_t i = 0; result && i < PyList_Size(all); i++) {
        PyObject *member = PyList_GetItem(all, i);
        mach_port_name_t name = right_peek((struct right *)member);
        if (name != MACH_PORT_NULL && count != 0 &&
            bsearch(&name, names, count, sizeof name, by_number) &&
            PyList_Append(result, member) < 0)
            Py_CLEAR(result);
    }
    return result;
}

/* The kernel knows better than the dictionary: a port that is to be sent leaves its sets at once,
 * and if it is not sent after all comes back without them. */
static PyObject *members_of(struct right *set, PyObject *all)
{
    mach_port_name_array_t names = NULL;
    mach_msg_type_number_t count = 0;
    mach_port_name_t set_name;
    if (right_pin(set, &set_name) < 0)
        return NULL;
    kern_return_t kr = mach_port_get_set_status(mach_task_self(), set_name, &names, &count);
    right_unpin(set);
    if (kr != KERN_SUCCESS)
        return error_set(set->state, "mach_port_get_set_status", kr, NULL);
    if (count != 0)
        qsort(names, count, sizeof *names, by_number);
    PyObject *result = members_among(all, names, count);
    (void)vm_deallocate(mach_task_self(), (vm_address_t)names, count * sizeof *names);
    return result;
}

static PyObject *set_get_members(PyObject *self, void *Py_UNUSED(closure))
{
    struct right *set = (struct right *)self;
    if (members_forget_stale(set, NULL) < 0)
        return NULL;
    PyObject *all = PyDict_Values(set->members);
    PyObject *open = all ? members_of(set, all) : NULL;
    PyObject *result = open ? PyList_AsTuple(open) : NULL;
    Py_XDECREF(open);
    Py_XDECREF(all);
    return result;
}

/* --- receiving -------------------------------------------------------------------------------- */

static mach_port_name_t set_peek(PyObject *owner)
{
    return right_peek((struct right *)owner);
}

static PyObject *set_receive(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    struct right *set = (struct right *)self;
    struct receive_request request = {
        .peek = set_peek, .member = member_find, .owner = self, .dropped = &set->dropped};
    mach_port_name_t name;
    if (message_receive_arguments(set->state, args, nargs, kwnames, &request) < 0 ||
        right_pin(set, &name) < 0)
        return NULL;
    right_unpin(set);
    return message_receive(&request);
}

/* --- the type --------------------------------------------------------------------------------- */

static PyObject *set_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *keywords[] = {NULL};
    struct module_state *state = state_of_type(type);
    mach_port_name_t name = MACH_PORT_NULL;
    if (!state || !PyArg_ParseTupleAndKeywords(args, kwargs, ":PortSet", keywords))
        return NULL;
    kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &name);
    if (kr != KERN_SUCCESS)
        return error_set(state, "mach_port_allocate", kr, NULL);
    return (PyObject *)right_steal(state, RIGHT_PORT_SET, name);
}

PyDoc_STRVAR(doc_set,
             "PortSet()\n--\n\n"
             "Several receive rights that are received from as one (mach_port_allocate).\n\n"
             "Closing it leaves its members as they are. A member that is closed leaves the set.");
PyDoc_STRVAR(doc_add, "add($self, port, /)\n--\n\n"
                      "Make a ReceiveRight a member (mach_port_insert_member). The set keeps the\n"
                      "object, whose owner goes on owning the right. MachError with the symbol\n"
                      "KERN_ALREADY_IN_SET if it is a member.\n\n"
                      "A port that is sent (MOVE_RECEIVE) leaves its sets. If the send fails it\n"
                      "is back, but in no set: add it again.");
PyDoc_STRVAR(doc_remove,
             "remove($self, port, /)\n--\n\n"
             "Take a member out (mach_port_extract_member); one that is closed is forgotten.\n"
             "MachError with the symbol KERN_NOT_IN_SET if it is none.");
PyDoc_STRVAR(doc_members, "The members that are open, a tuple of ReceiveRight objects\n"
                          "(mach_port_get_set_status). ValueError if the set is closed.");
PyDoc_STRVAR(doc_set_receive,
             "receive($self, /, timeout=None, *, cancel=None)\n--\n\n"
             "ReceiveRight.receive for all members: the message's port says to which it came.");

static PyMethodDef set_methods[] = {
    {"add", set_add, METH_O, doc_add},
    {"remove", set_remove, METH_O, doc_remove},
    {"receive", METHOD(set_receive), METH_FASTCALL | METH_KEYWORDS, doc_set_receive},
    {"fileno", right_fileno_method, METH_NOARGS, right_fileno_doc},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef set_getset[] = {
    {"members", set_get_members, NULL, doc_members, NULL},
    {"dropped", right_get_dropped, NULL, right_dropped_doc, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

PyType_Slot port_set_slots[] = {
    {Py_tp_doc, (void *)doc_set},
    {Py_tp_new, set_new},
    {Py_tp_methods, set_methods},
    {Py_tp_getset, set_getset},
    {0, NULL},
};
