#pragma once
#include <mach/mach.h>
#include <stdint.h>
typedef mach_port_t handle_t;
typedef uint8_t bytes_t[8];
#define OPTIONS_WAIT 1234
#define OPTIONS_SEND 4321
#define OPTIONS_OPTION 0x400
