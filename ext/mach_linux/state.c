/*
 * What moves with a receive right: see state.h. One packet a piece, each a `struct piece` and, in a
 * stashed message's case, the packet behind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "chain.h"
#include "memfile.h"
#include "pipes.h"
#include "queue.h"
#include "refusal.h"
#include "reject.h"
#include "state.h"

#define PIECE_MAGIC 0x31534d4cu /* "LMS1" */
#define PIECES_MAX 4096u        /* no honest right has more: a socket does not hold them */
#define PIECE_FDS 128u
#define STASH_INLINE 4096u /* a longer message takes no room in the socket, but a file */
/* What moves with a right stays open as long as it lives, so there is an end to it. A right with
 * more does not move. */
#define GENERATIONS_MAX 4096u
#define SOURCES_MAX 16384u
#define STASHED_MAX 65536u /* messages and their descriptors */

enum piece_kind {
    PIECE_LIMITS = 1,
    PIECE_GENERATION,
    PIECE_SOURCES,
    PIECE_STASH,
    PIECE_NO_SENDERS,
    PIECE_PORT_DESTROYED
};

struct piece {
    uint32_t magic;
    uint32_t kind;
    uint32_t value; /* queue limit; how a stashed message came */
    uint32_t reserved;
};

bool ml_state_needed(const struct ml_receiver *r)
{
    return r->n_generations != 0 || r->n_sources != 0 || r->stash != NULL ||
           r->no_senders != NULL || r->port_destroyed != NULL ||
           r->limits.mpl_qlimit != MACH_PORT_QLIMIT_DEFAULT;
}

/* --- export ---------------------------------------------------------------------------------- */

static int put(int fd, uint32_t kind, uint32_t value, const struct ml_packet *body, const int *fds,
               unsigned n_fds)
{
    struct piece piece = {PIECE_MAGIC, kind, value, 0};
    struct iovec iov[2] = {{&piece, sizeof piece}};
    if (body != NULL)
        iov[1] = (struct iovec){body->bytes, body->size};
    return ml_packet_write(fd, iov, body != NULL ? 2 : 1, fds, n_fds);
}

/* Descriptors of one kind, as many to a piece as it takes. */
struct batch {
    int fd;
    uint32_t kind;
    int error;
    unsigned n;
    int fds[PIECE_FDS];
};

static void batch_end(struct batch *b)
{
    if (b->error == 0 && b->n != 0)
        b->error = put(b->fd, b->kind, 0, NULL, b->fds, b->n);
    b->n = 0;
}

static void batch_add(struct batch *b, int fd)
{
    b->fds[b->n++] = fd;
    if (b->n == PIECE_FDS)
        batch_end(b);
}

static int put_generations(int fd, const struct ml_receiver *r)
{
    struct batch b = {.fd = fd, .kind = PIECE_GENERATION};
    if (r->n_generations > GENERATIONS_MAX)
        return E2BIG;
    for (unsigned i = 0; i < r->n_generations; i++)
        batch_add(&b, r->generations[i].write_end);
    batch_end(&b);
    return b.error;
}

static int put_sources(int fd, const struct ml_receiver *r)
{
    struct batch b = {.fd = fd, .kind = PIECE_SOURCES};
    if (r->n_sources > SOURCES_MAX)
        return E2BIG;
    for (uint32_t i = 0; i < r->n_slots; i++)
        if (r->sources[i].kind != ML_SOURCE_FREE)
            batch_add(&b, r->sources[i].fd);
    batch_end(&b);
    return b.error;
}

/* A message whose bytes are in a file, as it came from its sender or is now made. Takes the file.
 * It has room beside the descriptors: see put_stash(). */
static int put_filed(int fd, struct ml_packet *packet, const int *fds, unsigned n_fds, int file)
{
    uint8_t head[sizeof(struct ml_wire) + sizeof(mach_msg_header_t)];
    struct ml_packet headers = {.bytes = head, .size = sizeof head};
    int all[ML_FDS_MAX];

    memcpy(head, packet->bytes, sizeof head);
    ml_packet_wire(&headers)->flags |= ML_WIRE_MEMFD;
    memcpy(all, fds, n_fds * sizeof *fds);
    all[n_fds] = file;
    int error = put(fd, PIECE_STASH, packet->via, &headers, all, n_fds + 1);
    ml_close(file);
    return error;
}

static int put_message(int fd, struct ml_packet *packet, const int *fds, unsigned n_fds)
{
    struct iovec bytes = {packet->bytes, packet->size};
    if (packet->file < 0 && packet->size <= STASH_INLINE)
        return put(fd, PIECE_STASH, packet->via, packet, fds, n_fds);
    int file =
        packet->file >= 0 ? fcntl(packet->file, F_DUPFD_CLOEXEC, 0) : ml_packet_file(&bytes, 1);
    return file < 0 ? errno : put_filed(fd, packet, fds, n_fds, file);
}

/* A message that was put back, with its descriptors as it came with them; in a chain if there is to
 * be a file besides, and they are all that a packet takes. */
static int put_stash(int fd, struct ml_packet *packet)
{
    const uint8_t flags = ml_packet_wire(packet)->flags;
    if (packet->chained == NULL && packet->n_fds < ML_FDS_MAX)
        return put_message(fd, packet, packet->fds, packet->n_fds);
    int chain = ml_chain_create(ml_packet_fds(packet), packet->n_fds);
    if (chain < 0)
        return errno;
    ml_packet_wire(packet)->flags |= ML_WIRE_CHAIN;
    int error = put_message(fd, packet, &chain, 1);
    ml_packet_wire(packet)->flags = flags;
    ml_close(chain);
    return error;
}

