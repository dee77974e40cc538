/* Audit events by sys.audit: PySys_Audit belongs to the limited API only since CPython 3.13.
 *
 * Both events come before the operation has touched anything, so that a hook that raises stops it
 * with every right where it was, and every message in its queue. Tokens are secrets and in no
 * event. */
#include "audit.h"

/* Takes the tuple of the event's name and its arguments. */
static int audit_steal(PyObject *event)
{
    PyObject *audit = PySys_GetObject("audit"); /* borrowed */
    PyObject *done = NULL;
    if (event && audit) {
        /* A hook may replace sys.audit while it runs. */
        Py_INCREF(audit);
        done = PyObject_CallObject(audit, event);
        Py_DECREF(audit);
    } else if (event) {
        PyErr_SetString(PyExc_RuntimeError, "sys.audit is gone");
    }
    Py_XDECREF(event);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

int audit_check_in(mach_port_name_t server, mach_port_name_t port, mach_msg_type_name_t disposition)
{
    return audit_steal(Py_BuildValue("(sIII)", "child_port.check_in", (unsigned)server,
                                     (unsigned)port, (unsigned)disposition));
}

int audit_accept(mach_port_name_t port)
{
    return audit_steal(Py_BuildValue("(sI)", "child_port.accept", (unsigned)port));
}
