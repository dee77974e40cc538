/*
 * Bootstrap: services by name, for the processes of one user.
 *
 * Each service is a listening Unix socket in a directory that only its user can reach, under the
 * SHA-256 of its name (a socket's path is short). Whoever connects is sent one packet with a send
 * right, by the watcher's thread, so that a busy server answers too. A name that a dead process has
 * left behind is found out under the directory's lock, and taken over; others are swept up on the
 * way.
 *
 * The registry holds a reference to the service's port; when the port dies the socket goes. The
 * sockets are the process's own: a forked child closes them.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <mach/mach.h>
#include <servers/bootstrap.h>

#include "bootstrap.h"
#include "mach_linux.h"
#include "calls.h"
#include "forks.h"
#include "message.h"
#include "refusal.h"
#include "sha256.h"
#include "watcher.h"

/* How long bootstrap_look_up() waits for a server's library to answer: only a stopped process takes
 * long. */
#define ANSWER_MS 10000

struct service {
    struct service *next;
    struct ml_port *port;
    int listener;
    uint64_t watch;
    uint64_t death; /* the watch of a receive right that was moved away, or 0 */
    struct sockaddr_un address;
};

static struct service *services; /* guarded by the space's lock */

mach_port_t bootstrap_port = ML_BOOTSTRAP_NAME;

/* --- the directory --------------------------------------------------------------------------- */

/* Opens the directory, making it if need be. It must be ours alone. −1 and errno. */
static int open_directory(char *path, size_t size)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    int n;

    if (runtime != NULL && runtime[0] == '/' && stat(runtime, &st) == 0 && S_ISDIR(st.st_mode) &&
        st.st_uid == geteuid())
        n = snprintf(path, size, "%s/mach-bootstrap", runtime);
    else
        n = snprintf(path, size, "/tmp/mach-bootstrap-%u", (unsigned)geteuid());
    if (n < 0 || (size_t)n >= size) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return -1;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) != 0 || st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        ml_close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

/* A shortage of this task's or the system's: noted, and not what the caller asked about. */
static bool is_shortage(const char *call, int error)
{
    bool shortage = error == ENOMEM || error == EMFILE || error == ENFILE;
    if (shortage)
        ml_refused(call, error);
    return shortage;
}

/* The address of a service. 0 or errno. */
static int service_address(const char *directory, const char *name, struct sockaddr_un *address)
{
    uint8_t digest[32];
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    ml_sha256(name, strnlen(name, BOOTSTRAP_MAX_NAME_LEN - 1), digest);
    size_t at = (size_t)snprintf(address->sun_path, sizeof address->sun_path, "%s/", directory);
    /* 128 bits of it tell any two names apart, and leave room for the directory. */
    for (unsigned i = 0; i < 16; i++, at += 2) {
        if (at + 3 > sizeof address->sun_path)
            return ENAMETOOLONG;
        snprintf(address->sun_path + at, 3, "%02x", digest[i]);
    }
    return 0;
}

static kern_return_t locate(const char *name, struct sockaddr_un *address, int *directory)
{
    char path[sizeof address->sun_path];
    if (!ml_supported())
        return KERN_NOT_SUPPORTED;
    *directory = open_directory(path, sizeof path);
    if (*directory < 0)
        return is_shortage("open", errno) ? BOOTSTRAP_NO_MEMORY : BOOTSTRAP_NOT_PRIVILEGED;
    if (service_address(path, name, address) != 0) {
        ml_close(*directory);
        return BOOTSTRAP_NOT_PRIVILEGED;
    }
    return KERN_SUCCESS;
}

/* --- serving --------------------------------------------------------------------------------- */

static void service_close(struct service *s, struct ml_garbage *g)
{
    struct service **link = &services;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    ml_watch_remove(s->watch);
    ml_watch_remove(s->death);
    ml_garbage_add(g, s->listener);
    ml_port_release(s->port, g);
    free(s);
}

