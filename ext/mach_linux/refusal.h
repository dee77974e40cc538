/*
 * What the kernel refused, in words: a limit that was reached, or something that it lacks.
 *
 * Mach's codes say that there was a shortage and not of what. Whoever is refused something by the
 * kernel says so here, and mach_linux_reason() tells the program. A kernel or sandbox in which
 * ports cannot work at all is found out before the first port is made.
 */
#ifndef ML_REFUSAL_H
#define ML_REFUSAL_H

#include <stdbool.h>

/* The calling thread was refused `call` (a constant string) with this errno. */
void ml_refused(const char *call, int error);
/* A call begins that may be refused something: what was before is not its reason. */
void ml_refused_nothing(void);
/* Does the kernel give all that ports need? Asked once a process. False: the reason is set, and has
 * been printed unless the program asked for it first. */
bool ml_supported(void);

#endif
