/* mach_linux answers every bad message with a return code: nothing need be refused beforehand. */
#include "guard.h"

const char platform_name[] = "linux";

int guard_destination(struct module_state *state, struct right *right, mach_port_name_t name)
{
    (void)state;
    (void)right;
    (void)name;
    return 0;
}

int guard_carried(mach_port_name_t port, mach_msg_type_name_t disposition, bool from_bootstrap)
{
    (void)port;
    (void)disposition;
    (void)from_bootstrap;
    return 0;
}
