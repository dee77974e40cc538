/*
 * The space: see space.h.
 *
 * A name is index << 8 | generation << 2 | 3, as on Mach: the generation makes a stale name invalid
 * instead of somebody else's, and free entries are reused oldest first, so that it takes long until
 * one comes round.
 */
#include <stdlib.h>
#include <string.h>

#include "bootstrap.h"
#include "forks.h"
#include "outbound.h"
#include "receiver.h"
#include "sets.h"
#include "notify.h"
#include "refusal.h"
#include "pipes.h"
#include "recent.h"
#include "reject.h"
#include "sanitizers.h"
#include "space.h"
#include "task.h"
#include "watcher.h"

#define GENERATION 0xfcu
#define GENERATION_STEP 4u
#define INDEX_MAX (1u << 20)
#define HASH_MIN 64u

static struct {
    pthread_mutex_t mutex;
    struct ml_entry *table; /* [0] is the head of the free list and never a name */
    uint32_t size, capacity;
    struct ml_port **buckets;
    uint32_t n_buckets, n_hashed;
    struct ml_port *spare; /* one that was released, for the next */
    bool has_self;         /* this task's own port has its name */
} space = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* --- the table ------------------------------------------------------------------------------ */

static void free_list_unlink(struct ml_entry *e)
{
    space.table[e->previous].next = e->next;
    space.table[e->next].previous = e->previous;
}

static void free_list_append(uint32_t index)
{
    uint32_t last = space.table[0].previous;
    space.table[index].previous = last;
    space.table[index].next = 0;
    space.table[last].next = index;
    space.table[0].previous = index;
}

/* Makes indices below `size` exist. */
static bool table_grow(uint32_t size)
{
    bool fresh = space.table == NULL;
    if (!fresh && size <= space.size)
        return true;
    if (size > INDEX_MAX)
        return false;
    if (fresh || size > space.capacity) {
        uint32_t old = fresh ? 0 : space.capacity, capacity = fresh ? 64 : old;
        while (capacity < size)
            capacity *= 2;
        struct ml_entry *table = realloc(space.table, capacity * sizeof *table);
        if (table == NULL)
            return false;
        memset(table + old, 0, (capacity - old) * sizeof *table);
        space.table = table;
        space.capacity = capacity;
    }
    uint32_t first = fresh ? 1 : space.size;
    space.size = size;
    for (uint32_t i = first; i < size; i++) {
        space.table[i].name = i << 8 | 3u;
        free_list_append(i);
    }
    return true;
}

static uint32_t entry_index(const struct ml_entry *e)
{
    return (uint32_t)(e - space.table);
}

struct ml_entry *ml_entry_at(mach_port_name_t name)
{
    return &space.table[name >> 8];
}

struct ml_entry *ml_entry_lookup(mach_port_name_t name)
{
    uint32_t index = name >> 8;
    if (index == 0 || index >= space.size)
        return NULL;
    struct ml_entry *e = &space.table[index];
    if (e->kind <= ML_RESERVED || e->name != name)
        return NULL;
    return e;
}

bool ml_entry_has_died(const struct ml_entry *e)
{
    if (e->kind != ML_SEND_RECEIVE && e->kind != ML_ONCE)
        return false;
    struct ml_port *p = e->port;
    if (p->receiver == NULL && !p->dead)
        p->dead = p->kind == ML_TASK ? ml_task_exited(p->tx) : ml_fd_hung_up(p->tx);
    return p->dead;
}

struct ml_entry *ml_entry_look(mach_port_name_t name, struct ml_garbage *g)
{
    struct ml_entry *e = ml_entry_lookup(name);
    if (e != NULL && ml_entry_has_died(e))
        ml_entry_die(e, g);
    return e;
}

struct ml_entry *ml_entry_allocate(void)
{
    if (space.table == NULL || space.table[0].next == 0) {
        uint32_t more = space.size ? space.size * 2 : 64;
        if (!table_grow(more))
            return NULL;
    }
    struct ml_entry *e = &space.table[space.table[0].next];
    free_list_unlink(e);
    return e;
}

