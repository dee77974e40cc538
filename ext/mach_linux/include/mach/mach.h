/*
 * All of Mach that a program usually wants, and the helpers around mach_msg. <servers/bootstrap.h>
 * and <bsm/libbsm.h> come separately.
 */
#ifndef _MACH_H_
#define _MACH_H_

#define __MACH30__
#define MACH_IPC_FLAVOR UNTYPED

#include <mach/std_types.h>
#include <mach/mach_types.h>
#include <mach/mach_interface.h>
#include <mach/mach_port.h>
#include <mach/mach_init.h>
#include <mach/mig.h>
#include <mach/mig_errors.h>
#include <mach/mach_error.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Releases every right and all memory that a received message owns: the remote port and the
 * descriptors, not the local port. Also for a message that mach_msg handed back from a failed send.
 */
extern void mach_msg_destroy(mach_msg_header_t *);

/*
 * mach_msg for the simplest cases, without options or deadline: sends msgh_size bytes; receives
 * from msgh_local_port into a buffer of msgh_size bytes.
 */
extern mach_msg_return_t mach_msg_send(mach_msg_header_t *);
extern mach_msg_return_t mach_msg_receive(mach_msg_header_t *);

/*
 * Fills in the header and NDR record of a reply (a mig_reply_error_t) to a request that is laid out
 * as it was sent, with the reply port as its local port. The return code is the caller's to set.
 */
extern void mig_reply_setup(mach_msg_header_t *, mach_msg_header_t *);

/*
 * Receives requests from rcv_name, which may be a port set, calls demux for each with a buffer for
 * the reply, and sends the reply. max_size is the longest request or reply, without trailer.
 * options are mach_msg's; with MACH_RCV_LARGE longer requests are received all the same. What the
 * reply's RetCode says decides: KERN_SUCCESS and MIG_NO_REPLY leave the request's rights to whoever
 * demux called, MIG_NO_REPLY sends nothing, any other code is sent and the request destroyed. The
 * loop returns when receiving fails, with that code; _once returns after one request.
 */
extern mach_msg_return_t
mach_msg_server(boolean_t (*demux)(mach_msg_header_t *, mach_msg_header_t *),
                mach_msg_size_t max_size, mach_port_t rcv_name, mach_msg_options_t options);
extern mach_msg_return_t
mach_msg_server_once(boolean_t (*demux)(mach_msg_header_t *, mach_msg_header_t *),
                     mach_msg_size_t max_size, mach_port_t rcv_name, mach_msg_options_t options);

#ifdef __cplusplus
}
#endif

#endif
