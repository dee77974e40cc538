/* What Python's headers need to know of macOS, for an extension of the limited API.
 *
 * pyconfig.h is the one header of Python's that differs from platform to platform: configure writes
 * it where Python is built. The limited API fixes what an extension may rely on, so that the other
 * headers ask little of it. These are the answers for macOS on x86_64 and arm64, which are alike
 * (LP64, little-endian, a 32-bit signed wchar_t). The sizes are checked where this is compiled. */
#ifndef Py_PYCONFIG_H
#define Py_PYCONFIG_H

#define SIZEOF_INT 4
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define SIZEOF_VOID_P 8
#define SIZEOF_SIZE_T 8
#define SIZEOF_UINTPTR_T 8
#define SIZEOF_WCHAR_T 4
#define SIZEOF_PID_T 4

#define DOUBLE_IS_LITTLE_ENDIAN_IEEE754 1
#define HAVE_FORK 1
#define HAVE_LANGINFO_H 1
#define HAVE_SSIZE_T 1
#define HAVE_SYS_SELECT_H 1
#define HAVE_SYS_STAT_H 1
#define HAVE_SYS_TIME_H 1
#define HAVE_SYS_TYPES_H 1
#define HAVE_UNISTD_H 1
#define HAVE_WCHAR_H 1

/* Without it the docstrings would be left out. */
#define WITH_DOC_STRINGS 1

#include <sys/types.h>

_Static_assert(sizeof(int) == SIZEOF_INT, "int");
_Static_assert(sizeof(long) == SIZEOF_LONG, "long");
_Static_assert(sizeof(long long) == SIZEOF_LONG_LONG, "long long");
_Static_assert(sizeof(void *) == SIZEOF_VOID_P, "void *");
_Static_assert(sizeof(size_t) == SIZEOF_SIZE_T, "size_t");
_Static_assert(sizeof(pid_t) == SIZEOF_PID_T, "pid_t");
_Static_assert(__SIZEOF_POINTER__ == SIZEOF_UINTPTR_T, "uintptr_t");
_Static_assert(__SIZEOF_WCHAR_T__ == SIZEOF_WCHAR_T, "wchar_t");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "byte order");

#endif