kern_return_t ml_entry_allocate_name(mach_port_name_t name, struct ml_entry **out)
{
    uint32_t index = name >> 8;
    if (name == MACH_PORT_NULL || name == MACH_PORT_DEAD)
        return KERN_INVALID_VALUE;
    if (index == 0 || (name & 3) != 3)
        return KERN_INVALID_VALUE;
    if (!table_grow(index + 1))
        return KERN_NO_SPACE;
    struct ml_entry *e = &space.table[index];
    if (e->kind != ML_FREE)
        return KERN_NAME_EXISTS;
    free_list_unlink(e);
    e->name = name;
    *out = e;
    return KERN_SUCCESS;
}

bool ml_is_task_self(mach_port_name_t task)
{
    return task == ML_TASK_SELF_NAME;
}

void ml_entry_free(struct ml_entry *e)
{
    mach_port_name_t next = (e->name & ~GENERATION) | ((e->name + GENERATION_STEP) & GENERATION);
    memset(e, 0, sizeof *e);
    e->name = next;
    free_list_append(entry_index(e));
}

struct ml_entry *ml_entry_next(uint32_t *cursor)
{
    while (++*cursor < space.size)
        if (space.table[*cursor].kind > ML_RESERVED)
            return &space.table[*cursor];
    return NULL;
}

/* --- the hash of named ports ---------------------------------------------------------------- */

static struct ml_port **bucket(enum ml_port_kind kind, uint64_t key)
{
    uint64_t h = (key ^ (uint64_t)kind << 60) * 0x9e3779b97f4a7c15u;
    return &space.buckets[h >> 32 & (space.n_buckets - 1)];
}

static bool hash_grow(void)
{
    uint32_t n = space.n_buckets ? space.n_buckets * 2 : HASH_MIN, old_n = space.n_buckets;
    struct ml_port **old = space.buckets, **fresh = calloc(n, sizeof(struct ml_port *));
    if (fresh == NULL)
        return old_n != 0; /* longer chains are only slower */
    space.buckets = fresh;
    space.n_buckets = n;
    for (uint32_t i = 0; i < old_n; i++)
        for (struct ml_port *p = old[i], *next; p != NULL; p = next) {
            next = p->hash_next;
            struct ml_port **b = bucket(p->kind, p->key);
            p->hash_next = *b;
            *b = p;
        }
    free(old);
    return true;
}

static inline bool hash_make_room(void)
{
    return space.n_hashed < space.n_buckets || hash_grow();
}

static void hash_insert(struct ml_port *p)
{
    struct ml_port **b = bucket(p->kind, p->key);
    p->hash_next = *b;
    *b = p;
    space.n_hashed++;
}

static void hash_remove(struct ml_port *p)
{
    struct ml_port **b = bucket(p->kind, p->key);
    while (*b != p)
        b = &(*b)->hash_next;
    *b = p->hash_next;
    space.n_hashed--;
}

struct ml_port *ml_port_find(enum ml_port_kind kind, uint64_t key)
{
    if (space.n_buckets == 0)
        return NULL;
    struct ml_port *p = *bucket(kind, key);
    while (p != NULL && (p->key != key || p->kind != kind))
        p = p->hash_next;
    return p;
}

/* --- ports ---------------------------------------------------------------------------------- */

/* Where rights come and go a port is made and released with each: one is kept for the next. Not
 * where use after release is watched for. */
static struct ml_port *port_take(void)
{
    struct ml_port *p = space.spare;
    space.spare = NULL;
    return p != NULL ? p : malloc(sizeof *p);
}

static void port_give(struct ml_port *p)
{
#ifndef ML_MEMORY_WATCHED
    if (space.spare == NULL) {
        space.spare = p;
        return;
    }
#endif
    free(p);
}

struct ml_port *ml_port_adopt(enum ml_port_kind kind, int tx, int live, uint64_t key,
                              struct ml_garbage *g)
{
    struct ml_port *p = port_take();
    if (p == NULL) {
        ml_garbage_add(g, tx);
        ml_garbage_add(g, live);
        return NULL;
    }
    *p = (struct ml_port){.refs = 1, .kind = kind, .tx = tx, .live = live, .key = key};
    return p;
}

