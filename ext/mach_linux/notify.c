/*
 * Notifications: see notify.h.
 *
 * A dead name is noticed by the watcher, through the hang-up of the port's sending end, or before
 * that by whichever call looks at the name; either way the entry changes once and one message is
 * sent. There are no senders when this task has no send reference of its own and every senders'
 * pipe has hung up; arming closes the read end that the library kept for itself.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "message.h"
#include "notify.h"
#include "queue.h"
#include "watcher.h"

struct ml_dead_name_request {
    struct ml_port *notify;
    uint64_t watch;
};

/* --- messages -------------------------------------------------------------------------------- */

static void send_number(struct ml_port *notify, mach_msg_id_t id, uint32_t number,
                        struct ml_garbage *g)
{
    struct {
        mach_msg_header_t header;
        NDR_record_t ndr;
        uint32_t number;
    } m;
    memset(&m, 0, sizeof m);
    m.header.msgh_size = sizeof m;
    m.header.msgh_id = id;
    m.ndr = NDR_record;
    m.number = number;
    ml_send_kernel(notify, &m.header, NULL, g);
}

/* --- dead names ------------------------------------------------------------------------------ */

static struct ml_port *request_take(struct ml_entry *e)
{
    struct ml_dead_name_request *request = e->request;
    if (request == NULL)
        return NULL;
    struct ml_port *notify = request->notify;
    ml_watch_remove(request->watch);
    e->request = NULL;
    free(request);
    return notify;
}

void ml_notify_name_deleted(struct ml_entry *e, struct ml_garbage *g)
{
    struct ml_port *notify = request_take(e);
    if (notify != NULL)
        send_number(notify, MACH_NOTIFY_PORT_DELETED, ml_entry_name(e), g);
}

void ml_notify_name_died(struct ml_entry *e, struct ml_garbage *g)
{
    struct ml_port *notify = request_take(e);
    if (notify == NULL)
        return;
    ml_urefs_add(e, 1);
    send_number(notify, MACH_NOTIFY_DEAD_NAME, ml_entry_name(e), g);
}

static void port_hung_up(uint64_t watch, void *context, struct ml_garbage *g)
{
    struct ml_entry *e = ml_entry_at((mach_port_name_t)(uintptr_t)context);
    if (e->request == NULL || e->request->watch != watch)
        return;
    if (e->kind == ML_RESERVED || e->port->receiver != NULL) {
        /* In a message that may come back: it would be told again and again until then. Or the
         * receive right has come here since, and somebody only shut the sending end down. */
        ml_watch_remove(watch);
        e->request->watch = 0;
        return;
    }
    ml_entry_die(e, g);
}

/* Has the watcher look out for the death of a port whose receive right is elsewhere. */
static bool watch_port(struct ml_entry *e)
{
    uint32_t events = e->port->kind == ML_TASK ? EPOLLIN : 0; /* a hang-up is told unasked */
    if (e->request->watch == 0)
        e->request->watch =
            ml_watch_add(e->port->tx, events, port_hung_up, (void *)(uintptr_t)ml_entry_name(e));
    return e->request->watch != 0;
}

void ml_notify_name_back(struct ml_entry *e)
{
    if (e->request != NULL && e->port->receiver == NULL)
        (void)watch_port(e);
}

bool ml_notify_receiver_leaves(struct ml_entry *e)
{
    return e->request == NULL || watch_port(e);
}

/* Consumes the reference to notify. `previous` is the request that it replaces, or NULL. */
static kern_return_t request_dead_name(struct ml_entry *e, uint32_t sync, struct ml_port *notify,
                                       struct ml_port **previous, struct ml_garbage *g)
{
    if (e->kind == ML_DEAD) {
        if (sync == 0 || notify == NULL) {
            if (notify != NULL)
                ml_port_release(notify, g);
            return KERN_INVALID_ARGUMENT;
        }
        ml_urefs_add(e, 1);
        send_number(notify, MACH_NOTIFY_DEAD_NAME, ml_entry_name(e), g);
        return KERN_SUCCESS;
    }
    *previous = request_take(e);
    if (notify == NULL)
        return KERN_SUCCESS;
    struct ml_dead_name_request *request = malloc(sizeof *request);
    if (request == NULL) {
        ml_port_release(notify, g);
        return KERN_RESOURCE_SHORTAGE;
    }
    *request = (struct ml_dead_name_request){.notify = notify};
    e->request = request;
    if (e->port->receiver == NULL && !watch_port(e)) {
        ml_port_release(request_take(e), g);
        return KERN_RESOURCE_SHORTAGE;
    }
    return KERN_SUCCESS;
}

/* --- no senders ------------------------------------------------------------------------------ */

