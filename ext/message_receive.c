/* receive(): the next message at a port or at a set of ports.
 *
 * A message that was received belongs to this file until it has been made into a Message or a
 * Notification; each right becomes the object's as soon as there is one, and its name is taken out
 * of the message, so that destroying the message afterwards destroys what is left. Notifications
 * are the kernel's alone, and answers: any other is destroyed and counted. */
#include <string.h>

#include <mach/notify.h>

#include "args.h"
#include "errors.h"
#include "message.h"
#include "message_parts.h"
#include "requests.h"
#include "wait.h"

/* Room for most messages; a larger one tells its size and is received into memory of its own. */
#define STACK_ROOM 1024
/* Once the deadline has passed, so many messages of strangers are looked through for one that was
 * there in time. */
#define LAST_PASS_LONGEST MACH_PORT_QLIMIT_MAX

struct receive_call {
    struct receive_request *request;
    struct waiter waiter;
    int last_pass_left;
    uint32_t slice; /* of the wait: deadline_slice_ms() */
    bool late;      /* the deadline had passed before the queue was looked at */
    mach_msg_header_t *buffer;
    mach_msg_size_t room;
};

/* --- who sent it ------------------------------------------------------------------------------ */

/* Reads the audit trailer, which lies behind the message at its size rounded up. */
static bool trailer_read(const struct receive_call *call, audit_token_t *sender)
{
    size_t offset = ((size_t)call->buffer->msgh_size + 3) & ~(size_t)3;
    mach_msg_audit_trailer_t trailer;
    if (offset + sizeof trailer > call->room)
        return false;
    memcpy(&trailer, (const uint8_t *)call->buffer + offset, sizeof trailer);
    *sender = trailer.msgh_audit;
    return trailer.msgh_trailer_type == MACH_MSG_TRAILER_FORMAT_0 &&
           trailer.msgh_trailer_size >= sizeof trailer;
}

static bool sender_is_kernel(const audit_token_t *sender)
{
    static const audit_token_t kernel = {{0}};
    return memcmp(sender, &kernel, sizeof kernel) == 0;
}

/* --- rights and memory ------------------------------------------------------------------------ */

/* Appends what arrived under this name, which the caller has taken out of the message. */
static int append_right(struct module_state *state, PyObject *rights, mach_port_name_t name,
                        mach_msg_type_name_t disposition)
{
    PyObject *right = right_arrived(state, name, disposition);
    if (!right)
        return -1;
    int result = PyList_Append(rights, right);
    Py_DECREF(right);
    return result;
}

static int take_port(struct module_state *state, uint8_t *at, PyObject *rights)
{
    mach_msg_port_descriptor_t port;
    memcpy(&port, at, sizeof port);
    mach_port_name_t name = port.name;
    port.name = MACH_PORT_NULL;
    memcpy(at, &port, sizeof port);
    return append_right(state, rights, name, port.disposition);
}

static int take_ports(struct module_state *state, uint8_t *at, PyObject *rights)
{
    mach_msg_ool_ports_descriptor_t array;
    memcpy(&array, at, sizeof array);
    mach_port_t *names = array.address;
    for (mach_msg_size_t i = 0; i < array.count; i++) {
        mach_port_name_t name = names[i];
        names[i] = MACH_PORT_NULL;
        if (append_right(state, rights, name, array.disposition) < 0)
            return -1;
    }
    return 0; /* the array itself goes with the rest of the message */
}

/* Takes memory over into the content: the first such piece; what else a foreign message maps is
 * destroyed with it. */
static void take_memory(struct message_content *content, uint8_t *at)
{
    mach_msg_ool_descriptor_t memory;
    memcpy(&memory, at, sizeof memory);
    if (content->memory || memory.size == 0)
        return;
    content->memory = memory.address;
    content->memory_size = memory.size;
    memory.address = NULL;
    memory.size = 0;
    memory.deallocate = 0;
    memcpy(at, &memory, sizeof memory);
}

