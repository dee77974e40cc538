/*
 * The queue of a receive right: see queue.h.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "pipes.h"
#include "queue.h"
#include "refusal.h"
#include "reject.h"
#include "sets.h"

/* What an epoll event's data says. Sources are slot + SOURCE_FIRST, with the generation above. */
enum { EVENT_CHANNEL = 0, EVENT_WAKE = 1, EVENT_SOURCE_FIRST = 2 };

/* --- waking ---------------------------------------------------------------------------------- */

static int wake_fd = -1; /* an eventfd that is always readable */
static pthread_once_t wake_once = PTHREAD_ONCE_INIT;

static void wake_open(void)
{
    wake_fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    ml_pipe_prepare(); /* with the first port */
}

bool ml_queue_possible(void)
{
    pthread_once(&wake_once, wake_open);
    return wake_fd >= 0;
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
        ml_close(epoll);
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
    if (!over) /* what lies behind the one message might close slowly */
        ml_channel_end(s->fd, !s->foreign);
    ml_close(s->fd);
    *s = (struct ml_source){.fd = -1, .generation = s->generation + 1, .next_free = r->free_slot};
    r->free_slot = slot;
    r->n_sources--;
}

static bool add_source(struct ml_receiver *r, int fd, bool foreign, uint64_t *event,
                       struct ml_garbage *g)
{
    uint32_t slot;
    bool ok = false;

    pthread_mutex_lock(&r->lock);
    /* A right that is in a message has no epoll; it gets one when it is used again. */
    if (slot_allocate(r, &slot)) {
        struct ml_source *s = &r->sources[slot];
        s->kind = ML_SOURCE_SEND_ONCE;
        s->foreign = foreign;
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
        ml_channel_end(fd, !foreign);
        ml_garbage_add(g, fd);
    }
    pthread_mutex_unlock(&r->lock);
    return ok;
}

bool ml_receiver_hears(struct ml_receiver *r, const struct ml_port *once)
{
    bool hears = false;
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; !hears && i < r->n_slots; i++)
        hears =
            r->sources[i].kind != ML_SOURCE_FREE && ml_channel_matches(once->tx, r->sources[i].fd);
    pthread_mutex_unlock(&r->lock);
    return hears;
}

bool ml_receiver_add_source(struct ml_receiver *r, int fd, struct ml_garbage *g)
{
    uint64_t event;
    return add_source(r, fd, true, &event, g);
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
    if (!add_source(r, pair[1], false, source, g)) {
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

/* --- messages -------------------------------------------------------------------------------- */

/* One send-once channel is ready: its message, or the news that there will be none. */
static int read_source(struct ml_receiver *r, uint32_t slot, struct ml_packet *packet)
{
    bool over;
    int error = ml_packet_read_only(r->sources[slot].fd, packet, &over);
    if (error == EAGAIN)
        return EAGAIN;
    /* Of another's former channel a packet without content may look like the end: see reject.c. */
    over = over && !r->sources[slot].foreign;
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
    /* The kernel has send-once rights. What looks like it here was sent for somebody who gave a
     * port of this process's for one. */
    packet->kernel = false;
    return error;
}

static int read_ready(struct ml_receiver *r, struct ml_packet *packet)
{
    for (;;) {
        struct epoll_event event;
        int n = ml_epoll_wait(r->epoll, &event, 1, 0);
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
    return ml_recv(rx, &byte, sizeof byte, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
}

uint32_t ml_receiver_count(struct ml_receiver *r)
{
    const int off = -1;
    uint32_t n = 0;

    for (const struct ml_stash *s = r->stash; s != NULL; s = s->next)
        n++;
    for (uint32_t i = 0; i < r->n_slots; i++) {
        struct pollfd p = {.fd = r->sources[i].fd, .events = POLLIN};
        n += r->sources[i].kind != ML_SOURCE_FREE && ml_poll(&p, 1, 0) == 1;
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
    return r->stash != NULL || ml_recv(r->rx, &byte, sizeof byte, MSG_PEEK | MSG_DONTWAIT) > 0;
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
    s->packet.mapped = s->packet.heap = NULL;
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

/* --- the queue as a whole -------------------------------------------------------------------- */

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

/* `shared`: the messages go on elsewhere, with duplicates of their descriptors. */
static void drop_stash(struct ml_receiver *r, bool shared)
{
    while (r->stash != NULL) {
        struct ml_stash *s = r->stash;
        r->stash = s->next;
        if (shared) {
            ml_close_shared(ml_packet_fds(&s->packet), s->packet.n_fds);
            s->packet.n_fds = 0;
        }
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

void ml_queue_close(struct ml_receiver *r, bool handed_on, struct ml_garbage *g)
{
    pthread_mutex_lock(&r->lock);
    end_waits(r);
    if (r->rx >= 0) {
        /* A child between fork and exec may hold duplicates, and a port must not outlive its
         * destruction by that: shut it down for all of them. Not if it goes on elsewhere. */
        if (!handed_on)
            ml_channel_end(r->rx, !r->foreign);
        ml_garbage_add(g, r->rx);
        r->rx = -1;
    }
    if (!handed_on)
        for (uint32_t i = 0; i < r->n_slots; i++)
            if (r->sources[i].kind != ML_SOURCE_FREE)
                ml_channel_end(r->sources[i].fd, !r->sources[i].foreign);
    close_sources(r, g);
    drop_stash(r, handed_on);
    pthread_mutex_unlock(&r->lock);
}

void ml_queue_end_foreign(struct ml_receiver *r)
{
    pthread_mutex_lock(&r->lock);
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->sources[i].kind != ML_SOURCE_FREE && r->sources[i].foreign)
            ml_channel_end(r->sources[i].fd, false);
    drop_stash(r, false);
    pthread_mutex_unlock(&r->lock);
}

void ml_queue_move(struct ml_receiver *from, struct ml_receiver *to)
{
    pthread_mutex_lock(&from->lock);
    end_waits(from); /* before the queue is gone: nobody is to look for it */
    if (from->epoll >= 0) {
        (void)epoll_ctl(from->epoll, EPOLL_CTL_DEL, from->rx, NULL);
        for (uint32_t i = 0; i < from->n_slots; i++)
            if (from->sources[i].kind != ML_SOURCE_FREE)
                (void)epoll_ctl(from->epoll, EPOLL_CTL_DEL, from->sources[i].fd, NULL);
    }
    to->rx = from->rx;
    to->foreign = from->foreign;
    to->stash = from->stash;
    to->sources = from->sources;
    to->n_slots = from->n_slots;
    to->n_sources = from->n_sources;
    to->free_slot = from->free_slot;
    from->rx = -1;
    from->stash = NULL;
    from->sources = NULL;
    from->n_slots = from->n_sources = 0;
    pthread_mutex_unlock(&from->lock);
}

void ml_queue_abandon_stash(struct ml_receiver *r, struct ml_garbage *g)
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
