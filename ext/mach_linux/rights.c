/*
 * Rights on their way: see rights.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "bootstrap.h"
#include "notify.h"
#include "pipes.h"
#include "queue.h"
#include "recent.h"
#include "refusal.h"
#include "reject.h"
#include "rights.h"
#include "state.h"
#include "task.h"

mach_msg_type_name_t ml_disposition_arrived(mach_msg_type_name_t disposition)
{
    switch (disposition) {
    case MACH_MSG_TYPE_MOVE_RECEIVE:
        return MACH_MSG_TYPE_PORT_RECEIVE;
    case MACH_MSG_TYPE_MOVE_SEND:
    case MACH_MSG_TYPE_COPY_SEND:
    case MACH_MSG_TYPE_MAKE_SEND:
        return MACH_MSG_TYPE_PORT_SEND;
    case MACH_MSG_TYPE_MOVE_SEND_ONCE:
    case MACH_MSG_TYPE_MAKE_SEND_ONCE:
        return MACH_MSG_TYPE_PORT_SEND_ONCE;
    default:
        return 0;
    }
}

/* --- copy-in --------------------------------------------------------------------------------- */

static kern_return_t copyin_dead(struct ml_entry *e, mach_msg_type_name_t disposition,
                                 struct ml_right *right, struct ml_garbage *g)
{
    switch (disposition) {
    case MACH_MSG_TYPE_MOVE_SEND:
    case MACH_MSG_TYPE_MOVE_SEND_ONCE:
        ml_urefs_drop(e, 1, g);
        break;
    case MACH_MSG_TYPE_COPY_SEND:
        break;
    default:
        return KERN_INVALID_RIGHT;
    }
    right->carry = ML_CARRY_DEAD;
    return KERN_SUCCESS;
}

static kern_return_t copyin_send(struct ml_entry *e, bool move, struct ml_right *right)
{
    struct ml_port *p = e->port;
    if (e->urefs == 0)
        return KERN_INVALID_RIGHT;
    right->carry = p->kind == ML_TASK ? ML_CARRY_TASK : ML_CARRY_SEND;
    right->port = p;
    if (move && e->urefs == 1 && p->receiver == NULL) {
        /* The entry's reference goes along; the entry stays until the message is gone for good. */
        ml_entry_unbind(e);
        right->reserved = true;
    } else {
        ml_port_retain(p);
        if (move && e->urefs != ML_UREFS_MAX)
            e->urefs--;
    }
    return KERN_SUCCESS;
}

static kern_return_t copyin_make_send(struct ml_entry *e, struct ml_right *right,
                                      struct ml_garbage *g)
{
    struct ml_port *p = e->port;
    if (p->receiver == NULL)
        return KERN_INVALID_RIGHT;
    ml_receiver_count_send(p, g);
    right->carry = ML_CARRY_SEND;
    right->port = p;
    ml_port_retain(p);
    return KERN_SUCCESS;
}

static kern_return_t copyin_make_send_once(struct ml_entry *e, struct ml_right *right,
                                           struct ml_garbage *g)
{
    if (e->port->receiver == NULL)
        return KERN_INVALID_RIGHT;
    right->carry = ML_CARRY_SEND_ONCE;
    return ml_receiver_make_send_once(e->port->receiver, &right->port, &right->key, g);
}

static kern_return_t copyin_receive(struct ml_entry *e, struct ml_right *right,
                                    struct ml_garbage *g)
{
    struct ml_port *p = e->port;
    if (p->receiver == NULL)
        return KERN_INVALID_RIGHT;
    ml_notify_look_for_senders(p, g);
    /* Whoever keeps send references becomes a sender like any other, and so does a message that has
     * one: besides the name and the receiver only messages refer to the port. */
    struct ml_live *live = NULL;
    if ((e->urefs != 0 || p->refs > 2) && p->live < 0) {
        live = ml_receiver_live(p->receiver);
        p->live = live == NULL ? -1 : fcntl(live->fd, F_DUPFD_CLOEXEC, 0);
        if (live != NULL && p->live < 0)
            ml_refused("fcntl", errno);
        if (live != NULL)
            ml_live_release(live, g);
        if (p->live < 0)
            return KERN_RESOURCE_SHORTAGE;
    }
    if (e->urefs != 0 && !ml_notify_receiver_leaves(e))
        return KERN_RESOURCE_SHORTAGE;
    right->receiver = ml_receiver_take(p, g);
    if (right->receiver == NULL)
        return KERN_RESOURCE_SHORTAGE;
    right->carry = ML_CARRY_RECEIVE;
    right->port = p;
    if (e->urefs == 0) {
        ml_entry_unbind(e);
        right->reserved = true;
        return KERN_SUCCESS;
    }
    ml_port_retain(p);
    return KERN_SUCCESS;
}

