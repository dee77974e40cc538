/* On macOS ports are the kernel's own, and its codes are all that it says. */
#include "platform.h"

#include <stddef.h>

const char *platform_missing(void)
{
    return NULL;
}

const char *platform_reason(void)
{
    return NULL;
}
