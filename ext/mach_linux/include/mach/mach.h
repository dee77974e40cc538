/* The Mach API in one. */
#ifndef _MACH_H_
#define _MACH_H_

#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/mach_error.h>
#include <mach/mach_init.h>
#include <mach/mach_port.h>
#include <mach/mach_traps.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/mig_errors.h>
#include <mach/ndr.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/std_types.h>
#include <mach/vm_map.h>
#include <mach/vm_statistics.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Gives up the rights in a message that was received, or that a send handed back. */
extern void mach_msg_destroy(mach_msg_header_t *msg);

extern mach_msg_return_t mach_msg_receive(mach_msg_header_t *header);
extern mach_msg_return_t mach_msg_send(mach_msg_header_t *header);

/* Receives from rcv_name, calls the demux, replies; for ever, or once. */
extern mach_msg_return_t mach_msg_server_once(boolean_t (*demux)(mach_msg_header_t *,
                                                                 mach_msg_header_t *),
                                              mach_msg_size_t max_size, mach_port_t rcv_name,
                                              mach_msg_options_t options);
extern mach_msg_return_t mach_msg_server(boolean_t (*demux)(mach_msg_header_t *,
                                                            mach_msg_header_t *),
                                         mach_msg_size_t max_size, mach_port_t rcv_name,
                                         mach_msg_options_t options);

#ifdef __cplusplus
}
#endif

#endif
