/*
 * A receive right: see receiver.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bootstrap.h"
#include "notify.h"
#include "receiver.h"
#include "refusal.h"
#include "reject.h"
#include "sets.h"
#include "watcher.h"

/* What an epoll event's data says. Sources are slot + SOURCE_FIRST, with the generation above. */
enum { EVENT_CHANNEL = 0, EVENT_WAKE = 1, EVENT_SOURCE_FIRST = 2 };

/* --- waking ---------------------------------------------------------------------------------- */

static int wake_fd = -1; /* an eventfd that is always readable */
static pthread_once_t wake_once = PTHREAD_ONCE_INIT;

static void wake_open(void)
{
    wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
}

/* Fails only if it is there already. */
void ml_wake_forever(int epoll)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = EVENT_WAKE};
    (void)epoll_ctl(epoll, EPOLL_CTL_ADD, wake_fd, &event);
}

/* A stashed message is invisible to the kernel, but whoever waits must be told of it. */
static void show_stash(struct ml_receiver *r)
{
    if (r->epoll < 0)
        return;
    if (r->stash != NULL)
        ml_wake_forever(r->epoll);
    else
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, wake_fd, NULL);
}

/* --- making and unmaking --------------------------------------------------------------------- */

struct ml_receiver *ml_receiver_adopt(int rx, struct ml_garbage *g)
{
    pthread_once(&wake_once, wake_open);
    struct ml_receiver *r = wake_fd < 0 ? NULL : malloc(sizeof *r);
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
    struct ml_garbage g = {0};
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

static void close_sources(struct ml_receiver *r, struct ml_garbage *g)
{
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->sources[i].kind != ML_SOURCE_FREE)
            ml_garbage_add(g, r->sources[i].fd);
    free(r->sources);
    r->sources = NULL;
    r->n_slots = r->n_sources = 0;
    r->free_slot = UINT32_MAX;
}

static void drop_stash(struct ml_receiver *r)
{
    while (r->stash != NULL) {
        struct ml_stash *s = r->stash;
        r->stash = s->next;
        ml_packet_drop(&s->packet);
        free(s);
    }
}

/* Ends the receiver for the threads that wait in it. */
static void end_waits(struct ml_receiver *r)
{
    r->alive = false;
    if (r->epoll >= 0)
        ml_wake_forever(r->epoll);
}

void ml_receiver_discard(struct ml_receiver *r, bool handed_on, struct ml_garbage *g)
{
    pthread_mutex_lock(&r->lock);
    end_waits(r);
    if (r->rx >= 0) {
        /* A child between fork and exec may hold duplicates, and a port must not outlive its
         * destruction by that: shut it down for all of them. Not if it goes on elsewhere. */
        if (!handed_on)
            ml_channel_end(r->rx);
        ml_garbage_add(g, r->rx);
        r->rx = -1;
    }
    if (!handed_on)
        for (uint32_t i = 0; i < r->n_slots; i++)
            if (r->sources[i].kind != ML_SOURCE_FREE)
                ml_channel_end(r->sources[i].fd);
    close_sources(r, g);
    drop_stash(r);
    pthread_mutex_unlock(&r->lock);

    ml_notify_receiver_gone(r, g);
    for (unsigned i = 0; i < r->n_generations; i++)
        ml_garbage_add(g, r->generations[i].read_end);
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
    ml_garbage_add(g, r->epoll);
    free(r->generations);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

void ml_receiver_destroy(struct ml_port *p, struct ml_garbage *g)
{
    struct ml_receiver *r = p->receiver;
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

    pthread_mutex_lock(&old->lock);
    end_waits(old); /* before the queue is gone: nobody is to look for it */
    if (old->epoll >= 0) {
        (void)epoll_ctl(old->epoll, EPOLL_CTL_DEL, old->rx, NULL);
        for (uint32_t i = 0; i < old->n_slots; i++)
            if (old->sources[i].kind != ML_SOURCE_FREE)
                (void)epoll_ctl(old->epoll, EPOLL_CTL_DEL, old->sources[i].fd, NULL);
    }
    r->rx = old->rx;
    r->stash = old->stash;
    r->sources = old->sources;
    r->n_slots = old->n_slots;
    r->n_sources = old->n_sources;
    r->free_slot = old->free_slot;
    old->rx = -1;
    old->stash = NULL;
    old->sources = NULL;
    old->n_slots = old->n_sources = 0;
    pthread_mutex_unlock(&old->lock);

    p->receiver = NULL;
    ml_receiver_discard(old, true, g);
    return r;
}

/* Rights in messages that were put back are the parent's: closed here, and nothing else. */
static void abandon_stash(struct ml_receiver *r, struct ml_garbage *g)
{
    while (r->stash != NULL) {
        struct ml_stash *s = r->stash;
        r->stash = s->next;
        for (unsigned i = 0; i < s->packet.n_fds; i++)
            ml_garbage_add(g, ml_packet_fds(&s->packet)[i]);
        ml_garbage_add(g, s->packet.file);
        free(s->packet.chained);
        free(s);
    }
}

void ml_receiver_abandon_moving(struct ml_receiver *r, struct ml_garbage *g)
{
    /* Any of the parent's threads may have held the lock when it forked. */
    r->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    r->refs = 1;
    r->epoll = r->epoll < 0 ? -1 : (ml_garbage_add(g, r->epoll), -1);
    ml_notify_abandon_receiver(r, g);
    r->memberships = NULL;
    abandon_stash(r, g);
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

bool ml_receiver_add_generation(struct ml_receiver *r, int read_end, struct ml_garbage *g)
{
    struct ml_generation *grown = realloc(r->generations, (r->n_generations + 1) * sizeof *grown);
    if (grown == NULL) {
        ml_garbage_add(g, read_end);
        return false;
    }
    r->generations = grown;
    r->generations[r->n_generations++] = (struct ml_generation){.read_end = read_end};
    return true;
}

void ml_receiver_prune(struct ml_receiver *r, struct ml_garbage *g)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < r->n_generations; i++) {
        if (ml_fd_hung_up(r->generations[i].read_end)) {
            ml_watch_remove(r->generations[i].watch);
            ml_garbage_add(g, r->generations[i].read_end);
        } else {
            r->generations[kept++] = r->generations[i];
        }
    }
    r->n_generations = kept;
}

