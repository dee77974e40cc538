/* send(): a message with data, rights and a place to answer.
 *
 * Who owns what: a right that is copied or made stays with its object, which is pinned for the
 * call. A right that is moved is set aside; when the message is queued it is the receiver's and the
 * object is closed, else it goes back to its object, if need be under a new name. The destination
 * of a SendOnceRight is moved likewise, and so is a reply_to that is one. The data is borrowed from
 * the caller's buffer until the call is over. */
#include <string.h>

#include "args.h"
#include "errors.h"
#include "guard.h"
#include "message.h"
#include "send_wait.h"

/* Most messages are small: they are built here, the others in memory of their own. */
#define STACK_ROOM 1024

/* One right on its way. */
struct cargo {
    struct right *right;
    mach_port_name_t name;
    mach_msg_type_name_t disposition;
    bool held;
};

struct send_call {
    struct module_state *state;
    struct cargo destination;
    struct cargo reply; /* right == NULL: none */
    struct cargo *cargo;
    Py_ssize_t count;
    mach_msg_id_t id;
    Py_buffer data;
    bool has_data, out_of_line;
    struct cancel_token *cancel;
    deadline_t deadline;
    mach_msg_header_t *message;
    mach_msg_size_t size;
};

/* --- arguments -------------------------------------------------------------------------------- */

