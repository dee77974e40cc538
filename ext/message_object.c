/* The Message type: what receive() gives.
 *
 * A Message owns its right objects and its data. Data that came out of line is memory of this
 * task's, which the message exports as a buffer and copies into bytes only when somebody asks for
 * those; it is deallocated with the message, which every export keeps alive. */
#include "check_in_object.h"
#include "message.h"

struct message_object {
    PyObject ob_base;
    PyObject *weak_references;
    struct module_state *state;
    struct message_content content;
};

void message_content_release(struct message_content *content)
{
    if (content->memory)
        (void)vm_deallocate(mach_task_self(), (vm_address_t)content->memory, content->memory_size);
    content->memory = NULL;
    Py_CLEAR(content->data);
    Py_CLEAR(content->rights);
    Py_CLEAR(content->reply);
    Py_CLEAR(content->port);
}

PyObject *message_object_steal(struct module_state *state, struct message_content *content)
{
    struct message_object *message = PyObject_New(struct message_object, state->message_type);
    if (!message) {
        message_content_release(content);
        return NULL;
    }
    message->weak_references = NULL;
    message->state = state;
    message->content = *content;
    return (PyObject *)message;
}

static void message_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    /* Always: another thread may be taking a weak reference out of the list right now. */
    PyObject_ClearWeakRefs(self);
    message_content_release(&((struct message_object *)self)->content);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* --- data ------------------------------------------------------------------------------------- */

static PyObject *message_get_data(PyObject *self, void *Py_UNUSED(closure))
{
    const struct message_content *content = &((struct message_object *)self)->content;
    if (content->data)
        return Py_NewRef(content->data);
    return PyBytes_FromStringAndSize(content->memory, (Py_ssize_t)content->memory_size);
}

static int message_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    const struct message_content *content = &((struct message_object *)self)->content;
    char *bytes = content->memory;
    Py_ssize_t size = (Py_ssize_t)content->memory_size;
    if (content->data && PyBytes_AsStringAndSize(content->data, &bytes, &size) < 0)
        return -1;
    return PyBuffer_FillInfo(view, self, bytes, size, 1, flags);
}

/* --- the rest --------------------------------------------------------------------------------- */

static PyObject *message_get_rights(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct message_object *)self)->content.rights);
}

static PyObject *message_get_reply(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct message_object *)self)->content.reply);
}

static PyObject *message_get_port(PyObject *self, void *Py_UNUSED(closure))
{
    return Py_NewRef(((struct message_object *)self)->content.port);
}

static PyObject *message_get_id(PyObject *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(((struct message_object *)self)->content.id);
}

static PyObject *message_get_sender(PyObject *self, void *Py_UNUSED(closure))
{
    struct message_object *message = (struct message_object *)self;
    return audit_token_make(message->state, message->content.sender);
}

static PyObject *message_close(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    const struct message_content *content = &((struct message_object *)self)->content;
    if (content->reply != Py_None)
        right_close((struct right *)content->reply);
    for (Py_ssize_t i = 0; i < PyTuple_Size(content->rights); i++) {
        PyObject *right = PyTuple_GetItem(content->rights, i);
        if (right != Py_None)
            right_close((struct right *)right);
    }
    Py_RETURN_NONE;
}

static PyObject *message_enter(PyObject *self, PyObject *Py_UNUSED(ignored))
{
    return Py_NewRef(self);
}

static PyObject *message_exit(PyObject *self, PyObject *const *Py_UNUSED(args),
                              Py_ssize_t Py_UNUSED(nargs))
{
    return message_close(self, NULL);
}

static PyObject *message_repr(PyObject *self)
{
    const struct message_content *content = &((struct message_object *)self)->content;
    Py_ssize_t size =
        content->data ? PyBytes_Size(content->data) : (Py_ssize_t)content->memory_size;
    return PyUnicode_FromFormat("<child_port.Message id %d, %zd bytes, %zd rights>",
                                (int)content->id, size, PyTuple_Size(content->rights));
}

/* --- the type --------------------------------------------------------------------------------- */

PyDoc_STRVAR(
    doc_message,
    "One message that was received. It owns the rights in it: close(), the end of a with block or\n"
    "the collector releases those that were not detached or moved on.\n\n"
    "memoryview(message) shows the data without a copy, for as long as the view lives.");
PyDoc_STRVAR(doc_data, "The data, as bytes. What came out of line is copied each time: take a\n"
                       "memoryview of the message instead.");
PyDoc_STRVAR(doc_rights, "The right objects in order, a tuple. DeadName for one that died on its\n"
                         "way, None for none. The same objects each time.");
PyDoc_STRVAR(doc_id, "The msgh_id that the sender gave.");
PyDoc_STRVAR(doc_reply,
             "Where the sender wants an answer: a SendOnceRight or a SendRight, DeadName\n"
             "if it died on its way, or None.");
PyDoc_STRVAR(doc_port, "The ReceiveRight that the message came to, a member of the set for a\n"
                       "PortSet's; None if that has been taken out meanwhile.");
PyDoc_STRVAR(doc_sender, "The sender's AuditToken, from the message's trailer.");
PyDoc_STRVAR(doc_close, "close($self, /)\n--\n\nRelease the rights that are still the message's.");

static PyGetSetDef message_getset[] = {
    {"data", message_get_data, NULL, doc_data, NULL},
    {"rights", message_get_rights, NULL, doc_rights, NULL},
    {"id", message_get_id, NULL, doc_id, NULL},
    {"reply", message_get_reply, NULL, doc_reply, NULL},
    {"port", message_get_port, NULL, doc_port, NULL},
    {"sender", message_get_sender, NULL, doc_sender, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef message_members[] = {
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct message_object, weak_references), READONLY,
     NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyMethodDef message_methods[] = {
    {"close", message_close, METH_NOARGS, doc_close},
    {"__enter__", message_enter, METH_NOARGS, NULL},
    {"__exit__", METHOD(message_exit), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot message_slots[] = {
    {Py_tp_doc, (void *)doc_message},
    {Py_tp_dealloc, message_dealloc},
    {Py_tp_repr, message_repr},
    {Py_tp_getset, message_getset},
    {Py_tp_members, message_members},
    {Py_tp_methods, message_methods},
    {Py_bf_getbuffer, message_get_buffer},
    {0, NULL},
};

static PyType_Spec message_spec = {"child_port.Message", sizeof(struct message_object), 0,
                                   Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE |
                                       Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                   message_slots};

int messages_add(PyObject *module, struct module_state *state)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &message_spec, NULL);
    state->message_type = (PyTypeObject *)type;
    return type ? PyModule_AddType(module, state->message_type) : -1;
}
