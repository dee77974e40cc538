/* What XNU tells of a port and the Mach library does not: which object of the kernel's it stands
 * for, and whether it is a bootstrap service's; and what kind of port is asked for. The numbers are
 * from XNU's mach_debug/ipc_info.h and mach/port.h. */
#include "darwin.h"

#include <stdbool.h>

#include <mach/mach.h>

#define IPC_OTYPE_TASK_CONTROL 2
#define IPC_OTYPE_UNKNOWN UINT32_MAX
#define MACH_PORT_SERVICE_THROTTLED 9
#define MPO_REPLY_PORT 0x1000
#define DARWIN_KERN_INVALID_CAPABILITY 20

static unsigned asked;

/* How often the kernel has been asked since the last call. */
EXPORTED unsigned machorun_take_kobject_calls(void)
{
    unsigned result = asked;
    asked = 0;
    return result;
}

/* Tasks are the only objects of a kernel that the Mach library has. */
EXPORTED kern_return_t darwin_mach_port_kobject(mach_port_t task, mach_port_name_t name,
                                                uint32_t *type, uint64_t *address)
{
    int pid;
    mach_port_type_t rights = 0;
    asked++;
    kern_return_t kr = mach_port_type(task, name, &rights);
    if (kr != KERN_SUCCESS)
        return kr;
    if ((rights & MACH_PORT_TYPE_SEND_RECEIVE) == 0)
        return KERN_INVALID_RIGHT;
    *type = pid_for_task(name, &pid) == KERN_SUCCESS ? IPC_OTYPE_TASK_CONTROL : IPC_OTYPE_UNKNOWN;
    *address = 0;
    return KERN_SUCCESS;
}

static uint32_t construct_flags;
static bool knows_no_reply_ports;

/* The flags of the last port that was asked for. */
EXPORTED uint32_t machorun_construct_flags(void)
{
    return construct_flags;
}

/* Old kernels know none of MPO_REPLY_PORT. */
EXPORTED void machorun_set_old_kernel(bool old)
{
    knows_no_reply_ports = old;
}

EXPORTED kern_return_t darwin_mach_port_construct(mach_port_t task, mach_port_options_t *options,
                                                  mach_port_context_t context,
                                                  mach_port_name_t *name)
{
    construct_flags = options->flags;
    if (knows_no_reply_ports && (options->flags & MPO_REPLY_PORT))
        return KERN_INVALID_ARGUMENT;
    return mach_port_construct(task, options, context, name);
}

/* A test says which port launchd made for a service. */
static mach_port_name_t service_port;

EXPORTED void machorun_set_service_port(mach_port_name_t name)
{
    service_port = name;
}

EXPORTED kern_return_t darwin_mach_port_get_attributes(mach_port_t task, mach_port_name_t name,
                                                       int flavor, mach_port_info_t info,
                                                       mach_msg_type_number_t *count)
{
    if (flavor != MACH_PORT_SERVICE_THROTTLED)
        return mach_port_get_attributes(task, name, flavor, info, count);
    if (!MACH_PORT_VALID(name) || name != service_port)
        return DARWIN_KERN_INVALID_CAPABILITY;
    *info = 0;
    *count = 1;
    return KERN_SUCCESS;
}

/* A send right that stands for a voucher, which messages carry from now on, as with Apple's mig the
 * stub copies it into each. */
static mach_port_name_t voucher;

EXPORTED void machorun_set_voucher(mach_port_name_t name)
{
    voucher = name;
}

static void voucher_refer(mach_port_delta_t delta)
{
    if (mach_port_mod_refs(mach_task_self(), voucher, MACH_PORT_RIGHT_SEND, delta) != KERN_SUCCESS)
        unsupported("voucher", (long)voucher);
}

/* The Mach library knows no vouchers, so it is sent without. One that comes back has a reference of
 * its own. */
EXPORTED mach_msg_return_t darwin_mach_msg(mach_msg_header_t *message, mach_msg_option_t option,
                                           mach_msg_size_t send_size, mach_msg_size_t receive_size,
                                           mach_port_name_t receive_name,
                                           mach_msg_timeout_t timeout, mach_port_name_t notify)
{
    bool carries = voucher != MACH_PORT_NULL && (option & MACH_SEND_MSG) != 0;
    bool again = carries && MACH_MSGH_BITS_HAS_VOUCHER(message->msgh_bits);
    if (carries) {
        message->msgh_bits &= ~(mach_msg_bits_t)MACH_MSGH_BITS_VOUCHER_MASK;
        message->msgh_voucher_port = MACH_PORT_NULL;
    }
    mach_msg_return_t result =
        mach_msg(message, option, send_size, receive_size, receive_name, timeout, notify);
    if (carries && result == MACH_SEND_TIMED_OUT) {
        message->msgh_bits |=
            MACH_MSGH_BITS_SET_PORTS(0, 0, (mach_msg_bits_t)MACH_MSG_TYPE_MOVE_SEND);
        message->msgh_voucher_port = voucher;
        if (!again)
            voucher_refer(1);
    } else if (again && result == MACH_MSG_SUCCESS) {
        voucher_refer(-1);
    }
    return result;
}
