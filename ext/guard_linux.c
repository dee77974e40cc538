/* mach_linux answers every bad message with a return code: nothing need be refused beforehand. */
#include "guard.h"

const char platform_name[] = "linux";

int guard_send(struct module_state *state, mach_port_name_t server, mach_port_name_t port,
               mach_msg_type_name_t disposition, bool from_bootstrap)
{
    (void)state;
    (void)server;
    (void)port;
    (void)disposition;
    (void)from_bootstrap;
    return 0;
}
