/*
 * Chains: see chain.h. Each link is a packet of one byte with descriptors.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "calls.h"
#include "chain.h"
#include "fds.h"
#include "refusal.h"
#include "reject.h"

int ml_chain_create(const int *fds, unsigned n)
{
    static const uint8_t byte;
    struct iovec iov = {(void *)(uintptr_t)&byte, sizeof byte};
    int pair[2], error = 0;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        ml_refused("socketpair", errno);
        return -1;
    }
    for (unsigned at = 0; error == 0 && at < n; at += ML_FDS_MAX)
        error =
            ml_packet_write(pair[0], &iov, 1, fds + at, n - at < ML_FDS_MAX ? n - at : ML_FDS_MAX);
    ml_close(pair[0]);
    if (error == 0)
        return pair[1];
    ml_refused("sendmsg", error);
    ml_close(pair[1]);
    errno = error;
    return -1;
}

/* Reads links until there are `total` descriptors. *n is how many there are then. */
static int read_links(int chain, int *all, unsigned total, unsigned *n)
{
    while (*n < total) {
        struct ml_packet link;
        uint8_t byte;
        int error = ml_packet_read_raw(chain, &link, &byte, sizeof byte);
        if (error != 0)
            return error == EMFILE ? EMFILE : EBADMSG;
        if (link.n_fds == 0 || link.n_fds > total - *n) {
            ml_packet_drop(&link);
            return EBADMSG;
        }
        memcpy(all + *n, link.fds, link.n_fds * sizeof *all);
        *n += link.n_fds;
    }
    return 0;
}

int ml_chain_open(struct ml_packet *packet)
{
    unsigned total = ml_packet_wire(packet)->n_fds, n = 0;
    uint64_t cookie;

    if (packet->n_fds != 1 || total == 0 || !ml_fd_is_seqpacket(packet->fds[0], &cookie))
        return EBADMSG;
    int chain = packet->fds[0], *all = malloc(total * sizeof *all);
    if (all == NULL) {
        ml_refused("malloc", ENOMEM);
        return ENOMEM;
    }
    int error = read_links(chain, all, total, &n);
    if (error != 0) {
        ml_close_untrusted(all, n);
        free(all);
        return error;
    }
    ml_close_untrusted(&chain, 1); /* with what may be left in it */
    packet->chained = all;
    packet->n_fds = total;
    return 0;
}
