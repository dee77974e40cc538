/* What the shim's sources share: numbers of Darwin's that differ from Linux's, as XNU's public
 * headers have them, and the two errnos. Every exported function is called darwin_NAME and stands
 * for libSystem's NAME. */
#ifndef MACHORUN_DARWIN_H
#define MACHORUN_DARWIN_H

#include <stdint.h>
#include <time.h>

#define EXPORTED __attribute__((visibility("default")))

/* Says what Mac code wanted and ends the process: an answer that is made up would prove nothing. */
_Noreturn void unsupported(const char *what, long number);

/* Mac code looks at Darwin's errno, which is not the C library's. These two take a result that is
 * -1 on failure and hand it on, having set Darwin's errno: from the C library's, or to `number`,
 * which is Linux's too. */
int errno_of_result(int result);
int errno_set_failure(int number);

/* The shim's close: does it own the descriptor, and has it closed it? */
int kernel_queue_close(int fd);

#endif
