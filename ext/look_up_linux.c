/* Looking a service up on Linux: the process that serves the name answers, at a descriptor that is
 * polled together with the token's. A look-up owns that descriptor until it is released. */
#include "look_up.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <mach_linux.h>

/* Until it is tried again to ask where very many do. */
#define CROWDED_MS 20

void look_up_init(struct look_up *look_up, const char *name)
{
    *look_up = (struct look_up){.name = name, .question = -1};
}

void look_up_release(struct look_up *look_up)
{
    if (look_up->question >= 0)
        close(look_up->question);
    look_up->question = -1;
}

/* MACH_MSG_SUCCESS when it is worth looking for the answer. */
static mach_msg_return_t answer_wait(int question, int cancel_fd, uint32_t timeout_ms)
{
    struct pollfd fds[] = {{.fd = question, .events = POLLIN}, {.fd = cancel_fd, .events = POLLIN}};
    int ready = poll(fds, 2, timeout_ms > INT32_MAX ? -1 : (int)timeout_ms);
    if (ready == 0)
        return MACH_RCV_TIMED_OUT;
    if (ready < 0)
        return errno == EINTR ? MACH_RCV_INTERRUPTED : KERN_RESOURCE_SHORTAGE;
    return fds[1].revents != 0 ? MACH_RCV_INTERRUPTED : MACH_MSG_SUCCESS;
}

kern_return_t look_up_wait(struct look_up *look_up, int cancel_fd, uint32_t timeout_ms,
                           mach_port_t *service)
{
    kern_return_t kr = KERN_SUCCESS;
    if (look_up->question < 0)
        kr = mach_linux_look_up_begin(look_up->name, &look_up->question);
    if (kr == MACH_SEND_TIMED_OUT)
        return answer_wait(-1, cancel_fd, timeout_ms < CROWDED_MS ? timeout_ms : CROWDED_MS);
    if (kr != KERN_SUCCESS)
        return kr;
    kr = answer_wait(look_up->question, cancel_fd, timeout_ms);
    return kr == MACH_MSG_SUCCESS ? mach_linux_look_up_end(look_up->question, service) : kr;
}