static int take_descriptors(struct receive_call *call, struct message_content *content)
{
    struct module_state *state = call->request->state;
    uint32_t count = message_descriptor_count(call->buffer);
    uint8_t *at = message_first_descriptor(call->buffer);
    int result = 0;
    PyObject *rights = PyList_New(0);
    if (!rights)
        return -1;
    for (uint32_t i = 0; result == 0 && i < count; i++, at += message_descriptor_size(at)) {
        switch (message_descriptor_type(at)) {
        case MACH_MSG_PORT_DESCRIPTOR:
            result = take_port(state, at, rights);
            break;
        case MACH_MSG_OOL_PORTS_DESCRIPTOR:
            result = take_ports(state, at, rights);
            break;
        default:
            take_memory(content, at);
        }
    }
    if (result == 0) {
        content->rights = PyList_AsTuple(rights);
        result = content->rights ? 0 : -1;
    }
    Py_DECREF(rights);
    return result;
}

static int take_reply(struct receive_call *call, struct message_content *content)
{
    mach_port_name_t name = call->buffer->msgh_remote_port;
    call->buffer->msgh_remote_port = MACH_PORT_NULL;
    content->reply =
        right_arrived(call->request->state, name, MACH_MSGH_BITS_REMOTE(call->buffer->msgh_bits));
    return content->reply ? 0 : -1;
}

/* --- data ------------------------------------------------------------------------------------- */

/* What lies behind the descriptors: ours has a prefix, of others it is the data as it stands. */
static int take_data(const struct receive_call *call, struct message_content *content)
{
    mach_msg_header_t *message = call->buffer;
    const uint8_t *at = (const uint8_t *)(message + 1), *end = (const uint8_t *)message;
    struct message_prefix prefix = {0, 0};
    end += message->msgh_size;
    if (message->msgh_bits & MACH_MSGH_BITS_COMPLEX) {
        uint32_t count = message_descriptor_count(message);
        at = message_first_descriptor(message);
        for (uint32_t i = 0; i < count; i++)
            at += message_descriptor_size(at);
    }
    size_t left = (size_t)(end - at);
    if (left >= sizeof prefix)
        memcpy(&prefix, at, sizeof prefix);
    if (prefix.magic == MESSAGE_MAGIC_OOL && left == sizeof prefix && content->memory)
        return 0;
    if (prefix.magic == MESSAGE_MAGIC && prefix.length <= left - sizeof prefix &&
        left - sizeof prefix - prefix.length < 4) {
        at += sizeof prefix;
        left = prefix.length;
    }
    content->data = PyBytes_FromStringAndSize((const char *)at, (Py_ssize_t)left);
    return content->data ? 0 : -1;
}

/* --- one message ------------------------------------------------------------------------------ */

static PyObject *port_of(const struct receive_call *call)
{
    return call->request->member(call->request->owner, call->buffer->msgh_local_port);
}

static PyObject *message_make(struct receive_call *call, const audit_token_t *sender)
{
    struct message_content content = {.id = call->buffer->msgh_id, .sender = *sender};
    content.port = port_of(call);
    if (!content.port || take_reply(call, &content) < 0 || take_descriptors(call, &content) < 0 ||
        take_data(call, &content) < 0) {
        message_content_release(&content);
        message_destroy(call->buffer);
        return NULL;
    }
    message_destroy(call->buffer); /* what is left of it: an array's memory, say */
    return message_object_steal(call->request->state, &content);
}

static PyObject *notification_make(struct receive_call *call)
{
    PyObject *port = port_of(call);
    PyObject *result = NULL;
    if (port)
        result = notification_from_message(call->request->state, call->buffer, port);
    Py_XDECREF(port);
    message_destroy(call->buffer);
    return result;
}

/* The object for the message in the buffer. NULL with an exception, or without one if the message
 * was nothing to show: it is destroyed and counted. */
