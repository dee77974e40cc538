/*
 * vm_allocate and vm_deallocate, for this task: anonymous private mappings.
 */
#include <sys/mman.h>
#include <unistd.h>

#include <mach/mach.h>

#include "space.h"
#include "vm.h"

void *ml_vm_allocate(size_t size)
{
    if (size == 0)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

kern_return_t vm_allocate(vm_map_t task, vm_address_t *address, vm_size_t size, int flags)
{
    if (!ml_is_task_self(task) || (flags & VM_FLAGS_ANYWHERE) == 0)
        return KERN_INVALID_ARGUMENT;
    if (size == 0) {
        *address = 0;
        return KERN_SUCCESS;
    }
    void *p = ml_vm_allocate(size);
    if (p == NULL)
        return KERN_NO_SPACE;
    *address = (vm_address_t)p;
    return KERN_SUCCESS;
}

kern_return_t vm_deallocate(vm_map_t task, vm_address_t address, vm_size_t size)
{
    if (!ml_is_task_self(task))
        return KERN_INVALID_ARGUMENT;
    if (size == 0)
        return KERN_SUCCESS;
    vm_size_t page = (vm_size_t)sysconf(_SC_PAGESIZE), first = address & ~(page - 1);
    vm_size_t covered = (address - first + size + page - 1) & ~(page - 1);
    return munmap((void *)first, covered) == 0 ? KERN_SUCCESS : KERN_INVALID_ADDRESS;
}
