/* A sandbox for the rest of this process and what it starts: system calls that the kernel refuses,
 * as an old kernel or a strict seccomp profile does. It takes no privilege. */
#ifndef TESTS_MACH_UNIT_REFUSE_H
#define TESTS_MACH_UNIT_REFUSE_H

/* System call `number` fails with `error` from now on; with `argument` ≥ 0 only when that argument
 * (0 to 5) has this value. Ends the program if the kernel does not do it. */
void refuse(long number, int argument, unsigned value, int error);

#endif
