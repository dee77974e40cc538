/*
 * What the fuzz targets share: see world.h.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "packet.h"
#include "receiver.h"
#include "space.h"
#include "world.h"

#define BUFFER_SIZE (1u << 18)
#define RECEIVES_MAX 8
/* Descriptors that were refused are closed by another thread: so many looks, a millisecond apart.
 */
#ifndef PATIENCE
#define PATIENCE 20000
#endif

static void need(bool condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* --- input ----------------------------------------------------------------------------------- */

uint8_t input_byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

const uint8_t *input_bytes(struct input *in, size_t n, size_t *size)
{
    const uint8_t *at = in->at;
    *size = n < in->left ? n : in->left;
    in->at += *size;
    in->left -= *size;
    return at;
}

const uint8_t *input_rest(struct input *in, size_t *size)
{
    return input_bytes(in, in->left, size);
}

/* --- the account ----------------------------------------------------------------------------- */

static size_t count_open(void)
{
    DIR *folder = opendir("/proc/self/fd");
    size_t n = 0;
    need(folder != NULL, "cannot list the open descriptors");
    while (readdir(folder) != NULL)
        n++;
    closedir(folder);
    return n;
}

static mach_msg_type_number_t count_names(void)
{
    mach_port_name_array_t names;
    mach_port_type_array_t types;
    mach_msg_type_number_t n = 0, n_types = 0;
    need(mach_port_names(mach_task_self(), &names, &n, &types, &n_types) == KERN_SUCCESS,
         "cannot list the names");
    vm_deallocate(mach_task_self(), (vm_address_t)names, n * sizeof *names);
    vm_deallocate(mach_task_self(), (vm_address_t)types, n_types * sizeof *types);
    return n;
}

/* What the library opens at the first use and keeps for good. */
static void warm_up(void)
{
    mach_port_t port, send, previous;
    mach_msg_type_name_t type;
    mach_port_t self = mach_task_self();
    need(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &port) == KERN_SUCCESS, "no port");
    need(mach_port_extract_right(self, port, MACH_MSG_TYPE_MAKE_SEND, &send, &type) == KERN_SUCCESS,
         "no send right");
    need(mach_port_request_notification(self, self, MACH_NOTIFY_DEAD_NAME, 0, port,
                                        MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous) == KERN_SUCCESS,
         "no notification");
    need(mach_port_request_notification(self, self, MACH_NOTIFY_DEAD_NAME, 0, MACH_PORT_NULL,
                                        MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous) == KERN_SUCCESS,
         "the notification stays");
    need(mach_port_deallocate(self, previous) == KERN_SUCCESS, "the request stays");
    need(mach_port_destroy(self, port) == KERN_SUCCESS, "the port stays");
}

/* --- descriptors ----------------------------------------------------------------------------- */

static void make_channel(struct world *w, enum kind tx, enum kind rx)
{
    uint64_t cookie;
    int pair[2];
    need(ml_channel_create(pair, &cookie) == 0, "no channel");
    w->fds[tx] = pair[0];
    w->fds[rx] = pair[1];
}

static void make(struct world *w, enum kind kind)
{
    int pair[2];
    switch (kind) {
    case KIND_TX_A:
    case KIND_RX_A:
        make_channel(w, KIND_TX_A, KIND_RX_A);
        break;
    case KIND_TX_B:
    case KIND_RX_B:
        make_channel(w, KIND_TX_B, KIND_RX_B);
        break;
    case KIND_PIPE_WRITE:
    case KIND_PIPE_READ:
        need(pipe2(pair, O_CLOEXEC) == 0, "no pipe");
        w->fds[KIND_PIPE_READ] = pair[0];
        w->fds[KIND_PIPE_WRITE] = pair[1];
        break;
    case KIND_DEAD_PIPE:
        need(pipe2(pair, O_CLOEXEC) == 0, "no pipe");
        w->fds[kind] = pair[0];
        close(pair[1]);
        break;
    case KIND_OWN_TX:
    case KIND_OWN_RX:
        ml_lock();
        w->fds[KIND_OWN_TX] = dup(ml_entry_lookup(w->port)->port->tx);
        w->fds[KIND_OWN_RX] = dup(ml_entry_lookup(w->port)->port->receiver->rx);
        ml_unlock();
        break;
    case KIND_TASK:
        w->fds[kind] = (int)syscall(SYS_pidfd_open, getpid(), 0);
        break;
    case KIND_DEAD_TX:
        need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "no socket");
        w->fds[kind] = pair[0];
        close(pair[1]);
        break;
    case KIND_STATE:
        need(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0, "no socket");
        w->state_writer = pair[0];
        w->fds[kind] = pair[1];
        break;
    case KIND_STREAM:
        w->fds[kind] = socket(AF_UNIX, SOCK_STREAM, 0);
        break;
    case KIND_UDP:
        w->fds[kind] = socket(AF_INET, SOCK_DGRAM, 0);
        break;
    case KIND_MEMORY:
        w->fds[kind] = memfd_create("fuzz", MFD_ALLOW_SEALING);
        break;
    case KIND_NULL_DEVICE:
        w->fds[kind] = open("/dev/null", O_RDWR);
        break;
    case KIND_DIRECTORY:
        w->fds[kind] = open("/", O_RDONLY | O_DIRECTORY);
        break;
    default:
        w->fds[kind] = eventfd(0, 0);
        break;
    }
    need(w->fds[kind] >= 0, "no descriptor");
}

int world_fd(struct world *w, enum kind kind)
{
    if (w->fds[kind] < 0)
        make(w, kind);
    return w->fds[kind];
}

