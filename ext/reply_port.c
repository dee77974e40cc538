/* _reply_port(): a port for the answer to a request.
 *
 * macOS kills a process that offers an ordinary port for the answer in a message to a service that
 * launchd made with strict semantics; it must be one made for that. From such a port only send-once
 * rights can be made, and its receive right cannot be moved. */
#include "errors.h"
#include "right.h"

/* An option of macOS alone, which older SDKs do not have; mach_linux makes an ordinary port of it.
 */
#ifndef MPO_REPLY_PORT
#define MPO_REPLY_PORT 0x1000
#endif

PyDoc_STRVAR(doc_reply_port,
             "_reply_port($module, /)\n--\n\n"
             "A new port's ReceiveRight, for answers alone (mach_port_construct, MPO_REPLY_PORT).");

static PyObject *reply_port(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = state_of_module(module);
    mach_port_options_t options = {.flags = MPO_REPLY_PORT};
    mach_port_name_t name = MACH_PORT_NULL;
    kern_return_t kr = mach_port_construct(mach_task_self(), &options, 0, &name);
    if (kr == KERN_INVALID_ARGUMENT) { /* a kernel that knows of no such ports asks for none */
        options.flags = 0;
        kr = mach_port_construct(mach_task_self(), &options, 0, &name);
    }
    if (kr != KERN_SUCCESS)
        return error_set(state, "mach_port_construct", kr, NULL);
    return (PyObject *)right_steal(state, RIGHT_RECEIVE, name);
}

static PyMethodDef reply_port_functions[] = {
    {"_reply_port", reply_port, METH_NOARGS, doc_reply_port},
    {NULL, NULL, 0, NULL},
};

int reply_port_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, reply_port_functions);
}