static kern_return_t copyin_entry(struct ml_entry *e, mach_msg_type_name_t disposition,
                                  struct ml_right *right, struct ml_garbage *g)
{
    if (e->kind == ML_DEAD)
        return copyin_dead(e, disposition, right, g);
    if (e->kind == ML_ONCE) {
        if (disposition != MACH_MSG_TYPE_MOVE_SEND_ONCE)
            return KERN_INVALID_RIGHT;
        right->carry = ML_CARRY_SEND_ONCE;
        right->port = ml_entry_unbind(e);
        right->reserved = true;
        return KERN_SUCCESS;
    }
    if (e->kind != ML_SEND_RECEIVE)
        return KERN_INVALID_RIGHT;
    switch (disposition) {
    case MACH_MSG_TYPE_MOVE_RECEIVE:
        return copyin_receive(e, right, g);
    case MACH_MSG_TYPE_MOVE_SEND:
    case MACH_MSG_TYPE_COPY_SEND:
        return copyin_send(e, disposition == MACH_MSG_TYPE_MOVE_SEND, right);
    case MACH_MSG_TYPE_MAKE_SEND:
        return copyin_make_send(e, right, g);
    case MACH_MSG_TYPE_MAKE_SEND_ONCE:
        return copyin_make_send_once(e, right, g);
    default:
        return KERN_INVALID_RIGHT;
    }
}

