/* kqueue and kevent over epoll.
 *
 * A kernel queue is an epoll descriptor, which is itself pollable, as Darwin's is. The table below
 * owns each queue's notes, and what a note needs of its own: the descriptor that mach_linux has for
 * a port, a pidfd. Descriptors of the caller's are watched, never owned, so that closing them has
 * its effect. A queue ends with darwin_close(), or with a fork, which on Darwin copies none.
 *
 * How each filter behaves was read in XNU 11417: bsd/kern/kern_event.c, bsd/kern/sys_pipe.c,
 * osfmk/ipc/ipc_pset.c. */
#include "darwin.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mach/mach.h>
#include <mach_linux.h>

#define EVFILT_READ (-1)
#define EVFILT_PROC (-5)
#define EVFILT_MACHPORT (-8)
#define EV_ADD 0x0001
#define EV_DELETE 0x0002
#define EV_ONESHOT 0x0010
#define EV_CLEAR 0x0020
#define EV_EOF 0x8000
#define NOTE_EXIT 0x80000000u

/* Darwin's struct kevent. */
struct kevent {
    uintptr_t ident;
    int16_t filter;
    uint16_t flags;
    uint32_t fflags;
    intptr_t data;
    void *udata;
};
_Static_assert(sizeof(struct kevent) == 32, "Darwin's struct kevent");

struct note {
    struct note *next;
    struct kevent registered;
    uint64_t serial; /* what epoll knows it by */
    int fd;          /* what epoll watches */
    bool owned;
};

struct kernel_queue {
    struct kernel_queue *next;
    struct note *notes;
    int fd;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kernel_queue *queues;
static uint64_t last_serial;

static struct kernel_queue *queue_find(int fd)
{
    struct kernel_queue *queue = queues;
    while (queue && queue->fd != fd)
        queue = queue->next;
    return queue;
}

static void note_release(struct note *note)
{
    if (note->owned)
        close(note->fd);
    free(note);
}

/* Takes the queue out of the table, with all its notes. */
static void queue_release(struct kernel_queue *queue)
{
    struct kernel_queue **at = &queues;
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    close(queue->fd);
    while (queue->notes) {
        struct note *note = queue->notes;
        queue->notes = note->next;
        note_release(note);
    }
    free(queue);
}

/* --- fork ------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
    while (queues)
        queue_release(queues);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* --- notes: what epoll is to watch ------------------------------------------------------------ */

/* The functions note_watch_* fill in fd and owned. 0, or the number of the error. */

static int note_watch_port(struct note *note)
{
    kern_return_t kr = mach_linux_port_fd((mach_port_name_t)note->registered.ident, &note->fd);
    note->owned = kr == KERN_SUCCESS;
    switch (kr) {
    case KERN_SUCCESS:
        return 0;
    case KERN_INVALID_NAME:
        return ENOENT;
    case KERN_INVALID_RIGHT:
        return EOPNOTSUPP;
    default:
        return ENOMEM;
    }
}

/* A process that has ended is not found any more, though nobody may have waited for it yet. */
static int note_watch_process(struct note *note)
{
    if (note->registered.fflags != NOTE_EXIT)
        unsupported("EVFILT_PROC with the notes", (long)note->registered.fflags);
    note->fd = (int)syscall(SYS_pidfd_open, (pid_t)note->registered.ident, 0);
    if (note->fd < 0)
        return errno;
    note->owned = true;
    struct pollfd ended = {.fd = note->fd, .events = POLLIN};
    if (poll(&ended, 1, 0) > 0)
        return ESRCH;
    note->registered.flags |= EV_CLEAR;
    return 0;
}

static int note_watch(struct note *note)
{
    switch (note->registered.filter) {
    case EVFILT_READ:
        note->fd = (int)note->registered.ident;
        return 0;
    case EVFILT_MACHPORT:
        if (note->registered.fflags)
            unsupported("EVFILT_MACHPORT that receives, with the options",
                        (long)note->registered.fflags);
        return note_watch_port(note);
    case EVFILT_PROC:
        return note_watch_process(note);
    default:
        unsupported("kqueue filter", note->registered.filter);
    }
}

/* Reading where one can only write is accepted, and tells of the end alone. */
static uint32_t epoll_events(const struct note *note)
{
    uint32_t events = note->registered.flags & EV_CLEAR ? EPOLLET : 0;
    int mode = fcntl(note->fd, F_GETFL);
    if (mode >= 0 && (mode & O_ACCMODE) == O_WRONLY)
        return events;
    return events | EPOLLIN | EPOLLRDHUP;
}

static int queue_add(struct kernel_queue *queue, const struct kevent *change)
{
    struct note *note = calloc(1, sizeof *note);
    if (!note)
        return ENOMEM;
    note->registered = *change;
    note->registered.flags &= (uint16_t)~EV_ADD;
    note->serial = ++last_serial;
    int error = note_watch(note);
    if (error == 0) {
        struct epoll_event event = {.events = epoll_events(note), .data.u64 = note->serial};
        error = epoll_ctl(queue->fd, EPOLL_CTL_ADD, note->fd, &event) < 0 ? errno : 0;
    }
    if (error == EEXIST)
        unsupported("second note for the descriptor", note->fd);
    if (error == EPERM)
        unsupported("EVFILT_READ of what epoll does not know, descriptor", note->fd);
    if (error) {
        note_release(note);
        return error;
    }
    note->next = queue->notes;
    queue->notes = note;
    return 0;
}

static void queue_remove(struct kernel_queue *queue, struct note *note)
{
    struct note **at = &queue->notes;
    while (*at != note)
        at = &(*at)->next;
    *at = note->next;
    (void)epoll_ctl(queue->fd, EPOLL_CTL_DEL, note->fd, NULL);
    note_release(note);
}

/* --- events ----------------------------------------------------------------------------------- */

static struct note *note_find(struct kernel_queue *queue, uint64_t serial)
{
    struct note *note = queue->notes;
    while (note && note->serial != serial)
        note = note->next;
    return note;
}

static bool port_is_gone(mach_port_name_t name)
{
    mach_port_type_t type;
    return mach_port_type(mach_task_self(), name, &type) != KERN_SUCCESS ||
           !(type & (MACH_PORT_TYPE_RECEIVE | MACH_PORT_TYPE_PORT_SET));
}

static struct kevent note_event(const struct note *note, uint32_t events)
{
    struct kevent event = note->registered;
    int unread = 0;
    switch (event.filter) {
    case EVFILT_READ:
        if (events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR))
            event.flags |= EV_EOF;
        event.data = ioctl(note->fd, FIONREAD, &unread) < 0 ? 0 : unread;
        break;
    case EVFILT_MACHPORT:
        /* Of a port set this would be the member, which mach_linux does not tell beforehand. */
        event.data = (intptr_t)event.ident;
        if (port_is_gone((mach_port_name_t)event.ident))
            event.flags |= EV_EOF | EV_ONESHOT;
        break;
    default: /* EVFILT_PROC */
        event.fflags = NOTE_EXIT;
        event.flags |= EV_EOF | EV_ONESHOT;
        break;
    }
    return event;
}