/* One entry of `rights`: a right, or a pair of a right and a disposition. */
static int cargo_from_object(struct module_state *state, PyObject *object, struct cargo *cargo)
{
    PyObject *right = object, *disposition = NULL;
    if (PyTuple_Check(object) && PyTuple_Size(object) == 2) {
        right = PyTuple_GetItem(object, 0);
        disposition = PyTuple_GetItem(object, 1);
    }
    cargo->right = right_from_object(state, right);
    if (!cargo->right) {
        PyErr_Format(PyExc_TypeError,
                     "rights must be right objects or pairs (right, disposition), not %R",
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    return right_disposition(cargo->right, disposition, &cargo->disposition);
}

static int reply_from_argument(struct send_call *call, PyObject *object)
{
    struct cargo *reply = &call->reply;
    if (arg_is_none(object))
        return 0;
    reply->right = right_from_object(call->state, object);
    if (reply->right && reply->right->kind == RIGHT_RECEIVE)
        reply->disposition = MACH_MSG_TYPE_MAKE_SEND_ONCE;
    else if (reply->right && reply->right->kind == RIGHT_SEND_ONCE)
        reply->disposition = MACH_MSG_TYPE_MOVE_SEND_ONCE;
    else if (reply->right && reply->right->kind == RIGHT_SEND)
        reply->disposition = MACH_MSG_TYPE_COPY_SEND;
    else {
        PyErr_Format(PyExc_TypeError,
                     "reply_to must be a ReceiveRight, a SendOnceRight or a SendRight, not %R",
                     (PyObject *)Py_TYPE(object));
        return -1;
    }
    return 0;
}

static int id_from_argument(PyObject *object, mach_msg_id_t *id)
{
    int value = 0;
    if (object && arg_int(object, "id", &value) < 0)
        return -1;
    *id = value;
    if (!message_id_is_notification(value))
        return 0;
    PyErr_Format(PyExc_ValueError, "id %d belongs to the kernel's notifications", value);
    return -1;
}

static int rights_from_argument(struct send_call *call, PyObject *object)
{
    if (arg_is_none(object))
        return 0;
    PyObject *rights = PySequence_Tuple(object);
    if (!rights)
        return -1;
    int result = -1;
    Py_ssize_t count = PyTuple_Size(rights);
    if (count > MESSAGE_RIGHTS_MOST) {
        PyErr_Format(PyExc_ValueError, "a message carries at most %d rights", MESSAGE_RIGHTS_MOST);
        goto done;
    }
    call->cargo = PyMem_Calloc(count ? (size_t)count : 1, sizeof *call->cargo);
    if (!call->cargo) {
        PyErr_NoMemory();
        goto done;
    }
    for (; call->count < count; call->count++) {
        struct cargo *cargo = &call->cargo[call->count];
        if (cargo_from_object(call->state, PyTuple_GetItem(rights, call->count), cargo) < 0)
            goto done;
        /* The caller's sequence may not keep it for as long as the call. */
        Py_INCREF((PyObject *)cargo->right);
    }
    result = 0;
done:
    Py_DECREF(rights);
    return result;
}

static int data_from_argument(struct send_call *call, PyObject *object)
{
    if (!object)
        return 0;
    if (PyObject_GetBuffer(object, &call->data, PyBUF_SIMPLE) < 0)
        return -1;
    call->has_data = true;
    if ((uint64_t)call->data.len > UINT32_MAX) {
        PyErr_SetString(PyExc_OverflowError, "data must be shorter than 4 GiB");
        return -1;
    }
    call->out_of_line = call->data.len >= MESSAGE_INLINE_LONGEST;
    return 0;
}

static int call_parse(struct send_call *call, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames)
{
    enum { DATA, RIGHTS, ID, REPLY_TO, TIMEOUT, CANCEL, TOTAL };
    static const char *const names[TOTAL] = {"data",     "rights",  "id",
                                             "reply_to", "timeout", "cancel"};
    static const struct parameters parameters = {"send", names, TOTAL, 2, 0};
    PyObject *given[TOTAL];
    if (args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        data_from_argument(call, given[DATA]) < 0 ||
        rights_from_argument(call, given[RIGHTS]) < 0 ||
        id_from_argument(given[ID], &call->id) < 0 ||
        reply_from_argument(call, given[REPLY_TO]) < 0 ||
        cancel_from_argument(call->state, given[CANCEL], &call->cancel) < 0)
        return -1;
    return deadline_from_timeout(given[TIMEOUT], &call->deadline);
}

static void call_release(struct send_call *call, const void *stack)
{
    if (call->message != stack)
        PyMem_Free(call->message);
    for (Py_ssize_t i = 0; i < call->count; i++)
        Py_DECREF((PyObject *)call->cargo[i].right);
    PyMem_Free(call->cargo);
    if (call->has_data)
        PyBuffer_Release(&call->data);
}

/* --- holding the rights for the time of the call ---------------------------------------------- */

static int cargo_hold(struct cargo *cargo)
{
    if (!cargo->right)
        return 0;
    int result = disposition_moves(cargo->disposition)
                     ? right_move_begin(cargo->right, &cargo->name)
                     : right_pin(cargo->right, &cargo->name);
    cargo->held = result == 0;
    return result;
}

/* Lets go of it; the right stays with its object, as `name`, unless it was consumed. */
static void cargo_let_go(struct cargo *cargo, bool consumed, mach_port_name_t name)
{
    if (!cargo->held)
        return;
    cargo->held = false;
    if (!disposition_moves(cargo->disposition))
        right_unpin(cargo->right);
    else if (consumed)
        right_move_end(cargo->right);
    else
        right_move_give_back(cargo->right, name);
}

static void all_let_go(struct send_call *call, bool consumed)
{
    cargo_let_go(&call->destination, consumed, call->destination.name);
    cargo_let_go(&call->reply, consumed, call->reply.name);
    for (Py_ssize_t i = 0; i < call->count; i++)
        cargo_let_go(&call->cargo[i], consumed, call->cargo[i].name);
}

static int all_guard(const struct send_call *call)
{
    const struct cargo *reply = &call->reply;
    int result = guard_destination(call->state, call->destination.right, call->destination.name);
    if (result == 0 && reply->right)
        result = guard_carried(reply->name, reply->disposition, false);
    for (Py_ssize_t i = 0; result == 0 && i < call->count; i++) {
        const struct cargo *cargo = &call->cargo[i];
        result = guard_carried(cargo->name, cargo->disposition, cargo->right->from_bootstrap);
    }
    return result;
}

static int all_hold(struct send_call *call)
{
    int result = cargo_hold(&call->destination);
    if (result == 0)
        result = cargo_hold(&call->reply);
    for (Py_ssize_t i = 0; result == 0 && i < call->count; i++)
        result = cargo_hold(&call->cargo[i]);
    if (result == 0)
        result = all_guard(call);
    if (result < 0)
        all_let_go(call, false);
    return result;
}

/* --- the message ------------------------------------------------------------------------------ */

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    if (size)
        memcpy(at, bytes, size);
    return at + size;
}

static mach_msg_size_t message_size(const struct send_call *call)
{
    size_t size = sizeof(mach_msg_header_t) + sizeof(struct message_prefix);
    if (call->count || call->out_of_line)
        size += sizeof(mach_msg_body_t);
    size += (size_t)call->count * sizeof(mach_msg_port_descriptor_t);
    size += call->out_of_line ? sizeof(mach_msg_ool_descriptor_t)
                              : ((size_t)call->data.len + 3) & ~(size_t)3;
    return (mach_msg_size_t)size;
}

static void message_fill_header(const struct send_call *call)
{
    mach_msg_header_t *header = call->message;
    mach_msg_type_name_t local = call->reply.right ? call->reply.disposition : 0;
    memset(header, 0, call->size);
    header->msgh_bits = MACH_MSGH_BITS(call->destination.disposition, local);
    if (call->count || call->out_of_line)
        header->msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    header->msgh_size = call->size;
    header->msgh_remote_port = call->destination.name;
    header->msgh_local_port = call->reply.right ? call->reply.name : MACH_PORT_NULL;
    header->msgh_id = call->id;
}

static void message_fill(const struct send_call *call)
{
    struct message_prefix prefix = {MESSAGE_MAGIC, (uint32_t)call->data.len};
    message_fill_header(call);
    uint8_t *at = (uint8_t *)(call->message + 1);
    if (call->count || call->out_of_line) {
        mach_msg_body_t body = {(mach_msg_size_t)call->count + call->out_of_line};
        at = put(at, &body, sizeof body);
    }
    for (Py_ssize_t i = 0; i < call->count; i++) {
        mach_msg_port_descriptor_t port = {.name = call->cargo[i].name,
                                           .disposition = call->cargo[i].disposition & 0xff,
                                           .type = MACH_MSG_PORT_DESCRIPTOR};
        at = put(at, &port, sizeof port);
    }
    if (call->out_of_line) {
        mach_msg_ool_descriptor_t memory = {.address = call->data.buf,
                                            .size = (mach_msg_size_t)call->data.len,
                                            .copy = MACH_MSG_VIRTUAL_COPY,
                                            .type = MACH_MSG_OOL_DESCRIPTOR};
        at = put(at, &memory, sizeof memory);
        prefix.magic = MESSAGE_MAGIC_OOL;
    }
    at = put(at, &prefix, sizeof prefix);
    if (!call->out_of_line && call->has_data)
        put(at, call->data.buf, (size_t)call->data.len);
}

static int message_build(struct send_call *call, void *stack)
{
    call->size = message_size(call);
    call->message = call->size <= STACK_ROOM ? stack : PyMem_Malloc(call->size);
    if (!call->message) {
        PyErr_NoMemory();
        return -1;
    }
    message_fill(call);
    return 0;
}

/* --- when it fails ---------------------------------------------------------------------------- */

static void release_extra(const struct cargo *cargo, mach_port_name_t name)
{
    /* What the kernel gave back of a right that was copied or made is one more than there was. */
    if (cargo->right && !disposition_moves(cargo->disposition))
        right_name_release(RIGHT_SEND, name); /* or a send-once right: both are deallocated */
}

/* A returned message was given up: drops what the kernel added, and hands the rest back. */
static void take_back(struct send_call *call)
{
    const mach_msg_header_t *header = call->message;
    const uint8_t *at = (const uint8_t *)(header + 1) + sizeof(mach_msg_body_t);
    release_extra(&call->destination, header->msgh_remote_port);
    cargo_let_go(&call->destination, false, header->msgh_remote_port);
    release_extra(&call->reply, header->msgh_local_port);
    cargo_let_go(&call->reply, false, header->msgh_local_port);
    for (Py_ssize_t i = 0; i < call->count; i++, at += sizeof(mach_msg_port_descriptor_t)) {
        mach_msg_port_descriptor_t port;
        memcpy(&port, at, sizeof port);
        release_extra(&call->cargo[i], port.name);
        cargo_let_go(&call->cargo[i], false, port.name);
    }
    if (call->out_of_line) {
        mach_msg_ool_descriptor_t memory;
        memcpy(&memory, at, sizeof memory);
        if (memory.address != call->data.buf && memory.size)
            (void)vm_deallocate(mach_task_self(), (vm_address_t)memory.address, memory.size);
    }
}

static bool still_there(const struct cargo *cargo)
{
    static const mach_port_type_t types[RIGHT_KINDS] = {
        MACH_PORT_TYPE_SEND | MACH_PORT_TYPE_DEAD_NAME,
        MACH_PORT_TYPE_SEND_ONCE | MACH_PORT_TYPE_DEAD_NAME, MACH_PORT_TYPE_RECEIVE,
        MACH_PORT_TYPE_DEAD_NAME};
    mach_port_type_t type = 0;
    return cargo->name == MACH_PORT_DEAD ||
           (mach_port_type(mach_task_self(), cargo->name, &type) == KERN_SUCCESS &&
            (type & types[cargo->right->kind]) != 0);
}

/* Nothing came back. As a rule nothing was taken either; but when one right turns out not to be
 * what its object took it for, because native code released it, the kernel has by then destroyed
 * what it had taken before: the destination, and moved rights. */
static void find_what_is_left(struct send_call *call, mach_msg_return_t result)
{
    bool destroyed = (result & ~MACH_MSG_MASK) == MACH_SEND_INVALID_RIGHT;
    struct cargo *all[] = {&call->destination, &call->reply};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i]->right)
            cargo_let_go(all[i], destroyed && !still_there(all[i]), all[i]->name);
    }
    for (Py_ssize_t i = 0; i < call->count; i++) {
        struct cargo *cargo = &call->cargo[i];
        cargo_let_go(cargo, destroyed && !still_there(cargo), cargo->name);
    }
}