struct ml_live *ml_receiver_live(struct ml_receiver *r)
{
    struct ml_garbage g = {0};
    int ends[2];

    if (r->live == NULL) {
        if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) {
            ml_refused("pipe2", errno);
            return NULL;
        }
        struct ml_live *live = malloc(sizeof *live);
        if (live == NULL || !ml_receiver_add_generation(r, ends[0], &g)) {
            if (live == NULL)
                close(ends[0]);
            close(ends[1]);
            free(live);
            ml_garbage_flush(&g);
            errno = ENOMEM;
            return NULL;
        }
        *live = (struct ml_live){.refs = 1, .fd = ends[1]};
        r->live = live;
        ml_notify_generation_added(r);
    }
    r->live->refs++;
    return r->live;
}

void ml_receiver_forget_live(struct ml_receiver *r)
{
    /* Now, not with the garbage: the hang-up is what is looked for. */
    struct ml_garbage now = {0};
    if (r->live != NULL)
        ml_live_release(r->live, &now);
    r->live = NULL;
    ml_garbage_flush(&now);
}

bool ml_receiver_has_remote_senders(struct ml_receiver *r)
{
    struct ml_garbage g = {0};
    ml_receiver_forget_live(r);
    if (r->no_senders != NULL)
        ml_notify_senders_changed(r->port, &g); /* a pipe's end may be known here first */
    else
        ml_receiver_prune(r, &g);
    ml_garbage_flush(&g);
    return r->n_generations != 0;
}

void ml_receiver_senders_changed(struct ml_port *p, struct ml_garbage *g)
{
    ml_notify_senders_changed(p, g);
}

/* --- sources --------------------------------------------------------------------------------- */

static bool watch(int epoll, int fd, uint64_t what)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = what};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return true;
    ml_refused("epoll_ctl", errno);
    return false;
}

static uint64_t source_event(const struct ml_receiver *r, uint32_t slot)
{
    return (uint64_t)r->sources[slot].generation << 32 | (slot + EVENT_SOURCE_FIRST);
}

static bool make_epoll(struct ml_receiver *r)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        ml_refused("epoll_create1", errno);
        return false;
    }
    bool ok = r->rx < 0 || watch(epoll, r->rx, EVENT_CHANNEL);
    for (uint32_t i = 0; ok && i < r->n_slots; i++)
        if (r->sources[i].kind != ML_SOURCE_FREE)
            ok = watch(epoll, r->sources[i].fd, source_event(r, i));
    if (!ok) {
        int error = errno;
        close(epoll);
        errno = error;
        return false;
    }
    r->epoll = epoll;
    if (r->stash != NULL)
        show_stash(r);
    return true;
}

int ml_receiver_epoll(struct ml_receiver *r)
{
    if (r->epoll >= 0 && !r->behind)
        return r->epoll;
    if (r->epoll < 0 && !make_epoll(r))
        return -1;
    r->behind = !ml_sets_follow(r);
    return r->behind ? -1 : r->epoll;
}

