/* See port_descriptor.h; what the descriptor is on each platform is in wait_*.c. */
#include "port_descriptor.h"

#include "errors.h"
#include "wait.h"

void port_descriptor_init(struct port_descriptor *descriptor)
{
    atomic_init(&descriptor->fd, -1);
    atomic_init(&descriptor->generation, 0);
}

PyObject *port_descriptor_get(struct port_descriptor *descriptor, struct module_state *state,
                              mach_port_name_t name)
{
    int fd = atomic_load(&descriptor->fd), none = -1;
    if (fd >= 0)
        return PyLong_FromLong(fd);
    kern_return_t kr = port_descriptor_make(name, &fd);
    if (kr != KERN_SUCCESS)
        return error_set(state, "fileno", kr, NULL);
    atomic_store(&descriptor->generation, atomic_load(&state->generation));
    /* Two threads that ask first: the second uses what the first made. */
    if (!atomic_compare_exchange_strong(&descriptor->fd, &none, fd)) {
        port_descriptor_release(fd, false);
        fd = none;
    }
    return PyLong_FromLong(fd);
}

PyObject *port_descriptor_new(struct module_state *state, mach_port_name_t name)
{
    int fd;
    kern_return_t kr = port_descriptor_make(name, &fd);
    if (kr != KERN_SUCCESS)
        return error_set(state, "fileno", kr, NULL);
    PyObject *result = PyLong_FromLong(fd);
    if (!result)
        port_descriptor_release(fd, false);
    return result;
}

void port_descriptor_drop(struct port_descriptor *descriptor, struct module_state *state)
{
    /* Most rights never had one. Whoever makes one holds the right meanwhile. */
    if (atomic_load_explicit(&descriptor->fd, memory_order_relaxed) < 0)
        return;
    int fd = atomic_exchange(&descriptor->fd, -1);
    if (fd >= 0)
        port_descriptor_release(fd, atomic_load(&descriptor->generation) !=
                                        atomic_load(&state->generation));
}
