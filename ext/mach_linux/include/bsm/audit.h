/* The identities in an audit token. */
#ifndef _BSM_AUDIT_H
#define _BSM_AUDIT_H

#include <stdint.h>
#include <sys/types.h>

#define AU_DEFAUDITID (uid_t)(-1) /* no audit identity, as always here */
#define AU_DEFAUDITSID 0          /* no audit session, as always here */

typedef uid_t au_id_t;
typedef pid_t au_asid_t;

/* The terminal of a session; with the widths that it has on macOS. */
struct au_tid {
    int32_t port;
    uint32_t machine;
};
typedef struct au_tid au_tid_t;

#endif