int ml_receiver_watched(struct ml_receiver *r)
{
    bool plain = r->epoll < 0 && r->n_sources == 0 && r->stash == NULL;
    return plain ? r->rx : ml_receiver_epoll(r);
}

void ml_receiver_severed(struct ml_receiver *r)
{
    if (r->memberships != NULL && ml_receiver_epoll(r) >= 0)
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, r->rx, NULL);
}

static bool slot_allocate(struct ml_receiver *r, uint32_t *slot)
{
    if (r->free_slot == UINT32_MAX) {
        uint32_t n = r->n_slots ? r->n_slots * 2 : 4;
        struct ml_source *grown = realloc(r->sources, n * sizeof *grown);
        if (grown == NULL)
            return false;
        for (uint32_t i = r->n_slots; i < n; i++)
            grown[i] = (struct ml_source){.fd = -1, .next_free = i + 1 < n ? i + 1 : UINT32_MAX};
        r->free_slot = r->n_slots;
        r->sources = grown;
        r->n_slots = n;
    }
    *slot = r->free_slot;
    r->free_slot = r->sources[*slot].next_free;
    return true;
}

/* `over`: its channel is empty and nobody can send there any more. */
static void slot_free(struct ml_receiver *r, uint32_t slot, bool over)
{
    struct ml_source *s = &r->sources[slot];
    /* Closing alone would do if nobody else had it. Whoever moved the receive right here may have
     * kept a duplicate, and its hang-up would then be reported for ever. */
    if (r->epoll >= 0)
        (void)epoll_ctl(r->epoll, EPOLL_CTL_DEL, s->fd, NULL);
    if (!over)
        ml_channel_end(s->fd); /* what lies behind the one message might close slowly */
    close(s->fd);
    *s = (struct ml_source){.fd = -1, .generation = s->generation + 1, .next_free = r->free_slot};
    r->free_slot = slot;
    r->n_sources--;
}