static void forget_watches(struct ml_receiver *r)
{
    for (unsigned i = 0; i < r->n_generations; i++) {
        ml_watch_remove(r->generations[i].watch);
        r->generations[i].watch = 0;
    }
}

static bool has_senders(struct ml_port *p, struct ml_garbage *g)
{
    const struct ml_entry *e = ml_port_entry(p);

    if ((e == NULL || e->urefs == 0) && p->live >= 0 && p->refs <= 2) {
        /* Our own share from when the right was elsewhere. Closed now, not with the garbage: its
         * hang-up is what is looked for. */
        ML_GARBAGE(now);
        ml_garbage_add(&now, p->live);
        p->live = -1;
        ml_garbage_flush(&now);
    }
    ml_receiver_prune(p->receiver, g);
    return p->receiver->n_generations != 0 || (e != NULL && e->urefs != 0);
}

/* A message has the right that it was sent through until it is received. */
static bool has_queued(struct ml_receiver *r)
{
    pthread_mutex_lock(&r->lock);
    bool queued = ml_receiver_has_queued(r);
    pthread_mutex_unlock(&r->lock);
    return queued;
}

void ml_notify_senders_changed(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;

    r->no_senders_due = false;
    if (r->no_senders == NULL)
        return;
    if (has_senders(p, g))
        return;
    r->no_senders_due = has_queued(r);
    if (r->no_senders_due)
        return;
    struct ml_port *notify = r->no_senders;
    r->no_senders = NULL;
    send_number(notify, MACH_NOTIFY_NO_SENDERS, r->mscount, g);
}

static void look_for_senders(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;
    /* If there have been none since the request, it waits for some. */
    if (r->no_senders != NULL && (r->n_generations != 0 || has_queued(r)))
        ml_notify_senders_changed(p, g);
}

void ml_notify_look_for_senders(struct ml_port *p, struct ml_garbage *g)
{
    if (p->refs <= 2) /* no message on its way out has a right, whose end is looked at by itself */
        look_for_senders(p, g);
}

static void pipe_hung_up(uint64_t watch, void *context, struct ml_garbage *g)
{
    struct ml_receiver *r = context;
    (void)watch;
    if (r->port != NULL)
        ml_notify_senders_changed(r->port, g);
}

static void watch_generation(struct ml_receiver *r, struct ml_generation *generation)
{
    if (generation->watch == 0)
        generation->watch = ml_watch_add(generation->write_end, 0, pipe_hung_up, r);
}

/* Gives up the read end that was kept, so that the pipe can hang up, and watches. */
static void arm(struct ml_receiver *r)
{
    ml_receiver_forget_live(r);
    for (unsigned i = 0; i < r->n_generations; i++)
        watch_generation(r, &r->generations[i]);
}

void ml_notify_generation_added(struct ml_receiver *r)
{
    if (r->no_senders != NULL && r->n_generations != 0)
        watch_generation(r, &r->generations[r->n_generations - 1]);
}

void ml_notify_receiver_attached(struct ml_receiver *r, struct ml_garbage *g)
{
    if (r->no_senders == NULL)
        return;
    arm(r);
    look_for_senders(r->port, g); /* they may have gone meanwhile */
}

static kern_return_t request_no_senders(struct ml_port *p, uint32_t sync, struct ml_port *notify,
                                        struct ml_port **previous, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;
    ml_notify_look_for_senders(p, g);
    *previous = r->no_senders;
    r->no_senders = notify;
    if (notify == NULL) {
        forget_watches(r);
        return KERN_SUCCESS;
    }
    arm(r);
    if (sync <= r->mscount)
        ml_notify_senders_changed(p, g);
    else if (!has_senders(p, g))
        r->no_senders_due = has_queued(r);
    return KERN_SUCCESS;
}

/* --- what happens to receive rights ---------------------------------------------------------- */

void ml_notify_receiver_moved(struct ml_receiver *from, struct ml_receiver *to)
{
    forget_watches(from);
    to->no_senders = from->no_senders;
    to->port_destroyed = from->port_destroyed;
    from->no_senders = from->port_destroyed = NULL;
}

void ml_notify_receiver_gone(struct ml_receiver *r, struct ml_garbage *g)
{
    forget_watches(r);
    if (r->no_senders != NULL)
        ml_port_release(r->no_senders, g);
    if (r->port_destroyed != NULL)
        ml_port_release(r->port_destroyed, g);
    r->no_senders = r->port_destroyed = NULL;
}

bool ml_notify_right_destroyed(struct ml_right *right, struct ml_garbage *g)
{
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t port;
    } m;
    struct ml_port *notify = right->receiver->port_destroyed;

    if (notify == NULL || right->port == NULL) /* one that has just arrived has no port yet */
        return false;
    right->receiver->port_destroyed = NULL;
    memset(&m, 0, sizeof m);
    m.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    m.header.msgh_size = sizeof m;
    m.header.msgh_id = MACH_NOTIFY_PORT_DESTROYED;
    m.body.msgh_descriptor_count = 1;
    m.port.disposition = MACH_MSG_TYPE_PORT_RECEIVE;
    m.port.type = MACH_MSG_PORT_DESCRIPTOR;
    ml_send_kernel(notify, &m.header, right, g);
    return true;
}

