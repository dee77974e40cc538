/* Messages of Python's own making: send(), receive(), and what a message looks like.
 *
 *   mach_msg_header_t          id as the sender chose it; local port: where to answer, if anywhere
 *   mach_msg_body_t            only if there are descriptors
 *   port descriptors           one for each right, in order
 *   one OOL descriptor         only if the data travels out of line: all of it
 *   struct message_prefix      magic, and how many bytes of data follow
 *   the data, and zeros up to a multiple of four
 *
 * The prefix is there because a Mach message is a multiple of four bytes long and does not say how
 * many of them were meant. A receiver that finds none takes everything behind the descriptors for
 * the data, so messages of other programs are read as well. Who owns what: a message that was
 * received belongs to the C code until each right in it has an object; what has none is destroyed.
 */
#ifndef CHILD_PORT_MESSAGE_H
#define CHILD_PORT_MESSAGE_H

#include "cancel.h"
#include "deadline.h"
#include "right.h"
#include "state.h"

#define MESSAGE_MAGIC 0x316d7063u     /* "cpm1": the data follows */
#define MESSAGE_MAGIC_OOL 0x326d7063u /* "cpm2": the data is what the last descriptor maps */

struct message_prefix {
    uint32_t magic;
    uint32_t length;
};

/* Data of this size and more goes out of line: copying it twice would cost more than mapping it. */
#define MESSAGE_INLINE_LONGEST (32 * 1024)

/* More rights than any platform takes in one message. */
#define MESSAGE_RIGHTS_MOST 1024

/* The part of a message that is not its rights. Filled in by the receiver. */
struct message_content {
    mach_msg_id_t id;
    audit_token_t sender;
    PyObject *data; /* bytes, owned; NULL if the data is in `memory` */
    void *memory;   /* out-of-line memory that the message owns */
    mach_msg_size_t memory_size;
    PyObject *rights; /* a tuple, owned */
    PyObject *reply;  /* a right or None, owned */
    PyObject *port;   /* the ReceiveRight that it came to, owned; or None */
};

/* A Message that owns the content. On failure the content is released: NULL. */
PyObject *message_object_steal(struct module_state *state, struct message_content *content);

/* Lets go of everything in it; what it no longer has is NULL. */
void message_content_release(struct message_content *content);

/* The notification in a message of the kernel's own, as an object that owns the right in it. The
 * message is spent. NULL with an exception, or without one if it is none that is known. */
PyObject *notification_from_message(struct module_state *state, mach_msg_header_t *message,
                                    PyObject *port);

/* Is it an id that only the kernel may send? */
static inline bool message_id_is_notification(mach_msg_id_t id)
{
    return id >= 0100 && id <= 0117; /* MACH_NOTIFY_FIRST to MACH_NOTIFY_LAST */
}

/* receive() at a port or a set of ports: `holder` says which right it is by the name that a message
 * came to, borrowed, or NULL. */
struct receive_request {
    struct module_state *state;
    mach_port_name_t (*peek)(PyObject *owner); /* MACH_PORT_NULL once it is closed */
    PyObject *(*member)(PyObject *owner, mach_port_name_t name); /* new reference, maybe None */
    PyObject *owner;
    struct cancel_token *cancel;
    deadline_t deadline;
    _Atomic(uint64_t) *dropped;
};

/* The next Message or Notification, or NULL with an exception. */
PyObject *message_receive(struct receive_request *request);

/* The methods, for the tables of the right types and of PortSet. */
PyObject *message_send_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames);
PyObject *message_receive_method(PyObject *self, PyObject *const *args, Py_ssize_t nargs,
                                 PyObject *kwnames);
int message_receive_arguments(struct module_state *state, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames, struct receive_request *request);
extern const char message_send_doc[], message_receive_doc[];

#endif
