#ifndef _MACH_ERROR_
#define _MACH_ERROR_ 1

#include <mach/kern_return.h>

typedef kern_return_t mach_error_t;

#ifdef __cplusplus
extern "C" {
#endif

/* A description of a code; static. */
char *mach_error_string(mach_error_t error_value);
/* Prints `str`, a colon and the description to standard error. */
void mach_error(const char *str, mach_error_t error_value);

#ifdef __cplusplus
}
#endif

#endif
