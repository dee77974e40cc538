/* The C types that defs/child_port.defs imports. */
#ifndef CHILD_PORT_UTIL_MACH_CHILD_PORT_TYPES_H
#define CHILD_PORT_UTIL_MACH_CHILD_PORT_TYPES_H

#include <stdint.h>

#include <mach/mach.h>

/* The port that a check-in is sent to. */
typedef mach_port_t child_port_server_t;
/* The secret that proves who checks in. */
typedef uint64_t child_port_token_t;

#endif