static bool add_source(struct ml_receiver *r, int fd, uint64_t *event, struct ml_garbage *g)
{
    uint32_t slot;
    bool ok = false;

    pthread_mutex_lock(&r->lock);
    /* A right that is in a message has no epoll; it gets one when it is used again. */
    if (slot_allocate(r, &slot)) {
        struct ml_source *s = &r->sources[slot];
        s->kind = ML_SOURCE_SEND_ONCE;
        s->fd = fd;
        r->n_sources++;
        *event = source_event(r, slot);
        if (r->epoll >= 0)
            ok = watch(r->epoll, fd, *event);
        else
            ok = r->port == NULL || ml_receiver_epoll(r) >= 0;
        if (!ok)
            slot_free(r, slot, false);
    } else {
        ml_garbage_add(g, fd);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool ml_receiver_add_source(struct ml_receiver *r, int fd, struct ml_garbage *g)
{
    uint64_t event;
    return add_source(r, fd, &event, g);
}

kern_return_t ml_receiver_make_send_once(struct ml_receiver *r, struct ml_port **out,
                                         uint64_t *source, struct ml_garbage *g)
{
    uint64_t cookie;
    int pair[2];

    if (ml_channel_create(pair, &cookie) != 0)
        return KERN_RESOURCE_SHORTAGE;
    struct ml_port *p = ml_port_adopt(ML_SEND_ONCE, pair[0], -1, cookie, g);
    if (p == NULL) {
        ml_garbage_add(g, pair[1]);
        return KERN_RESOURCE_SHORTAGE;
    }
    if (!add_source(r, pair[1], source, g)) {
        ml_port_release(p, g);
        return KERN_RESOURCE_SHORTAGE;
    }
    *out = p;
    return KERN_SUCCESS;
}

void ml_receiver_unmake_send_once(struct ml_receiver *r, const struct ml_port *once,
                                  uint64_t source)
{
    uint32_t slot = (uint32_t)source - EVENT_SOURCE_FIRST;
    pthread_mutex_lock(&r->lock);
    /* It is known by its number unless the receive right has been elsewhere meanwhile. */
    if (slot < r->n_slots && r->sources[slot].kind != ML_SOURCE_FREE &&
        source_event(r, slot) == source && ml_channel_matches(once->tx, r->sources[slot].fd))
        slot_free(r, slot, false);
    pthread_mutex_unlock(&r->lock);
}

/* --- the queue ------------------------------------------------------------------------------- */

/* One send-once channel is ready: its message, or the news that there will be none. */
static int read_source(struct ml_receiver *r, uint32_t slot, struct ml_packet *packet)
{
    bool over;
    int error = ml_packet_read_only(r->sources[slot].fd, packet, &over);
    if (error == EAGAIN)
        return EAGAIN;
    /* A packet that was no message uses the right up as a message would. */
    slot_free(r, slot, over);
    if (error == EPIPE || error == EBADMSG)
        error = ml_packet_make_kernel(packet, MACH_NOTIFY_SEND_ONCE) ? 0 : ENOMEM;
    packet->via = MACH_MSG_TYPE_PORT_SEND_ONCE;
    return error;
}

static int read_channel(struct ml_receiver *r, struct ml_packet *packet)
{
    int error = ml_packet_read(r->rx, packet);
    packet->via = MACH_MSG_TYPE_PORT_SEND;
    return error;
}

static int read_ready(struct ml_receiver *r, struct ml_packet *packet)
{
    for (;;) {
        struct epoll_event event;
        int n = epoll_wait(r->epoll, &event, 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : EAGAIN;
        uint32_t what = (uint32_t)event.data.u64, generation = (uint32_t)(event.data.u64 >> 32);
        int error = EAGAIN;
        if (what == EVENT_CHANNEL) {
            error = read_channel(r, packet);
        } else if (what >= EVENT_SOURCE_FIRST && what - EVENT_SOURCE_FIRST < r->n_slots) {
            uint32_t slot = what - EVENT_SOURCE_FIRST;
            if (r->sources[slot].kind != ML_SOURCE_FREE &&
                r->sources[slot].generation == generation)
                error = read_source(r, slot, packet);
        }
        if (error != EAGAIN)
            return error;
    }
}

int ml_receiver_next(struct ml_receiver *r, struct ml_packet *packet)
{
    if (r->stash != NULL) {
        struct ml_stash *s = r->stash;
        r->stash = s->next;
        if (r->stash == NULL)
            show_stash(r);
        bool copied = ml_packet_unstash(packet, &s->packet);
        free(s);
        return copied ? 0 : ENOMEM;
    }
    /* Without sources the channel is asked directly: one system call less. */
    if (r->n_sources == 0)
        return read_channel(r, packet);
    if (ml_receiver_epoll(r) < 0)
        return errno;
    return read_ready(r, packet);
}

/* The size of the packet that lies `offset` bytes into a channel, which is not disturbed: shown
 * without a place for descriptors it keeps them. At most 0: there is none. */
static ssize_t peek(int rx, int offset)
{
    uint8_t byte;
    if (setsockopt(rx, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) != 0)
        return -1;
    return recv(rx, &byte, sizeof byte, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
}

uint32_t ml_receiver_count(struct ml_receiver *r)
{
    const int off = -1;
    uint32_t n = 0;

    for (const struct ml_stash *s = r->stash; s != NULL; s = s->next)
        n++;
    for (uint32_t i = 0; i < r->n_slots; i++) {
        struct pollfd p = {.fd = r->sources[i].fd, .events = POLLIN};
        n += r->sources[i].kind != ML_SOURCE_FREE && poll(&p, 1, 0) == 1;
    }
    int offset = 0;
    for (ssize_t size; (size = peek(r->rx, offset)) > 0; n++)
        offset += (int)size;
    (void)setsockopt(r->rx, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof off);
    return n;
}

bool ml_receiver_has_queued(struct ml_receiver *r)
{
    uint8_t byte;
    return r->stash != NULL || recv(r->rx, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static int stash_at(struct ml_stash **where, struct ml_packet *packet)
{
    struct ml_stash *s = malloc(sizeof *s + packet->size);
    if (s == NULL) {
        ml_packet_drop(packet);
        return ENOMEM;
    }
    s->packet = *packet;
    s->packet.bytes = (uint8_t *)(s + 1);
    memcpy(s->packet.bytes, packet->bytes, packet->size);
    s->next = *where;
    *where = s;
    s->packet.heap = NULL;
    packet->n_fds = 0; /* they are the stash's now */
    packet->file = -1;
    packet->chained = NULL;
    return 0;
}

int ml_receiver_stash(struct ml_receiver *r, struct ml_packet *packet)
{
    /* A set that watches the channel alone would not see it. */
    if (r->memberships != NULL && ml_receiver_epoll(r) < 0) {
        ml_packet_drop(packet);
        return ENOMEM;
    }
    int error = stash_at(&r->stash, packet);
    if (error == 0)
        show_stash(r);
    return error;
}

int ml_receiver_stash_last(struct ml_receiver *r, struct ml_packet *packet)
{
    struct ml_stash **last = &r->stash;
    while (*last != NULL)
        last = &(*last)->next;
    return stash_at(last, packet);
}
