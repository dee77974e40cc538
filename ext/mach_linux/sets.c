/*
 * Port sets: see sets.h.
 *
 * Level-triggered epoll with one event a call serves ready members in turn, in time that does not
 * depend on their number. An event names its membership by slot and generation, so that one which
 * is reported after the member has left means nothing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "calls.h"
#include "queue.h"
#include "recent.h"
#include "refusal.h"
#include "sets.h"

struct ml_membership {
    struct ml_pset *set;
    struct ml_receiver *receiver;
    uint32_t slot;
    int fd;                     /* of the receiver's, which the set's epoll watches */
    uint64_t event;             /* what it says of it */
    struct ml_membership *next; /* of the same receiver */
};

struct slot {
    struct ml_membership *member; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

struct ml_pset {
    uint32_t refs;
    bool alive;
    int epoll;
    struct slot *slots;
    uint32_t n_slots, free_slot, n_members;
};

kern_return_t ml_set_create(struct ml_pset **out)
{
    ml_refused_nothing();
    if (!ml_supported())
        return KERN_NOT_SUPPORTED;
    struct ml_pset *set = malloc(sizeof *set);
    if (set == NULL)
        return KERN_RESOURCE_SHORTAGE;
    *set = (struct ml_pset){
        .refs = 1, .alive = true, .free_slot = UINT32_MAX, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (set->epoll < 0) {
        ml_refused("epoll_create1", errno);
        free(set);
        return KERN_RESOURCE_SHORTAGE;
    }
    *out = set;
    return KERN_SUCCESS;
}

struct ml_pset *ml_set_retain(struct ml_pset *set)
{
    set->refs++;
    return set;
}

void ml_set_release(struct ml_pset *set, struct ml_garbage *g)
{
    if (--set->refs != 0)
        return;
    ml_garbage_add(g, set->epoll);
    free(set->slots);
    free(set);
}

bool ml_set_alive(const struct ml_pset *set)
{
    return set->alive;
}

int ml_set_epoll(const struct ml_pset *set)
{
    return set->epoll;
}

/* --- members --------------------------------------------------------------------------------- */

static struct ml_membership *find(const struct ml_pset *set, const struct ml_receiver *r)
{
    struct ml_membership *m = r->memberships;
    while (m != NULL && m->set != set)
        m = m->next;
    return m;
}

static bool slot_allocate(struct ml_pset *set, uint32_t *slot)
{
    if (set->free_slot == UINT32_MAX) {
        uint32_t n = set->n_slots ? set->n_slots * 2 : 8;
        struct slot *grown = realloc(set->slots, n * sizeof *grown);
        if (grown == NULL)
            return false;
        for (uint32_t i = set->n_slots; i < n; i++)
            grown[i] = (struct slot){.next_free = i + 1 < n ? i + 1 : UINT32_MAX};
        set->free_slot = set->n_slots;
        set->slots = grown;
        set->n_slots = n;
    }
    *slot = set->free_slot;
    set->free_slot = set->slots[*slot].next_free;
    return true;
}

static void slot_free(struct ml_pset *set, uint32_t slot)
{
    struct slot *s = &set->slots[slot];
    *s = (struct slot){.generation = s->generation + 1, .next_free = set->free_slot};
    set->free_slot = slot;
}

static bool watch(const struct ml_membership *m, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = m->event};
    if (epoll_ctl(m->set->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    ml_refused("epoll_ctl", errno);
    return false;
}

kern_return_t ml_set_insert(struct ml_pset *set, struct ml_receiver *r)
{
    ML_GARBAGE(g);
    uint32_t slot;

    if (find(set, r) != NULL)
        return KERN_ALREADY_IN_SET;
    struct ml_membership *m = malloc(sizeof *m);
    if (m == NULL || !slot_allocate(set, &slot)) {
        free(m);
        return KERN_RESOURCE_SHORTAGE;
    }
    *m = (struct ml_membership){.set = set,
                                .receiver = r,
                                .slot = slot,
                                .event = (uint64_t)set->slots[slot].generation << 32 | slot};
    pthread_mutex_lock(&r->lock);
    m->fd = ml_receiver_watched(r);
    bool joined = m->fd >= 0 && watch(m, m->fd);
    if (joined) {
        m->next = r->memberships;
        r->memberships = m;
    }
    pthread_mutex_unlock(&r->lock);
    if (!joined) {
        slot_free(set, slot);
        free(m);
        return KERN_RESOURCE_SHORTAGE;
    }
    set->slots[slot].member = m;
    set->n_members++;
    ml_recent_end(r, &g);
    ml_garbage_flush(&g);
    return KERN_SUCCESS;
}

bool ml_sets_follow(struct ml_receiver *r)
{
    bool all = true;
    for (struct ml_membership *m = r->memberships; m != NULL; m = m->next) {
        if (m->fd == r->epoll)
            continue;
        if (watch(m, r->epoll)) {
            (void)epoll_ctl(m->set->epoll, EPOLL_CTL_DEL, m->fd, NULL);
            m->fd = r->epoll;
        } else {
            all = false;
        }
    }
    return all;
}

static void leave(struct ml_membership *m)
{
    struct ml_receiver *r = m->receiver;
    struct ml_membership **link = &r->memberships;
    pthread_mutex_lock(&r->lock);
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    (void)epoll_ctl(m->set->epoll, EPOLL_CTL_DEL, m->fd, NULL);
    pthread_mutex_unlock(&r->lock);
    slot_free(m->set, m->slot);
    m->set->n_members--;
    free(m);
}

kern_return_t ml_set_extract(struct ml_pset *set, struct ml_receiver *r)
{
    struct ml_membership *m = find(set, r);
    if (m == NULL)
        return KERN_NOT_IN_SET;
    leave(m);
    return KERN_SUCCESS;
}

void ml_sets_leave(struct ml_receiver *r)
{
    while (r->memberships != NULL)
        leave(r->memberships);
}

bool ml_receiver_in_set(const struct ml_receiver *r)
{
    return r->memberships != NULL;
}

uint32_t ml_set_members(const struct ml_pset *set, mach_port_name_t *names, uint32_t room)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < set->n_slots; i++) {
        if (set->slots[i].member == NULL)
            continue;
        if (n < room)
            names[n] = ml_entry_name(ml_port_entry(set->slots[i].member->receiver->port));
        n++;
    }
    return n;
}

/* --- the end --------------------------------------------------------------------------------- */

void ml_set_destroy(struct ml_entry *e, struct ml_garbage *g)
{
    struct ml_pset *set = e->set;
    for (uint32_t i = 0; i < set->n_slots; i++)
        if (set->slots[i].member != NULL)
            leave(set->slots[i].member);
    set->alive = false;
    ml_wake_forever(set->epoll);
    ml_set_release(set, g);
    e->set = NULL;
    ml_entry_free(e);
}

void ml_set_abandon(struct ml_entry *e, struct ml_garbage *g)
{
    struct ml_pset *set = e->set;
    for (uint32_t i = 0; i < set->n_slots; i++)
        free(set->slots[i].member);
    set->refs = 1;
    ml_set_release(set, g);
    e->set = NULL;
}

/* --- waiting --------------------------------------------------------------------------------- */

/* The member that an event means, with a reference, or NULL. Returns false when the set is gone. */
static bool member_for(struct ml_pset *set, uint64_t event, struct ml_receiver **r)
{
    uint32_t slot = (uint32_t)event, generation = (uint32_t)(event >> 32);
    ml_lock();
    bool alive = set->alive;
    *r = NULL;
    if (alive && slot < set->n_slots && set->slots[slot].generation == generation &&
        set->slots[slot].member != NULL) {
        *r = set->slots[slot].member->receiver;
        (*r)->refs++;
    }
    ml_unlock();
    return alive;
}

mach_msg_return_t ml_set_wait(struct ml_pset *set, mach_msg_option_t option, ml_deadline deadline,
                              struct ml_receiver **r)
{
    for (;;) {
        struct epoll_event event;
        int n = ml_epoll_wait(set->epoll, &event, 1, ml_deadline_left(deadline));
        if (n < 0 && errno == EINTR && (option & MACH_RCV_INTERRUPT) != 0)
            return MACH_RCV_INTERRUPTED;
        if (n > 0) {
            if (!member_for(set, event.data.u64, r))
                return MACH_RCV_PORT_CHANGED;
            if (*r != NULL)
                return MACH_MSG_SUCCESS;
        } else if (ml_deadline_left(deadline) == 0) {
            return MACH_RCV_TIMED_OUT;
        }
    }
}