/* --- sending ---------------------------------------------------------------------------------- */

static int call_send(struct send_call *call)
{
    const mach_msg_option_t options = MACH_SEND_MSG | MACH_SEND_TIMEOUT | MACH_SEND_INTERRUPT;
    mach_msg_return_t result;
    if (call->out_of_line) {
        /* Mapping or copying so much takes its time. */
        Py_BEGIN_ALLOW_THREADS result =
            mach_msg(call->message, options, call->size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
        Py_END_ALLOW_THREADS
    } else {
        result = mach_msg(call->message, options, call->size, 0, MACH_PORT_NULL, 0, MACH_PORT_NULL);
    }
    if (result != MACH_MSG_SUCCESS && !send_was_returned(result)) {
        find_what_is_left(call, result);
        error_set(call->state, "mach_msg", result, NULL);
        return -1;
    }
    if (send_until_queued(call->state, call->message, call->size, call->cancel, call->deadline,
                          &result) < 0) {
        if ((result & ~MACH_MSG_MASK) == MACH_SEND_INVALID_RIGHT)
            find_what_is_left(call, result);
        else
            take_back(call);
        return -1;
    }
    all_let_go(call, true);
    return 0;
}

const char message_send_doc[] =
    "send($self, /, data=b'', rights=(), *, id=0, reply_to=None, timeout=None, cancel=None)\n"
    "--\n\n"
    "Send one message (mach_msg). A SendOnceRight is used up by a send that succeeds.\n\n"
    "data is any contiguous buffer. rights are right objects, or pairs (right, disposition):\n"
    "COPY_SEND for a SendRight or DeadName and MOVE_SEND_ONCE for a SendOnceRight unless given;\n"
    "a ReceiveRight needs one. reply_to is where an answer may go: a ReceiveRight, from which a\n"
    "send-once right is made, a SendOnceRight, which is moved, or a SendRight, which is copied.\n"
    "id is the msgh_id, a C int, not one of the kernel's notifications (64 to 79).\n\n"
    "Returns once the message is queued. Moved rights are then closed. On any failure the caller\n"
    "owns what it owned. While the queue is full it waits for timeout seconds (None: without end;\n"
    "0: not at all): TimedOut, Cancelled. InvalidDestination if the port is dead, InvalidRight if\n"
    "native code released a right that an object owns; TypeError, ValueError (closed, in use, or "
    "a\n"
    "disposition that does not fit) and OverflowError for the arguments. If a send that made a\n"
    "send-once right from reply_to is given up, that port gets a send-once notification.";

PyObject *message_send_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    struct right *right = (struct right *)self;
    struct send_call call = {.state = right->state, .destination = {.right = right}};
    _Alignas(8) uint8_t stack[STACK_ROOM];
    PyObject *result = NULL;
    call.destination.disposition =
        right->kind == RIGHT_SEND_ONCE ? MACH_MSG_TYPE_MOVE_SEND_ONCE : MACH_MSG_TYPE_COPY_SEND;
    call.message = (mach_msg_header_t *)(void *)stack;
    if (call_parse(&call, args, nargs, kwnames) == 0 &&
        cancel_check(call.state, call.cancel) == 0 && all_hold(&call) == 0) {
        if (message_build(&call, stack) < 0)
            all_let_go(&call, false);
        else if (call_send(&call) == 0)
            result = Py_NewRef(Py_None);
    }
    call_release(&call, stack);
    return result;
}
