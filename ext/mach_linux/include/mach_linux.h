/*
 * What mach_linux adds to Apple's API: waiting on ports and descriptors together (on macOS a kqueue
 * with EVFILT_MACHPORT does this), looking a service up without waiting longer than one wants, and
 * what the Linux kernel refused.
 */
#ifndef MACH_LINUX_H
#define MACH_LINUX_H

#include <poll.h>

#include <mach/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most descriptors that mach_linux_wait() watches beside the port. */
#define MACH_LINUX_WAIT_MAX 6u

/*
 * Waits until `name`, a receive right or port set, may have a message, or one of extra[0..n) has
 * one of its events (poll(2)'s; revents are filled in), or timeout_ms milliseconds have passed (−1:
 * no limit), or a signal has been handled.
 *
 * MACH_MSG_SUCCESS: *ready says whether a message may be waiting; a receive may still find none.
 * MACH_RCV_TIMED_OUT, MACH_RCV_INTERRUPTED. MACH_RCV_INVALID_NAME: no such right, or n is too
 * large. MACH_RCV_PORT_CHANGED: it was destroyed or moved during the wait.
 */
mach_msg_return_t mach_linux_wait(mach_port_name_t name, struct pollfd *extra, unsigned n,
                                  int timeout_ms, int *ready);

/*
 * A descriptor that polls readable while a message may be waiting at `name`, a receive right or
 * port set. It is the caller's, close-on-exec, and for poll(2), select(2) and epoll(7) only. It
 * stays readable for ever once the right has gone. KERN_INVALID_NAME, KERN_INVALID_RIGHT,
 * KERN_RESOURCE_SHORTAGE.
 */
kern_return_t mach_linux_port_fd(mach_port_name_t name, int *fd);

/*
 * bootstrap_look_up() in two steps, neither of which blocks. Who serves a name answers, and is a
 * process that may be stopped; bootstrap_look_up() gives it up after ten seconds.
 *
 * The first asks: *fd, which is the caller's to close, polls readable once there is an answer or
 * will be none. Fails as bootstrap_look_up() does, and with MACH_SEND_TIMED_OUT if more ask than
 * wait for an answer at a time: try again later.
 *
 * The second takes the answer, as bootstrap_look_up() gives it; MACH_RCV_TIMED_OUT if there is none
 * yet. It leaves fd open.
 */
kern_return_t mach_linux_look_up_begin(const char *service_name, int *fd);
kern_return_t mach_linux_look_up_end(int fd, mach_port_t *sp);

/*
 * What this kernel or its sandbox lacks that Mach ports cannot do without, in a line; NULL when
 * they work. Where something is missing no port can be made: KERN_NOT_SUPPORTED. The library says
 * the same on standard error when a port is first made, unless this has been called before.
 */
const char *mach_linux_missing(void);

/*
 * Why the last call of this thread that failed with KERN_RESOURCE_SHORTAGE, KERN_NOT_SUPPORTED,
 * MACH_SEND_NO_BUFFER, MACH_SEND_TOO_LARGE, MACH_RCV_BODY_ERROR or BOOTSTRAP_NO_MEMORY did: the
 * call that was refused and the limit that was reached, in a line. NULL if there was none. The text
 * is the thread's, until the next call of either function.
 */
const char *mach_linux_reason(void);

/* The most descriptors that hold special and registered ports. */
#define MACH_LINUX_INHERITED_MAX 9u

/*
 * The descriptors that hold this task's special and registered ports: a program that is started by
 * exec has those ports if these are still open in it. They are not close-on-exec; this is for who
 * closes all others. They stay the library's, and are others after the next call that registers.
 * How many there are; up to n of them are written to fds.
 */
unsigned mach_linux_inherited_fds(int *fds, unsigned n);

#ifdef __cplusplus
}
#endif

#endif