kern_return_t ml_copyin(mach_port_name_t name, mach_msg_type_name_t disposition,
                        struct ml_right *right, struct ml_garbage *g)
{
    *right = (struct ml_right){.disposition = (uint8_t)disposition, .fds = {-1, -1}};
    if (name == MACH_PORT_NULL || name == MACH_PORT_DEAD) {
        right->carry = name == MACH_PORT_NULL ? ML_CARRY_NULL : ML_CARRY_DEAD;
        return KERN_SUCCESS;
    }
    struct ml_entry *e = ml_entry_lookup(name);
    if (e != NULL && e->request != NULL)
        e = ml_entry_look(name, g); /* whoever asked to be told of the death is told of it first */
    if (e == NULL)
        return KERN_INVALID_NAME;
    right->origin = name;
    kern_return_t kr = copyin_entry(e, disposition, right, g);
    if (kr == KERN_INVALID_RIGHT && ml_entry_has_died(e)) {
        /* A dead name stands for either kind of right. */
        ml_entry_die(e, g);
        kr = copyin_entry(e, disposition, right, g);
    }
    if (kr != KERN_SUCCESS)
        *right = (struct ml_right){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    return kr;
}

/* --- the ways out ---------------------------------------------------------------------------- */

void ml_right_forget_origin(struct ml_right *right, struct ml_garbage *g)
{
    if (!right->reserved)
        return;
    struct ml_entry *e = ml_entry_at(right->origin);
    ml_notify_name_deleted(e, g);
    ml_entry_free(e);
    right->reserved = false;
}

void ml_right_close(struct ml_right *right, struct ml_garbage *g)
{
    for (int i = 0; i < 2; i++) {
        ml_garbage_add(g, right->fds[i]);
        right->fds[i] = -1;
    }
    if (right->live != NULL)
        ml_live_release(right->live, g);
    right->live = NULL;
    if (right->port != NULL) {
        /* A receiver has a reference of its own; ours must not count as a sender's any more. */
        struct ml_port *p = right->port;
        bool here = p->receiver != NULL, sender = right->carry == ML_CARRY_SEND;
        ml_port_release(p, g);
        if (here && sender)
            ml_receiver_senders_changed(p, g);
        else if (here)
            ml_notify_look_for_senders(p, g);
    }
    right->port = NULL;
    right->carry = ML_CARRY_NULL;
}

void ml_right_commit(struct ml_right *right, struct ml_garbage *g)
{
    ml_right_forget_origin(right, g);
    if (right->receiver != NULL)
        ml_receiver_discard(right->receiver, true, g);
    right->receiver = NULL;
    ml_right_close(right, g);
}

void ml_right_destroy(struct ml_right *right, struct ml_garbage *g)
{
    ml_right_forget_origin(right, g);
    if (right->receiver != NULL && ml_notify_right_destroyed(right, g))
        return;
    if (right->receiver != NULL) {
        if (right->port != NULL)
            right->port->dead = true;
        ml_receiver_discard(right->receiver, false, g);
    }
    right->receiver = NULL;
    ml_right_close(right, g);
}

void ml_right_abandon(struct ml_right *right, struct ml_garbage *g)
{
    if (right->receiver != NULL)
        ml_receiver_abandon_moving(right->receiver, g);
    if (right->live != NULL)
        ml_live_release(right->live, g);
    ml_garbage_add(g, right->fds[0]);
    ml_garbage_add(g, right->fds[1]);
    if (right->port != NULL && right->port->index == 0) /* else it is closed with its name */
        ml_port_release(right->port, g);
}

/* --- copy-out -------------------------------------------------------------------------------- */

/* The port of a right that arrived: the one that the space knows already, or a new one. */
static struct ml_port *arrived_port(struct ml_right *right, enum ml_port_kind kind,
                                    struct ml_garbage *g)
{
    struct ml_port *p = kind == ML_SEND_ONCE ? NULL : ml_port_find(kind, right->key);
    int live = right->carry == ML_CARRY_SEND ? right->fds[1] : -1;
    if (p != NULL) {
        ml_port_retain(p);
        if (p->live < 0 && p->receiver == NULL) {
            p->live = live; /* only a forged right can have lacked it */
            live = -1;
        }
        ml_garbage_add(g, right->fds[0]);
        ml_garbage_add(g, live);
    } else {
        p = ml_port_adopt(kind, right->fds[0], live, right->key, g);
    }
    right->fds[0] = right->fds[1] = -1;
    return p;
}

/* When a port has died another socket can have the address of its receiving end. So one to which
 * nobody can send is the port that is known here only if it left here. */
static void settle_severed(struct ml_right *right)
{
    const uint64_t rx_cookie = ml_fd_cookie(right->receiver->rx);
    const struct ml_port *known = ml_port_find(ML_PORT, right->key);
    if (known == NULL) /* a service's */
        known = ml_bootstrap_port_find(right->key);
    if (known == NULL || known->rx_cookie != rx_cookie)
        right->key = rx_cookie;
}

static mach_port_name_t copyout_receive(struct ml_right *right, struct ml_garbage *g)
{
    struct ml_port *p = right->port;
    if (p == NULL && ml_fd_hung_up(right->fds[0]))
        settle_severed(right);
    if (p == NULL)
        p = arrived_port(right, ML_PORT, g);
    if (p != NULL && p->index == 0) {
        struct ml_port *named = ml_port_find(ML_PORT, p->key);
        if (named == NULL) /* a service's, that comes home */
            named = ml_bootstrap_port_find(p->key);
        if (named != NULL && named != p) {
            ml_port_retain(named);
            ml_port_release(p, g);
            p = named;
        }
    }
    right->port = NULL;
    struct ml_receiver *r = right->receiver;
    right->receiver = NULL;
    if (p == NULL) {
        ml_receiver_discard(r, false, g);
        return MACH_PORT_NULL;
    }
    if (p->receiver != NULL) {
        /* A sender kept a duplicate of a right that is ours: there is only one. */
        ml_queue_end_foreign(r);
        ml_receiver_discard(r, true, g);
        ml_port_release(p, g);
        return MACH_PORT_NULL;
    }
    if (p->index == 0) {
        ml_port_retain(p);
        mach_port_name_t name = ml_name_send(p, g);
        if (name == MACH_PORT_NULL) {
            ml_receiver_discard(r, false, g);
            ml_port_release(p, g);
            return name;
        }
        ml_port_entry(p)->urefs = 0;
    }
    ml_receiver_attach(p, r, g);
    mach_port_name_t name = ml_entry_name(ml_port_entry(p));
    ml_port_release(p, g);
    return name;
}

mach_port_name_t ml_copyout(struct ml_right *right, bool *full, struct ml_garbage *g)
{
    mach_port_name_t name = MACH_PORT_NULL;
    struct ml_port *p = right->port;

    if (right->carry == ML_CARRY_NULL)
        return MACH_PORT_NULL;
    if (right->carry == ML_CARRY_DEAD)
        return MACH_PORT_DEAD;
    ml_right_forget_origin(right, g);
    if (right->dead) {
        ml_right_destroy(right, g);
        return MACH_PORT_DEAD;
    }
    switch ((enum ml_carry)right->carry) {
    case ML_CARRY_SEND:
    case ML_CARRY_TASK:
        if (p == NULL)
            p = arrived_port(right, right->carry == ML_CARRY_TASK ? ML_TASK : ML_PORT, g);
        if (p != NULL)
            name = ml_name_send(p, g);
        break;
    case ML_CARRY_SEND_ONCE:
        if (p == NULL)
            p = arrived_port(right, ML_SEND_ONCE, g);
        if (p != NULL)
            name = ml_name_send_once(p, g);
        break;
    default:
        name = copyout_receive(right, g);
        break;
    }
    right->port = NULL;
    if (right->fds[0] >= 0 || right->fds[1] >= 0 || right->live != NULL)
        ml_right_close(right, g);
    right->carry = ML_CARRY_NULL;
    if (name == MACH_PORT_NULL || right->incomplete)
        *full = true;
    return name;
}

/* --- as descriptors -------------------------------------------------------------------------- */

/* The sender's end that a send right leaves with: the one that it came with or, if the receive
 * right is here, the receiver's, which a no-senders request forbids to keep. −1 and errno. */
static int live_end(struct ml_right *right)
{
    struct ml_receiver *r = right->port->receiver;
    if (r == NULL)
        return right->port->live;
    if (right->live == NULL) {
        right->live = ml_receiver_live(r);
        if (right->live != NULL && r->no_senders != NULL)
            ml_receiver_forget_live(r);
    }
    return right->live != NULL ? right->live->fd : -1;
}

int ml_right_descriptors(struct ml_right *right, int fds[3])
{
    switch ((enum ml_carry)right->carry) {
    case ML_CARRY_SEND:
        fds[0] = right->port->tx;
        fds[1] = live_end(right);
        return fds[1] >= 0 ? 2 : -1;
    case ML_CARRY_TASK:
    case ML_CARRY_SEND_ONCE:
        fds[0] = right->port->tx;
        return 1;
    case ML_CARRY_RECEIVE:
    case ML_CARRY_RECEIVE_STATE:
        fds[0] = right->receiver->rx;
        fds[1] = right->port->tx;
        right->carry = ML_CARRY_RECEIVE;
        if (!ml_state_needed(right->receiver))
            return 2;
        fds[2] = ml_state_export(right->receiver);
        if (fds[2] < 0)
            return -1;
        right->fds[0] = fds[2]; /* closed with the right, when the message is on its way */
        right->carry = ML_CARRY_RECEIVE_STATE;
        return 3;
    default:
        return 0;
    }
}

/* --- arriving -------------------------------------------------------------------------------- */

static bool arrive_sending_end(int fd, const struct ml_receiver *by, uint64_t *key)
{
    *key = ml_recent_key(fd);
    if (*key != 0)
        return true;
    if (!ml_fd_sends(fd, key, true))
        return false;
    if (by != NULL)
        ml_recent_note(fd, *key, by);
    return true;
}

static bool arrive_receive(const int *fds, enum ml_carry carry, struct ml_right *right)
{
    ML_GARBAGE(g);
    uint64_t rx_cookie;

    if (!ml_fd_is_seqpacket(fds[0], &rx_cookie) || !ml_fd_sends(fds[1], &right->key, true) ||
        !ml_channel_matches(fds[1], fds[0]) || ml_channel_harden(fds[0]) != 0)
        return false;
    right->receiver = ml_receiver_adopt(-1, &g);
    if (right->receiver == NULL)
        return false;
    right->receiver->rx = fds[0];
    right->receiver->foreign = true;
    right->fds[0] = fds[1];
    right->carry = ML_CARRY_RECEIVE;
    if (carry == ML_CARRY_RECEIVE_STATE)
        right->incomplete = !ml_state_import(right->receiver, fds[2]);
    return true;
}

bool ml_right_arrive(struct ml_packet *packet, enum ml_carry carry, const struct ml_receiver *by,
                     struct ml_right *right)
{
    const int *fds = ml_packet_fds(packet) + packet->taken;
    bool good = true;

