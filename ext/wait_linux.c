/* Waiting on Linux: mach_linux can wait for a port and for descriptors in one poll. A waiter owns
 * nothing here. */
#include "wait.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <mach_linux.h>

void waiter_init(struct waiter *waiter, int cancel_fd, int peer_fd)
{
    *waiter = (struct waiter){.cancel_fd = cancel_fd, .peer_fd = peer_fd, .kernel_queue = -1};
}

void waiter_release(struct waiter *waiter)
{
    (void)waiter;
}

bool peer_is_at_end(int fd)
{
    int unread = 0;
    return ioctl(fd, FIONREAD, &unread) < 0 || unread == 0;
}

static void peer_update(struct waiter *waiter, short events)
{
    if (events & (POLLHUP | POLLERR | POLLNVAL) ||
        (events & POLLIN && peer_is_at_end(waiter->peer_fd)))
        waiter->peer_gone = true;
    else if (events & POLLIN)
        waiter->peer_has_data = true;
}

mach_msg_return_t waiter_wait(struct waiter *waiter, mach_port_name_t port, uint32_t timeout_ms)
{
    struct pollfd extra[2];
    unsigned count = 0;
    int ready = 0;
    if (waiter->cancel_fd >= 0)
        extra[count++] = (struct pollfd){.fd = waiter->cancel_fd, .events = POLLIN};
    if (waiter->peer_fd >= 0) {
        short events = waiter->peer_has_data ? 0 : POLLIN;
        extra[count++] = (struct pollfd){.fd = waiter->peer_fd, .events = events};
    }
    int timeout = timeout_ms > INT32_MAX ? -1 : (int)timeout_ms;
    mach_msg_return_t mr = mach_linux_wait(port, extra, count, timeout, &ready);
    if (mr == MACH_MSG_SUCCESS && waiter->peer_fd >= 0)
        peer_update(waiter, extra[count - 1].revents);
    return mr;
}

kern_return_t port_descriptor_make(mach_port_name_t port, int *fd)
{
    return mach_linux_port_fd(port, fd);
}

void port_descriptor_release(int fd, bool forked)
{
    (void)forked; /* the child has a copy of its own, to close like any other */
    close(fd);
}

int wake_make(int ends[2])
{
    ends[0] = ends[1] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return ends[0] < 0 ? -1 : 0;
}

void wake_signal(int write_end)
{
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(write_end, &one, sizeof one);
    while (written < 0 && errno == EINTR);
}

void wake_release(int ends[2])
{
    close(ends[0]);
}

int wake_join(void)
{
    return epoll_create1(EPOLL_CLOEXEC);
}

int wake_join_add(int joined, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int result = epoll_ctl(joined, EPOLL_CTL_ADD, fd, &event);
    return result < 0 && errno == EEXIST ? 0 : result;
}
