/*
 * Memory that a call or a message hands over to its caller: whole pages, freed with vm_deallocate().
 */
#ifndef ML_VM_H
#define ML_VM_H

#include <stddef.h>

/* NULL for 0 bytes, and when there is no memory. */
void *ml_vm_allocate(size_t size);

#endif
