/*
 * What a MIG stub returns beside the codes of mach_msg and of the routine itself, and the reply
 * that carries a routine's failure. A routine that returns anything but KERN_SUCCESS or
 * MIG_NO_REPLY has consumed nothing of the request: the server loop destroys it.
 */
#ifndef _MACH_MIG_ERRORS_H_
#define _MACH_MIG_ERRORS_H_

#include <mach/kern_return.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/ndr.h>

#define MIG_TYPE_ERROR -300      /* a descriptor or type is not what the interface says */
#define MIG_REPLY_MISMATCH -301  /* a reply to something else */
#define MIG_REMOTE_ERROR -302    /* the server found an error */
#define MIG_BAD_ID -303          /* no routine has this message id */
#define MIG_BAD_ARGUMENTS -304   /* the request's size or count is wrong */
#define MIG_NO_REPLY -305        /* from a routine: send no reply, the request is mine */
#define MIG_EXCEPTION -306       /* the server raised an exception */
#define MIG_ARRAY_TOO_LARGE -307 /* the caller's array is too short */
#define MIG_SERVER_DIED -308     /* the server went away before it replied */
#define MIG_TRAILER_ERROR -309   /* a trailer of unknown form */

#pragma pack(push, 4)
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    kern_return_t RetCode;
} mig_reply_error_t;
#pragma pack(pop)

#ifdef __cplusplus
extern "C" {
#endif

#ifndef __NDR_convert__mig_reply_error_t__defined
#define __NDR_convert__mig_reply_error_t__defined
/* Stubs call this on an error reply; one machine has one representation. */
static inline void __NDR_convert__mig_reply_error_t(mig_reply_error_t *x)
{
    (void)x;
}
#endif

#ifdef __cplusplus
}
#endif

#endif
