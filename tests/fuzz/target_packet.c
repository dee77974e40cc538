/*
 * Fuzz target: one packet, with whatever descriptors, sent to a port as a hostile peer would.
 *
 *     byte 0   what is done with it (the OPTION_ bits)
 *     byte 1   how many descriptors go with it, then a byte for the kind of each (enum kind)
 *     ..       the packet
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "packet.h"
#include "target_packet.h"
#include "world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Puts the packet into a memory file and sends the headers alone, as ml_outbound_spill() does. */
static void send_file(int tx, const uint8_t *packet, size_t size, int *fds, unsigned n,
                      bool no_seal)
{
    struct {
        struct ml_wire wire;
        mach_msg_header_t header;
    } head;
    memset(&head, 0, sizeof head);
    memcpy(&head, packet, size < sizeof head ? size : sizeof head);
    head.wire.flags |= ML_WIRE_MEMFD;
    int file = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file < 0)
        return;
    if (write(file, packet, size) == (ssize_t)size) {
        (void)fcntl(file, F_ADD_SEALS, no_seal ? F_SEAL_SHRINK | F_SEAL_GROW : ML_SEALS);
        fds[n] = file;
        world_write(tx, &head, sizeof head, fds, n + 1);
    }
    close(file);
}

/* Puts the descriptors into the state socket, five at a time, in place of what was there. */
static unsigned put_in_chain(struct world *w, int *fds, unsigned n)
{
    for (unsigned at = 0; at < n; at += 5)
        world_state(w, "", 1, fds + at, n - at < 5 ? n - at : 5);
    fds[0] = world_fd(w, KIND_STATE);
    return 1;
}

/* Receives with three descriptors left, at the most. */
static void receive_limited(mach_port_t port, mach_msg_option_t option, mach_msg_size_t size)
{
    struct rlimit before, few;
    int next = dup(0);
    if (next < 0 || getrlimit(RLIMIT_NOFILE, &before) != 0)
        return;
    close(next);
    few = before;
    few.rlim_cur = (rlim_t)next + 3;
    (void)setrlimit(RLIMIT_NOFILE, &few);
    world_receive(port, option, size);
    (void)setrlimit(RLIMIT_NOFILE, &before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world w;
    int fds[ML_FDS_MAX];

    world_begin(&w);
    unsigned options = input_byte(&in);
    unsigned n = world_fds(&w, &in, fds, ML_FDS_MAX - 1);
    if ((options & OPTION_CHAIN) != 0)
        n = put_in_chain(&w, fds, n);
    size_t length;
    const uint8_t *packet = input_rest(&in, &length);
    int tx = world_tx_of((options & OPTION_ONCE) != 0 ? w.once : w.port);
    if ((options & OPTION_FILE) != 0)
        send_file(tx, packet, length, fds, n, (options & OPTION_NO_SEAL) != 0);
    else
        world_write(tx, packet, length, fds, n);

    mach_msg_option_t how = 0;
    if ((options & OPTION_LARGE) != 0)
        how |= MACH_RCV_LARGE;
    if ((options & OPTION_AUDIT) != 0)
        how |= MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
               MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);
    mach_msg_size_t room = (options & OPTION_SMALL) != 0 ? 64 : 1u << 18;
    if ((options & OPTION_LIMIT) != 0)
        receive_limited(w.port, how, room);
    else
        world_receive(w.port, how, room);
    world_end(&w);
    return 0;
}
