/* What goes wrong in a stub, and the reply that says so. */
#ifndef _MACH_MIG_ERRORS_H_
#define _MACH_MIG_ERRORS_H_

#include <mach/kern_return.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/ndr.h>

#define MIG_TYPE_ERROR -300      /* a descriptor of the wrong type */
#define MIG_REPLY_MISMATCH -301  /* the reply has another id */
#define MIG_REMOTE_ERROR -302
#define MIG_BAD_ID -303          /* no routine has the message's id */
#define MIG_BAD_ARGUMENTS -304   /* the message is not shaped as the routine wants it */
#define MIG_NO_REPLY -305        /* a callout's word for: done, and send no reply */
#define MIG_EXCEPTION -306
#define MIG_ARRAY_TOO_LARGE -307
#define MIG_SERVER_DIED -308     /* the reply right was dropped */
#define MIG_TRAILER_ERROR -309

#pragma pack(push, 4)
typedef struct {
    mach_msg_header_t Head;
    NDR_record_t NDR;
    kern_return_t RetCode;
} mig_reply_error_t;
#pragma pack(pop)

#endif
