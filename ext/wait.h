/* Waiting for a message together with other things: a CancelToken, and a descriptor that tells of
 * the peer's death. Each platform has its own half, wait_linux.c and wait_darwin.c; none of these
 * functions touches Python, so they are called without the GIL. */
#ifndef CHILD_PORT_WAIT_H
#define CHILD_PORT_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include <mach/mach.h>

/* A timeout_ms that never passes. */
#define WAIT_NEVER UINT32_MAX

/* One call's wait. The caller owns both descriptors; the waiter owns what the platform needs. */
struct waiter {
    int cancel_fd; /* readable once cancelled; -1: none */
    int peer_fd;   /* at its end, or readable without data, once the peer is gone; -1: none */
    bool peer_gone;
    bool peer_has_data; /* the peer wrote something: only a hang-up counts from now on */
    int kernel_queue;   /* darwin: the kqueue, made by the first wait */
};

void waiter_init(struct waiter *waiter, int cancel_fd, int peer_fd);
void waiter_release(struct waiter *waiter);

/* Returns MACH_MSG_SUCCESS when it is worth looking again: a message may wait at `port`, the token
 * was cancelled, or waiter->peer_gone has become true. Else MACH_RCV_TIMED_OUT,
 * MACH_RCV_INTERRUPTED (a signal), MACH_RCV_PORT_CHANGED, MACH_RCV_INVALID_NAME. */
mach_msg_return_t waiter_wait(struct waiter *waiter, mach_port_name_t port, uint32_t timeout_ms);

/* `fd` is readable: is that the end of the stream rather than data? Something that has no notion of
 * data to read (a pidfd, a kqueue, an eventfd) is readable because what it stands for happened. */
bool peer_is_at_end(int fd);

/* A new descriptor that polls readable while a message may wait at `port`; the caller owns it. */
kern_return_t port_descriptor_make(mach_port_name_t port, int *fd);
/* `forked`: it was made before a fork, in the parent. */
void port_descriptor_release(int fd, bool forked);

/* The two ends of a wake-up, [0] to wait on and [1] to write to, the same one twice on Linux; the
 * caller owns them. 0, or -1 with errno. */
int wake_make(int ends[2]);
void wake_signal(int write_end);
void wake_release(int ends[2]);

/* A descriptor that polls readable while one of those is that are added to it; -1 with errno. The
 * caller owns it, and ends it with port_descriptor_release(). It keeps none of them open. */
int wake_join(void);
int wake_join_add(int joined, int fd);

#endif