static int queue_take(int fd, const struct epoll_event *ready, int count, struct kevent *events)
{
    int taken = 0;
    pthread_mutex_lock(&lock);
    struct kernel_queue *queue = queue_find(fd);
    for (int i = 0; queue && i < count; i++) {
        struct note *note = note_find(queue, ready[i].data.u64);
        if (!note)
            continue;
        events[taken] = note_event(note, ready[i].events);
        if (events[taken].flags & EV_ONESHOT)
            queue_remove(queue, note);
        taken++;
    }
    pthread_mutex_unlock(&lock);
    return taken;
}

static int queue_change(struct kernel_queue *queue, const struct kevent *change)
{
    struct note *note = queue->notes;
    while (note &&
           (note->registered.ident != change->ident || note->registered.filter != change->filter))
        note = note->next;
    if (note)
        queue_remove(queue, note);
    switch (change->flags & ~EV_CLEAR) {
    case EV_ADD:
        return queue_add(queue, change);
    case EV_DELETE:
        return note ? 0 : ENOENT;
    default:
        unsupported("kevent flags", change->flags);
    }
}

/* Rounded up: a wait that ends early would be asked for again and again. */
static int milliseconds(const struct timespec *timeout)
{
    if (!timeout)
        return -1;
    if (timeout->tv_sec > INT_MAX / 1000 - 1)
        return INT_MAX;
    return (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000);
}

EXPORTED int darwin_kqueue(void)
{
    struct kernel_queue *queue = calloc(1, sizeof *queue);
    if (!queue)
        return errno_set_failure(ENOMEM);
    queue->fd = epoll_create1(EPOLL_CLOEXEC);
    if (queue->fd < 0) {
        free(queue);
        return errno_set_failure(errno);
    }
    pthread_mutex_lock(&lock);
    queue->next = queues;
    queues = queue;
    pthread_mutex_unlock(&lock);
    return queue->fd;
}

#define EVENTS_AT_ONCE 16

EXPORTED int darwin_kevent(int fd, const struct kevent *changes, int change_count,
                           struct kevent *events, int event_count, const struct timespec *timeout)
{
    struct epoll_event ready[EVENTS_AT_ONCE];
    int error = 0;
    pthread_mutex_lock(&lock);
    struct kernel_queue *queue = queue_find(fd);
    if (!queue)
        error = EBADF;
    for (int i = 0; i < change_count && !error; i++)
        error = queue_change(queue, &changes[i]);
    pthread_mutex_unlock(&lock);
    if (error && event_count)
        unsupported("failed change of a call that waits too, error", error);
    if (error)
        return errno_set_failure(error);
    if (event_count == 0)
        return 0;
    if (event_count > EVENTS_AT_ONCE)
        event_count = EVENTS_AT_ONCE;
    int count = epoll_wait(fd, ready, event_count, milliseconds(timeout));
    if (count < 0)
        return errno_set_failure(errno);
    return queue_take(fd, ready, count, events);
}

EXPORTED int kernel_queue_close(int fd)
{
    pthread_mutex_lock(&lock);
    struct kernel_queue *queue = queue_find(fd);
    if (queue)
        queue_release(queue);
    pthread_mutex_unlock(&lock);
    return queue != NULL;
}