void ml_port_retain(struct ml_port *p)
{
    p->refs++;
}

void ml_port_release(struct ml_port *p, struct ml_garbage *g)
{
    if (--p->refs != 0)
        return;
    ml_garbage_add(g, p->tx);
    ml_garbage_add(g, p->live);
    port_give(p);
}

struct ml_entry *ml_port_entry(const struct ml_port *p)
{
    return p->index == 0 ? NULL : &space.table[p->index];
}

void ml_entry_bind(struct ml_entry *e, enum ml_entry_kind kind, struct ml_port *p)
{
    e->kind = (uint8_t)kind;
    e->port = p;
    p->index = entry_index(e);
    if (kind == ML_SEND_RECEIVE)
        hash_insert(p);
}

struct ml_port *ml_entry_unbind(struct ml_entry *e)
{
    struct ml_port *p = e->port;
    if (e->kind == ML_SEND_RECEIVE)
        hash_remove(p);
    p->index = 0;
    e->port = NULL;
    e->kind = ML_RESERVED;
    return p;
}

static mach_port_name_t name_fresh(struct ml_port *p, enum ml_entry_kind kind, struct ml_garbage *g)
{
    struct ml_entry *e = hash_make_room() ? ml_entry_allocate() : NULL;
    if (e == NULL) {
        ml_port_release(p, g);
        return MACH_PORT_NULL;
    }
    ml_entry_bind(e, kind, p);
    e->urefs = 1;
    return ml_entry_name(e);
}

mach_port_name_t ml_name_send(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_port *named = p->index != 0 ? p : ml_port_find(p->kind, p->key);
    if (named == NULL)
        return name_fresh(p, ML_SEND_RECEIVE, g);
    struct ml_entry *e = ml_port_entry(named);
    ml_urefs_add(e, 1);
    ml_port_release(p, g);
    return ml_entry_name(e);
}

mach_port_name_t ml_name_send_once(struct ml_port *p, struct ml_garbage *g)
{
    return name_fresh(p, ML_ONCE, g);
}

/* --- user references ------------------------------------------------------------------------ */

void ml_urefs_add(struct ml_entry *e, uint32_t delta)
{
    e->urefs = delta > ML_UREFS_MAX - e->urefs ? ML_UREFS_MAX : e->urefs + delta;
}

void ml_urefs_drop(struct ml_entry *e, uint32_t n, struct ml_garbage *g)
{
    if (e->urefs == ML_UREFS_MAX) /* sticky: nobody knows how many there really were */
        return;
    e->urefs -= n;
    if (e->urefs != 0)
        return;
    if (e->kind == ML_DEAD) {
        ml_entry_free(e);
    } else if (e->port->receiver != NULL) {
        ml_receiver_senders_changed(e->port, g);
    } else {
        ml_notify_name_deleted(e, g);
        ml_port_release(ml_entry_unbind(e), g);
        ml_entry_free(e);
    }
}

void ml_entry_die(struct ml_entry *e, struct ml_garbage *g)
{
    uint32_t urefs = e->urefs;
    struct ml_port *p = ml_entry_unbind(e);
    p->dead = true;
    /* The descriptor is closed after its watch has ended: who else has it would keep that going. */
    if (urefs == 0) {
        ml_notify_name_deleted(e, g);
        ml_entry_free(e);
    } else {
        e->kind = ML_DEAD;
        ml_notify_name_died(e, g);
    }
    ml_port_release(p, g);
}

void ml_entry_destroy(struct ml_entry *e, struct ml_garbage *g)
{
    switch ((enum ml_entry_kind)e->kind) {
    case ML_SET:
        ml_set_destroy(e, g);
        return;
    case ML_SEND_RECEIVE:
        if (e->port->receiver != NULL) {
            /* All goes at once: no dead name stays for the send references. */
            ml_notify_name_deleted(e, g);
            e->urefs = 0;
            if (!ml_notify_port_destroyed(e, g)) {
                ml_receiver_destroy(e->port, g);
                ml_entry_die(e, g);
            }
            return;
        }
        /* fall through */
    case ML_ONCE:
        ml_notify_name_deleted(e, g);
        ml_port_release(ml_entry_unbind(e), g);
        break;
    default:
        break;
    }
    ml_entry_free(e);
}

