/* Audit events by PySys_Audit, which costs next to nothing where nobody watches; to call sys.audit
 * takes longer than to make the object that accept() returns.
 *
 * It is a public function of every CPython since 3.8, but of the limited API only since 3.13, where
 * it is the same still. So the extension does not link with it and looks it up at its import.
 *
 * Both events come before the operation has touched anything, so that a hook that raises stops it
 * with every right where it was, and every message in its queue. Tokens are secrets and in no
 * event. */
#include "audit.h"

#include <dlfcn.h>
#include <string.h>

int audit_add(PyObject *module, struct module_state *state)
{
    void *program = dlopen(NULL, RTLD_LAZY);
    void *found = program ? dlsym(program, "PySys_Audit") : NULL;
    (void)module;
    if (program)
        dlclose(program); /* the interpreter stays where it is */
    if (!found) {
        PyErr_SetString(PyExc_ImportError, "this Python has no PySys_Audit");
        return -1;
    }
    _Static_assert(sizeof found == sizeof state->audit, "a function's address is no pointer here");
    memcpy(&state->audit, &found, sizeof found);
    return 0;
}

int audit_check_in(const struct module_state *state, mach_port_name_t server, mach_port_name_t port,
                   mach_msg_type_name_t disposition)
{
    return state->audit("child_port.check_in", "III", (unsigned)server, (unsigned)port,
                        (unsigned)disposition);
}

int audit_accept(const struct module_state *state, mach_port_name_t port)
{
    return state->audit("child_port.accept", "I", (unsigned)port);
}
