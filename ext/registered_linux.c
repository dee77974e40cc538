/* mach_linux keeps the registered ports in descriptors, which it owns. */
#include "registered.h"

#include <mach_linux.h>

_Static_assert(MACH_LINUX_INHERITED_MAX <= REGISTERED_DESCRIPTORS_MAX, "not all of them fit");

int registered_descriptors_list(int descriptors[REGISTERED_DESCRIPTORS_MAX])
{
    return (int)mach_linux_inherited_fds(descriptors, REGISTERED_DESCRIPTORS_MAX);
}
