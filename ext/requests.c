/* The requests for notifications that are out.
 *
 * The kernel sends a notification to whatever port the asking process named, and whoever holds a
 * send-once right to one of ours can name that: the message is then the kernel's in every respect,
 * but speaks of a name in the other's space. Taken for our own it would release a reference that
 * nobody gave us. So each request is entered here, and only a notification that answers one is
 * believed.
 *
 * An entry stands for one notification on its way: from when it is asked for until it is received,
 * or called off, or its port is gone. It goes by names, not by objects: a right that native code
 * holds for a while and gives back keeps its requests. A name can have one request that the kernel
 * still holds, which is the latest, and besides that some whose notification is sent and not yet
 * received. A receive right that has moved away may still end in a notification, but has no name
 * here: its entry goes by MACH_PORT_NULL.
 *
 * The table owns the entries and, with each that is of a dead name and sent, the user reference
 * that such a notification brings: who receives it takes the reference over, and when the port goes
 * before that, it is released with the entry.
 *
 * Each entry is in two chains, one of those with the same name and one of those with the same port.
 * The lock is held over the kernel's call too, so that no answer is received before its entry is
 * made. */
#include "requests.h"

#include <string.h>

#include <mach/notify.h>

#include "lock.h"

#define CHAINS 256 /* a power of two */

struct request {
    struct request *next[2], **link[2]; /* in a chain of `by`, each */
    mach_port_name_t key[2];            /* BY_NAME: the right's name; BY_PORT: where to notify */
    mach_msg_id_t id;
};

enum { BY_NAME, BY_PORT };

struct requests {
    struct lock lock;
    _Atomic(size_t) count;
    struct request *by[2][CHAINS];
};

static struct request **chain_of(struct requests *requests, int by, mach_port_name_t key)
{
    /* Names differ in the middle most: below is a generation, above are zeros. */
    return &requests->by[by][(key ^ key >> 8) & (CHAINS - 1)];
}

static void chain_enter(struct requests *requests, struct request *request, int by)
{
    struct request **link = chain_of(requests, by, request->key[by]);
    request->next[by] = *link;
    request->link[by] = link;
    if (*link)
        (*link)->link[by] = &request->next[by];
    *link = request;
}

static void chain_leave(struct request *request, int by)
{
    *request->link[by] = request->next[by];
    if (request->next[by])
        request->next[by]->link[by] = request->link[by];
}

static void request_enter(struct requests *requests, struct request *request)
{
    chain_enter(requests, request, BY_NAME);
    chain_enter(requests, request, BY_PORT);
    atomic_fetch_add(&requests->count, 1);
}

static void request_remove(struct requests *requests, struct request *request)
{
    chain_leave(request, BY_NAME);
    chain_leave(request, BY_PORT);
    atomic_fetch_sub(&requests->count, 1);
    PyMem_Free(request);
}

/* The latest request of this kind for the name, at `port` unless that is MACH_PORT_NULL. */
static struct request *find_by_name(struct requests *requests, mach_msg_id_t id,
                                    mach_port_name_t name, mach_port_name_t port)
{
    struct request *found = *chain_of(requests, BY_NAME, name);
    while (found && (found->id != id || found->key[BY_NAME] != name ||
                     (port != MACH_PORT_NULL && found->key[BY_PORT] != port)))
        found = found->next[BY_NAME];
    return found;
}

/* The latest request of this kind at the port; of any kind if that is 0. */
static struct request *find_by_port(struct requests *requests, mach_msg_id_t id,
                                    mach_port_name_t port)
{
    struct request *found = *chain_of(requests, BY_PORT, port);
    while (found && ((id != 0 && found->id != id) || found->key[BY_PORT] != port))
        found = found->next[BY_PORT];
    return found;
}

static bool is_empty(const struct requests *requests)
{
    return atomic_load_explicit(&requests->count, memory_order_relaxed) == 0;
}

/* --- asking ----------------------------------------------------------------------------------- */

