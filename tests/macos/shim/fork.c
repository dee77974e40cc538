/* What libSystem does to the registered ports before every fork.
 *
 * libc's fork calls libSystem_atfork_prepare (Apple's Libsystem, init.c), and that calls libxpc's
 * xpc_atfork_prepare, which registers one port: the XPC root, in slot 0. Mach replaces all three at
 * once, so the other two slots are empty afterwards, in the parent and in the child. posix_spawn
 * calls none of this, on either system.
 *
 * On a Mac every process descends from one that has forked, and has that port in slot 0 from the
 * beginning. Here it comes with the first fork, and passes to what is started after that. What
 * stands for it is the task's own port, which nobody needs to own. */
#include "darwin.h"

#include <pthread.h>
#include <stdlib.h>

#include <mach/mach.h>

#define SLOTS 3

static void slots_take(mach_port_t slots[SLOTS])
{
    mach_port_array_t found = NULL;
    mach_msg_type_number_t count = 0;
    if (mach_ports_lookup(mach_task_self(), &found, &count) != KERN_SUCCESS || count != SLOTS)
        abort();
    for (int i = 0; i < SLOTS; i++)
        slots[i] = MACH_PORT_VALID(found[i]) ? found[i] : MACH_PORT_NULL;
    (void)vm_deallocate(mach_task_self(), (vm_address_t)found, count * sizeof *found);
}

static void slots_release(const mach_port_t slots[SLOTS])
{
    for (int i = 0; i < SLOTS; i++)
        if (slots[i] != MACH_PORT_NULL)
            (void)mach_port_deallocate(mach_task_self(), slots[i]);
}

/* Also for who must know beforehand what will be registered when the fork is made. */
EXPORTED void machorun_before_fork(void)
{
    mach_port_t slots[SLOTS], root = mach_task_self();
    slots_take(slots);
    /* Where there is nothing to do the library's descriptors stay the same. */
    if (slots[0] != root || slots[1] != MACH_PORT_NULL || slots[2] != MACH_PORT_NULL)
        if (mach_ports_register(mach_task_self(), &root, 1) != KERN_SUCCESS)
            abort();
    slots_release(slots);
}

/* The handlers of the Mach library were registered before, so they run after this: the first of
 * them takes its lock. */
__attribute__((constructor)) static void start(void)
{
    if (pthread_atfork(machorun_before_fork, NULL, NULL) != 0)
        abort();
}
