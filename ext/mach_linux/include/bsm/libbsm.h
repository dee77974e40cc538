/*
 * The parts of the audit token that a message's trailer carries. They tell who sent the message as
 * the system saw it. A pid may be reused, pidversion tells one use from the next.
 */
#ifndef _LIBBSM_H_
#define _LIBBSM_H_

#include <sys/types.h>
#include <bsm/audit.h>
#include <mach/mach.h>

#ifdef __cplusplus
extern "C" {
#endif

uid_t audit_token_to_auid(audit_token_t atoken);
uid_t audit_token_to_euid(audit_token_t atoken);
gid_t audit_token_to_egid(audit_token_t atoken);
uid_t audit_token_to_ruid(audit_token_t atoken);
gid_t audit_token_to_rgid(audit_token_t atoken);
pid_t audit_token_to_pid(audit_token_t atoken);
au_asid_t audit_token_to_asid(audit_token_t atoken);
int audit_token_to_pidversion(audit_token_t atoken);

/* All at once; a null pointer skips a part. No token holds a terminal: port gets the pidversion. */
void audit_token_to_au32(audit_token_t atoken, uid_t *auidp, uid_t *euidp, gid_t *egidp,
                         uid_t *ruidp, gid_t *rgidp, pid_t *pidp, au_asid_t *asidp, au_tid_t *tidp);

#ifdef __cplusplus
}
#endif

#endif
