/*
 * What moves with a receive right: see state.h. One packet a piece, each a `struct piece` and, in a
 * stashed message's case, the packet behind it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chain.h"
#include "refusal.h"
#include "reject.h"
#include "state.h"

#define PIECE_MAGIC 0x31534d4cu /* "LMS1" */
#define PIECES_MAX 4096u        /* no honest right has more: a socket does not hold them */
#define PIECE_FDS 128u

enum piece_kind {
    PIECE_LIMITS = 1,
    PIECE_GENERATION,
    PIECE_SOURCES,
    PIECE_STASH,
    PIECE_NO_SENDERS
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
           r->no_senders != NULL || r->limits.mpl_qlimit != MACH_PORT_QLIMIT_DEFAULT;
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

static int put_sources(int fd, const struct ml_receiver *r)
{
    int fds[PIECE_FDS], error = 0;
    unsigned n = 0;
    for (uint32_t i = 0; error == 0 && i < r->n_slots; i++) {
        if (r->sources[i].kind != ML_SOURCE_FREE)
            fds[n++] = r->sources[i].fd;
        if (n != 0 && (n == PIECE_FDS || i + 1 == r->n_slots)) {
            error = put(fd, PIECE_SOURCES, 0, NULL, fds, n);
            n = 0;
        }
    }
    return error;
}

/* A message that was put back, with its descriptors as it came with them. */
static int put_stash(int fd, struct ml_packet *packet)
{
    if (packet->chained == NULL)
        return put(fd, PIECE_STASH, packet->via, packet, packet->fds, packet->n_fds);
    int chain = ml_chain_create(packet->chained, packet->n_fds);
    if (chain < 0)
        return errno;
    int error = put(fd, PIECE_STASH, packet->via, packet, &chain, 1);
    close(chain);
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
    for (unsigned i = 0; error == 0 && i < r->n_generations; i++)
        error = put(pair[0], PIECE_GENERATION, 0, NULL, &r->generations[i].read_end, 1);
    if (error == 0)
        error = put_sources(pair[0], r);
    for (struct ml_stash *s = r->stash; error == 0 && s != NULL; s = s->next)
        error = put_stash(pair[0], &s->packet);
    if (error == 0 && r->no_senders != NULL)
        error = put(pair[0], PIECE_NO_SENDERS, 0, NULL, &r->no_senders->tx, 1);
    pthread_mutex_unlock(&r->lock);
    close(pair[0]);
    if (error != 0) {
        ml_refused("sendmsg", error);
        close(pair[1]);
        errno = error;
        return -1;
    }
    return pair[1];
}

/* --- import ---------------------------------------------------------------------------------- */

static void take_generation(struct ml_receiver *r, struct ml_packet *piece, struct ml_garbage *g)
{
    for (unsigned i = 0; i < piece->n_fds; i++)
        if (ml_fd_is_pipe(piece->fds[i])) {
            (void)ml_receiver_add_generation(r, piece->fds[i], g);
            piece->fds[i] = -1;
        }
}

static void take_sources(struct ml_receiver *r, struct ml_packet *piece, struct ml_garbage *g)
{
    uint64_t cookie;
    for (unsigned i = 0; i < piece->n_fds; i++)
        if (ml_fd_is_seqpacket(piece->fds[i], &cookie) && ml_channel_harden(piece->fds[i]) == 0) {
            (void)ml_receiver_add_source(r, piece->fds[i], g);
            piece->fds[i] = -1;
        }
}

/* Who sent a stashed message cannot be proven any more: it arrives from nobody. */
static void take_stash(struct ml_receiver *r, struct ml_packet *piece, uint32_t via)
{
    piece->bytes += sizeof(struct piece);
    piece->size -= (uint32_t)sizeof(struct piece);
    piece->via = via == MACH_MSG_TYPE_PORT_SEND_ONCE ? via : MACH_MSG_TYPE_PORT_SEND;
    piece->sender = (struct ucred){.pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1};
    if (ml_packet_has_chain(piece) && ml_chain_open(piece) != 0)
        return;
    if (ml_packet_check(piece))
        (void)ml_receiver_stash_last(r, piece);
}

static void take_no_senders(struct ml_receiver *r, struct ml_packet *piece, struct ml_garbage *g)
{
    uint64_t cookie;
    if (r->no_senders == NULL && piece->n_fds == 1 && ml_fd_is_seqpacket(piece->fds[0], &cookie)) {
        r->no_senders = ml_port_adopt(ML_SEND_ONCE, piece->fds[0], -1, cookie, g);
        piece->fds[0] = -1;
    }
}

static bool take_piece(struct ml_receiver *r, int fd, uint8_t *buffer, struct ml_garbage *g)
{
    struct ml_packet packet;
    struct piece piece;

    if (ml_packet_read_raw(fd, &packet, buffer, ML_PACKET_MAX) != 0)
        return false;
    memset(&piece, 0, sizeof piece);
    if (packet.size >= sizeof piece)
        memcpy(&piece, packet.bytes, sizeof piece);
    if (piece.magic == PIECE_MAGIC) {
        switch (piece.kind) {
        case PIECE_LIMITS:
            if (piece.value <= MACH_PORT_QLIMIT_MAX)
                r->limits.mpl_qlimit = piece.value;
            break;
        case PIECE_GENERATION:
            take_generation(r, &packet, g);
            break;
        case PIECE_SOURCES:
            take_sources(r, &packet, g);
            break;
        case PIECE_STASH:
            take_stash(r, &packet, piece.value);
            break;
        case PIECE_NO_SENDERS:
            take_no_senders(r, &packet, g);
            break;
        default:
            break;
        }
    }
    ml_packet_drop(&packet);
    return piece.magic == PIECE_MAGIC;
}

void ml_state_import(struct ml_receiver *r, int fd)
{
    struct ml_garbage g = {0};
    uint64_t cookie;
    uint8_t *buffer = malloc(ML_PACKET_MAX);

    if (buffer != NULL && ml_fd_is_seqpacket(fd, &cookie))
        for (unsigned i = 0; i < PIECES_MAX && take_piece(r, fd, buffer, &g); i++)
            continue;
    free(buffer);
    ml_close_untrusted(&fd, 1);
    ml_garbage_flush(&g);
}