kern_return_t requests_ask(struct module_state *state, mach_port_name_t name, mach_msg_id_t id,
                           uint32_t sync, mach_port_name_t notify, mach_port_t *previous)
{
    struct requests *requests = state->requests;
    struct request *request = NULL;
    *previous = MACH_PORT_NULL;
    if (notify != MACH_PORT_NULL) {
        request = PyMem_Malloc(sizeof *request);
        if (!request)
            return KERN_RESOURCE_SHORTAGE;
        request->key[BY_NAME] = name;
        request->key[BY_PORT] = notify;
        request->id = id;
    }
    lock_take(&requests->lock);
    kern_return_t kr = mach_port_request_notification(mach_task_self(), name, id, sync, notify,
                                                      MACH_MSG_TYPE_MAKE_SEND_ONCE, previous);
    if (kr == KERN_SUCCESS) {
        /* What the kernel still held is the latest; what came before is sent already. */
        struct request *replaced = find_by_name(requests, id, name, MACH_PORT_NULL);
        if (replaced && *previous != MACH_PORT_NULL)
            request_remove(requests, replaced);
        if (request)
            request_enter(requests, request);
    }
    lock_drop(&requests->lock);
    if (kr != KERN_SUCCESS)
        PyMem_Free(request);
    return kr;
}

/* --- being answered --------------------------------------------------------------------------- */

bool notification_number(const mach_msg_header_t *notification, uint32_t *number)
{
    const size_t at = sizeof *notification + sizeof(NDR_record_t);
    if (notification->msgh_size < at + sizeof *number)
        return false;
    memcpy(number, (const uint8_t *)notification + at, sizeof *number);
    return true;
}

/* The entry that a notification answers which speaks of a name: the first that was asked for. */
static struct request *find_answered(struct requests *requests, mach_port_name_t name,
                                     mach_port_name_t port)
{
    struct request *found = NULL;
    for (struct request *at = *chain_of(requests, BY_NAME, name); at; at = at->next[BY_NAME])
        if (at->id == MACH_NOTIFY_DEAD_NAME && at->key[BY_NAME] == name && at->key[BY_PORT] == port)
            found = at;
    return found;
}

/* Is what the notification says of the name true here? One that somebody else made the kernel send
 * while a request of ours is out must not be taken for the answer that is still to come. */
static bool is_true_of(struct requests *requests, const struct request *request, mach_msg_id_t id)
{
    mach_port_name_t name = request->key[BY_NAME];
    mach_port_type_t type = 0;
    if (mach_port_type(mach_task_self(), name, &type) != KERN_SUCCESS)
        return id == MACH_NOTIFY_PORT_DELETED;
    if (id == MACH_NOTIFY_DEAD_NAME)
        return (type & MACH_PORT_TYPE_DEAD_NAME) != 0;
    /* Where the name stands for another right by now, that may have a request, too: a later one. */
    return (type & MACH_PORT_TYPE_DNREQUEST) == 0 ||
           find_by_name(requests, MACH_NOTIFY_DEAD_NAME, name, MACH_PORT_NULL) != request;
}

static bool answer_of_name(struct requests *requests, mach_msg_id_t id, mach_port_name_t name,
                           mach_port_name_t port)
{
    lock_take(&requests->lock);
    struct request *request = find_answered(requests, name, port);
    bool answer = request && is_true_of(requests, request, id);
    if (answer)
        request_remove(requests, request);
    lock_drop(&requests->lock);
    return answer;
}

static bool answer_at_port(struct requests *requests, mach_msg_id_t id, mach_port_name_t port)
{
    lock_take(&requests->lock);
    struct request *request = find_by_port(requests, id, port);
    if (request)
        request_remove(requests, request);
    lock_drop(&requests->lock);
    return request != NULL;
}

bool requests_answer(struct module_state *state, const mach_msg_header_t *message)
{
    mach_port_name_t port = message->msgh_local_port;
    mach_msg_id_t id = message->msgh_id;
    uint32_t name = 0;
    switch (id) {
    case MACH_NOTIFY_DEAD_NAME:
    case MACH_NOTIFY_PORT_DELETED: /* what comes instead if the name is released first */
        return notification_number(message, &name) &&
               answer_of_name(state->requests, id, name, port);
    case MACH_NOTIFY_NO_SENDERS: /* which does not say of which port */
        return answer_at_port(state->requests, id, port);
    case MACH_NOTIFY_PORT_DESTROYED: /* the right in it is the receiver's, whoever asked for it */
    case MACH_NOTIFY_SEND_ONCE:      /* which nobody asks for */
        return true;
    default:
        return false;
    }
}

/* --- ports that come and go ------------------------------------------------------------------- */

