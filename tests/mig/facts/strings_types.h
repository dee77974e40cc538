#pragma once
#include <mach/mach.h>
#include <stdint.h>
typedef char label_t[10];
typedef char title_t[13];
typedef char path_t[64];