/* A packet with the service's send right, as a message without content. */
static void answer(int connection, struct service *s, struct ml_garbage *g)
{
    struct {
        struct ml_wire wire;
        mach_msg_header_t header;
    } packet;
    struct ml_right right = {.carry = ML_CARRY_SEND, .fds = {-1, -1}, .port = s->port};
    struct iovec iov = {&packet, sizeof packet};
    int fds[3], n;

    ml_port_retain(s->port);
    n = ml_right_descriptors(&right, fds);
    memset(&packet, 0, sizeof packet);
    packet.wire =
        (struct ml_wire){.magic = ML_WIRE_MAGIC, .n_fds = (uint16_t)n, .reply = ML_CARRY_SEND};
    packet.header.msgh_bits = MACH_MSG_TYPE_PORT_SEND;
    packet.header.msgh_size = sizeof packet.header;
    if (n > 0)
        (void)ml_packet_write(connection, &iov, 1, fds, (unsigned)n);
    s->port->receiver->mscount++;
    ml_right_commit(&right, g);
}

/* The pipe that is kept is made before the connection, which would leave a gap below it: see
 * close_both() in fds.c. With a no-senders request none is kept. */
static void make_pipe_first(struct ml_receiver *r, struct ml_garbage *g)
{
    struct ml_live *live = r->no_senders == NULL ? ml_receiver_live(r) : NULL;
    if (live != NULL)
        ml_live_release(live, g);
}

static void somebody_looks_up(uint64_t watch, void *context, struct ml_garbage *g)
{
    struct service *s = context;
    (void)watch;
    if (s->port->receiver != NULL)
        make_pipe_first(s->port->receiver, g);
    int connection = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
        ml_watch_pause(); /* without a descriptor for it: it waits until there is one */
        return;
    }
    /* A receive right that was moved away is answered for by its new owner, if at all. */
    if (s->port->receiver != NULL)
        answer(connection, s, g);
    ml_garbage_add(g, connection);
}

static void moved_right_died(uint64_t watch, void *context, struct ml_garbage *g)
{
    struct service *s = context;
    if (s->port->receiver == NULL) {
        ml_bootstrap_port_gone(s->port, g);
        return;
    }
    ml_watch_remove(watch); /* it came back, and somebody shut the sending end down */
    s->death = 0;
}

void ml_bootstrap_port_left(struct ml_port *p)
{
    for (struct service *s = services; s != NULL; s = s->next)
        if (s->port == p && s->death == 0) /* 0 again: the name outlives the right, no more */
            s->death = ml_watch_add(p->tx, 0, moved_right_died, s);
}

struct ml_port *ml_bootstrap_port_find(uint64_t key)
{
    for (struct service *s = services; s != NULL; s = s->next)
        if (s->port->key == key)
            return s->port;
    return NULL;
}

void ml_bootstrap_port_gone(struct ml_port *p, struct ml_garbage *g)
{
    for (struct service *s = services, *next; s != NULL; s = next) {
        next = s->next;
        if (s->port != p)
            continue;
        (void)unlink(s->address.sun_path);
        service_close(s, g);
    }
}

void ml_bootstrap_reset_in_child(struct ml_garbage *g)
{
    while (services != NULL) {
        struct service *s = services;
        services = s->next;
        ml_garbage_add(g, s->listener);
        free(s); /* its port is closed with the space */
    }
}

/* A process that ends takes its names along. (exit() may have been called with the lock held, out
 * of a signal handler.) */
__attribute__((destructor)) static void remove_names(void)
{
    if (!ml_try_lock())
        return;
    for (const struct service *s = services; s != NULL; s = s->next)
        (void)unlink(s->address.sun_path);
    ml_unlock();
}

/* --- check-in -------------------------------------------------------------------------------- */

static int connect_to(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0) {
        int error = errno;
        ml_close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* Is somebody bound to the address? EPROTOTYPE: yes; ECONNREFUSED: it was left behind. Asked with a
 * socket of another type, so that a service is not troubled with it. */
static int probe(const struct sockaddr_un *address)
{
    int error = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) != 0)
        error = errno;
    ml_close(fd);
    return error;
}

/* How many names a check-in looks at that others may have left behind: more than it adds. */
#define SWEEP 8u

/* Removes a name of the directory, which is locked, if nobody listens there. */
static void sweep_one(int directory, const char *path, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t room = sizeof address.sun_path;
    int n = snprintf(address.sun_path, room, "%s/%s", path, name);
    if (name[0] != '.' && n > 0 && (size_t)n < room && probe(&address) == ECONNREFUSED)
        (void)unlinkat(directory, name, 0);
}

