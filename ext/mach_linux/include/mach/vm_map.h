/* Memory for messages: what mach_msg hands over out of line, and what it takes. */
#ifndef _vm_map_user_
#define _vm_map_user_

#include <string.h>
#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/mig_errors.h>
#include <mach/ndr.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/std_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Zeroed pages for size bytes of this task, which the caller owns, anywhere (VM_FLAGS_ANYWHERE) or
 * at *address (VM_FLAGS_FIXED). KERN_NO_SPACE, KERN_INVALID_ARGUMENT. A size of 0 gives address 0.
 */
extern kern_return_t vm_allocate(vm_map_t target_task, vm_address_t *address, vm_size_t size,
                                 int flags);

/* Unmaps the pages that cover the range. Nothing mapped there is no failure. */
extern kern_return_t vm_deallocate(vm_map_t target_task, vm_address_t address, vm_size_t size);

#ifdef __cplusplus
}
#endif

#endif
