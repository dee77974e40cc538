/* How a Mach return code becomes a Python exception. */
#ifndef CHILD_PORT_ERRORS_H
#define CHILD_PORT_ERRORS_H

#include "state.h"

/* Sets the exception that fits `code` as returned by the Mach call named `call`. `advice` says what
 * to do about it, NULL for the usual text of that code. Returns NULL, so that it can be returned.
 */
void *error_set(struct module_state *state, const char *call, kern_return_t code,
                const char *advice);

/* The same with the exception class given rather than found from the code. */
void *error_set_as(struct module_state *state, enum error_class error_class, const char *call,
                   kern_return_t code, const char *advice);

/* Sets an exception of one of our classes that has no Mach code (Cancelled, PeerGone). */
void *error_set_plain(struct module_state *state, enum error_class error_class,
                      const char *message);

/* For a receive right that was there when the wait began, whatever code says that it is not. */
#define ADVICE_PORT_CHANGED "the receive right was closed or moved during the wait"

/* Puts attribute `name` on the exception that is set: a right given by name came back from a failed
 * send under another one. */
void error_note_name(mach_port_name_t name);

#endif
