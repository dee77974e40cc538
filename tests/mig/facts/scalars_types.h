#pragma once
#include <mach/mach.h>
#include <stdint.h>
typedef struct {
    uint64_t a;
    uint32_t b, c;
} wide_t;
typedef struct {
    uint32_t a, b;
} wide_half_t;
typedef struct {
    uint8_t c[5];
} odd_t;
typedef uint8_t octets_t[7];
typedef uint16_t halves_t[3];
typedef uint64_t longs_t[2];
typedef uint32_t grid_t[2 * 3];
typedef int32_t number_t;
