/*
 * vm_allocate and vm_deallocate, for this task: anonymous private mappings.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
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

bool ml_vm_read(void *to, const void *from, size_t size)
{
    /* Through the kernel, which says EFAULT where a copy of our own would end the process. */
    struct iovec local = {to, size}, remote = {(void *)(uintptr_t)from, size};
    if (size == 0)
        return true;
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
    if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
        memcpy(to, from, size); /* a sandbox forbids to ask */
        n = (ssize_t)size;
    }
    return n == (ssize_t)size;
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
