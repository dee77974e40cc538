/* Argument parsing for the functions that are called often enough that a tuple, a dictionary and a
 * format string would show. Everything here is borrowed; nothing is owned past a return. */
#include "args.h"

static Py_ssize_t parameter_find(const struct parameters *parameters, PyObject *keyword)
{
    for (Py_ssize_t i = 0; i < parameters->total; i++) {
        if (PyUnicode_CompareWithASCIIString(keyword, parameters->names[i]) == 0)
            return i;
    }
    return -1;
}

int args_parse(const struct parameters *parameters, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames, PyObject **out)
{
    if (nargs > parameters->positional) {
        PyErr_Format(PyExc_TypeError, "%s() takes at most %zd positional arguments (%zd given)",
                     parameters->function, parameters->positional, nargs);
        return -1;
    }
    for (Py_ssize_t i = 0; i < parameters->total; i++)
        out[i] = i < nargs ? args[i] : NULL;
    Py_ssize_t keywords = kwnames ? PyTuple_Size(kwnames) : 0;
    for (Py_ssize_t i = 0; i < keywords; i++) {
        PyObject *keyword = PyTuple_GetItem(kwnames, i);
        Py_ssize_t at = parameter_find(parameters, keyword);
        if (at < 0) {
            PyErr_Format(PyExc_TypeError, "%s() got an unexpected keyword argument %R",
                         parameters->function, keyword);
            return -1;
        }
        if (out[at]) {
            PyErr_Format(PyExc_TypeError, "%s() got two values for argument '%s'",
                         parameters->function, parameters->names[at]);
            return -1;
        }
        out[at] = args[nargs + i];
    }
    for (Py_ssize_t i = 0; i < parameters->required; i++) {
        if (!out[i]) {
            PyErr_Format(PyExc_TypeError, "%s() is missing its argument '%s'", parameters->function,
                         parameters->names[i]);
            return -1;
        }
    }
    return 0;
}

/* An unsigned number of so many bits. */
static int arg_unsigned(PyObject *object, const char *what, unsigned bits, uint64_t *value)
{
    PyObject *index = PyNumber_Index(object);
    if (!index)
        return -1;
    unsigned long long number = PyLong_AsUnsignedLongLong(index);
    Py_DECREF(index);
    bool failed = number == (unsigned long long)-1 && PyErr_Occurred();
    if (failed && !PyErr_ExceptionMatches(PyExc_OverflowError))
        return -1;
    if (failed || (bits < 64 && number >> bits != 0)) {
        PyErr_Format(PyExc_OverflowError, "%s must be between 0 and 2**%u - 1", what, bits);
        return -1;
    }
    *value = number;
    return 0;
}

int arg_uint64(PyObject *object, const char *what, uint64_t *value)
{
    return arg_unsigned(object, what, 64, value);
}

int arg_uint32(PyObject *object, const char *what, uint32_t *value)
{
    uint64_t wide;
    int result = arg_unsigned(object, what, 32, &wide);
    if (result == 0)
        *value = (uint32_t)wide;
    return result;
}

int arg_name(PyObject *object, mach_port_name_t *name)
{
    return arg_uint32(object, "a port name", name);
}

int arg_int(PyObject *object, const char *what, int *value)
{
    PyObject *index = PyNumber_Index(object);
    if (!index)
        return -1;
    int overflow = 0;
    long number = PyLong_AsLongAndOverflow(index, &overflow);
    Py_DECREF(index);
    if (overflow || number < INT32_MIN || number > INT32_MAX) {
        PyErr_Format(PyExc_OverflowError, "%s does not fit in a C int", what);
        return -1;
    }
    *value = (int)number;
    return 0;
}
