/*
 * The bootstrap service: names by which processes find each other's ports. bp is the bootstrap
 * port, the global of <mach/mach_init.h> or what task_get_bootstrap_port gives.
 */
#ifndef _BOOTSTRAP_H_
#define _BOOTSTRAP_H_

#include <mach/mach.h>

#define BOOTSTRAP_MAX_NAME_LEN 128 /* with the terminator */

typedef char name_t[BOOTSTRAP_MAX_NAME_LEN];

#define BOOTSTRAP_SUCCESS 0
#define BOOTSTRAP_NOT_PRIVILEGED 1100
#define BOOTSTRAP_NAME_IN_USE 1101
#define BOOTSTRAP_UNKNOWN_SERVICE 1102
#define BOOTSTRAP_SERVICE_ACTIVE 1103
#define BOOTSTRAP_BAD_COUNT 1104
#define BOOTSTRAP_NO_MEMORY 1105
#define BOOTSTRAP_NO_CHILDREN 1106

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Becomes the service: *sp is its receive right, which the caller owns. The name is free again when
 * that right dies. BOOTSTRAP_SERVICE_ACTIVE if another holds it.
 */
extern kern_return_t bootstrap_check_in(mach_port_t bp, const name_t service_name, mach_port_t *sp);

/* A send right to the service, which the caller owns. BOOTSTRAP_UNKNOWN_SERVICE if there is none.
 */
extern kern_return_t bootstrap_look_up(mach_port_t bp, const name_t service_name, mach_port_t *sp);

/* The text of a code of this header or of Mach; the library's, never null. */
extern const char *bootstrap_strerror(kern_return_t r);

#ifdef __cplusplus
}
#endif

#endif
