/*
 * Putting rights back: what copy-in took out of the space (rights.h) for a message that could not
 * be sent.
 *
 * The space has not stood still. Other threads may have given up what else the name stood for,
 * given its number to something else, received another right to the port under a new name, or
 * destroyed the port. What comes back therefore joins the port's entry wherever that is now; if it
 * has none it gets the name that the sender knows it by, and if that means something else today it
 * goes. The space's lock is held.
 */
#include "notify.h"
#include "queue.h"
#include "rights.h"

/* The name that the right came from is free: somebody gave up what else it stood for. It is made
 * again, for what comes back is still known by it. NULL when it is in use for something else. */
static struct ml_entry *name_again(const struct ml_right *right)
{
    struct ml_entry *e = NULL;
    return ml_entry_allocate_name(right->origin, &e) == KERN_SUCCESS ? e : NULL;
}

/* The entry that the right came from, if the name still means it. */
static struct ml_entry *entry_still(const struct ml_right *right)
{
    return ml_entry_lookup(right->origin);
}

/* Gives the port a name that it has not now. False: there is none. */
static bool bind_again(struct ml_right *right, enum ml_entry_kind kind)
{
    struct ml_entry *e = right->reserved ? ml_entry_at(right->origin) : name_again(right);
    if (e == NULL)
        return false;
    right->reserved = false;
    ml_entry_bind(e, kind, right->port);
    ml_port_retain(right->port);
    e->urefs = 0;
    return true;
}

/* Another name has been given to the port meanwhile, or the name has never been given up. */
static struct ml_entry *named_already(const struct ml_right *right)
{
    const struct ml_port *p = right->port, *named = p->index != 0 ? p : NULL;
    if (named == NULL)
        named = ml_port_find(p->kind, p->key);
    return named == NULL ? NULL : ml_port_entry(named);
}

static void undo_dead(struct ml_right *right)
{
    struct ml_entry *e = entry_still(right);
    if (right->disposition != MACH_MSG_TYPE_MOVE_SEND &&
        right->disposition != MACH_MSG_TYPE_MOVE_SEND_ONCE)
        return;
    if (e == NULL) {
        e = name_again(right);
        if (e == NULL)
            return;
        e->kind = ML_DEAD;
        e->urefs = 0;
    }
    if (e->kind == ML_DEAD)
        ml_urefs_add(e, 1);
}

static void undo_move_send(struct ml_right *right, struct ml_garbage *g)
{
    struct ml_entry *e = named_already(right);
    if (e == NULL && right->port->dead && entry_still(right) != NULL) {
        undo_dead(right); /* it died meanwhile, and the name stands for that */
        return;
    }
    if (e == NULL && !bind_again(right, ML_SEND_RECEIVE))
        return;
    ml_right_forget_origin(right, g); /* if another name has its place */
    e = named_already(right);
    ml_urefs_add(e, 1);
    ml_notify_name_back(e);
}

static void undo_receive(struct ml_right *right, struct ml_garbage *g)
{
    struct ml_entry *e = named_already(right);
    struct ml_receiver *r = right->receiver;
    right->receiver = NULL;
    if (e == NULL && bind_again(right, ML_SEND_RECEIVE))
        e = named_already(right);
    ml_right_forget_origin(right, g);
    if (e != NULL && e->port->receiver == NULL) {
        ml_receiver_attach(e->port, r, g);
        return;
    }
    if (e == NULL)
        right->port->dead = true;
    if (e != NULL)
        ml_queue_end_foreign(r);
    ml_receiver_discard(r, e != NULL, g); /* a forger's is not the only one */
}

static void undo_send_once(struct ml_right *right)
{
    const struct ml_entry *e;
    if (right->disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE) {
        if (bind_again(right, ML_ONCE)) {
            ml_entry_at(right->origin)->urefs = 1;
            ml_notify_name_back(ml_entry_at(right->origin));
        }
        return;
    }
    e = entry_still(right);
    if (e != NULL && e->kind == ML_SEND_RECEIVE && e->port->receiver != NULL)
        ml_receiver_unmake_send_once(e->port->receiver, right->port, right->key);
}

static void undo_make_send(const struct ml_right *right)
{
    struct ml_receiver *r = right->port->receiver;
    /* The receive right may have gone, or been elsewhere and begun to count anew. */
    if (r != NULL && r->mscount != 0)
        r->mscount--;
}

void ml_right_undo(struct ml_right *right, struct ml_garbage *g)
{
    switch ((enum ml_carry)right->carry) {
    case ML_CARRY_DEAD:
        undo_dead(right);
        break;
    case ML_CARRY_SEND:
    case ML_CARRY_TASK:
        if (right->disposition == MACH_MSG_TYPE_MOVE_SEND)
            undo_move_send(right, g);
        else if (right->disposition == MACH_MSG_TYPE_MAKE_SEND)
            undo_make_send(right);
        break;
    case ML_CARRY_SEND_ONCE:
        undo_send_once(right);
        break;
    case ML_CARRY_RECEIVE:
    case ML_CARRY_RECEIVE_STATE:
        undo_receive(right, g);
        break;
    default:
        break;
    }
    ml_right_close(right, g);
}
