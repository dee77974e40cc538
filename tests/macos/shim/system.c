/* System calls whose numbers differ between Darwin and Linux. The values of Darwin's are from
 * XNU's sys/fcntl.h, sys/filio.h, time.h and kern/cs_blobs.h, and from dyld's dlfcn.h. */
#include "darwin.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define DARWIN_F_DUPFD_CLOEXEC 67
#define DARWIN_O_NONBLOCK 0x4
#define DARWIN_FIONREAD 0x4004667fUL
#define DARWIN_CLOCK_REALTIME 0
#define DARWIN_CLOCK_MONOTONIC 6
#define DARWIN_CS_OPS_STATUS 0
#define DARWIN_RTLD_LAZY 1

EXPORTED int darwin_pipe(int ends[2])
{
    return errno_of_result(pipe(ends));
}

EXPORTED ssize_t darwin_write(int fd, const void *data, size_t size)
{
    ssize_t written = write(fd, data, size);
    return written < 0 ? errno_set_failure(errno) : written;
}

EXPORTED int darwin_close(int fd)
{
    if (kernel_queue_close(fd))
        return 0;
    return errno_of_result(close(fd));
}

static int flags_get(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return errno_set_failure(errno);
    /* The access mode has the same numbers; what else may be set on Linux is no business of ours.
     */
    return (flags & O_ACCMODE) | (flags & O_NONBLOCK ? DARWIN_O_NONBLOCK : 0);
}

static int flags_set(int fd, int wanted)
{
    if (wanted & ~(O_ACCMODE | DARWIN_O_NONBLOCK))
        unsupported("file status flags", wanted);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return errno_set_failure(errno);
    flags = (flags & ~O_NONBLOCK) | (wanted & DARWIN_O_NONBLOCK ? O_NONBLOCK : 0);
    return errno_of_result(fcntl(fd, F_SETFL, flags));
}

EXPORTED int darwin_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int argument = va_arg(arguments, int);
    va_end(arguments);
    switch (command) {
    case F_DUPFD: /* these three, and FD_CLOEXEC, have the same numbers */
    case F_GETFD:
    case F_SETFD:
        return errno_of_result(fcntl(fd, command, argument));
    case F_GETFL:
        return flags_get(fd);
    case F_SETFL:
        return flags_set(fd, argument);
    case DARWIN_F_DUPFD_CLOEXEC:
        return errno_of_result(fcntl(fd, F_DUPFD_CLOEXEC, argument));
    default:
        unsupported("fcntl command", command);
    }
}

EXPORTED int darwin_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (request != DARWIN_FIONREAD)
        unsupported("ioctl request", (long)request);
    return errno_of_result(ioctl(fd, FIONREAD, argument));
}

EXPORTED int darwin_clock_gettime(int clock, struct timespec *time)
{
    switch (clock) {
    case DARWIN_CLOCK_REALTIME:
        return errno_of_result(clock_gettime(CLOCK_REALTIME, time));
    case DARWIN_CLOCK_MONOTONIC:
        return errno_of_result(clock_gettime(CLOCK_MONOTONIC, time));
    default:
        unsupported("clock", clock);
    }
}

EXPORTED void *darwin_dlopen(const char *path, int mode)
{
    if (path != NULL || mode != DARWIN_RTLD_LAZY)
        unsupported("dlopen of a library, or in mode", mode);
    return dlopen(NULL, RTLD_LAZY);
}

/* The code-signing flags of a process: by default none, as an unsigned program has. A test says
 * what they are. */
static uint32_t code_signature;

EXPORTED void machorun_set_code_signature(uint32_t flags)
{
    code_signature = flags;
}

EXPORTED int darwin_csops(pid_t pid, unsigned operation, void *data, size_t size)
{
    if (operation != DARWIN_CS_OPS_STATUS || pid != getpid())
        unsupported("csops operation", (long)operation);
    if (size < sizeof code_signature)
        return errno_set_failure(ERANGE);
    *(uint32_t *)data = code_signature;
    return 0;
}
