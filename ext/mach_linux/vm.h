/*
 * Memory that a call or a message hands over to its caller: whole pages, freed with
 * vm_deallocate().
 */
#ifndef ML_VM_H
#define ML_VM_H

#include <stdbool.h>
#include <stddef.h>

/* NULL for 0 bytes, and when there is no memory. */
void *ml_vm_allocate(size_t size);
/* Copies memory that a caller named; false if it cannot be read. */
bool ml_vm_read(void *to, const void *from, size_t size);

#endif
