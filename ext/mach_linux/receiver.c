/*
 * A receive right: see receiver.h.
 */
#include <errno.h>
#include <stdlib.h>

#include "bootstrap.h"
#include "calls.h"
#include "notify.h"
#include "pipes.h"
#include "queue.h"
#include "receiver.h"
#include "recent.h"
#include "refusal.h"
#include "sets.h"
#include "watcher.h"

/* --- making and unmaking --------------------------------------------------------------------- */

struct ml_receiver *ml_receiver_adopt(int rx, struct ml_garbage *g)
{
    struct ml_receiver *r = ml_queue_possible() ? malloc(sizeof *r) : NULL;
    if (r == NULL) {
        ml_refused("eventfd", ENOMEM);
        ml_garbage_add(g, rx);
        return NULL;
    }
    *r = (struct ml_receiver){
        .refs = 1,
        .alive = true,
        .rx = rx,
        .epoll = -1,
        .limits = {.mpl_qlimit = MACH_PORT_QLIMIT_DEFAULT},
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .free_slot = UINT32_MAX,
    };
    return r;
}

kern_return_t ml_receiver_create(struct ml_port **out)
{
    ML_GARBAGE(g);
    kern_return_t kr = KERN_RESOURCE_SHORTAGE;
    uint64_t cookie;
    int pair[2];

    ml_refused_nothing();
    if (!ml_supported())
        return KERN_NOT_SUPPORTED;
    if (ml_channel_create(pair, &cookie) != 0)
        return kr;
    struct ml_receiver *r = ml_receiver_adopt(pair[1], &g);
    struct ml_port *p = ml_port_adopt(ML_PORT, pair[0], -1, cookie, &g);
    if (r != NULL && p != NULL) {
        ml_receiver_attach(p, r, &g);
        *out = p;
        kr = KERN_SUCCESS;
    } else {
        if (r != NULL)
            ml_receiver_discard(r, true, &g);
        if (p != NULL)
            ml_port_release(p, &g);
    }
    ml_garbage_flush(&g);
    return kr;
}

void ml_receiver_attach(struct ml_port *p, struct ml_receiver *r, struct ml_garbage *g)
{
    p->receiver = r;
    r->port = p;
    ml_port_retain(p);
    ml_notify_receiver_attached(r, g);
}

void ml_receiver_discard(struct ml_receiver *r, bool handed_on, struct ml_garbage *g)
{
    ml_queue_close(r, handed_on, g);
    ml_notify_receiver_gone(r, g);
    for (unsigned i = 0; i < r->n_generations; i++) {
        if (!handed_on)
            ml_pipe_end(r->generations[i].write_end);
        ml_garbage_add(g, r->generations[i].write_end);
    }
    r->n_generations = 0;
    if (r->live != NULL)
        ml_live_release(r->live, g);
    r->live = NULL;
    if (r->port != NULL) {
        ml_port_release(r->port, g);
        r->port = NULL;
    }
    ml_receiver_release(r, g);
}

