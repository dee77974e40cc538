/* Functions of libSystem's that the compiler calls by itself where a loop or a memset stands. */
#include "darwin.h"

#include <stddef.h>
#include <string.h>

EXPORTED void darwin___bzero(void *to, size_t size)
{
    memset(to, 0, size);
}

EXPORTED void darwin_memset_pattern16(void *to, const void *pattern, size_t size)
{
    for (size_t at = 0; at < size; at += 16)
        memcpy((char *)to + at, pattern, size - at < 16 ? size - at : 16);
}
