/* Addresses and sizes of memory, and the port that stands for a task's memory: its task port. */
#ifndef _MACH_VM_TYPES_H_
#define _MACH_VM_TYPES_H_

#include <stdint.h>
#include <mach/error.h>
#include <mach/port.h>
#include <mach/machine/vm_types.h>

typedef vm_offset_t pointer_t;
typedef vm_offset_t vm_address_t;

typedef mach_port_t vm_map_t;

#define VM_MAP_NULL ((vm_map_t)0)

#endif