/* Calls off a request for the death of a name that nobody will be told of. What is sent already has
 * brought a user reference. */
static void call_off(mach_port_name_t name, bool latest)
{
    mach_port_t previous = MACH_PORT_NULL;
    mach_port_type_t type = 0;
    if (latest &&
        mach_port_request_notification(mach_task_self(), name, MACH_NOTIFY_DEAD_NAME, 0,
                                       MACH_PORT_NULL, MACH_MSG_TYPE_MAKE_SEND_ONCE,
                                       &previous) == KERN_SUCCESS &&
        MACH_PORT_VALID(previous)) {
        (void)mach_port_deallocate(mach_task_self(), previous);
        return;
    }
    if (mach_port_type(mach_task_self(), name, &type) == KERN_SUCCESS &&
        (type & MACH_PORT_TYPE_DEAD_NAME))
        (void)mach_port_deallocate(mach_task_self(), name);
}

/* With the lock held: nothing that was asked for is to come to the port. */
static void forget_port(struct requests *requests, mach_port_name_t notify)
{
    struct request *request;
    while ((request = find_by_port(requests, 0, notify)) != NULL) {
        mach_port_name_t name = request->key[BY_NAME];
        bool of_name = request->id == MACH_NOTIFY_DEAD_NAME;
        bool latest = find_by_name(requests, request->id, name, MACH_PORT_NULL) == request;
        request_remove(requests, request);
        if (of_name)
            call_off(name, latest);
    }
}

void requests_receive_gone(struct module_state *state, mach_port_name_t name)
{
    struct requests *requests = state->requests;
    struct request *request;
    if (is_empty(requests))
        return;
    lock_take(&requests->lock);
    forget_port(requests, name);
    while ((request = find_by_name(requests, MACH_NOTIFY_NO_SENDERS, name, MACH_PORT_NULL)) != NULL)
        request_remove(requests, request);
    lock_drop(&requests->lock);
}

static void request_rename(struct requests *requests, struct request *request, int by,
                           mach_port_name_t to)
{
    chain_leave(request, by);
    request->key[by] = to;
    chain_enter(requests, request, by);
}

/* What was asked for of the receive right itself. */
static void rename_no_senders(struct requests *requests, mach_port_name_t from, mach_port_name_t to)
{
    struct request *request;
    while ((request = find_by_name(requests, MACH_NOTIFY_NO_SENDERS, from, MACH_PORT_NULL)) != NULL)
        request_rename(requests, request, BY_NAME, to);
}

void requests_receive_moved(struct module_state *state, mach_port_name_t name)
{
    struct requests *requests = state->requests;
    if (is_empty(requests))
        return;
    lock_take(&requests->lock);
    forget_port(requests, name);
    rename_no_senders(requests, name, MACH_PORT_NULL);
    lock_drop(&requests->lock);
}

void requests_receive_renamed(struct module_state *state, mach_port_name_t from,
                              mach_port_name_t to)
{
    struct requests *requests = state->requests;
    struct request *request;
    if (from == to || is_empty(requests))
        return;
    lock_take(&requests->lock);
    while ((request = find_by_port(requests, 0, from)) != NULL)
        request_rename(requests, request, BY_PORT, to);
    rename_no_senders(requests, from, to);
    lock_drop(&requests->lock);
}

/* --- the table -------------------------------------------------------------------------------- */

/* The entries' memory is left alone: another thread may have been at work on them when the process
 * forked. */
void requests_forget_all(struct module_state *state)
{
    struct requests *requests = state->requests;
    memset(requests->by, 0, sizeof requests->by);
    atomic_store(&requests->count, 0);
    lock_init(&requests->lock);
}

int requests_add(PyObject *module, struct module_state *state)
{
    (void)module;
    state->requests = PyMem_Calloc(1, sizeof *state->requests);
    if (!state->requests) {
        PyErr_NoMemory();
        return -1;
    }
    lock_init(&state->requests->lock);
    return 0;
}

void requests_free(struct module_state *state)
{
    struct requests *requests = state->requests;
    for (int chain = 0; requests && chain < CHAINS; chain++) {
        while (requests->by[BY_NAME][chain])
            request_remove(requests, requests->by[BY_NAME][chain]);
    }
    PyMem_Free(requests);
    state->requests = NULL;
}
