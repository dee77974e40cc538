/* A stream of 48-byte messages over a SEQPACKET socket pair, each with VARIANT descriptors in
 * SCM_RIGHTS: what the kernel charges for what a port right is made of on Linux. The first
 * descriptor is an end of a Unix socket, the second that of a pipe, as for a send right.
 *
 * VARIANT 3 is two descriptors from a sender that is not trusted: with each message come the
 * sender's credentials, and before a descriptor is believed the kernel is asked what mach_linux
 * cannot do without. It is what the kernel alone charges for a send right that comes each time. 4
 * is for one that need not have come before.
 *
 * The sender owns the descriptors and keeps them; the receiver closes each one that arrives. */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3)
#endif

enum { PAYLOAD = 48, MOST_FDS = 2, ASKED = 3, ASKED_ALL = 4 };

struct packet {
    char payload[PAYLOAD];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(MOST_FDS * sizeof(int)) +
                                          CMSG_SPACE(sizeof(struct ucred))];
    struct iovec vector;
    struct msghdr header;
};

static int descriptors(const struct stream *stream)
{
    return stream->variant >= ASKED ? MOST_FDS : stream->variant;
}

static void packet_prepare(struct packet *packet, int fds)
{
    packet->vector = (struct iovec){.iov_base = packet->payload, .iov_len = PAYLOAD};
    packet->header = (struct msghdr){.msg_iov = &packet->vector, .msg_iovlen = 1};
    if (fds > 0) {
        packet->header.msg_control = packet->control;
        packet->header.msg_controllen = CMSG_SPACE((size_t)fds * sizeof(int));
    }
}

static void send_all(int socket_fd, const struct stream *stream)
{
    struct packet packet = {.payload = {0}};
    int pair[2], ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 || pipe(ends) != 0)
        fail("socketpair");
    const int fds[MOST_FDS] = {pair[0], ends[0]};
    const int count = descriptors(stream);
    packet_prepare(&packet, count);
    if (count > 0) {
        struct cmsghdr *rights = CMSG_FIRSTHDR(&packet.header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, (size_t)count * sizeof(int));
    }
    for (long sent = 0; sent < stream->warm_up + stream->count; sent++) {
        if (sendmsg(socket_fd, &packet.header, MSG_NOSIGNAL) != PAYLOAD)
            fail("sendmsg");
    }
    /* Until the receiver hangs up. */
    (void)recv(socket_fd, packet.payload, PAYLOAD, 0);
}

/* What the receiver asks with. */
struct asker {
    int aside[2]; /* a pipe that nothing is in */
    int known;    /* the socket that came first, −1: none has */
    int compares; /* it can, as far as is known */
};

/* Is it the socket that came before? Older kernels, and whoever has none to compare with, ask which
 * one it is. */
static int is_known(struct asker *asker, int fd)
{
    uint64_t cookie;
    socklen_t length = sizeof cookie;
    if (asker->compares && asker->known < 0)
        asker->known = dup(fd);
    asker->compares = asker->compares && fcntl(fd, F_DUPFD_QUERY, asker->known) == 1;
    if (asker->compares)
        return 1;
    return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &length) == 0;
}

/* Which socket is it; is the other one a pipe, and has what writes to it gone? */
static void ask(struct asker *asker, const int fds[MOST_FDS])
{
    if (!is_known(asker, fds[0]) || tee(fds[1], asker->aside[1], 1, SPLICE_F_NONBLOCK) != -1 ||
        errno != EAGAIN)
        fail("ask");
}

static void close_both(const int fds[MOST_FDS])
{
    if (fds[1] == fds[0] + 1 && syscall(SYS_close_range, fds[0], fds[1], 0) == 0)
        return;
    close(fds[0]);
    close(fds[1]);
}

static void receive(int socket_fd, struct packet *packet, const struct stream *stream,
                    struct asker *asker)
{
    const int expected = descriptors(stream);
    packet_prepare(packet, expected);
    if (stream->variant >= ASKED)
        packet->header.msg_controllen = sizeof packet->control;
    if (recvmsg(socket_fd, &packet->header, MSG_CMSG_CLOEXEC) != PAYLOAD)
        fail("recvmsg");
    if (expected == 0)
        return;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&packet->header);
    while (rights != NULL && rights->cmsg_type != SCM_RIGHTS)
        rights = CMSG_NXTHDR(&packet->header, rights);
    int fds[MOST_FDS];
    size_t size = (size_t)expected * sizeof(int);
    if (rights == NULL || rights->cmsg_len != CMSG_LEN(size)) {
        errno = EPROTO;
        fail("descriptors");
    }
    memcpy(fds, CMSG_DATA(rights), size);
    if (stream->variant >= ASKED) {
        ask(asker, fds);
        close_both(fds);
        return;
    }
    for (int i = 0; i < expected; i++)
        close(fds[i]);
}

static uint64_t receive_all(int socket_fd, const struct stream *stream)
{
    struct packet packet = {.payload = {0}};
    const int on = 1;
    struct asker asker = {.known = -1, .compares = stream->variant == ASKED};
    if (pipe(asker.aside) != 0)
        fail("pipe");
    if (stream->variant >= ASKED &&
        setsockopt(socket_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0)
        fail("setsockopt");
    for (long i = 0; i < stream->warm_up; i++)
        receive(socket_fd, &packet, stream, &asker);
    uint64_t start = nanoseconds();
    for (long i = 0; i < stream->count; i++)
        receive(socket_fd, &packet, stream, &asker);
    return nanoseconds() - start;
}

int main(int argc, char **argv)
{
    struct stream stream = stream_arguments(argc, argv);
    int pair[2];
    if (stream.variant < 0 || stream.variant > ASKED_ALL)
        fail("the variants are 0 to 4");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        fail("socketpair");
    pid_t sender = fork();
    if (sender < 0)
        fail("fork");
    if (sender == 0) {
        close(pair[1]);
        run_on_cpu(stream.sender_cpu);
        send_all(pair[0], &stream);
        _exit(0);
    }
    close(pair[0]);
    run_on_cpu(stream.receiver_cpu);
    uint64_t elapsed = receive_all(pair[1], &stream);
    close(pair[1]);
    return stream_finish(&stream, elapsed, sender);
}
