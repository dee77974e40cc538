/* The kernel keeps the registered ports, over exec and posix_spawn: there is no descriptor to them.
 * (Over fork as well, but there libSystem has registered something else beforehand.) */
#include "registered.h"

int registered_descriptors_list(int descriptors[REGISTERED_DESCRIPTORS_MAX])
{
    (void)descriptors;
    return 0;
}
