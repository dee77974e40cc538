/* CancelToken: ends waits from another thread or from a signal handler. */
#ifndef CHILD_PORT_CANCEL_H
#define CHILD_PORT_CANCEL_H

#include "state.h"

struct cancel_token;

/* The argument `cancel`: NULL for absent or None. 0, or -1 with TypeError or ValueError set. The
 * reference is borrowed: the argument outlives the call. */
int cancel_from_argument(struct module_state *state, PyObject *object, struct cancel_token **token);

/* Both take NULL for "no token". */
bool cancel_is_set(const struct cancel_token *token);
int cancel_descriptor(const struct cancel_token *token);

/* Raises Cancelled if the token is set: 0, or -1 with the exception. */
int cancel_check(struct module_state *state, const struct cancel_token *token);

#endif