unsigned world_fds(struct world *w, struct input *in, int *fds, unsigned room)
{
    unsigned n = input_byte(in), i = 0;
    for (; i < n && i < room && in->left != 0; i++)
        fds[i] = world_fd(w, input_byte(in) % KINDS);
    return i;
}

void world_write(int fd, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    (void)ml_packet_write(fd, &iov, 1, fds, n_fds);
}

void world_state(struct world *w, const void *bytes, size_t size, const int *fds, unsigned n_fds)
{
    (void)world_fd(w, KIND_STATE);
    world_write(w->state_writer, bytes, size, fds, n_fds);
}

int world_tx_of(mach_port_t name)
{
    ml_lock();
    int tx = ml_entry_lookup(name)->port->tx;
    ml_unlock();
    return tx;
}

/* --- beginning and end ----------------------------------------------------------------------- */

void world_begin(struct world *w)
{
    static bool warm;
    mach_msg_type_name_t type;
    mach_port_t self = mach_task_self();

    if (!warm)
        warm_up();
    warm = true;
    memset(w, 0xff, sizeof *w); /* every descriptor −1 */
    w->open = count_open();
    w->names = count_names();
    need(mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &w->port) == KERN_SUCCESS, "no port");
    need(mach_port_extract_right(self, w->port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &w->once, &type) ==
             KERN_SUCCESS,
         "no send-once right");
}

void world_end(struct world *w)
{
    const struct timespec moment = {.tv_nsec = 1000000};
    (void)mach_port_destroy(mach_task_self(), w->once);
    (void)mach_port_destroy(mach_task_self(), w->port);
    if (w->state_writer >= 0)
        close(w->state_writer);
    for (int i = 0; i < KINDS; i++)
        if (w->fds[i] >= 0)
            close(w->fds[i]);
    need(count_names() == w->names, "a name is left");
    for (int i = 0; count_open() != w->open; i++) {
        need(i < PATIENCE, "a descriptor is left open, or closed that was another's");
        nanosleep(&moment, NULL);
    }
}

/* --- receiving ------------------------------------------------------------------------------- */

/* Sends a receive right on, with all that it came with, and gives the name under which it arrives.
 */
static mach_port_t hand_on(mach_port_t name)
{
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t port;
        mach_msg_max_trailer_t trailer;
    } m;
    mach_port_t relay;
    mach_msg_size_t size = sizeof m - sizeof m.trailer;

    if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &relay) != KERN_SUCCESS)
        return name; /* few descriptors are left, on purpose */
    memset(&m, 0, sizeof m);
    m.header.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
    m.header.msgh_remote_port = relay;
    m.body.msgh_descriptor_count = 1;
    m.port.name = name;
    m.port.disposition = MACH_MSG_TYPE_MOVE_RECEIVE;
    m.port.type = MACH_MSG_PORT_DESCRIPTOR;
    if (mach_msg(&m.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0) == KERN_SUCCESS)
        name = mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, relay, 0, 0) ==
                       KERN_SUCCESS
                   ? m.port.name
                   : MACH_PORT_NULL;
    (void)mach_port_destroy(mach_task_self(), relay);
    return name;
}

/* Does to a right that arrived what its owner would; gives the name that it then has. */
static mach_port_t use(mach_port_t name, mach_msg_type_name_t disposition)
{
    mach_port_type_t type;
    mach_port_t self = mach_task_self(), previous = MACH_PORT_NULL;
    (void)mach_port_type(self, name, &type);
    if (disposition == MACH_MSG_TYPE_PORT_SEND) {
        mach_msg_header_t m = {.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0),
                               .msgh_remote_port = name};
        (void)mach_msg(&m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof m, 0, 0, 0, 0);
    } else if (disposition == MACH_MSG_TYPE_PORT_RECEIVE) {
        name = hand_on(name);
        world_receive(name, 0, BUFFER_SIZE);
        (void)mach_port_request_notification(self, name, MACH_NOTIFY_NO_SENDERS, 0, MACH_PORT_NULL,
                                             MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
        (void)mach_port_deallocate(self, previous);
    }
    return name;
}

static void use_rights(mach_msg_header_t *m)
{
    mach_msg_body_t *body = (mach_msg_body_t *)(m + 1);
    uint8_t *at = (uint8_t *)(body + 1);
    uint32_t n = (m->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0 ? body->msgh_descriptor_count : 0;
    for (uint32_t i = 0; i < n; i++, at += ml_descriptor_size(at)) {
        mach_msg_port_descriptor_t d;
        memcpy(&d, at, sizeof d);
        if (d.type == MACH_MSG_PORT_DESCRIPTOR) {
            d.name = use(d.name, d.disposition);
            memcpy(at, &d, sizeof d);
        }
    }
}

void world_receive(mach_port_t port, mach_msg_option_t option, mach_msg_size_t size)
{
    /* A receive right may arrive in a message of one that arrived. */
    static unsigned depth;
    static union {
        mach_msg_header_t header;
        uint8_t bytes[BUFFER_SIZE];
    } buffers[3];
    if (depth == 3)
        return;
    mach_msg_header_t *m = &buffers[depth++].header;
    for (int i = 0; i < RECEIVES_MAX; i++) {
        mach_msg_return_t mr =
            mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT | option, 0, size, port, 0, MACH_PORT_NULL);
        if (mr == MACH_RCV_TIMED_OUT)
            break;
        if (mr == MACH_MSG_SUCCESS) {
            use_rights(m);
            mach_msg_destroy(m);
        }
        option = 0;
        size = BUFFER_SIZE;
    }
    depth--;
}
