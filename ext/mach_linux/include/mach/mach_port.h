/*
 * The calls on a task's names. task is always mach_task_self(); a null task is
 * MACH_SEND_INVALID_DEST. Unless a call says otherwise it returns KERN_INVALID_NAME for a name that
 * denotes nothing, KERN_INVALID_RIGHT for one that denotes another kind of right, and changes
 * nothing when it fails.
 */
#ifndef _mach_port_user_
#define _mach_port_user_

#include <string.h>
#include <mach/boolean.h>
#include <mach/kern_return.h>
#include <mach/mach_types.h>
#include <mach/message.h>
#include <mach/mig.h>
#include <mach/mig_errors.h>
#include <mach/ndr.h>
#include <mach/notify.h>
#include <mach/port.h>
#include <mach/std_types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Every name and its type, in two arrays of equal length. The caller owns both and frees each with
 * vm_deallocate.
 */
extern kern_return_t mach_port_names(ipc_space_t task, mach_port_name_array_t *names,
                                     mach_msg_type_number_t *namesCnt,
                                     mach_port_type_array_t *types,
                                     mach_msg_type_number_t *typesCnt);

/* What a name denotes: MACH_PORT_TYPE_ bits. */
extern kern_return_t mach_port_type(ipc_space_t task, mach_port_name_t name,
                                    mach_port_type_t *ptype);

/*
 * A new receive right, port set or dead name, which the caller owns; a dead name has one user
 * reference. Other kinds are KERN_INVALID_VALUE.
 */
extern kern_return_t mach_port_allocate(ipc_space_t task, mach_port_right_t right,
                                        mach_port_name_t *name);

/*
 * A new port as the options say, with a context. The caller owns the receive right, and with
 * MPO_INSERT_SEND_RIGHT one send right under the same name. A queue limit above
 * MACH_PORT_QLIMIT_MAX is KERN_INVALID_VALUE.
 */
extern kern_return_t mach_port_construct(ipc_space_t task, mach_port_options_ptr_t options,
                                         mach_port_context_t context, mach_port_name_t *name);

/*
 * The end of a receive right, and of -srdelta send rights under the same name; what send rights are
 * left become a dead name. Queued messages are destroyed with what they carry. On a guarded port
 * the guard must match: KERN_INVALID_ARGUMENT.
 */
extern kern_return_t mach_port_destruct(ipc_space_t task, mach_port_name_t name,
                                        mach_port_delta_t srdelta, mach_port_context_t guard);

/* Ends every right under the name at once. Blunt: prefer the three calls around it. */
extern kern_return_t mach_port_destroy(ipc_space_t task, mach_port_name_t name);

/* Releases one user reference of a send right or dead name, or a send-once right or port set. */
extern kern_return_t mach_port_deallocate(ipc_space_t task, mach_port_name_t name);

/* User references of one kind of right: 0 if the name has none of that kind. */
extern kern_return_t mach_port_get_refs(ipc_space_t task, mach_port_name_t name,
                                        mach_port_right_t right, mach_port_urefs_t *refs);

/*
 * Adds to them. Send rights and dead names may go up and down; receive rights, send-once rights and
 * port sets only down, which ends them. Too large a delta is KERN_INVALID_VALUE.
 */
extern kern_return_t mach_port_mod_refs(ipc_space_t task, mach_port_name_t name,
                                        mach_port_right_t right, mach_port_delta_t delta);

/*
 * Puts a right under a name: poly, treated as polyPoly (a disposition) says. MAKE_SEND at the
 * receive right's own name is how a task gets a send right to its own port. KERN_NAME_EXISTS,
 * KERN_RIGHT_EXISTS or KERN_INVALID_CAPABILITY (poly is dead) if it does not fit there.
 */
extern kern_return_t mach_port_insert_right(ipc_space_t task, mach_port_name_t name,
                                            mach_port_t poly, mach_msg_type_name_t polyPoly);

/* Takes a right out of a name, as msgt_name (a disposition) says; the caller owns poly. */
extern kern_return_t mach_port_extract_right(ipc_space_t task, mach_port_name_t name,
                                             mach_msg_type_name_t msgt_name, mach_port_t *poly,
                                             mach_msg_type_name_t *polyPoly);

/*
 * Attributes of a receive right, by flavor. The count goes in as the room there is and comes out as
 * what was written; too little room is KERN_FAILURE, an unknown flavor KERN_INVALID_ARGUMENT.
 */
extern kern_return_t mach_port_get_attributes(ipc_space_read_t task, mach_port_name_t name,
                                              mach_port_flavor_t flavor,
                                              mach_port_info_t port_info_out,
                                              mach_msg_type_number_t *port_info_outCnt);
extern kern_return_t mach_port_set_attributes(ipc_space_t task, mach_port_name_t name,
                                              mach_port_flavor_t flavor, mach_port_info_t port_info,
                                              mach_msg_type_number_t port_infoCnt);

/*
 * Port sets. A receive right may be in several; move_member leaves it in one, or in none if that is
 * MACH_PORT_NULL. KERN_ALREADY_IN_SET, KERN_NOT_IN_SET.
 */
extern kern_return_t mach_port_insert_member(ipc_space_t task, mach_port_name_t name,
                                             mach_port_name_t pset);
extern kern_return_t mach_port_extract_member(ipc_space_t task, mach_port_name_t name,
                                              mach_port_name_t pset);
extern kern_return_t mach_port_move_member(ipc_space_t task, mach_port_name_t member,
                                           mach_port_name_t after);

/* The members of a set. The caller owns the array and frees it with vm_deallocate. */
extern kern_return_t mach_port_get_set_status(ipc_space_read_t task, mach_port_name_t name,
                                              mach_port_name_array_t *members,
                                              mach_msg_type_number_t *membersCnt);

/*
 * Asks for one MACH_NOTIFY_ message: PORT_DESTROYED and NO_SENDERS of a receive right, DEAD_NAME of
 * any. notify becomes a send-once right as notifyPoly says and is consumed even on failure;
 * previous gets the send-once right of the request that this one replaces, which the caller owns.
 * A null notify only takes the request back.
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
