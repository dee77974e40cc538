/*
 * The integers of the Mach interfaces. natural_t and integer_t are 32 bits wide on every
 * architecture; the vm_ types are as wide as a pointer, the mach_vm_ types always 64 bits.
 */
#ifndef _MACH_MACHINE_VM_TYPES_H_
#define _MACH_MACHINE_VM_TYPES_H_

#include <stdint.h>

typedef unsigned int natural_t;
typedef int integer_t;

typedef uintptr_t vm_offset_t;
typedef uintptr_t vm_size_t;

typedef uint64_t mach_vm_address_t;
typedef uint64_t mach_vm_offset_t;
typedef uint64_t mach_vm_size_t;

/* A word that a program attaches to a receive right: see mach_port_construct. */
#if defined(__x86_64__)
typedef mach_vm_address_t mach_port_context_t;
#else
typedef vm_offset_t mach_port_context_t;
#endif

/* How MIG carries an integer_t. */
#define MACH_MSG_TYPE_INTEGER_T MACH_MSG_TYPE_INTEGER_32

#endif