    *right = (struct ml_right){.carry = (uint8_t)carry, .fds = {-1, -1}};
    switch (carry) {
    case ML_CARRY_SEND:
        good = arrive_sending_end(fds[0], by, &right->key) && ml_pipe_look(fds[1], &right->dead);
        /* Whoever moved the receive right on may have lost the pipe on the way. */
        right->dead = right->dead && ml_fd_hung_up(fds[0]);
        right->fds[0] = fds[0];
        right->fds[1] = fds[1];
        break;
    case ML_CARRY_SEND_ONCE:
        good = ml_fd_sends(fds[0], &right->key, false);
        right->dead = good && ml_fd_hung_up(fds[0]);
        right->fds[0] = fds[0];
        break;
    case ML_CARRY_TASK:
        good = ml_task_identify(fds[0], &right->key);
        right->dead = good && ml_task_exited(fds[0]);
        right->fds[0] = fds[0];
        break;
    case ML_CARRY_RECEIVE:
    case ML_CARRY_RECEIVE_STATE:
        good = arrive_receive(fds, carry, right);
        break;
    default:
        break;
    }
    if (!good) {
        *right = (struct ml_right){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
        return false;
    }
    packet->taken += ml_carry_fds(carry);
    return true;
}

void ml_right_reject(struct ml_right *right)
{
    ML_GARBAGE(g);
    ml_lock();
    ml_right_destroy(right, &g);
    ml_unlock();
    ml_garbage_flush(&g);
}
