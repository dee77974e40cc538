#pragma once
#include <mach/mach.h>
#include <stdint.h>
typedef struct {
    uint32_t a, b, c;
} pair_t;
typedef uint8_t octets_t[9];
typedef uint32_t words_t[6];
typedef uint64_t longs_t[4];
typedef pair_t pairs_t[3];
