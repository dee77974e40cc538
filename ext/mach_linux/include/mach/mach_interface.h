/* The calls on tasks and their memory. */
#ifndef _MACH_INTERFACE_H_
#define _MACH_INTERFACE_H_

#include <mach/task.h>
#include <mach/vm_map.h>

#endif
