/*
 * Packets: reading, checking and writing. See packet.h for the layout.
 *
 * Nothing here knows names; a packet that passes ml_packet_check() has exactly the descriptors that
 * its kinds call for, and rights.c looks at what those descriptors are.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "calls.h"
#include "chain.h"
#include "fds.h"
#include "memfile.h"
#include "packet.h"
#include "refusal.h"
#include "reject.h"

/* --- the scratch buffer --------------------------------------------------------------------- */

/* One a thread, as large as a packet can be: the kernel cannot tell a packet's size beforehand
 * without duplicating the descriptors in it, and the user's buffer is written only with a message
 * that is delivered. Pages that no packet reaches are never touched. */
static pthread_key_t scratch_key;
static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static atomic_bool scratch_usable;

static void scratch_make_key(void)
{
    scratch_usable = pthread_key_create(&scratch_key, free) == 0;
}

static uint8_t *scratch(void)
{
    if (!scratch_usable)
        pthread_once(&scratch_once, scratch_make_key);
    if (!scratch_usable)
        return NULL;
    uint8_t *buffer = pthread_getspecific(scratch_key);
    if (buffer == NULL) {
        buffer = malloc(ML_PACKET_MAX);
        if (buffer != NULL && pthread_setspecific(scratch_key, buffer) != 0) {
            free(buffer);
            buffer = NULL;
        }
    }
    return buffer;
}

/* --- reading -------------------------------------------------------------------------------- */

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

/* A socket that a peer made has whatever options he set. There is room for all that they add, two
 * kinds of times and a security label: descriptors that did not fit would be closed by the kernel,
 * in the middle of the call. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(ML_FDS_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred)) +
               CMSG_SPACE(sizeof(int)) + 2 * CMSG_SPACE(64) + CMSG_SPACE(4096)];
};

/* The control message behind c. (CMSG_NXTHDR of musl mixes signed with unsigned.) */
static struct cmsghdr *next_control(const struct msghdr *m, struct cmsghdr *c)
{
    uint8_t *next = (uint8_t *)c + CMSG_ALIGN((size_t)c->cmsg_len);
    uint8_t *end = (uint8_t *)m->msg_control + m->msg_controllen;
    if (next >= end || (size_t)(end - next) < sizeof *c)
        return NULL;
    return (struct cmsghdr *)(void *)next;
}

/* With SO_PASSPIDFD, since Linux 6.5, a descriptor of the sender's comes with each packet. */
static void close_pidfd(const struct cmsghdr *c)
{
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    if (fd >= 0)
        ml_close(fd);
}

/* Takes descriptors and credentials out of the control messages. False: there was none at all. */
static bool read_control(struct msghdr *m, struct ml_packet *packet)
{
    bool any = false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = next_control(m, c)) {
        any = true;
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_RIGHTS) {
            size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            /* There is room for as many as the kernel passes in a message, and for no more. */
            size_t kept = n <= ML_FDS_MAX - packet->n_fds ? n : ML_FDS_MAX - packet->n_fds;
            if (kept == 2) /* most often, and then without a call */
                memcpy(packet->fds + packet->n_fds, CMSG_DATA(c), 2 * sizeof(int));
            else
                memcpy(packet->fds + packet->n_fds, CMSG_DATA(c), kept * sizeof(int));
            packet->n_fds += (unsigned)kept;
            if (n > kept)
                ml_close_untrusted((const int *)(void *)CMSG_DATA(c) + kept, (unsigned)(n - kept));
        } else if (c->cmsg_type == SCM_CREDENTIALS &&
                   c->cmsg_len >= CMSG_LEN(sizeof packet->sender)) {
            memcpy(&packet->sender, CMSG_DATA(c), sizeof packet->sender);
        } else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len >= CMSG_LEN(sizeof(int))) {
            close_pidfd(c);
        }
    }
    return any;
}

/* Where one packet goes. */
struct room {
    struct iovec iov;
    union control control;
};

static struct msghdr room_for(struct room *room, uint8_t *buffer, uint32_t size)
{
    room->iov = (struct iovec){buffer, size};
    return (struct msghdr){.msg_iov = &room->iov,
                           .msg_iovlen = 1,
                           .msg_control = &room->control,
                           .msg_controllen = sizeof room->control};
}

