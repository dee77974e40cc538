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

/* A process that Apple ships with the system, /usr/bin/python3 and Xcode's among them. A program of
 * others that has opted in to Apple's enhanced security is restricted alike and not found out here:
 * nothing that is public says it. */
static bool is_platform_binary(void)
{
    uint32_t flags = 0;
    return csops(getpid(), CS_OPS_STATUS, &flags, sizeof flags) == 0 &&
           (flags & CS_PLATFORM_BINARY) != 0;
}

/* --- destinations ----------------------------------------------------------------------------- */

/* Numbers of mach_debug/ipc_info.h, which older SDKs do not have. A port that is but a queue is of
 * the first, or in later kernels the second; a timer's takes messages too. */
#define OBJECT_NONE 0
#define OBJECT_TIMER 8
#define OBJECT_UNKNOWN UINT32_MAX

/* Does the kernel itself serve the port: a task's, a thread's, the host's? Of a name that is no
 * send right it does not tell; mach_msg then says what is wrong with it. */
static bool is_kernel_object(mach_port_name_t name)
{
    natural_t object = OBJECT_NONE;
    mach_vm_address_t address = 0;
    /* The object's type is natural_t or, in later SDKs, an enumeration of that size. */
    return mach_port_kobject(mach_task_self(), name, (void *)&object, &address) == KERN_SUCCESS &&
           object != OBJECT_NONE && object != OBJECT_TIMER && object != OBJECT_UNKNOWN;
}

/* mach_msg marks what it sends as meant for a queue, and a kernel object's port has none:
 * EXC_GUARD, INVALID_OPTIONS. */
int guard_destination(struct module_state *state, struct right *right, mach_port_name_t name)
{
    /* What a right is to, it stays: the kernel is asked once. */
    if (right && atomic_load_explicit(&right->is_to_queue, memory_order_relaxed))
        return 0;
    if (is_kernel_object(name)) {
        error_set(state, "mach_msg", MACH_SEND_INVALID_DEST,
                  "the kernel itself serves this port, as it does that of a task; macOS would kill "
                  "the process for sending to it");
        return -1;
    }
    if (right)
        atomic_store_explicit(&right->is_to_queue, true, memory_order_relaxed);
    return 0;
}

/* --- what is carried -------------------------------------------------------------------------- */

/* The kernel answers this of a service port alone, weak or strong; an older one of none. */
static bool is_service_port(mach_port_name_t name)
{
    integer_t throttled = 0;
    mach_msg_type_number_t count = MACH_PORT_SERVICE_THROTTLED_COUNT;
    return mach_port_get_attributes(mach_task_self(), name, MACH_PORT_SERVICE_THROTTLED, &throttled,
                                    &count) == KERN_SUCCESS;
}

int guard_carried(mach_port_name_t port, mach_msg_type_name_t disposition, bool from_bootstrap)
{
    /* A platform binary's task port is immovable: EXC_GUARD, IMMOVABLE. */
    if (port == mach_task_self() && is_platform_binary()) {
        PyErr_SetString(PyExc_PermissionError,
                        "macOS does not let a system binary such as Apple's own Python give its "
                        "task port away, and would kill the process; use a Python from "
                        "python.org, Homebrew, conda or uv");
        return -1;
    }
    /* A service port's receive right may be moved by launchd alone (macOS 26). Native code may have
     * got it, too. */
    if (disposition == MACH_MSG_TYPE_MOVE_RECEIVE && (from_bootstrap || is_service_port(port))) {
        PyErr_SetString(PyExc_PermissionError,
                        "macOS may kill a process that moves the receive right of a bootstrap "
                        "service; serve it here, or hand over the receive right of a new port");
        return -1;
    }
    return 0;
}
