/* Where vm_allocate is to put the memory. */
#ifndef _MACH_VM_STATISTICS_H_
#define _MACH_VM_STATISTICS_H_

#define VM_FLAGS_FIXED 0x00000000    /* at the address given, or KERN_NO_SPACE */
#define VM_FLAGS_ANYWHERE 0x00000001 /* the system chooses the address */

#endif
