/*
 * Waiting on a port and descriptors together: see mach_linux.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "mach_linux.h"
#include "calls.h"
#include "message.h"
#include "queue.h"
#include "recent.h"
#include "refusal.h"
#include "sets.h"

/* What a wait is about: one of the two, with a reference. */
struct target {
    struct ml_receiver *receiver;
    struct ml_pset *set;
};

/* Finds the epoll descriptor of `name`, making it if need be; borrowed from the target. −1: *kr.
 * `watched`: it is to be duplicated. */
static int target_open(mach_port_name_t name, bool watched, struct target *t, kern_return_t *kr)
{
    ML_GARBAGE(g);
    int epoll = -1;
    *t = (struct target){0};
    ml_lock();
    struct ml_entry *e = ml_entry_lookup(name);
    *kr = e == NULL ? KERN_INVALID_NAME : KERN_INVALID_RIGHT;
    if (e != NULL && e->kind == ML_SET) {
        t->set = ml_set_retain(e->set);
        epoll = ml_set_epoll(e->set);
    } else if (e != NULL && e->kind == ML_SEND_RECEIVE && e->port->receiver != NULL) {
        t->receiver = e->port->receiver;
        t->receiver->refs++;
        t->receiver->watched |= watched;
        ml_recent_end(t->receiver, &g);
        pthread_mutex_lock(&t->receiver->lock);
        epoll = ml_receiver_epoll(t->receiver);
        pthread_mutex_unlock(&t->receiver->lock);
        *kr = KERN_RESOURCE_SHORTAGE;
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return epoll;
}

/* Gives the references up. Is what was waited for still there? */
static bool target_close(struct target *t)
{
    ML_GARBAGE(g);
    bool alive = true;
    ml_lock();
    if (t->set != NULL) {
        alive = ml_set_alive(t->set);
        ml_set_release(t->set, &g);
    }
    if (t->receiver != NULL) {
        alive = t->receiver->alive;
        ml_receiver_release(t->receiver, &g);
    }
    ml_unlock();
    ml_garbage_flush(&g);
    return alive;
}

mach_msg_return_t mach_linux_wait(mach_port_name_t name, struct pollfd *extra, unsigned n,
                                  int timeout_ms, int *ready)
{
    struct pollfd fds[1 + MACH_LINUX_WAIT_MAX];
    struct target t;
    kern_return_t kr;

    *ready = 0;
    if (n > MACH_LINUX_WAIT_MAX)
        return MACH_RCV_INVALID_NAME;
    int epoll = target_open(name, false, &t, &kr);
    if (epoll < 0) {
        (void)target_close(&t);
        return kr == KERN_RESOURCE_SHORTAGE ? MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL
                                            : MACH_RCV_INVALID_NAME;
    }
    fds[0] = (struct pollfd){.fd = epoll, .events = POLLIN};
    if (n != 0)
        memcpy(fds + 1, extra, n * sizeof *extra);
    int got = ml_poll(fds, 1 + n, timeout_ms);
    int error = errno;
    if (!target_close(&t))
        return MACH_RCV_PORT_CHANGED;
    if (got < 0)
        return error == EINTR ? MACH_RCV_INTERRUPTED : MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
    if (got == 0)
        return MACH_RCV_TIMED_OUT;
    *ready = fds[0].revents != 0;
    for (unsigned i = 0; i < n; i++)
        extra[i].revents = fds[1 + i].revents;
    return MACH_MSG_SUCCESS;
}

kern_return_t mach_linux_port_fd(mach_port_name_t name, int *fd)
{
    struct target t;
    kern_return_t kr;
    int epoll = target_open(name, true, &t, &kr);
    *fd = epoll < 0 ? -1 : fcntl(epoll, F_DUPFD_CLOEXEC, 0);
    if (epoll >= 0 && *fd < 0)
        ml_refused("fcntl", errno);
    (void)target_close(&t);
    return *fd >= 0 ? KERN_SUCCESS : epoll < 0 ? kr : KERN_RESOURCE_SHORTAGE;
}
