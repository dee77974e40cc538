/*
 * The watcher: see watcher.h. A watch is slot | generation << 32, with slot 0 never used.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "calls.h"
#include "refusal.h"
#include "space.h"
#include "watcher.h"

struct watch {
    ml_watch_fire fire; /* NULL: free */
    void *context;
    int fd;
    uint32_t generation;
};

static struct {
    bool started;
    bool paused; /* somebody could not do what an event asks for */
    int epoll;
    struct watch *watches;
    uint32_t n;
} watcher;

/* Events are told as long as they last. One that is left for later is not to keep this thread busy
 * meanwhile. */
static void pause_a_little(void)
{
    const struct timespec t = {.tv_nsec = 10000000};
    (void)nanosleep(&t, NULL);
}

static void handle(uint64_t id)
{
    ML_GARBAGE(g);
    uint32_t slot = (uint32_t)id;
    ml_lock();
    if (slot < watcher.n) {
        struct watch w = watcher.watches[slot];
        if (w.fire != NULL && w.generation == (uint32_t)(id >> 32))
            w.fire(id, w.context, &g);
    }
    bool paused = watcher.paused;
    watcher.paused = false;
    ml_unlock();
    ml_garbage_flush(&g);
    if (paused)
        pause_a_little();
}

static void *run(void *arg)
{
    int epoll = (int)(intptr_t)arg;
    for (;;) {
        struct epoll_event events[16];
        int n = ml_epoll_wait(epoll, events, 16, -1);
        if (n < 0 && errno != EINTR)
            return NULL;
        for (int i = 0; i < n; i++)
            handle(events[i].data.u64);
    }
}

static bool start_thread(int epoll)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;

    if (pthread_attr_init(&attr) != 0)
        return false;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, 256 * 1024);
    sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = pthread_create(&thread, &attr, run, (void *)(intptr_t)epoll) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return started;
}

static bool start(void)
{
    ML_GARBAGE(g);
    if (watcher.started)
        return true;
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        ml_refused("epoll_create1", errno);
        return false;
    }
    if (!start_thread(epoll)) {
        ml_refused("pthread_create", ENOMEM);
        ml_garbage_add(&g, epoll);
        ml_garbage_flush(&g);
        return false;
    }
    watcher.epoll = epoll;
    watcher.started = true;
    return true;
}

static uint32_t free_slot(void)
{
    for (uint32_t i = 1; i < watcher.n; i++)
        if (watcher.watches[i].fire == NULL)
            return i;
    uint32_t n = watcher.n ? watcher.n * 2 : 8;
    struct watch *grown = realloc(watcher.watches, n * sizeof *grown);
    if (grown == NULL)
        return 0;
    memset(grown + watcher.n, 0, (n - watcher.n) * sizeof *grown);
    uint32_t slot = watcher.n ? watcher.n : 1;
    watcher.watches = grown;
    watcher.n = n;
    return slot;
}

uint64_t ml_watch_add(int fd, uint32_t events, ml_watch_fire fire, void *context)
{
    uint32_t slot = start() ? free_slot() : 0;
    if (slot == 0)
        return 0;
    struct watch *w = &watcher.watches[slot];
    uint64_t id = (uint64_t)w->generation << 32 | slot;
    struct epoll_event event = {.events = events, .data.u64 = id};
    if (epoll_ctl(watcher.epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return 0;
    w->fire = fire;
    w->context = context;
    w->fd = fd;
    return id;
}

void ml_watch_remove(uint64_t watch)
{
    uint32_t slot = (uint32_t)watch;
    if (slot == 0 || slot >= watcher.n ||
        watcher.watches[slot].generation != (uint32_t)(watch >> 32))
        return;
    struct watch *w = &watcher.watches[slot];
    (void)epoll_ctl(watcher.epoll, EPOLL_CTL_DEL, w->fd, NULL);
    *w = (struct watch){.generation = w->generation + 1};
}

void ml_watch_pause(void)
{
    watcher.paused = true;
}

void ml_watch_reset_in_child(struct ml_garbage *g)
{
    if (watcher.started)
        ml_garbage_add(g, watcher.epoll);
    free(watcher.watches);
    memset(&watcher, 0, sizeof watcher);
}
