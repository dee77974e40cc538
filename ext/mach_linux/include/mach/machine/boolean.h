/*
 * boolean_t, whose signedness is the architecture's: code that compares it with -1 sees the
 * difference, and so does a function pointer's type.
 */
#ifndef _MACH_MACHINE_BOOLEAN_H_
#define _MACH_MACHINE_BOOLEAN_H_

#if defined(__x86_64__)
typedef unsigned int boolean_t;
#else
typedef int boolean_t;
#endif

#endif
