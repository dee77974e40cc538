/* On Linux mach_linux knows what the kernel refused. */
#include "platform.h"

#include <mach_linux.h>

const char *platform_missing(void)
{
    return mach_linux_missing();
}

const char *platform_reason(void)
{
    return mach_linux_reason();
}
