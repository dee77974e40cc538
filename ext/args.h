/* Arguments of the METH_FASTCALL | METH_KEYWORDS functions, without tuples or dictionaries. */
#ifndef CHILD_PORT_ARGS_H
#define CHILD_PORT_ARGS_H

#include "state.h"

/* The parameters of one function. Names stand in order; the first `positional` of them may be given
 * by position, the first `required` must be given. */
struct parameters {
    const char *function;
    const char *const *names;
    Py_ssize_t total;
    Py_ssize_t positional;
    Py_ssize_t required;
};

/* Fills out[0..total) with borrowed references, NULL where nothing was given. 0, or -1 with
 * TypeError set. */
int args_parse(const struct parameters *parameters, PyObject *const *args, Py_ssize_t nargs,
               PyObject *kwnames, PyObject **out);

/* Conversions: 0, or -1 with TypeError, ValueError or OverflowError set. */
int arg_name(PyObject *object, mach_port_name_t *name);
int arg_uint32(PyObject *object, const char *what, uint32_t *value);
int arg_uint64(PyObject *object, const char *what, uint64_t *value);
int arg_int(PyObject *object, const char *what, int *value);

/* An object that is absent or None. */
static inline bool arg_is_none(PyObject *object)
{
    return object == NULL || object == Py_None;
}

#endif
