/* What the system under the Mach calls lacks or refused, in words that Mach's codes do not have.
 * The text belongs to the platform and is good until this thread's next call of either. */
#ifndef PLATFORM_H
#define PLATFORM_H

/* What is missing for ports to work here at all; NULL when they do. */
const char *platform_missing(void);

/* Which limit or refusal was behind this thread's last call that failed with a shortage; NULL when
 * the platform does not say. */
const char *platform_reason(void);

#endif