/* A process that is killed leaves its names behind, and only for a name that is wanted again would
 * anybody notice. Looks at a few, from anywhere in the directory. */
static void sweep(int directory, const char *path)
{
    struct timespec now;
    unsigned count = 0, looked = 0;
    int copy = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = copy < 0 ? NULL : fdopendir(copy);

    if (list == NULL) {
        if (copy >= 0)
            ml_close(copy);
        return;
    }
    while (readdir(list) != NULL)
        count++;
    clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned skip = count > SWEEP ? (unsigned)now.tv_nsec % (count - SWEEP) : 0;
    rewinddir(list);
    for (struct dirent *entry; looked < SWEEP && (entry = readdir(list)) != NULL;) {
        if (skip != 0) {
            skip--;
            continue;
        }
        sweep_one(directory, path, entry->d_name);
        looked++;
    }
    closedir(list);
}

/* Listens at the address, which is locked, if nobody else does. */
static kern_return_t listen_at(const struct sockaddr_un *address, int *listener)
{
    int found = probe(address);
    if (found == EPROTOTYPE)
        return BOOTSTRAP_SERVICE_ACTIVE;
    if (found == ECONNREFUSED)
        (void)unlink(address->sun_path); /* left by a process that died */
    *listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*listener < 0) {
        ml_refused("socket", errno);
        return BOOTSTRAP_NO_MEMORY;
    }
    if (bind(*listener, (const struct sockaddr *)address, sizeof *address) != 0 ||
        listen(*listener, SOMAXCONN) != 0) {
        bool shortage = is_shortage("bind", errno);
        ml_close(*listener);
        return shortage ? BOOTSTRAP_NO_MEMORY : BOOTSTRAP_NOT_PRIVILEGED;
    }
    return KERN_SUCCESS;
}

/* Gives the name up again. In this order: as soon as nobody listens the file is somebody else's to
 * replace. */
static void stop_listening(const struct sockaddr_un *address, int listener)
{
    (void)unlink(address->sun_path);
    ml_close(listener);
}

/* Serves a port under the address from now on; takes the listener. */
static kern_return_t serve(const struct sockaddr_un *address, int listener, mach_port_name_t name)
{
    struct service *s = malloc(sizeof *s);
    if (s == NULL) {
        stop_listening(address, listener);
        return BOOTSTRAP_NO_MEMORY;
    }
    *s = (struct service){.listener = listener, .address = *address};
    ml_lock();
    s->watch = ml_watch_add(listener, EPOLLIN, somebody_looks_up, s);
    struct ml_entry *e = ml_entry_lookup(name);
    bool ok = s->watch != 0 && e != NULL;
    if (ok) {
        s->port = e->port;
        ml_port_retain(s->port);
        s->port->service = true;
        s->next = services;
        services = s;
    } else {
        ml_watch_remove(s->watch);
    }
    ml_unlock();
    if (!ok) {
        stop_listening(address, listener);
        free(s);
    }
    return ok ? KERN_SUCCESS : BOOTSTRAP_NO_MEMORY;
}

/* Another process of this user's may have been stopped with the lock. */
static bool lock_directory(int directory)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    ml_deadline deadline = ml_deadline_after(ANSWER_MS);
    while (flock(directory, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EINTR && (errno != EWOULDBLOCK || ml_deadline_left(deadline) == 0)) {
            ml_refused("flock of the directory of services", errno);
            return false;
        }
        (void)nanosleep(&moment, NULL);
    }
    return true;
}

kern_return_t bootstrap_check_in(mach_port_t bp, const name_t service_name, mach_port_t *sp)
{
    ML_UNCANCELLED;
    struct sockaddr_un address;
    char path[sizeof address.sun_path];
    int directory, listener = -1;

    (void)bp;
    *sp = MACH_PORT_NULL;
    kern_return_t kr = locate(service_name, &address, &directory);
    if (kr != KERN_SUCCESS)
        return kr;
    if (lock_directory(directory)) {
        kr = listen_at(&address, &listener);
        memcpy(path, address.sun_path, sizeof path);
        sweep(directory, dirname(path));
    } else {
        kr = BOOTSTRAP_NO_MEMORY;
    }
    ml_close(directory); /* unlocks */
    if (kr != KERN_SUCCESS)
        return kr;
    kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, sp);
    if (kr != KERN_SUCCESS) {
        stop_listening(&address, listener);
        kr = BOOTSTRAP_NO_MEMORY;
    } else {
        kr = serve(&address, listener, *sp);
    }
    if (kr != KERN_SUCCESS) {
        if (*sp != MACH_PORT_NULL)
            (void)mach_port_destroy(mach_task_self(), *sp);
        *sp = MACH_PORT_NULL;
    }
    return kr;
}

