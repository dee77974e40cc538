/*
 * The watcher: one thread, started when it is first needed, that acts when a descriptor of this
 * process becomes ready: a port with a dead-name request hangs up, a senders' pipe closes, somebody
 * looks up a bootstrap name. It runs with all signals blocked and is not inherited by a forked
 * child.
 */
#ifndef ML_WATCHER_H
#define ML_WATCHER_H

#include <stdint.h>

#include "fds.h"

/* Called with the space's lock held, once an event until the watch is removed. */
typedef void (*ml_watch_fire)(uint64_t watch, void *context, struct ml_garbage *g);

/* The space's lock is held in all of these. 0: no descriptor, thread or memory was to be had. The
 * descriptor must stay open until the watch is removed, and be watched once only. `events` are
 * epoll's. */
uint64_t ml_watch_add(int fd, uint32_t events, ml_watch_fire fire, void *context);
void ml_watch_remove(uint64_t watch);
/* For who is called and cannot do now what the event asks for: it is told again a little later. */
void ml_watch_pause(void);
void ml_watch_reset_in_child(struct ml_garbage *g);

#endif
