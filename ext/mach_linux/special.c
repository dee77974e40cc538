/*
 * Special and registered ports: send rights that belong to the task itself and that its children
 * inherit.
 *
 * Each is kept as descriptors of its own, like a right in a message, so it has no name until it is
 * asked for and counts as a sender. Over fork they are simply there. Over exec they stay open, and
 * so does a small memory file with a known name that says which they are; the new program looks for
 * it at its first use of these calls, and believes an entry only if the socket is the one that was
 * meant.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <mach/mach.h>

#include "mach_linux.h"
#include "calls.h"
#include "refusal.h"
#include "rights.h"
#include "task.h"
#include "vm.h"

#define REGISTERED 3u           /* what Mach lets a task register */
#define ROLES (1u + REGISTERED) /* the bootstrap port, and those */
#define FILE_NAME "mach-special-ports"
#define FILE_LINK "/memfd:" FILE_NAME

/* As it stands in the file, too. */
struct special {
    uint32_t carry; /* NULL, DEAD, SEND or TASK */
    int fds[2];
    uint64_t key;
};

/* Guarded by the space's lock. */
static struct special specials[ROLES];
static int file = -1;
static bool inherited; /* the file of the program before has been looked for */

/* --- over exec ------------------------------------------------------------------------------- */

static bool still_meant(const struct special *s)
{
    uint64_t key;
    switch (s->carry) {
    case ML_CARRY_SEND:
        return ml_fd_is_seqpacket(s->fds[0], &key) && key == s->key && ml_fd_is_pipe(s->fds[1]);
    case ML_CARRY_TASK:
        return ml_task_identify(s->fds[0], &key) && key == s->key;
    default:
        return s->carry == ML_CARRY_DEAD;
    }
}

static void read_file(int fd)
{
    struct special found[ROLES];
    if (pread(fd, found, sizeof found, 0) != (ssize_t)sizeof found)
        return;
    file = fd;
    for (unsigned i = 0; i < ROLES; i++)
        if (still_meant(&found[i]))
            specials[i] = found[i];
}