/* --- look-up --------------------------------------------------------------------------------- */

static bool is_ours(int connection)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    return getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
           peer.uid == geteuid();
}

kern_return_t mach_linux_look_up_begin(const char *service_name, int *fd)
{
    ML_UNCANCELLED;
    struct sockaddr_un address;
    int directory;

    *fd = -1;
    kern_return_t kr = locate(service_name, &address, &directory);
    if (kr != KERN_SUCCESS)
        return kr;
    ml_close(directory);
    int connection = connect_to(&address);
    if (connection < 0 && errno == EAGAIN)
        return MACH_SEND_TIMED_OUT;
    if (connection < 0)
        return is_shortage("socket", errno) ? BOOTSTRAP_NO_MEMORY : BOOTSTRAP_UNKNOWN_SERVICE;
    if (!is_ours(connection)) {
        ml_close(connection);
        return BOOTSTRAP_UNKNOWN_SERVICE;
    }
    *fd = connection;
    return KERN_SUCCESS;
}

static kern_return_t take_answer(int fd, mach_port_t *sp)
{
    ML_GARBAGE(g);
    struct ml_packet packet;
    struct ml_right right;
    bool full = false;

    *sp = MACH_PORT_NULL;
    int error = ml_packet_read(fd, &packet);
    if (error == EAGAIN)
        return MACH_RCV_TIMED_OUT;
    if (error != 0)
        return error == EMFILE || error == ENOMEM ? BOOTSTRAP_NO_MEMORY : BOOTSTRAP_UNKNOWN_SERVICE;
    bool good = packet.file < 0 && ml_packet_wire(&packet)->reply == ML_CARRY_SEND &&
                ml_right_arrive(&packet, ML_CARRY_SEND, NULL, &right);
    ml_packet_drop(&packet);
    if (!good)
        return BOOTSTRAP_UNKNOWN_SERVICE;
    ml_lock();
    mach_port_t name = ml_copyout(&right, &full, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    if (full || name == MACH_PORT_DEAD)
        return full ? BOOTSTRAP_NO_MEMORY : BOOTSTRAP_UNKNOWN_SERVICE;
    *sp = name;
    return KERN_SUCCESS;
}

kern_return_t mach_linux_look_up_end(int fd, mach_port_t *sp)
{
    ml_lock(); /* not in the middle of a fork */
    ml_unowned_begin();
    ml_unlock();
    kern_return_t kr = take_answer(fd, sp);
    ml_unowned_end();
    return kr;
}

/* Apple's call has no code for a server that does not answer: launchd does. Here it may be stopped,
 * and is then as good as none. */
kern_return_t bootstrap_look_up(mach_port_t bp, const name_t service_name, mach_port_t *sp)
{
    ML_UNCANCELLED;
    ml_deadline deadline = ml_deadline_after(ANSWER_MS);
    int connection, left;

    (void)bp;
    *sp = MACH_PORT_NULL;
    kern_return_t kr = mach_linux_look_up_begin(service_name, &connection);
    if (kr == MACH_SEND_TIMED_OUT)
        return BOOTSTRAP_UNKNOWN_SERVICE;
    if (kr != KERN_SUCCESS)
        return kr;
    while ((kr = mach_linux_look_up_end(connection, sp)) == MACH_RCV_TIMED_OUT &&
           (left = ml_deadline_left(deadline)) != 0) {
        struct pollfd p = {.fd = connection, .events = POLLIN};
        (void)ml_poll(&p, 1, left);
    }
    ml_close(connection);
    return kr == MACH_RCV_TIMED_OUT ? BOOTSTRAP_UNKNOWN_SERVICE : kr;
}
