/* Darwin's errno. It lives beside the C library's: __error() is what Darwin's <errno.h> calls, so
 * Mac code sees Darwin's numbers, and the host's code sees its own. */
#include "darwin.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* Only to declare PyErr_SetFromErrno; the shim is built for no version of Python in particular. */
typedef struct _object PyObject;
extern PyObject *PyErr_SetFromErrno(PyObject *type);

static _Thread_local int darwin_errno;

static const struct {
    int linux_number;
    int darwin_number;
} numbers[] = {
    /* 1 to 34 are of Seventh Edition Unix and the same, but for 11, which is EDEADLK on Darwin. */
    {EAGAIN, 35},     {EINPROGRESS, 36},  {EALREADY, 37},   {ENOTSOCK, 38},     {EMSGSIZE, 40},
    {EPROTOTYPE, 41}, {EOPNOTSUPP, 102},  {EADDRINUSE, 48}, {ECONNABORTED, 53}, {ECONNRESET, 54},
    {ENOBUFS, 55},    {EISCONN, 56},      {ENOTCONN, 57},   {ETIMEDOUT, 60},    {ECONNREFUSED, 61},
    {ELOOP, 62},      {ENAMETOOLONG, 63}, {EDEADLK, 11},    {ENOSYS, 78},       {EOVERFLOW, 84},
    {ECANCELED, 89},  {EPROTO, 100},
};

#define COUNT (sizeof numbers / sizeof numbers[0])
#define LAST_COMMON 34

_Noreturn void unsupported(const char *what, long number)
{
    fprintf(stderr, "the Darwin shim has no %s %ld\n", what, number);
    abort();
}

static int to_darwin(int number)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (numbers[i].linux_number == number)
            return numbers[i].darwin_number;
    }
    if (number > LAST_COMMON)
        unsupported("Darwin number for the error", number);
    return number;
}

static int to_linux(int number)
{
    for (size_t i = 0; i < COUNT; i++) {
        if (numbers[i].darwin_number == number)
            return numbers[i].linux_number;
    }
    if (number > LAST_COMMON)
        unsupported("Linux number for Darwin's error", number);
    return number;
}

int errno_set_failure(int number)
{
    darwin_errno = to_darwin(number);
    return -1;
}

int errno_of_result(int result)
{
    return result == -1 ? errno_set_failure(errno) : result;
}

EXPORTED int *darwin___error(void)
{
    return &darwin_errno;
}

/* For callers on the host's side. */
EXPORTED int machorun_errno(void)
{
    return to_linux(darwin_errno);
}

/* The one function of Python's limited API in use that reads errno. */
EXPORTED PyObject *darwin_PyErr_SetFromErrno(PyObject *type)
{
    errno = machorun_errno();
    return PyErr_SetFromErrno(type);
}