static void empty(struct ml_packet *packet, uint8_t *buffer)
{
    packet->bytes = buffer;
    packet->mapped = packet->heap = NULL;
    packet->size = 0;
    packet->file = -1;
    packet->n_fds = packet->taken = 0;
    packet->chained = NULL;
    packet->kernel = false;
    packet->sender = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
}

/* Makes a packet of what was received, which is all there is of it: what came with a packet that is
 * no good is in it as well. */
static int understand(struct ml_packet *packet, struct msghdr *m, size_t got)
{
    empty(packet, m->msg_iov->iov_base);
    packet->size = (uint32_t)got;
    bool any = read_control(m, packet);
    if ((m->msg_flags & MSG_CTRUNC) != 0) {
        /* The table of descriptors is full: the kernel has eaten those that did not fit. */
        ml_refused("recvmsg", EMFILE);
        return EMFILE;
    }
    if (got == 0 && !any)
        return EPIPE;
    return (m->msg_flags & MSG_TRUNC) != 0 ? EBADMSG : 0;
}

static int receive_error(void)
{
    switch (errno) {
    case EWOULDBLOCK:
        return EAGAIN;
    case ECONNRESET:
    case ENOTCONN:
        return EPIPE;
    default:
        return errno;
    }
}

int ml_packet_take(int fd, struct ml_packet *packet, uint8_t *buffer, uint32_t size)
{
    struct room room;
    struct msghdr m = room_for(&room, buffer, size);
    ssize_t got;
    do
        got = ml_recvmsg(fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got >= 0)
        return understand(packet, &m, (size_t)got);
    empty(packet, buffer);
    return receive_error();
}

/* The same from a channel that has one packet. *over: it is known to be empty, for good. The look
 * at what is behind the packet is a part of the same system call. */
static int take_only(int fd, struct ml_packet *packet, uint8_t *buffer, bool *over)
{
    struct room room, room_behind;
    struct ml_packet behind;
    uint8_t byte;
    struct mmsghdr both[2] = {{.msg_hdr = room_for(&room, buffer, ML_PACKET_MAX)},
                              {.msg_hdr = room_for(&room_behind, &byte, sizeof byte)}};
    int n;
    *over = false;
    do
        n = ml_recvmmsg(fd, both, 2);
    while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == ENOSYS || errno == EPERM))
        return ml_packet_take(fd, packet, buffer, ML_PACKET_MAX); /* a sandbox forbids it */
    if (n <= 0) {
        empty(packet, buffer);
        return receive_error();
    }
    int error = understand(packet, &both[0].msg_hdr, both[0].msg_len);
    if (n == 2) {
        *over = understand(&behind, &both[1].msg_hdr, both[1].msg_len) == EPIPE;
        ml_packet_drop(&behind);
    }
    return error;
}

int ml_packet_read_raw(int fd, struct ml_packet *packet, uint8_t *buffer, uint32_t size)
{
    int error = ml_packet_take(fd, packet, buffer, size);
    if (error != 0)
        ml_packet_drop(packet);
    return error;
}

/* Does the packet say that it is in a memory file? */
static bool is_in_file(const struct ml_packet *packet)
{
    return packet->size >= sizeof(struct ml_wire) && packet->n_fds != 0 &&
           ml_packet_wire(packet)->magic == ML_WIRE_MAGIC &&
           (ml_packet_wire(packet)->flags & ML_WIRE_MEMFD) != 0;
}

bool ml_packet_has_chain(const struct ml_packet *packet)
{
    return packet->size >= sizeof(struct ml_wire) &&
           ml_packet_wire(packet)->magic == ML_WIRE_MAGIC &&
           (ml_packet_wire(packet)->flags & ML_WIRE_CHAIN) != 0;
}

int ml_packet_examine(struct ml_packet *packet)
{
    int error = 0;
    if (is_in_file(packet))
        return ml_packet_open_file(packet);
    if (ml_packet_has_chain(packet))
        error = ml_chain_open(packet);
    return error == 0 && !ml_packet_check(packet) ? EBADMSG : error;
}

/* What was taken from a channel becomes a packet, or nothing. */
static int settle(struct ml_packet *packet, int error)
{
    if (error == 0)
        error = ml_packet_examine(packet);
    if (error != 0)
        ml_packet_drop(packet);
    else if ((ml_packet_wire(packet)->flags & ML_WIRE_KERNEL) != 0)
        packet->kernel = packet->sender.pid == getpid();
    return error;
}

