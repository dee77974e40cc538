/* The types that child_port.defs names, for the stubs made from it; the same on every platform. */
#ifndef CHILD_PORT_UTIL_MACH_CHILD_PORT_TYPES_H
#define CHILD_PORT_UTIL_MACH_CHILD_PORT_TYPES_H

#include <stdint.h>
#include <mach/mach.h>

/* A right to the port that check-ins are sent to. */
typedef mach_port_t child_port_server_t;

/* The secret that a server shares with the peer it expects. */
typedef uint64_t child_port_token_t;

#endif