static PyObject *message_judge(struct receive_call *call)
{
    audit_token_t sender;
    bool known = trailer_read(call, &sender);
    bool notification = message_id_is_notification(call->buffer->msgh_id);
    PyObject *result = NULL;
    if (known && notification && sender_is_kernel(&sender) &&
        requests_answer(call->request->state, call->buffer))
        result = notification_make(call);
    else if (known && !notification)
        result = message_make(call, &sender);
    else
        message_destroy(call->buffer);
    if (!result && !PyErr_Occurred())
        atomic_fetch_add_explicit(call->request->dropped, 1, memory_order_relaxed);
    return result;
}

/* --- waiting ---------------------------------------------------------------------------------- */

static mach_msg_return_t buffer_receive(struct receive_call *call, mach_port_name_t name,
                                        uint32_t timeout_ms)
{
    const mach_msg_option_t options = MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_INTERRUPT |
                                      MACH_RCV_LARGE |
                                      MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                                      MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);
    /* A receive that fails before it writes the header must leave nothing to destroy. */
    call->buffer->msgh_bits = 0;
    call->buffer->msgh_remote_port = MACH_PORT_NULL;
    return mach_msg(call->buffer, options, 0, call->room, name, timeout_ms, MACH_PORT_NULL);
}

/* Makes room for the message whose size the header now tells. */
static int buffer_grow(struct receive_call *call, const void *stack)
{
    mach_msg_size_t room = call->buffer->msgh_size + MAX_TRAILER_SIZE;
    void *larger = PyMem_Malloc(room);
    if (!larger) {
        PyErr_NoMemory(); /* the message stays in the queue */
        return -1;
    }
    if (call->buffer != stack)
        PyMem_Free(call->buffer);
    call->buffer = larger;
    call->room = room;
    return 0;
}

static mach_msg_return_t block(struct receive_call *call, mach_port_name_t name)
{
    uint32_t left = deadline_slice_ms(call->request->deadline, &call->slice);
    bool alone = call->waiter.cancel_fd < 0;
    mach_msg_return_t mr;
    Py_BEGIN_ALLOW_THREADS mr =
        alone ? buffer_receive(call, name, left) : waiter_wait(&call->waiter, name, left);
    Py_END_ALLOW_THREADS
            /* The waiter received nothing: it is worth looking again. */
            return !alone &&
            mr == MACH_MSG_SUCCESS
        ? MACH_RCV_INTERRUPTED
        : mr;
}

/* Raises what ends the wait: 0 to go on, -1 with the exception. */
static int check_end(struct receive_call *call, bool empty)
{
    struct receive_request *request = call->request;
    if (PyErr_CheckSignals() < 0 || cancel_check(request->state, request->cancel) < 0)
        return -1;
    bool over =
        empty ? call->late : deadline_passed(request->deadline) && call->last_pass_left-- <= 0;
    if (!over)
        return 0;
    error_set(request->state, "mach_msg", MACH_RCV_TIMED_OUT, NULL);
    return -1;
}

/* What a receive means that brought no message: 0 to look again, -1 with an exception. */
static int receive_failed(struct receive_call *call, mach_msg_return_t mr, const void *stack)
{
    struct module_state *state = call->request->state;
    switch (mr & ~MACH_MSG_MASK) {
    case MACH_RCV_TOO_LARGE:
        return buffer_grow(call, stack);
    case MACH_RCV_TIMED_OUT:
        return check_end(call, true);
    case MACH_RCV_INTERRUPTED:
        return check_end(call, false);
    case MACH_RCV_INVALID_NAME: /* it was one when the call began */
    case MACH_RCV_PORT_CHANGED:
    case MACH_RCV_PORT_DIED:
        error_set_as(state, ERROR_PORT_CHANGED, "mach_msg", mr, ADVICE_PORT_CHANGED);
        return -1;
    case MACH_RCV_BODY_ERROR: /* the message came without some of its rights */
        message_destroy(call->buffer);
        error_set(state, "mach_msg", mr, NULL);
        return -1;
    default:
        error_set(state, "mach_msg", mr, NULL);
        return -1;
    }
}

