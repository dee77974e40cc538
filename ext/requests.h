/* Which notifications this module has asked the kernel for; see requests.c. */
#ifndef CHILD_PORT_REQUESTS_H
#define CHILD_PORT_REQUESTS_H

#include "state.h"

/* Asks for notification `id` of the right `name`, to be sent to the receive right `notify`, or with
 * MACH_PORT_NULL calls it off. The caller owns the send-once right `previous` of a request that
 * this one replaced. */
kern_return_t requests_ask(struct module_state *state, mach_port_name_t name, mach_msg_id_t id,
                           uint32_t sync, mach_port_name_t notify, mach_port_t *previous);

/* Is the message, which the kernel sent, a notification that answers what was asked here? It is
 * told once. */
bool requests_answer(struct module_state *state, const mach_msg_header_t *message);

/* The number that a notification carries, a name or a count. False if it is too short for one. */
bool notification_number(const mach_msg_header_t *notification, uint32_t *number);

/* The receive right is gone, or the name stands for a new one: nothing that was asked for is to
 * come there, and what it would have brought is released; nor can its own senders go. */
void requests_receive_gone(struct module_state *state, mach_port_name_t name);

/* The receive right has moved away. Nothing is to come there; but that its senders have gone may
 * still be told. */
void requests_receive_moved(struct module_state *state, mach_port_name_t name);

/* The receive right came back under another name. */
void requests_receive_renamed(struct module_state *state, mach_port_name_t from,
                              mach_port_name_t to);

/* In the child of a fork: the kernel has none of them. */
void requests_forget_all(struct module_state *state);

void requests_free(struct module_state *state);

#endif