int ml_packet_read(int fd, struct ml_packet *packet)
{
    uint8_t *buffer = scratch();
    if (buffer == NULL)
        return ENOMEM;
    return settle(packet, ml_packet_take(fd, packet, buffer, ML_PACKET_MAX));
}

int ml_packet_read_only(int fd, struct ml_packet *packet, bool *over)
{
    uint8_t *buffer = scratch();
    *over = false;
    if (buffer == NULL)
        return ENOMEM;
    return settle(packet, take_only(fd, packet, buffer, over));
}

void ml_packet_release(struct ml_packet *packet)
{
    ml_close_untrusted(ml_packet_fds(packet) + packet->taken, packet->n_fds - packet->taken);
    packet->n_fds = packet->taken = 0;
    free(packet->chained);
    packet->chained = NULL;
    free(packet->heap);
    packet->heap = NULL;
    if (packet->mapped != NULL)
        (void)munmap(packet->mapped, packet->size);
    packet->mapped = NULL;
    if (packet->file >= 0)
        ml_close(packet->file);
    packet->file = -1;
}

/* --- checking ------------------------------------------------------------------------------- */

/* May a right of this kind be shown with this disposition? */
static bool carry_fits(uint32_t kind, mach_msg_type_name_t disposition)
{
    switch (kind) {
    case ML_CARRY_NULL:
    case ML_CARRY_DEAD:
        return disposition == 0 || (disposition >= MACH_MSG_TYPE_PORT_RECEIVE &&
                                    disposition <= MACH_MSG_TYPE_PORT_SEND_ONCE);
    case ML_CARRY_SEND:
    case ML_CARRY_TASK:
        return disposition == MACH_MSG_TYPE_PORT_SEND;
    case ML_CARRY_SEND_ONCE:
        return disposition == MACH_MSG_TYPE_PORT_SEND_ONCE;
    case ML_CARRY_RECEIVE:
    case ML_CARRY_RECEIVE_STATE:
        return disposition == MACH_MSG_TYPE_PORT_RECEIVE;
    default:
        return false;
    }
}

static bool check_header(const struct ml_packet *packet, uint32_t *n_fds)
{
    const struct ml_wire *wire = ml_packet_wire(packet);
    const mach_msg_header_t *h = ml_packet_header(packet);
    uint32_t remote = MACH_MSGH_BITS_REMOTE(h->msgh_bits);

    if (h->msgh_remote_port != 0 || h->msgh_local_port != 0 ||
        (h->msgh_bits & ~(MACH_MSGH_BITS_COMPLEX | MACH_MSGH_BITS_REMOTE_MASK)) != 0)
        return false;
    if (wire->reply == ML_CARRY_RECEIVE || wire->reply == ML_CARRY_RECEIVE_STATE ||
        !carry_fits(wire->reply, remote))
        return false;
    *n_fds = ml_carry_fds(wire->reply);
    return true;
}

/* What a walk over the descriptors adds up. */
struct sums {
    uint32_t n_fds;
    uint32_t n_rights; /* in arrays, each of which costs the receiver a name's room */
    uint64_t extra;
};

static bool check_port(const uint8_t *at, struct sums *sums)
{
    mach_msg_port_descriptor_t d;
    memcpy(&d, at, sizeof d);
    sums->n_fds += ml_carry_fds(d.name);
    return carry_fits(d.name, d.disposition);
}

static bool check_memory(const uint8_t *at, struct sums *sums)
{
    mach_msg_ool_descriptor_t d;
    memcpy(&d, at, sizeof d);
    sums->extra += ml_padded(d.size);
    return d.copy == MACH_MSG_PHYSICAL_COPY || d.copy == MACH_MSG_VIRTUAL_COPY;
}

/* The kinds of an array's rights stand behind the message, where `sums` has got to. */
static bool check_array(const struct ml_packet *packet, uint32_t msgh_size, const uint8_t *at,
                        struct sums *sums)
{
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    uint64_t from = sizeof(struct ml_wire) + msgh_size + sums->extra;
    sums->extra += ml_padded(d.count);
    if (d.count > ML_PORTS_MAX - sums->n_rights || d.count > packet->size ||
        from > packet->size - d.count)
        return false;
    sums->n_rights += d.count;
    for (uint32_t i = 0; i < d.count; i++) {
        uint8_t carry = packet->bytes[from + i];
        if (!carry_fits(carry, d.disposition))
            return false;
        sums->n_fds += ml_carry_fds(carry);
    }
    return true;
}

