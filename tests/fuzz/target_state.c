/*
 * Fuzz target: a receive right that arrives with a state socket in which a hostile peer has written
 * what it likes.
 *
 *     one piece after the other:
 *     byte 0      how many descriptors go with it, then a byte for the kind of each (enum kind)
 *     two bytes   its length, little-endian
 *     ..          the piece
 */
#include <string.h>

#include "packet.h"
#include "world.h"

#define PIECES_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The pieces, as far as they go and the socket takes them. */
static void write_pieces(struct world *w, struct input *in)
{
    int fds[ML_FDS_MAX];
    for (int i = 0; i < PIECES_MAX && in->left != 0; i++) {
        size_t length;
        unsigned n = world_fds(w, in, fds, 16);
        unsigned low = input_byte(in), high = input_byte(in);
        const uint8_t *piece = input_bytes(in, low | high << 8, &length);
        world_state(w, piece, length, fds, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    struct world w;
    struct {
        struct ml_wire wire;
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t port;
    } packet;

    world_begin(&w);
    write_pieces(&w, &in);
    memset(&packet, 0, sizeof packet);
    packet.wire.magic = ML_WIRE_MAGIC;
    packet.wire.n_fds = 3;
    packet.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    packet.header.msgh_size = sizeof packet - sizeof packet.wire;
    packet.body.msgh_descriptor_count = 1;
    packet.port.name = ML_CARRY_RECEIVE_STATE;
    packet.port.disposition = MACH_MSG_TYPE_PORT_RECEIVE;
    packet.port.type = MACH_MSG_PORT_DESCRIPTOR;
    const int fds[] = {world_fd(&w, KIND_RX_A), world_fd(&w, KIND_TX_A), world_fd(&w, KIND_STATE)};
    world_write(world_tx_of(w.port), &packet, sizeof packet, fds, 3);
    world_receive(w.port, 0, 1u << 18);
    world_end(&w);
    return 0;
}
