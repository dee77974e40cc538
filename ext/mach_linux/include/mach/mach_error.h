/* Result codes in words. */
#ifndef _MACH_ERROR_
#define _MACH_ERROR_ 1

#include <mach/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The text is the library's: never null, not to be written or freed. */
char *mach_error_string(mach_error_t error_value);

/* Writes str and the text of error_value to standard error; a code without a text as a number. */
void mach_error(const char *str, mach_error_t error_value);

#ifdef __cplusplus
}
#endif

#endif