/* Walks the descriptors: are they within the message, and what do they call for? */
static bool check_body(const struct ml_packet *packet, uint32_t msgh_size, struct sums *sums)
{
    const uint8_t *message = packet->bytes + sizeof(struct ml_wire);
    uint32_t at = sizeof(mach_msg_header_t) + sizeof(mach_msg_body_t), count;

    if (msgh_size < at)
        return false;
    memcpy(&count, message + sizeof(mach_msg_header_t), sizeof count);
    if (count > ML_DESCRIPTORS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *d = message + at;
        bool good = false;
        if (msgh_size - at < sizeof(mach_msg_type_descriptor_t) ||
            msgh_size - at < ml_descriptor_size(d))
            return false;
        if (ml_descriptor_type(d) == MACH_MSG_PORT_DESCRIPTOR)
            good = check_port(d, sums);
        else if (ml_descriptor_type(d) == MACH_MSG_OOL_DESCRIPTOR)
            good = check_memory(d, sums);
        else if (ml_descriptor_type(d) == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            good = check_array(packet, msgh_size, d, sums);
        if (!good || sums->n_fds > packet->n_fds)
            return false;
        at += ml_descriptor_size(d);
    }
    return true;
}

uint64_t ml_packet_length_said(const struct ml_packet *packet)
{
    uint32_t size = ml_packet_header(packet)->msgh_size, extra = ml_packet_wire(packet)->extra;
    if (size < sizeof(mach_msg_header_t) || size > ML_EXTRA_MAX || size % 4 != 0 ||
        extra > ML_EXTRA_MAX)
        return 0;
    return sizeof(struct ml_wire) + (uint64_t)size + extra;
}

bool ml_packet_check(const struct ml_packet *packet)
{
    const uint32_t least = sizeof(struct ml_wire) + sizeof(mach_msg_header_t);
    if (packet->size < least)
        return false;
    const struct ml_wire *wire = ml_packet_wire(packet);
    const mach_msg_header_t *h = ml_packet_header(packet);
    struct sums sums = {0};

    if (wire->magic != ML_WIRE_MAGIC || wire->reserved != 0 ||
        (wire->flags & ~(ML_WIRE_KERNEL | ML_WIRE_CHAIN)) != 0 ||
        ml_packet_has_chain(packet) != (packet->chained != NULL) ||
        packet->size != ml_packet_length_said(packet))
        return false;
    if (!check_header(packet, &sums.n_fds))
        return false;
    if ((h->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0 && !check_body(packet, h->msgh_size, &sums))
        return false;
    return sums.extra == wire->extra && sums.n_fds == packet->n_fds && sums.n_fds == wire->n_fds;
}

bool ml_packet_unstash(struct ml_packet *packet, struct ml_packet *aside)
{
    uint8_t *heap = aside->size > ML_PACKET_MAX ? malloc(aside->size) : NULL;
    uint8_t *buffer = aside->size > ML_PACKET_MAX ? heap : scratch();
    if (buffer == NULL) {
        ml_packet_drop(aside);
        return false;
    }
    memcpy(buffer, aside->bytes, aside->size);
    *packet = *aside;
    packet->bytes = buffer;
    packet->heap = heap;
    return true;
}

/* --- writing -------------------------------------------------------------------------------- */

int ml_packet_write(int fd, const struct iovec *iov, unsigned n_iov, const int *fds, unsigned n_fds)
{
    union control control;
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)iov};

    m.msg_iovlen = (__typeof__(m.msg_iovlen))n_iov; /* size_t in glibc, int in musl */
    if (n_fds != 0) {
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
    }
    ssize_t sent;
    do
        sent = ml_sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? (errno == EWOULDBLOCK ? EAGAIN : errno) : 0;
}

bool ml_packet_make_kernel(struct ml_packet *packet, mach_msg_id_t id)
{
    empty(packet, scratch());
    if (packet->bytes == NULL)
        return false;
    *ml_packet_wire(packet) = (struct ml_wire){.magic = ML_WIRE_MAGIC, .flags = ML_WIRE_KERNEL};
    *ml_packet_header(packet) =
        (mach_msg_header_t){.msgh_size = sizeof(mach_msg_header_t), .msgh_id = id};
    packet->size = sizeof(struct ml_wire) + sizeof(mach_msg_header_t);
    packet->kernel = true;
    packet->sender = (struct ucred){0};
    return true;
}