static PyObject *receive_run(struct receive_call *call, const void *stack)
{
    struct receive_request *request = call->request;
    bool wait = false;
    for (;;) {
        mach_port_name_t name = request->peek(request->owner);
        if (name == MACH_PORT_NULL)
            return error_set_as(request->state, ERROR_PORT_CHANGED, "mach_msg",
                                MACH_RCV_PORT_CHANGED, NULL);
        call->late = deadline_passed(request->deadline);
        mach_msg_return_t mr = wait ? block(call, name) : buffer_receive(call, name, 0);
        if (mr == MACH_MSG_SUCCESS) {
            PyObject *result = message_judge(call);
            if (result || PyErr_Occurred() || check_end(call, false) < 0)
                return result;
        } else if (receive_failed(call, mr, stack) < 0) {
            return NULL;
        }
        wait = (mr & ~MACH_MSG_MASK) == MACH_RCV_TIMED_OUT;
    }
}

PyObject *message_receive(struct receive_request *request)
{
    _Alignas(8) uint8_t stack[STACK_ROOM];
    struct receive_call call = {
        .request = request, .last_pass_left = LAST_PASS_LONGEST, .slice = DEADLINE_SLICE_FIRST_MS};
    call.buffer = (mach_msg_header_t *)(void *)stack;
    call.room = sizeof stack;
    if (cancel_check(request->state, request->cancel) < 0)
        return NULL;
    waiter_init(&call.waiter, cancel_descriptor(request->cancel), -1);
    PyObject *result = receive_run(&call, stack);
    waiter_release(&call.waiter);
    if ((void *)call.buffer != (void *)stack)
        PyMem_Free(call.buffer);
    return result;
}

/* --- ReceiveRight.receive --------------------------------------------------------------------- */

int message_receive_arguments(struct module_state *state, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames, struct receive_request *request)
{
    enum { TIMEOUT, CANCEL, TOTAL };
    static const char *const names[TOTAL] = {"timeout", "cancel"};
    static const struct parameters parameters = {"receive", names, TOTAL, 1, 0};
    PyObject *given[TOTAL];
    request->state = state;
    if (args_parse(&parameters, args, nargs, kwnames, given) < 0 ||
        cancel_from_argument(state, given[CANCEL], &request->cancel) < 0)
        return -1;
    return deadline_from_timeout(given[TIMEOUT], &request->deadline);
}

static mach_port_name_t right_owner_peek(PyObject *owner)
{
    return right_peek((struct right *)owner);
}

static PyObject *right_owner_member(PyObject *owner, mach_port_name_t name)
{
    (void)name;
    return Py_NewRef(owner);
}

const char message_receive_doc[] =
    "receive($self, /, timeout=None, *, cancel=None)\n--\n\n"
    "The next Message, or a Notification of the kernel's (mach_msg). The caller owns it, and the\n"
    "rights in it.\n\n"
    "Waits for timeout seconds (None: without end; 0: not at all): TimedOut, Cancelled,\n"
    "PortChanged if the right is closed or moved meanwhile, ResourceShortage if there was no room\n"
    "for the rights in a message, ValueError if the right is closed already. Notifications that\n"
    "somebody forged are destroyed and counted in dropped.";

PyObject *message_receive_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames)
{
    struct right *right = (struct right *)self;
    struct receive_request request = {.peek = right_owner_peek,
                                      .member = right_owner_member,
                                      .owner = self,
                                      .dropped = &right->dropped};
    mach_port_name_t name;
    if (message_receive_arguments(right->state, args, nargs, kwnames, &request) < 0 ||
        right_pin(right, &name) < 0) /* ValueError if it is closed already */
        return NULL;
    right_unpin(right);
    return message_receive(&request);
}
