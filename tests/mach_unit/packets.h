/* Packets made by hand and written to a port's sending end, as somebody does who has its
 * descriptors and not the library. packet.h says what is in one. */
#ifndef TESTS_MACH_UNIT_PACKETS_H
#define TESTS_MACH_UNIT_PACKETS_H

#include "../mach/ports.h"

#include "packet.h"

#include <stddef.h>

struct plain {
    struct ml_wire wire;
    mach_msg_header_t header;
};

struct with_right {
    struct ml_wire wire;
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t port;
};

/* One of the packets that a receive right's state consists of, as state.c has them. */
struct piece {
    uint32_t magic, kind, value, reserved;
};
#define PIECE_MAGIC 0x31534d4cu
enum { PIECE_LIMITS = 1, PIECE_GENERATION, PIECE_SOURCES, PIECE_STASH, PIECE_NO_SENDERS };
#define PIECE(kind) ((struct piece){PIECE_MAGIC, kind, 0, 0})

/* A duplicate of what the port's senders send through; also of a send-once right's. */
int sending_end(mach_port_t port);
struct plain plain_packet(mach_msg_id_t id);
struct with_right right_packet(enum ml_carry carry, mach_msg_type_name_t disposition);
void put(int fd, const void *bytes, size_t size, const int *fds, unsigned n);
/* A TCP socket that holds whoever closes it last for longer than a case may last. Its peer stays
 * open and reads nothing. */
int lingering(void);
/* Queues one at fd, for which nobody then has another descriptor. */
void put_lingering(int fd);
/* Until descriptors in flight to `port`, which take `right` along, are at their limit: a small one
 * from now on, and of a user of this process's own if it may be another, for they are counted by
 * user. No other process that is running is likely to be the same. */
void fill_flight(mach_port_t port, mach_port_t right);
/* Open descriptors of this process. */
int open_descriptors(void);

#endif