bool ml_notify_port_destroyed(struct ml_entry *e, struct ml_garbage *g)
{
    struct ml_right right;

    if (e->port->receiver->port_destroyed == NULL)
        return false;
    if (ml_copyin(ml_entry_name(e), MACH_MSG_TYPE_MOVE_RECEIVE, &right, g) != KERN_SUCCESS)
        return false;
    return ml_notify_right_destroyed(&right, g);
}

/* --- fork ------------------------------------------------------------------------------------ */

void ml_notify_abandon_entry(struct ml_entry *e, struct ml_garbage *g)
{
    if (e->request == NULL)
        return;
    ml_port_release(e->request->notify, g);
    free(e->request);
    e->request = NULL;
}

void ml_notify_abandon_receiver(struct ml_receiver *r, struct ml_garbage *g)
{
    for (unsigned i = 0; i < r->n_generations; i++)
        r->generations[i].watch = 0;
    ml_notify_receiver_gone(r, g);
}

/* --- Apple's API ----------------------------------------------------------------------------- */

static kern_return_t request(struct ml_entry *e, mach_msg_id_t id, uint32_t sync,
                             struct ml_port *notify, struct ml_port **previous,
                             struct ml_garbage *g)
{
    struct ml_port *p = e->kind == ML_SEND_RECEIVE ? e->port : NULL;
    kern_return_t kr = KERN_INVALID_RIGHT;

    if (id == MACH_NOTIFY_DEAD_NAME) {
        if (e->kind != ML_SET)
            return request_dead_name(e, sync, notify, previous, g);
    } else if (p != NULL && p->receiver != NULL) {
        if (id == MACH_NOTIFY_NO_SENDERS)
            return request_no_senders(p, sync, notify, previous, g);
        if (sync == 0) {
            *previous = p->receiver->port_destroyed;
            p->receiver->port_destroyed = notify;
            return KERN_SUCCESS;
        }
        kr = KERN_INVALID_VALUE;
    }
    if (notify != NULL)
        ml_port_release(notify, g);
    return kr;
}

/* The send-once right that (name, disposition) stands for; NULL for MACH_PORT_NULL. */
static kern_return_t take_notify(mach_port_name_t name, mach_msg_type_name_t disposition,
                                 struct ml_port **notify, struct ml_garbage *g)
{
    struct ml_right right;
    *notify = NULL;
    if (name == MACH_PORT_DEAD)
        return KERN_INVALID_CAPABILITY;
    kern_return_t kr = ml_copyin(name, disposition, &right, g);
    if (kr != KERN_SUCCESS)
        return kr;
    if (right.carry == ML_CARRY_DEAD)
        return KERN_INVALID_CAPABILITY;
    *notify = right.port;
    right.port = NULL;
    ml_right_commit(&right, g);
    return KERN_SUCCESS;
}

kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name,
                                             mach_msg_id_t msgid, mach_port_mscount_t sync,
                                             mach_port_t notify, mach_msg_type_name_t notifyPoly,
                                             mach_port_t *previous)
{
    ML_GARBAGE(g);
    struct ml_port *once, *before = NULL;
    bool full = false;

    *previous = MACH_PORT_NULL;
    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (notifyPoly != MACH_MSG_TYPE_MAKE_SEND_ONCE && notifyPoly != MACH_MSG_TYPE_MOVE_SEND_ONCE)
        return MIG_TYPE_ERROR;
    ml_lock();
    kern_return_t kr = take_notify(notify, notifyPoly, &once, &g);
    if (kr == KERN_SUCCESS) {
        struct ml_entry *e = ml_entry_look(name, &g);
        kr = msgid != MACH_NOTIFY_DEAD_NAME && msgid != MACH_NOTIFY_NO_SENDERS &&
                     msgid != MACH_NOTIFY_PORT_DESTROYED
                 ? KERN_INVALID_VALUE
             : e == NULL ? KERN_INVALID_NAME
                         : KERN_SUCCESS;
        if (kr == KERN_SUCCESS)
            kr = request(e, msgid, sync, once, &before, &g);
        else if (once != NULL)
            ml_port_release(once, &g);
    }
    if (before != NULL) {
        struct ml_right right = {.carry = ML_CARRY_SEND_ONCE,
                                 .dead = ml_fd_hung_up(before->tx),
                                 .fds = {-1, -1},
                                 .port = before};
        *previous = ml_copyout(&right, &full, &g);
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}
