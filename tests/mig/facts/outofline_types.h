#pragma once
#include <mach/mach.h>
#include <stdint.h>
typedef uint8_t *bytes_t;
typedef uint64_t *longs_t;
typedef uint32_t *block_t;
typedef mach_port_t *ports_t;
typedef mach_port_t *trio_t;
typedef mach_port_t *mixed_t;
typedef uint8_t inline_t[8];
#define OUTOFLINE_WAIT 20
