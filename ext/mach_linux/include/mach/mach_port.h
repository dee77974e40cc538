/*
 * Names and rights: making, counting, giving up.
 *
 * The task is always mach_task_self(); any other is refused with MACH_SEND_INVALID_DEST. A name that means
 * nothing is KERN_INVALID_NAME, one that lacks the right KERN_INVALID_RIGHT.
 */
#ifndef _mach_port_user_
#define _mach_port_user_

#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/port.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Makes a receive right, a port set or a dead name, under a new name. Others: KERN_INVALID_VALUE. */
extern kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right,
                                        mach_port_name_t *name);

/* Makes a receive right with options. */
extern kern_return_t mach_port_construct(ipc_space_t task, mach_port_options_t *options,
                                         mach_port_context_t context, mach_port_name_t *name);

/* Destroys a receive right, dropping −srdelta send references with it. A guarded one wants its guard. */
extern kern_return_t mach_port_destruct(ipc_space_t task, mach_port_name_t name,
                                        mach_port_delta_t srdelta, mach_port_context_t guard);

/* Gives up all rights that a name has. */
extern kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name);

/* Gives up one reference to a send right, send-once right or dead name; or a port set. */
extern kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name);

/* How many references the name has to that right; 0 if it lacks it. */
extern kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name,
                                        mach_port_right_t right, mach_port_urefs_t *refs);

/* Adds to the references. The receive right −1 destroys the port. */
extern kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name,
                                        mach_port_right_t right, mach_port_delta_t delta);

/* What the name stands for: MACH_PORT_TYPE_* bits. */
extern kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name,
                                    mach_port_type_t *ptype);

/* All names with their types, in two arrays that the caller vm_deallocate()s. */
extern kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names,
                                     mach_msg_type_number_t *namesCnt,
                                     mach_port_type_array_t *types,
                                     mach_msg_type_number_t *typesCnt);

/* Takes the right that (poly, polyPoly) stands for and puts it at `name`. */
extern kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name,
                                            mach_port_t poly, mach_msg_type_name_t polyPoly);

/* Takes a right out of `name` by a disposition, as a message would. */
extern kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name,
                                             mach_msg_type_name_t msgt_name, mach_port_t *poly,
                                             mach_msg_type_name_t *polyPoly);

extern kern_return_t mach_port_get_attributes(ipc_space_read_t task, mach_port_name_t name,
                                              mach_port_flavor_t flavor,
                                              mach_port_info_t port_info_out,
                                              mach_msg_type_number_t *port_info_outCnt);
extern kern_return_t mach_port_set_attributes(ipc_space_t task, mach_port_name_t name,
                                              mach_port_flavor_t flavor,
                                              mach_port_info_t port_info,
                                              mach_msg_type_number_t port_infoCnt);

/* Port sets. move_member leaves all other sets; to MACH_PORT_NULL it just leaves. */
extern kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member,
                                           mach_port_name_t after);
extern kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t name,
                                             mach_port_name_t pset);
extern kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t name,
                                              mach_port_name_t pset);
extern kern_return_t mach_port_get_set_status(ipc_space_read_t task, mach_port_name_t name,
                                              mach_port_name_array_t *members,
                                              mach_msg_type_number_t *membersCnt);

/*
 * Asks to be told: MACH_NOTIFY_DEAD_NAME of a send or send-once right, _NO_SENDERS and _PORT_DESTROYED of a
 * receive right. `notify` with its disposition is a send-once right that is used for the one message; it is
 * consumed also when the call fails. `previous` is the right of the request that this one replaces.
 */
extern kern_return_t mach_port_request_notification(ipc_space_t task, mach_port_name_t name,
                                                    mach_msg_id_t msgid, mach_port_mscount_t sync,
                                                    mach_port_t notify,
                                                    mach_msg_type_name_t notifyPoly,
                                                    mach_port_t *previous);

#ifdef __cplusplus
}
#endif

#endif