static void inherit(void)
{
    ML_UNCANCELLED;
    DIR *directory;
    struct dirent *entry;
    char link[64];

    if (inherited)
        return;
    inherited = true;
    directory = opendir("/proc/self/fd");
    if (directory == NULL)
        return;
    while (file < 0 && (entry = readdir(directory)) != NULL) {
        int fd = dirfd(directory);
        ssize_t n = fd < 0 ? -1 : readlinkat(fd, entry->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        if (n > 0 && strncmp(link, FILE_LINK, strlen(FILE_LINK)) == 0)
            read_file(atoi(entry->d_name));
    }
    closedir(directory);
}

static bool nothing_special(const struct special *now)
{
    for (unsigned i = 0; i < ROLES; i++)
        if (now[i].carry != ML_CARRY_NULL)
            return false;
    return true;
}

/* Says in a file what there is in `now`. In a fresh one each time: a child that was forked before
 * shares the last one and may be about to read it. The descriptors are not close-on-exec, on
 * purpose. No file says that there is nothing. */
static kern_return_t publish(const struct special *now)
{
    ML_UNCANCELLED;
    int fresh = -1;
    if (!nothing_special(now)) {
        fresh = memfd_create(FILE_NAME, 0);
        if (fresh < 0) {
            ml_refused("memfd_create", errno);
            return KERN_RESOURCE_SHORTAGE;
        }
        if (pwrite(fresh, now, sizeof specials, 0) != (ssize_t)sizeof specials) {
            ml_close(fresh);
            return KERN_RESOURCE_SHORTAGE;
        }
    }
    if (file >= 0)
        ml_close(file);
    file = fresh;
    return KERN_SUCCESS;
}

/* --- keeping --------------------------------------------------------------------------------- */

static void special_close(struct special *s, struct ml_garbage *g)
{
    if (s->carry == ML_CARRY_SEND || s->carry == ML_CARRY_TASK)
        ml_garbage_add(g, s->fds[0]);
    if (s->carry == ML_CARRY_SEND)
        ml_garbage_add(g, s->fds[1]);
    *s = (struct special){.carry = ML_CARRY_NULL};
}

/* n of the special ports, from `first`, are others from now on: `fresh`, which are taken in any
 * case. On failure all is as before. */
static kern_return_t replace(unsigned first, unsigned n, struct special *fresh,
                             struct ml_garbage *g)
{
    struct special now[ROLES];
    memcpy(now, specials, sizeof now);
    memcpy(now + first, fresh, n * sizeof *fresh);
    kern_return_t kr = publish(now);
    for (unsigned i = 0; i < n; i++)
        special_close(kr == KERN_SUCCESS ? &specials[first + i] : &fresh[i], g);
    if (kr == KERN_SUCCESS)
        memcpy(specials, now, sizeof now);
    return kr;
}

/* Copies the send right `name` into s, as inheritable descriptors. */
static kern_return_t special_copy(mach_port_name_t name, struct special *s, struct ml_garbage *g)
{
    struct ml_right right;
    int fds[3];

    *s = (struct special){.carry = ML_CARRY_NULL, .fds = {-1, -1}};
    (void)ml_entry_look(name, g);
    if (ml_copyin(name, MACH_MSG_TYPE_COPY_SEND, &right, g) != KERN_SUCCESS)
        return MACH_SEND_INVALID_RIGHT;
    s->carry = right.carry;
    int n = ml_right_descriptors(&right, fds);
    s->key = right.port != NULL ? right.port->key : 0;
    bool ok = n >= 0;
    for (int i = 0; i < n; i++) {
        s->fds[i] = fcntl(fds[i], F_DUPFD, 3);
        if (s->fds[i] < 0)
            ml_refused("fcntl", errno);
        ok = ok && s->fds[i] >= 0;
    }
    ml_right_commit(&right, g);
    if (!ok) {
        special_close(s, g);
        return KERN_RESOURCE_SHORTAGE;
    }
    return KERN_SUCCESS;
}

/* Names a copy of the right. */
static kern_return_t special_name(const struct special *s, mach_port_name_t *name,
                                  struct ml_garbage *g)
{
    struct ml_right right = {.carry = (uint8_t)s->carry, .fds = {-1, -1}, .key = s->key};
    bool full = false;

    if (s->carry == ML_CARRY_SEND || s->carry == ML_CARRY_TASK) {
        right.fds[0] = fcntl(s->fds[0], F_DUPFD_CLOEXEC, 0);
        right.dead =
            s->carry == ML_CARRY_TASK ? ml_task_exited(s->fds[0]) : ml_fd_hung_up(s->fds[0]);
        if (s->carry == ML_CARRY_SEND)
            right.fds[1] = fcntl(s->fds[1], F_DUPFD_CLOEXEC, 0);
        if (right.fds[0] < 0 || (s->carry == ML_CARRY_SEND && right.fds[1] < 0)) {
            ml_refused("fcntl", errno);
            ml_right_destroy(&right, g);
            return KERN_RESOURCE_SHORTAGE;
        }
    }
    *name = ml_copyout(&right, &full, g);
    return full ? KERN_RESOURCE_SHORTAGE : KERN_SUCCESS;
}

/* --- Apple's API ----------------------------------------------------------------------------- */

kern_return_t task_get_special_port(task_inspect_t task, int which_port, mach_port_t *special_port)
{
    ML_GARBAGE(g);

    *special_port = MACH_PORT_NULL;
    if (!ml_is_task_self(task))
        return KERN_INVALID_ARGUMENT;
    if (which_port != TASK_BOOTSTRAP_PORT)
        return KERN_INVALID_ARGUMENT;
    ml_lock();
    inherit();
    kern_return_t kr = special_name(&specials[0], special_port, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t task_set_special_port(task_t task, int which_port, mach_port_t special_port)
{
    ML_GARBAGE(g);
    struct special fresh;

    if (!ml_is_task_self(task))
        return KERN_INVALID_ARGUMENT;
    if (which_port != TASK_BOOTSTRAP_PORT)
        return KERN_INVALID_ARGUMENT;
    ml_lock();
    inherit();
    kern_return_t kr = special_copy(special_port, &fresh, &g);
    if (kr == KERN_SUCCESS)
        kr = replace(0, 1, &fresh, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_ports_register(task_t target_task, mach_port_array_t init_port_set,
                                  mach_msg_type_number_t init_port_setCnt)
{
    ML_GARBAGE(g);
    struct special fresh[REGISTERED];
    kern_return_t kr = KERN_SUCCESS;

    if (!ml_is_task_self(target_task) || init_port_setCnt > REGISTERED)
        return KERN_INVALID_ARGUMENT;
    memset(fresh, 0, sizeof fresh);
    ml_lock();
    inherit();
    for (uint32_t i = 0; kr == KERN_SUCCESS && i < init_port_setCnt; i++)
        kr = special_copy(init_port_set[i], &fresh[i], &g);
    if (kr == KERN_SUCCESS)
        kr = replace(1, REGISTERED, fresh, &g);
    else
        for (unsigned i = 0; i < REGISTERED; i++)
            special_close(&fresh[i], &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return kr;
}

kern_return_t mach_ports_lookup(task_t target_task, mach_port_array_t *init_port_set,
                                mach_msg_type_number_t *init_port_setCnt)
{
    ML_GARBAGE(g);
    kern_return_t kr = KERN_SUCCESS;

    if (!ml_is_task_self(target_task))
        return KERN_INVALID_ARGUMENT;
    mach_port_t *ports = ml_vm_allocate(REGISTERED * sizeof *ports);
    if (ports == NULL)
        return KERN_RESOURCE_SHORTAGE;
    ml_lock();
    inherit();
    for (unsigned i = 0; kr == KERN_SUCCESS && i < REGISTERED; i++)
        kr = special_name(&specials[1 + i], &ports[i], &g);
    ml_unlock();
    ml_garbage_flush(&g);
    if (kr != KERN_SUCCESS) {
        for (unsigned i = 0; i < REGISTERED; i++)
            (void)mach_port_deallocate(mach_task_self(), ports[i]);
        (void)vm_deallocate(mach_task_self(), (vm_address_t)ports, REGISTERED * sizeof *ports);
        return kr;
    }
    *init_port_set = ports;
    *init_port_setCnt = REGISTERED;
    return KERN_SUCCESS;
}

/* --- for who closes descriptors --------------------------------------------------------------- */

static void fd_list(int *fds, unsigned n, unsigned *count, int fd)
{
    if (*count < n)
        fds[*count] = fd;
    ++*count;
}

unsigned mach_linux_inherited_fds(int *fds, unsigned n)
{
    unsigned count = 0;

    ml_lock();
    inherit();
    if (file >= 0)
        fd_list(fds, n, &count, file);
    for (unsigned i = 0; i < ROLES; i++) {
        const struct special *s = &specials[i];
        if (s->carry == ML_CARRY_SEND || s->carry == ML_CARRY_TASK)
            fd_list(fds, n, &count, s->fds[0]);
        if (s->carry == ML_CARRY_SEND)
            fd_list(fds, n, &count, s->fds[1]);
    }
    ml_unlock();
    return count;
}
