/* Sends that macOS punishes with EXC_GUARD, a signal no program survives, found out beforehand.
 *
 * XNU's ipc_policy decides these (read in XNU 11417 and two later revisions). Owns nothing. */
#include "guard.h"

#include <sys/types.h>
#include <unistd.h>

#include "errors.h"

const char platform_name[] = "darwin";

/* csops is exported by libSystem, but its header is not in the SDK. */
#define CS_OPS_STATUS 0
#define CS_PLATFORM_BINARY 0x04000000
int csops(pid_t pid, unsigned int operation, void *data, size_t size);

/* A process that Apple ships with the system, /usr/bin/python3 and Xcode's among them. */
static bool is_platform_binary(void)
{
    uint32_t flags = 0;
    return csops(getpid(), CS_OPS_STATUS, &flags, sizeof flags) == 0 &&
           (flags & CS_PLATFORM_BINARY) != 0;
}

int guard_send(struct module_state *state, mach_port_name_t server, mach_port_name_t port,
               mach_msg_type_name_t disposition, bool from_bootstrap)
{
    mach_port_name_t task = mach_task_self();
    /* A kernel object's port as the destination of a user message: EXC_GUARD, INVALID_OPTIONS. */
    if (server == task) {
        error_set(state, "mach_msg", MACH_SEND_INVALID_DEST,
                  "server is this task's own port, which the kernel serves; macOS would kill the "
                  "process for sending to it");
        return -1;
    }
    /* A platform binary's task port is immovable: EXC_GUARD, IMMOVABLE. */
    if (port == task && is_platform_binary()) {
        PyErr_SetString(PyExc_PermissionError,
                        "macOS does not let a system binary such as Apple's own Python give its "
                        "task port away, and would kill the process; use a Python from "
                        "python.org, Homebrew, conda or uv");
        return -1;
    }
    /* A service port's receive right may be moved by launchd alone (macOS 26). */
    if (disposition == MACH_MSG_TYPE_MOVE_RECEIVE && from_bootstrap) {
        PyErr_SetString(PyExc_PermissionError,
                        "macOS may kill a process that moves the receive right of a bootstrap "
                        "service; serve it here, or hand over the receive right of a new port");
        return -1;
    }
    return 0;
}
