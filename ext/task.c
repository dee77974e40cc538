/* Task ports: this task's, and whose a task port is. Nothing here owns anything. */
#include "args.h"
#include "errors.h"
#include "right.h"

PyDoc_STRVAR(doc_task_self,
             "task_self($module, /)\n--\n\n"
             "A new SendRight to this task's port: one more user reference of mach_task_self().\n\n"
             "On macOS whoever receives it controls this process. On Linux it is an identity and\n"
             "carries no authority.");

static PyObject *task_self(PyObject *module, PyObject *Py_UNUSED(ignored))
{
    struct module_state *state = state_of_module(module);
    mach_port_name_t task = mach_task_self();
    kern_return_t kr = mach_port_mod_refs(task, task, MACH_PORT_RIGHT_SEND, 1);
    if (kr != KERN_SUCCESS)
        return error_set(state, "mach_port_mod_refs", kr, NULL);
    return (PyObject *)right_steal(state, RIGHT_SEND, task);
}

PyDoc_STRVAR(doc_pid_for_task,
             "pid_for_task($module, /, task)\n--\n\n"
             "The process id behind a task port, given as a SendRight or a name (pid_for_task).\n\n"
             "MachError if the port is not a task's, or the process is gone.");

static PyObject *task_pid(PyObject *module, PyObject *const *args, Py_ssize_t nargs,
                          PyObject *kwnames)
{
    static const char *const names[] = {"task"};
    static const struct parameters parameters = {"pid_for_task", names, 1, 1, 1};
    struct module_state *state = state_of_module(module);
    PyObject *argument;
    mach_port_name_t task;
    int pid = -1;
    if (args_parse(&parameters, args, nargs, kwnames, &argument) < 0)
        return NULL;
    struct right *right = right_from_object(state, argument);
    if (right ? !right_expect(state, argument, RIGHT_SEND, "task") || right_pin(right, &task) < 0
              : arg_name(argument, &task) < 0)
        return NULL;
    kern_return_t kr = pid_for_task(task, &pid);
    if (right)
        right_unpin(right);
    if (kr != KERN_SUCCESS)
        return error_set(state, "pid_for_task", kr,
                         "the port is not a task's, or the process is gone");
    return PyLong_FromLong(pid);
}

static PyMethodDef task_functions[] = {
    {"task_self", task_self, METH_NOARGS, doc_task_self},
    {"pid_for_task", METHOD(task_pid), METH_FASTCALL | METH_KEYWORDS, doc_pid_for_task},
    {NULL, NULL, 0, NULL},
};

int task_add(PyObject *module, struct module_state *state)
{
    (void)state;
    return PyModule_AddFunctions(module, task_functions);
}
