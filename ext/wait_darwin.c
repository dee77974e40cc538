/* Waiting on macOS: a private kqueue with EVFILT_MACHPORT for the port and EVFILT_READ for the
 * descriptors. A waiter owns its kqueue, made by the first wait that really blocks.
 *
 * EVFILT_MACHPORT only detects here (no fflags); the message is received by mach_msg as usual. It
 * is level-triggered, so nothing need be drained. The peer's descriptor is edge-triggered
 * (EV_CLEAR): data that nobody reads must not keep the wait awake, its end must.
 *
 * That descriptor may be the write end of a pipe, whose reader is the peer. EVFILT_READ is the
 * filter for it, too (bsd/kern/sys_pipe.c in XNU). In newer kernels pipe_kqfilter gives the wrong
 * end of a pipe a filter that fires when the pipe dies and at nothing else. In older ones the
 * filter looks at the write end's own buffer, which is always empty, and its PIPE_EOF, which
 * pipeclose of the read end sets and posts. Both tell it as EV_EOF. EVFILT_WRITE would fire for
 * room to write. */
#include "wait.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <sys/ioctl.h>
#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

void waiter_init(struct waiter *waiter, int cancel_fd, int peer_fd)
{
    *waiter = (struct waiter){.cancel_fd = cancel_fd, .peer_fd = peer_fd, .kernel_queue = -1};
}

void waiter_release(struct waiter *waiter)
{
    if (waiter->kernel_queue >= 0)
        close(waiter->kernel_queue);
    waiter->kernel_queue = -1;
}

bool peer_is_at_end(int fd)
{
    int unread = 0;
    return ioctl(fd, FIONREAD, &unread) < 0 || unread == 0;
}

/* A kqueue is not inherited over fork; close-on-exec is for posix_spawn and exec without fork. */
static int kernel_queue_make(void)
{
    int queue = kqueue();
    if (queue >= 0)
        (void)fcntl(queue, F_SETFD, FD_CLOEXEC);
    return queue;
}

static int kernel_queue_add(int queue, uintptr_t ident, int16_t filter, uint16_t flags)
{
    struct kevent change;
    EV_SET(&change, ident, filter, (uint16_t)(EV_ADD | flags), 0, 0, NULL);
    return kevent(queue, &change, 1, NULL, 0, NULL);
}

static mach_msg_return_t waiter_prepare(struct waiter *waiter, mach_port_name_t port)
{
    if (waiter->kernel_queue >= 0)
        return MACH_MSG_SUCCESS;
    int queue = kernel_queue_make();
    if (queue < 0)
        return KERN_RESOURCE_SHORTAGE;
    waiter->kernel_queue = queue;
    if (kernel_queue_add(queue, port, EVFILT_MACHPORT, 0) < 0)
        return errno == ENOMEM ? KERN_RESOURCE_SHORTAGE : MACH_RCV_INVALID_NAME;
    if (waiter->cancel_fd >= 0 &&
        kernel_queue_add(queue, (uintptr_t)waiter->cancel_fd, EVFILT_READ, 0) < 0)
        return KERN_RESOURCE_SHORTAGE;
    /* What cannot be watched any more (closed meanwhile) is as good as gone. */
    if (waiter->peer_fd >= 0 &&
        kernel_queue_add(queue, (uintptr_t)waiter->peer_fd, EVFILT_READ, EV_CLEAR) < 0)
        waiter->peer_gone = true;
    return MACH_MSG_SUCCESS;
}

static mach_msg_return_t waiter_note(struct waiter *waiter, const struct kevent *event)
{
    if (event->filter == EVFILT_MACHPORT)
        return event->flags & (EV_EOF | EV_ERROR) ? MACH_RCV_PORT_CHANGED : MACH_MSG_SUCCESS;
    if (event->ident != (uintptr_t)waiter->peer_fd)
        return MACH_MSG_SUCCESS;
    if ((event->flags & (EV_EOF | EV_ERROR)) || peer_is_at_end(waiter->peer_fd))
        waiter->peer_gone = true;
    else
        waiter->peer_has_data = true;
    return MACH_MSG_SUCCESS;
}

mach_msg_return_t waiter_wait(struct waiter *waiter, mach_port_name_t port, uint32_t timeout_ms)
{
    mach_msg_return_t mr = waiter_prepare(waiter, port);
    if (mr != MACH_MSG_SUCCESS || waiter->peer_gone)
        return mr;
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    struct kevent events[3];
    int count = kevent(waiter->kernel_queue, NULL, 0, events, 3,
                       timeout_ms == WAIT_NEVER ? NULL : &timeout);
    if (count < 0)
        return errno == EINTR ? MACH_RCV_INTERRUPTED : MACH_RCV_PORT_CHANGED;
    if (count == 0)
        return MACH_RCV_TIMED_OUT;
    for (int i = 0; i < count && mr == MACH_MSG_SUCCESS; i++)
        mr = waiter_note(waiter, &events[i]);
    return mr;
}

kern_return_t port_descriptor_make(mach_port_name_t port, int *fd)
{
    int queue = kernel_queue_make();
    if (queue < 0)
        return KERN_RESOURCE_SHORTAGE;
    if (kernel_queue_add(queue, port, EVFILT_MACHPORT, 0) < 0) {
        close(queue);
        return KERN_INVALID_NAME;
    }
    *fd = queue;
    return KERN_SUCCESS;
}

void port_descriptor_release(int fd, bool forked)
{
    /* A fork does not copy a kqueue: in the child the number is free, or somebody else's. */
    if (!forked)
        close(fd);
}

int wake_make(int ends[2])
{
    if (pipe(ends) < 0)
        return -1;
    for (int i = 0; i < 2; i++) {
        (void)fcntl(ends[i], F_SETFD, FD_CLOEXEC);
        (void)fcntl(ends[i], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

void wake_signal(int write_end)
{
    ssize_t written;
    do
        written = write(write_end, "", 1);
    while (written < 0 && errno == EINTR);
}

void wake_release(int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

int wake_join(void)
{
    return kernel_queue_make();
}

int wake_join_add(int joined, int fd)
{
    return kernel_queue_add(joined, (uintptr_t)fd, EVFILT_READ, 0);
}
