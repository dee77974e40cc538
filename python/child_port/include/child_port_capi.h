/* The C API of child_port: port rights between native code and Python objects.
 *
 *     #include <Python.h>
 *     #include <child_port_capi.h>       the folder is child_port.get_include()
 *
 *     const struct child_port_capi *api = child_port_capi_import();
 *     if (!api)
 *         return NULL;                   ImportError is set
 *     PyObject *right = api->right_adopt(api, CHILD_PORT_SEND, name);
 *
 * Nothing has to be linked. It needs no more than the limited API of CPython 3.11, on Linux and on
 * macOS alike; mach_port_name_t is a uint32_t, so that this file needs no header of Mach's.
 *
 * Each interpreter has a table of its own, which lives as long as its child_port does: import it
 * when your module is made, and keep it with the state of that module.
 *
 * Every function is called with an attached thread state (with the GIL, where there is one), gets
 * the table as its first argument, and borrows the objects that it is given. What fails sets a
 * Python exception, that of the method of the same name in Python, and returns -1 or NULL. Then
 * whoever owned a right before owns it still. Timeouts are in seconds; a negative one is none.
 *
 * How it grows: new functions are added at the end, and CHILD_PORT_CAPI_MINOR is raised. What is
 * here keeps its place and its meaning for as long as CHILD_PORT_CAPI_MAJOR stays. So what was
 * compiled with an older header runs with any newer child_port of the same major version; what was
 * compiled with a newer one is told by child_port_capi_import() that child_port is too old, unless
 * it asks for less with child_port_capi_import_at_least() and looks with CHILD_PORT_CAPI_HAS(). */
#ifndef CHILD_PORT_CAPI_H
#define CHILD_PORT_CAPI_H

#include <Python.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CHILD_PORT_CAPI_MAJOR 1
#define CHILD_PORT_CAPI_MINOR 0

/* Where the capsule is. */
#define CHILD_PORT_CAPI_NAME "child_port._C_API"

/* The types of right object. */
enum child_port_kind {
    CHILD_PORT_NONE = -1, /* no right: a check-in without a port, or another object */
    CHILD_PORT_SEND = 0,
    CHILD_PORT_SEND_ONCE = 1,
    CHILD_PORT_RECEIVE = 2,
    CHILD_PORT_DEAD_NAME = 3,
    CHILD_PORT_PORT_SET = 4
};

/* Instead of a disposition: the default of the kind, as in Python. */
#define CHILD_PORT_DEFAULT_DISPOSITION (-1)

/* A check-in whose right native code owns. */
struct child_port_accepted {
    uint64_t token;
    uint32_t name;  /* yours to release, by Mach's call for the kind; 0 without a right */
    int32_t kind;   /* enum child_port_kind; CHILD_PORT_DEAD_NAME if the port died on its way */
    int32_t sender; /* the sender's process id, by the kernel's word */
    int32_t disposition;
};

struct child_port_capi {
    uint32_t major;
    uint32_t minor;
    size_t size;    /* of the whole table, in the child_port that runs */
    void *reserved; /* child_port's own */

    /* A new right object, which takes over one user reference (or the receive right, or the port
     * set) that the caller owned under this name. InvalidRight if the name has no such right. */
    PyObject *(*right_adopt)(const struct child_port_capi *api, int kind, uint32_t name);

    /* The name; the caller owns the right from now on, and the object is closed. ValueError if it
     * is closed already, or in use by another thread. */
    int (*right_detach)(const struct child_port_capi *api, PyObject *right, uint32_t *name);

    /* The name, which stays the object's: until right_unpin the right is neither released nor moved
     * nor detached, whatever other threads do, so the name may be used without the GIL. Pins nest.
     * ValueError if the object is closed, or is being moved. */
    int (*right_pin)(const struct child_port_capi *api, PyObject *right, uint32_t *name);
    /* Once for each right_pin. Never fails; a close() that came meanwhile takes effect. */
    void (*right_unpin)(const struct child_port_capi *api, PyObject *right);

    /* What kind of right object it is, open or not; CHILD_PORT_NONE, with no exception, for
     * anything else. */
    int (*right_kind)(const struct child_port_capi *api, PyObject *object);

    /* child_port.check_in(): server is a right object or an int, port a right object, an int or
     * None. Waits without the GIL while the queue is full. */
    int (*check_in)(const struct child_port_capi *api, PyObject *server, uint64_t token,
                    PyObject *port, int disposition, double timeout);

    /* A new child_port.Server with this token. It takes port over, a ReceiveRight; with NULL it
     * makes a port of its own. */
    PyObject *(*server_new)(const struct child_port_capi *api, PyObject *port, uint64_t token);

    /* The next valid check-in at a Server, as Server.accept(); the caller owns the right in it.
     * On failure nothing is written. */
    int (*server_accept)(const struct child_port_capi *api, PyObject *server, double timeout,
                         struct child_port_accepted *accepted);
};

/* Does the child_port that runs have this function? */
#define CHILD_PORT_CAPI_HAS(api, function)                                                         \
    ((api)->size >= offsetof(struct child_port_capi, function) + sizeof((api)->function))

/* The table, if it is of this major version and of this minor one or a later; NULL with ImportError
 * set if not. Imports child_port. */
static inline const struct child_port_capi *child_port_capi_import_at_least(uint32_t minor)
{
    const struct child_port_capi *api =
        (const struct child_port_capi *)PyCapsule_Import(CHILD_PORT_CAPI_NAME, 0);
    if (api && (api->major != CHILD_PORT_CAPI_MAJOR || api->minor < minor)) {
        PyErr_Format(
            PyExc_ImportError, "child_port has version %u.%u of its C API, and %d.%u is needed",
            (unsigned)api->major, (unsigned)api->minor, CHILD_PORT_CAPI_MAJOR, (unsigned)minor);
        api = NULL;
    }
    return api;
}

/* The table with all that this header has. */
static inline const struct child_port_capi *child_port_capi_import(void)
{
    return child_port_capi_import_at_least(CHILD_PORT_CAPI_MINOR);
}

#ifdef __cplusplus
}
#endif

#endif