int ml_state_export(struct ml_receiver *r)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        ml_refused("socketpair", errno);
        return -1;
    }
    pthread_mutex_lock(&r->lock);
    int error = put(pair[0], PIECE_LIMITS, r->limits.mpl_qlimit, NULL, NULL, 0);
    if (error == 0)
        error = put_generations(pair[0], r);
    if (error == 0)
        error = put_sources(pair[0], r);
    for (struct ml_stash *s = r->stash; error == 0 && s != NULL; s = s->next)
        error = put_stash(pair[0], &s->packet);
    if (error == 0 && r->no_senders != NULL)
        error = put(pair[0], PIECE_NO_SENDERS, 0, NULL, &r->no_senders->tx, 1);
    if (error == 0 && r->port_destroyed != NULL)
        error = put(pair[0], PIECE_PORT_DESTROYED, 0, NULL, &r->port_destroyed->tx, 1);
    pthread_mutex_unlock(&r->lock);
    ml_close(pair[0]);
    if (error != 0) {
        ml_refused("sendmsg", error);
        ml_close(pair[1]);
        errno = error;
        return -1;
    }
    return pair[1];
}

/* --- import ---------------------------------------------------------------------------------- */

static void take_generation(struct ml_receiver *r, struct ml_packet *piece, struct ml_garbage *g)
{
    for (unsigned i = 0; i < piece->n_fds; i++)
        if (r->n_generations < GENERATIONS_MAX && ml_pipe_is_write_end(piece->fds[i])) {
            (void)ml_receiver_add_generation(r, piece->fds[i], g);
            piece->fds[i] = -1;
        }
}

static void take_sources(struct ml_receiver *r, struct ml_packet *piece, struct ml_garbage *g)
{
    uint64_t cookie;
    for (unsigned i = 0; i < piece->n_fds; i++)
        if (r->n_sources < SOURCES_MAX && ml_fd_is_seqpacket(piece->fds[i], &cookie) &&
            ml_channel_harden(piece->fds[i]) == 0) {
            (void)ml_receiver_add_source(r, piece->fds[i], g);
            piece->fds[i] = -1;
        }
}

/* Who sent a stashed message cannot be proven any more: it arrives from nobody. */
static int take_stash(struct ml_receiver *r, struct ml_packet *piece, uint32_t via,
                      unsigned *stashed)
{
    piece->bytes += sizeof(struct piece);
    piece->size -= (uint32_t)sizeof(struct piece);
    piece->via = via == MACH_MSG_TYPE_PORT_SEND_ONCE ? via : MACH_MSG_TYPE_PORT_SEND;
    piece->sender = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    int error = ml_packet_examine(piece);
    if (error != 0)
        return error == EBADMSG ? 0 : error;
    *stashed += 1 + piece->n_fds;
    return *stashed <= STASHED_MAX ? ml_receiver_stash_last(r, piece) : ENOMEM;
}

/* The send-once right of a request. */
static void take_request(struct ml_port **request, struct ml_packet *piece, struct ml_garbage *g)
{
    uint64_t cookie;
    if (*request == NULL && piece->n_fds == 1 && ml_fd_sends(piece->fds[0], &cookie, true)) {
        ml_lock();
        *request = ml_port_adopt(ML_SEND_ONCE, piece->fds[0], -1, cookie, g);
        ml_unlock();
        piece->fds[0] = -1;
    }
}

/* 0; EPIPE or EBADMSG at the end; EMFILE or ENOMEM if something is lost. */
static int take_piece(struct ml_receiver *r, int fd, uint8_t *buffer, unsigned *stashed,
                      struct ml_garbage *g)
{
    struct ml_packet packet;
    struct piece piece;
    int error = ml_packet_read_raw(fd, &packet, buffer, ML_PACKET_MAX);

    if (error != 0)
        return error;
    memset(&piece, 0, sizeof piece);
    if (packet.size >= sizeof piece)
        memcpy(&piece, packet.bytes, sizeof piece);
    if (piece.magic != PIECE_MAGIC)
        error = EBADMSG;
    else if (piece.kind == PIECE_LIMITS && piece.value <= MACH_PORT_QLIMIT_MAX)
        r->limits.mpl_qlimit = piece.value;
    else if (piece.kind == PIECE_GENERATION)
        take_generation(r, &packet, g);
    else if (piece.kind == PIECE_SOURCES)
        take_sources(r, &packet, g);
    else if (piece.kind == PIECE_STASH)
        error = take_stash(r, &packet, piece.value, stashed);
    else if (piece.kind == PIECE_NO_SENDERS)
        take_request(&r->no_senders, &packet, g);
    else if (piece.kind == PIECE_PORT_DESTROYED)
        take_request(&r->port_destroyed, &packet, g);
    ml_packet_drop(&packet);
    return error;
}

bool ml_state_import(struct ml_receiver *r, int fd)
{
    ML_GARBAGE(g);
    uint64_t cookie;
    unsigned stashed = 0;
    int error = 0;
    uint8_t *buffer = malloc(ML_PACKET_MAX);

    if (buffer == NULL)
        error = ENOMEM;
    else if (ml_fd_is_seqpacket(fd, &cookie))
        for (unsigned i = 0; i < PIECES_MAX && error == 0; i++)
            error = take_piece(r, fd, buffer, &stashed, &g);
    free(buffer);
    ml_close_untrusted(&fd, 1);
    ml_garbage_flush(&g);
    return error != EMFILE && error != ENOMEM;
}
