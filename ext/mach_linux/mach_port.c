/*
 * mach_port_*: names, user references and rights. Attributes and sets are in files of their own.
 *
 * Each call takes the lock once, looks at the entry (finding out on the way whether its port has
 * died) and leaves what has to be closed in a list that is closed after the lock.
 */
#include <stdlib.h>
#include <string.h>

#include <mach/mach.h>

#include "notify.h"
#include "rights.h"
#include "sets.h"
#include "vm.h"

static bool no_right(mach_port_name_t name)
{
    return name == MACH_PORT_NULL || name == MACH_PORT_DEAD;
}

/* --- making ---------------------------------------------------------------------------------- */

static kern_return_t name_receive(mach_port_name_t *name, struct ml_garbage *g)
{
    struct ml_port *p;
    kern_return_t kr = ml_receiver_create(&p);
    if (kr != KERN_SUCCESS)
        return kr;
    ml_port_retain(p);
    *name = ml_name_send(p, g);
    if (*name == MACH_PORT_NULL) {
        ml_receiver_destroy(p, g);
        kr = KERN_NO_SPACE;
    } else {
        ml_port_entry(p)->urefs = 0;
    }
    ml_port_release(p, g);
    return kr;
}

static kern_return_t name_set(mach_port_name_t *name)
{
    struct ml_pset *set;
    ML_GARBAGE(g);
    kern_return_t kr = ml_set_create(&set);
    if (kr != KERN_SUCCESS)
        return kr;
    struct ml_entry *e = ml_entry_allocate();
    if (e == NULL) {
        ml_set_release(set, &g);
        ml_garbage_flush(&g);
        return KERN_NO_SPACE;
    }
    e->kind = ML_SET;
    e->set = set;
    *name = ml_entry_name(e);
    return KERN_SUCCESS;
}

static kern_return_t name_dead(mach_port_name_t *name)
{
    struct ml_entry *e = ml_entry_allocate();
    if (e == NULL)
        return KERN_NO_SPACE;
    e->kind = ML_DEAD;
    e->urefs = 1;
    *name = ml_entry_name(e);
    return KERN_SUCCESS;
}

kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right, mach_port_name_t *name)
{
    ML_GARBAGE(g);
    kern_return_t kr = KERN_INVALID_VALUE;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    if (right == MACH_PORT_RIGHT_RECEIVE)
        kr = name_receive(name, &g);
    else if (right == MACH_PORT_RIGHT_PORT_SET)
        kr = name_set(name);
    else if (right == MACH_PORT_RIGHT_DEAD_NAME)
        kr = name_dead(name);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_port_construct(ipc_space_t task, mach_port_options_t *options,
                                  mach_port_context_t context, mach_port_name_t *name)
{
    ML_GARBAGE(g);

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if ((options->flags & MPO_QLIMIT) != 0 && options->mpl.mpl_qlimit > MACH_PORT_QLIMIT_MAX)
        return KERN_INVALID_VALUE;
    ml_lock();
    kern_return_t kr = name_receive(name, &g);
    if (kr == KERN_SUCCESS) {
        struct ml_entry *e = ml_entry_lookup(*name);
        struct ml_receiver *r = e->port->receiver;
        r->context = context;
        if ((options->flags & MPO_QLIMIT) != 0)
            r->limits.mpl_qlimit = options->mpl.mpl_qlimit;
        if ((options->flags & MPO_CONTEXT_AS_GUARD) != 0) {
            r->guarded = true;
            r->strict = (options->flags & MPO_STRICT) != 0;
        }
        if ((options->flags & MPO_INSERT_SEND_RIGHT) != 0) {
            e->urefs = 1;
            r->mscount = 1;
        }
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

/* --- user references ------------------------------------------------------------------------- */

static mach_port_type_t entry_type(const struct ml_entry *e)
{
    mach_port_type_t type = e->request != NULL ? MACH_PORT_TYPE_DNREQUEST : 0;
    switch ((enum ml_entry_kind)e->kind) {
    case ML_SEND_RECEIVE:
        if (e->urefs != 0)
            type |= MACH_PORT_TYPE_SEND;
        if (e->port->receiver != NULL)
            type |= MACH_PORT_TYPE_RECEIVE;
        return type;
    case ML_ONCE:
        return type | MACH_PORT_TYPE_SEND_ONCE;
    case ML_DEAD:
        return type | MACH_PORT_TYPE_DEAD_NAME;
    case ML_SET:
        return type | MACH_PORT_TYPE_PORT_SET;
    default:
        return type;
    }
}

kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name, mach_port_type_t *type)
{
    ML_GARBAGE(g);
    kern_return_t kr = KERN_INVALID_NAME;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (name == MACH_PORT_DEAD) {
        *type = MACH_PORT_TYPE_DEAD_NAME;
        return KERN_SUCCESS;
    }
    ml_lock();
    (void)ml_entry_look(name, &g); /* a right without references vanishes when its port dies */
    const struct ml_entry *e = ml_entry_lookup(name);
    if (e != NULL) {
        *type = entry_type(e);
        kr = KERN_SUCCESS;
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                 mach_port_urefs_t *refs)
{
    ML_GARBAGE(g);

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (right >= MACH_PORT_RIGHT_NUMBER)
        return KERN_INVALID_VALUE;
    *refs = 0;
    if (no_right(name)) {
        if (right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_SEND_ONCE)
            *refs = 1;
        return KERN_SUCCESS;
    }
    ml_lock();
    struct ml_entry *e = ml_entry_look(name, &g);
    if (e != NULL && (entry_type(e) & MACH_PORT_TYPE(right)) != 0) {
        bool counted = right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_DEAD_NAME;
        *refs = counted ? e->urefs : 1;
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return e != NULL ? KERN_SUCCESS : KERN_INVALID_NAME;
}

/* The entry of a name of which something is to go. Whether its port has died matters to whoever
 * asked to be told: PORT_DELETED says that it has not. The kernel is not asked for anybody else. */
static struct ml_entry *lookup_to_drop(mach_port_name_t name, struct ml_garbage *g)
{
    struct ml_entry *e = ml_entry_lookup(name);
    return e != NULL && e->request != NULL ? ml_entry_look(name, g) : e;
}

kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name)
{
    ML_GARBAGE(g);
    kern_return_t kr = KERN_SUCCESS;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (no_right(name))
        return KERN_SUCCESS;
    ml_lock();
    struct ml_entry *e = lookup_to_drop(name, &g);
    if (e == NULL) {
        kr = KERN_INVALID_NAME;
    } else if (e->kind == ML_SET || e->kind == ML_ONCE) {
        ml_entry_destroy(e, &g);
    } else if (e->urefs == 0) {
        kr = KERN_INVALID_RIGHT;
    } else {
        ml_urefs_drop(e, 1, &g);
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

/* The receive right goes; what send references there are become a dead name. */
static void drop_receive(struct ml_entry *e, struct ml_garbage *g)
{
    if (ml_notify_port_destroyed(e, g))
        return;
    ml_receiver_destroy(e->port, g);
    ml_entry_die(e, g);
}

static kern_return_t mod_counted(struct ml_entry *e, mach_port_delta_t delta, struct ml_garbage *g)
{
    if (delta < 0) {
        uint32_t drop = (uint32_t)-(int64_t)delta;
        if (drop > e->urefs)
            return KERN_INVALID_VALUE;
        ml_urefs_drop(e, drop, g);
    } else {
        ml_urefs_add(e, (uint32_t)delta);
    }
    return KERN_SUCCESS;
}

static kern_return_t mod_entry(struct ml_entry *e, mach_port_right_t right, mach_port_delta_t delta,
                               struct ml_garbage *g)
{
    if ((entry_type(e) & MACH_PORT_TYPE(right)) == 0)
        return KERN_INVALID_RIGHT;
    switch (right) {
    case MACH_PORT_RIGHT_SEND:
    case MACH_PORT_RIGHT_DEAD_NAME:
        return mod_counted(e, delta, g);
    default:
        /* The receive right, a send-once right or a set: there is one, or none. */
        if (delta == 0)
            return KERN_SUCCESS;
        if (delta != -1)
            return KERN_INVALID_VALUE;
        if (right != MACH_PORT_RIGHT_RECEIVE)
            ml_entry_destroy(e, g);
        else if (e->port->receiver->guarded)
            return KERN_INVALID_RIGHT;
        else
            drop_receive(e, g);
        return KERN_SUCCESS;
    }
}

kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name, mach_port_right_t right,
                                 mach_port_delta_t delta)
{
    ML_GARBAGE(g);

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (right >= MACH_PORT_RIGHT_NUMBER)
        return KERN_INVALID_VALUE;
    if (no_right(name))
        return right == MACH_PORT_RIGHT_SEND || right == MACH_PORT_RIGHT_SEND_ONCE
                   ? KERN_SUCCESS
                   : KERN_INVALID_NAME;
    ml_lock();
    struct ml_entry *e = ml_entry_look(name, &g);
    kern_return_t kr = e == NULL ? KERN_INVALID_NAME : mod_entry(e, right, delta, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name)
{
    ML_GARBAGE(g);

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (no_right(name))
        return KERN_SUCCESS;
    ml_lock();
    struct ml_entry *e = lookup_to_drop(name, &g);
    if (e != NULL)
        ml_entry_destroy(e, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return e != NULL ? KERN_SUCCESS : KERN_INVALID_NAME;
}

static kern_return_t destruct(struct ml_entry *e, mach_port_delta_t srdelta,
                              mach_port_context_t guard, struct ml_garbage *g)
{
    if (e->kind != ML_SEND_RECEIVE || e->port->receiver == NULL)
        return KERN_INVALID_RIGHT;
    struct ml_receiver *r = e->port->receiver;
    if (r->guarded && guard != r->context)
        return KERN_INVALID_ARGUMENT;
    if (srdelta > 0 || (uint32_t)-(int64_t)srdelta > e->urefs)
        return srdelta < 0 && e->urefs == 0 ? KERN_INVALID_RIGHT : KERN_INVALID_VALUE;
    e->urefs -= (uint32_t)-(int64_t)srdelta;
    drop_receive(e, g);
    return KERN_SUCCESS;
}

kern_return_t mach_port_destruct(ipc_space_t task, mach_port_name_t name, mach_port_delta_t srdelta,
                                 mach_port_context_t guard)
{
    ML_GARBAGE(g);

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (no_right(name))
        return KERN_INVALID_NAME;
    ml_lock();
    struct ml_entry *e = ml_entry_look(name, &g);
    kern_return_t kr = e == NULL ? KERN_INVALID_NAME : destruct(e, srdelta, guard, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

/* --- insert and extract ---------------------------------------------------------------------- */

/* The port object that e's rights are for, if e and the right are about the same port. */
static bool same_port(const struct ml_entry *e, const struct ml_right *right)
{
    return e->kind == ML_SEND_RECEIVE && right->port != NULL &&
           right->port->kind == e->port->kind && right->port->key == e->port->key;
}

/* Puts a copied-in right at `name`. It is consumed in any case. */
static kern_return_t insert_at(mach_port_name_t name, struct ml_right *right, struct ml_garbage *g)
{
    struct ml_entry *e = ml_entry_lookup(name);
    bool once = right->carry == ML_CARRY_SEND_ONCE;
    kern_return_t kr;
    bool full = false;

    if (right->carry == ML_CARRY_DEAD || right->carry == ML_CARRY_NULL) {
        ml_right_destroy(right, g);
        return KERN_INVALID_CAPABILITY;
    }
    if (e == NULL && right->reserved && ml_entry_at(right->origin)->kind == ML_RESERVED &&
        right->origin == name) {
        ml_right_undo(right, g); /* moved onto itself */
        return KERN_SUCCESS;
    }
    if (e != NULL && !once && same_port(e, right)) {
        (void)ml_copyout(right, &full, g);
        return full ? KERN_RESOURCE_SHORTAGE : KERN_SUCCESS;
    }
    if (e != NULL) {
        kr = once ? KERN_NAME_EXISTS : KERN_RIGHT_EXISTS;
    } else if (!once && right->port->index != 0) {
        kr = KERN_RIGHT_EXISTS;
    } else {
        ml_right_forget_origin(right, g);
        kr = ml_entry_allocate_name(name, &e);
    }
    if (kr != KERN_SUCCESS) {
        ml_right_destroy(right, g);
        return kr;
    }
    ml_entry_bind(e, once ? ML_ONCE : ML_SEND_RECEIVE, right->port);
    e->urefs = right->receiver != NULL ? 0 : 1;
    if (right->receiver != NULL)
        ml_receiver_attach(e->port, right->receiver, g);
    right->receiver = NULL;
    right->port = NULL;
    ml_right_commit(right, g);
    return KERN_SUCCESS;
}

kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name, mach_port_t poly,
                                     mach_msg_type_name_t polyPoly)
{
    ML_GARBAGE(g);
    struct ml_right right;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (no_right(name))
        return poly == name ? KERN_INVALID_NAME : KERN_INVALID_VALUE;
    if (polyPoly < MACH_MSG_TYPE_MOVE_RECEIVE || polyPoly > MACH_MSG_TYPE_MAKE_SEND_ONCE)
        return KERN_INVALID_RIGHT;
    ml_lock();
    (void)ml_entry_look(poly, &g);
    kern_return_t kr = ml_copyin(poly, polyPoly, &right, &g);
    if (kr == KERN_INVALID_RIGHT) {
        struct ml_entry *e = ml_entry_lookup(poly);
        if (e != NULL && e->kind == ML_DEAD && polyPoly == MACH_MSG_TYPE_MAKE_SEND)
            kr = KERN_INVALID_CAPABILITY;
    } else if (kr == KERN_SUCCESS) {
        kr = insert_at(name, &right, &g);
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name,
                                      mach_msg_type_name_t msgt_name, mach_port_t *poly,
                                      mach_msg_type_name_t *polyPoly)
{
    ML_GARBAGE(g);
    struct ml_right right;
    bool full = false;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    if (msgt_name < MACH_MSG_TYPE_MOVE_RECEIVE || msgt_name > MACH_MSG_TYPE_MAKE_SEND_ONCE)
        return KERN_INVALID_VALUE;
    if (no_right(name))
        return KERN_INVALID_RIGHT;
    ml_lock();
    (void)ml_entry_look(name, &g);
    kern_return_t kr = ml_copyin(name, msgt_name, &right, &g);
    if (kr == KERN_SUCCESS) {
        *poly = ml_copyout(&right, &full, &g);
        *polyPoly = ml_disposition_arrived(msgt_name);
        if (full)
            kr = KERN_RESOURCE_SHORTAGE;
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

/* --- listing --------------------------------------------------------------------------------- */

kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names,
                              mach_msg_type_number_t *namesCnt, mach_port_type_array_t *types,
                              mach_msg_type_number_t *typesCnt)
{
    kern_return_t kr = KERN_SUCCESS;
    uint32_t n = 0;

    if (!ml_is_task_self(task))
        return MACH_SEND_INVALID_DEST;
    ml_lock();
    for (uint32_t cursor = 0; ml_entry_next(&cursor) != NULL;)
        n++;
    *names = ml_vm_allocate(n * sizeof **names);
    *types = ml_vm_allocate(n * sizeof **types);
    if (n != 0 && (*names == NULL || *types == NULL)) {
        (void)vm_deallocate(task, (vm_address_t)*names, *names == NULL ? 0 : n * sizeof **names);
        kr = KERN_RESOURCE_SHORTAGE;
    } else {
        uint32_t cursor = 0, i = 0;
        for (struct ml_entry *e; (e = ml_entry_next(&cursor)) != NULL; i++) {
            (*names)[i] = ml_entry_name(e);
            (*types)[i] = ml_entry_has_died(e) ? MACH_PORT_TYPE_DEAD_NAME : entry_type(e);
        }
        *namesCnt = *typesCnt = n;
    }
    ml_unlock();
    return kr;
}

mach_port_name_t mach_reply_port(void)
{
    mach_port_name_t name;
    return mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &name) == KERN_SUCCESS
               ? name
               : MACH_PORT_NULL;
}