void ml_receiver_release(struct ml_receiver *r, struct ml_garbage *g)
{
    if (--r->refs != 0)
        return;
    ml_recent_end(r, g);
    ml_garbage_add(g, r->epoll);
    free(r->generations);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void ml_receiver_destroy(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;
    ml_notify_look_for_senders(p, g);
    ml_sets_leave(r);
    p->receiver = NULL;
    p->dead = true;
    if (p->service)
        ml_bootstrap_port_gone(p, g);
    ml_receiver_discard(r, false, g);
}

struct ml_receiver *ml_receiver_take(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *old = p->receiver, *r = ml_receiver_adopt(-1, g);
    if (r == NULL)
        return NULL;
    ml_sets_leave(old);
    p->rx_cookie = ml_fd_cookie(old->rx);
    if (p->service)
        ml_bootstrap_port_left(p);
    r->limits = old->limits;
    r->generations = old->generations;
    r->n_generations = old->n_generations;
    r->live = old->live;
    ml_notify_receiver_moved(old, r);
    old->generations = NULL;
    old->n_generations = 0;
    old->live = NULL;
    ml_queue_move(old, r);

    p->receiver = NULL;
    ml_receiver_discard(old, true, g);
    return r;
}

void ml_receiver_abandon_moving(struct ml_receiver *r, struct ml_garbage *g)
{
    /* Any of the parent's threads may have held the lock when it forked. */
    r->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    r->refs = 1;
    r->epoll = r->epoll < 0 ? -1 : (ml_garbage_add(g, r->epoll), -1);
    ml_notify_abandon_receiver(r, g);
    r->memberships = NULL;
    ml_queue_abandon_stash(r, g);
    ml_receiver_discard(r, true, g);
}

void ml_receiver_abandon(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;
    p->receiver = NULL;
    p->refs++; /* for the reference that discarding gives back */
    ml_receiver_abandon_moving(r, g);
}

struct ml_receiver_identity ml_receiver_identify(const struct ml_receiver *r)
{
    struct ml_entry *e = r->port != NULL ? ml_port_entry(r->port) : NULL;
    return (struct ml_receiver_identity){
        .name = e != NULL ? ml_entry_name(e) : MACH_PORT_NULL,
        .context = r->context,
    };
}

/* --- senders --------------------------------------------------------------------------------- */

void ml_live_release(struct ml_live *live, struct ml_garbage *g)
{
    if (--live->refs != 0)
        return;
    ml_garbage_add(g, live->fd);
    free(live);
}

bool ml_receiver_add_generation(struct ml_receiver *r, int write_end, struct ml_garbage *g)
{
    struct ml_generation *grown = realloc(r->generations, (r->n_generations + 1) * sizeof *grown);
    if (grown == NULL) {
        ml_garbage_add(g, write_end);
        return false;
    }
    r->generations = grown;
    r->generations[r->n_generations++] = (struct ml_generation){.write_end = write_end};
    return true;
}

void ml_receiver_prune(struct ml_receiver *r, struct ml_garbage *g)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < r->n_generations; i++) {
        if (ml_fd_hung_up(r->generations[i].write_end)) {
            ml_watch_remove(r->generations[i].watch);
            ml_garbage_add(g, r->generations[i].write_end);
        } else {
            r->generations[kept++] = r->generations[i];
        }
    }
    r->n_generations = kept;
}

struct ml_live *ml_receiver_live(struct ml_receiver *r)
{
    ML_GARBAGE(g);
    int ends[2];

    if (r->live == NULL) {
        if (ml_pipe_create(ends) != 0)
            return NULL;
        struct ml_live *live = malloc(sizeof *live);
        if (live == NULL || !ml_receiver_add_generation(r, ends[1], &g)) {
            if (live == NULL)
                ml_close(ends[1]);
            ml_close(ends[0]);
            free(live);
            ml_garbage_flush(&g);
            errno = ENOMEM;
            return NULL;
        }
        *live = (struct ml_live){.refs = 1, .fd = ends[0]};
        r->live = live;
        ml_notify_generation_added(r);
    }
    r->live->refs++;
    return r->live;
}

void ml_receiver_forget_live(struct ml_receiver *r)
{
    /* Now, not with the garbage: the hang-up is what is looked for. */
    ML_GARBAGE(now);
    if (r->live != NULL)
        ml_live_release(r->live, &now);
    r->live = NULL;
    ml_garbage_flush(&now);
}

bool ml_receiver_has_remote_senders(struct ml_receiver *r)
{
    ML_GARBAGE(g);
    ml_receiver_forget_live(r);
    if (r->no_senders != NULL)
        ml_notify_look_for_senders(r->port, &g); /* a pipe's end may be known here first */
    else
        ml_receiver_prune(r, &g);
    ml_garbage_flush(&g);
    return r->n_generations != 0;
}

void ml_receiver_count_send(struct ml_port *p, struct ml_garbage *g)
{
    ml_notify_look_for_senders(p, g);
    p->receiver->mscount++;
}

void ml_receiver_senders_changed(struct ml_port *p, struct ml_garbage *g)
{
    ml_notify_senders_changed(p, g);
}
