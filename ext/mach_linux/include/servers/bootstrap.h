/*
 * Services by name, within one user's session.
 *
 * A name has at most 127 bytes. Its service goes when the receive right dies.
 */
#ifndef _BOOTSTRAP_H_
#define _BOOTSTRAP_H_

#include <mach/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BOOTSTRAP_MAX_NAME_LEN 128

typedef char name_t[BOOTSTRAP_MAX_NAME_LEN];

#define BOOTSTRAP_SUCCESS 0
#define BOOTSTRAP_NOT_PRIVILEGED 1100   /* policy refuses it */
#define BOOTSTRAP_NAME_IN_USE 1101
#define BOOTSTRAP_UNKNOWN_SERVICE 1102  /* nobody has checked in under this name */
#define BOOTSTRAP_SERVICE_ACTIVE 1103   /* somebody has */
#define BOOTSTRAP_BAD_COUNT 1104
#define BOOTSTRAP_NO_MEMORY 1105
#define BOOTSTRAP_NO_CHILDREN 1106

/* Makes a service of that name; *sp is its receive right. */
kern_return_t bootstrap_check_in(mach_port_t bp, const name_t service_name, mach_port_t *sp);
/* *sp is a send right to the service. */
kern_return_t bootstrap_look_up(mach_port_t bp, const name_t service_name, mach_port_t *sp);
/* A description of any of these codes; static. */
const char *bootstrap_strerror(kern_return_t r);

#ifdef __cplusplus
}
#endif

#endif
