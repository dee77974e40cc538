/* Memory of this task. */
#ifndef _vm_map_user_
#define _vm_map_user_

#include <mach/kern_return.h>
#include <mach/mach_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeroed pages; flags 1 (VM_FLAGS_ANYWHERE). KERN_NO_SPACE when there are none. */
extern kern_return_t vm_allocate(vm_map_t target_task, vm_address_t *address, vm_size_t size,
                                 int flags);
/* Frees pages, also those that a call or a message has handed over. */
extern kern_return_t vm_deallocate(vm_map_t target_task, vm_address_t address, vm_size_t size);

#ifdef __cplusplus
}
#endif

#endif