/* --- the lock ------------------------------------------------------------------------------- */

/* Gives this task's own port its fixed name, at the first use in each process. If there is no
 * descriptor for it the name is kept free, and each later use tries again. */
static void space_begin(void)
{
    ML_GARBAGE(g);
    struct ml_entry *e;
    uint64_t key;

    if (space.size == 0) {
        if (ml_entry_allocate_name(ML_TASK_SELF_NAME, &e) != KERN_SUCCESS)
            return;
        e->kind = ML_RESERVED;
    }
    int pidfd = ml_supported() ? ml_task_open_self(&key) : -1;
    if (pidfd < 0)
        return;
    struct ml_port *p = hash_make_room() ? ml_port_adopt(ML_TASK, pidfd, -1, key, &g) : NULL;
    if (p != NULL) {
        e = ml_entry_at(ML_TASK_SELF_NAME);
        ml_entry_bind(e, ML_SEND_RECEIVE, p);
        e->urefs = 1; /* the library's own */
        space.has_self = true;
    }
    ml_garbage_flush(&g);
}

void ml_lock(void)
{
    pthread_mutex_lock(&space.mutex);
    if (!space.has_self)
        space_begin();
}

bool ml_try_lock(void)
{
    return pthread_mutex_trylock(&space.mutex) == 0;
}

void ml_unlock(void)
{
    pthread_mutex_unlock(&space.mutex);
}

/* --- fork ----------------------------------------------------------------------------------- */

/* The child of a fork has an empty space, as on Mach. Its copies of the descriptors are closed,
 * never shut down: they are the parent's ports. */
void ml_space_reset_in_child(void)
{
    ML_GARBAGE(g);

    space.mutex = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    ml_recent_reset_in_child();
    ml_outbound_abandon(&g);
    for (uint32_t i = 1; i < space.size; i++) {
        struct ml_entry *e = &space.table[i];
        if (e->kind == ML_SET)
            ml_set_abandon(e, &g);
        ml_notify_abandon_entry(e, &g);
        if (e->port == NULL)
            continue;
        /* The parent's pins and messages are its own: here each port has this one owner. */
        e->port->refs = 1;
        if (e->port->receiver != NULL)
            ml_receiver_abandon(e->port, &g);
        ml_port_release(e->port, &g);
    }
    ml_bootstrap_reset_in_child(&g);
    ml_watch_reset_in_child(&g);
    ml_close_reset_in_child();
    ml_pipe_reset_in_child();
    ml_garbage_flush(&g);
    free(space.table);
    free(space.buckets);
    space.table = NULL;
    space.buckets = NULL;
    space.size = space.capacity = space.n_buckets = space.n_hashed = 0;
    space.has_self = false;
}

/* Whoever is receiving now has received; whoever comes later sees that a fork is near. */
static void let_receivers_finish(void)
{
    for (uint32_t i = 1; i < space.size; i++) {
        const struct ml_port *p = space.table[i].port;
        if (p != NULL && p->receiver != NULL) {
            pthread_mutex_lock(&p->receiver->lock);
            pthread_mutex_unlock(&p->receiver->lock);
        }
    }
}

/* A fork takes place when every descriptor has an owner that the child finds: an entry of the
 * table, or a message that is being sent. */
static void before_fork(void)
{
    ml_fork_begin();
    ml_lock();
    let_receivers_finish();
    for (unsigned round = 0; !ml_fork_quiet(round); round++) {
        ml_unlock(); /* some need the lock to get there */
        ml_fork_pause();
        ml_lock();
    }
}

static void after_in_parent(void)
{
    ml_unlock();
    ml_fork_end();
}

static void after_in_child(void)
{
    ml_fork_reset_in_child();
    ml_space_reset_in_child();
}

/* Here, where every program that has names links it in, and not in a file that nothing refers to.
 */
__attribute__((constructor)) static void handle_forks(void)
{
    (void)pthread_atfork(before_fork, after_in_parent, after_in_child);
}
