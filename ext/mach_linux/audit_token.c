/*
 * The parts of an audit token, by name. A token is a value that its holder copies at will; nothing
 * is owned here. The order of the eight words is the kernel's.
 */
#include <stddef.h>

#include <bsm/libbsm.h>

enum { AUID, EUID, EGID, RUID, RGID, PID, ASID, PIDVERSION };

uid_t audit_token_to_auid(audit_token_t atoken)
{
    return (uid_t)atoken.val[AUID];
}

uid_t audit_token_to_euid(audit_token_t atoken)
{
    return (uid_t)atoken.val[EUID];
}

gid_t audit_token_to_egid(audit_token_t atoken)
{
    return (gid_t)atoken.val[EGID];
}

uid_t audit_token_to_ruid(audit_token_t atoken)
{
    return (uid_t)atoken.val[RUID];
}

gid_t audit_token_to_rgid(audit_token_t atoken)
{
    return (gid_t)atoken.val[RGID];
}

pid_t audit_token_to_pid(audit_token_t atoken)
{
    return (pid_t)atoken.val[PID];
}

au_asid_t audit_token_to_asid(audit_token_t atoken)
{
    return (au_asid_t)atoken.val[ASID];
}

int audit_token_to_pidversion(audit_token_t atoken)
{
    return (int)atoken.val[PIDVERSION];
}

void audit_token_to_au32(audit_token_t atoken, uid_t *auidp, uid_t *euidp, gid_t *egidp,
                         uid_t *ruidp, gid_t *rgidp, pid_t *pidp, au_asid_t *asidp, au_tid_t *tidp)
{
    if (auidp != NULL)
        *auidp = audit_token_to_auid(atoken);
    if (euidp != NULL)
        *euidp = audit_token_to_euid(atoken);
    if (egidp != NULL)
        *egidp = audit_token_to_egid(atoken);
    if (ruidp != NULL)
        *ruidp = audit_token_to_ruid(atoken);
    if (rgidp != NULL)
        *rgidp = audit_token_to_rgid(atoken);
    if (pidp != NULL)
        *pidp = audit_token_to_pid(atoken);
    if (asidp != NULL)
        *asidp = audit_token_to_asid(atoken);
    if (tidp != NULL) {
        tidp->port = audit_token_to_pidversion(atoken);
        tidp->machine = 0;
    }
}
