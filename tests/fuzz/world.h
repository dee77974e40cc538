/*
 * What the fuzz targets share: an input that is read from front to back, descriptors of each kind
 * that a peer could send, and the account of what is open.
 *
 * A target takes one input apart between world_begin() and world_end(). The world owns every
 * descriptor that world_fd() gives; world_end() closes them and then ends the program if a
 * descriptor or a name is left that was not there at world_begin().
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mach/mach.h>

/* The numbers are part of the corpus: new kinds go to the end. */
enum kind {
    KIND_TX_A, /* one channel's two ends */
    KIND_RX_A,
    KIND_TX_B, /* another's */
    KIND_RX_B,
    KIND_PIPE_READ, /* what senders have */
    KIND_PIPE_WRITE,
    KIND_OWN_TX, /* of the very port that the packet goes to */
    KIND_OWN_RX,
    KIND_TASK,    /* a pidfd */
    KIND_DEAD_TX, /* of a channel whose receiver has gone */
    KIND_STATE,   /* what world_state() wrote, or an empty one */
    KIND_STREAM,
    KIND_UDP,
    KIND_MEMORY, /* a memory file without seals */
    KIND_NULL_DEVICE,
    KIND_DIRECTORY,
    KIND_EVENT,
    KIND_DEAD_PIPE, /* the read end of one that nobody can write to */
    KINDS
};

struct input {
    const uint8_t *at;
    size_t left;
};

struct world {
    int fds[KINDS]; /* −1 until asked for */
    int dead_rx;
    int state_writer; /* −1 once the state has been given away */
    mach_port_t port; /* what the packet goes to */
    mach_port_t once; /* a send-once right of it */
    size_t open;      /* before */
    mach_msg_type_number_t names;
};

/* 0 when there is nothing left. */
uint8_t input_byte(struct input *in);
/* Up to n bytes; *size is how many. */
const uint8_t *input_bytes(struct input *in, size_t n, size_t *size);
const uint8_t *input_rest(struct input *in, size_t *size);

void world_begin(struct world *w);
void world_end(struct world *w);
/* A descriptor of the kind, borrowed; the same one each time. */
int world_fd(struct world *w, enum kind kind);
/* The kinds that the next bytes of the input name: one for the count, then one each. */
unsigned world_fds(struct world *w, struct input *in, int *fds, unsigned room);
/* Sends through `fd` without waiting; what the socket does not take is not sent. */
void world_write(int fd, const void *bytes, size_t size, const int *fds, unsigned n_fds);
/* One packet more in what KIND_STATE reads. */
void world_state(struct world *w, const void *bytes, size_t size, const int *fds, unsigned n_fds);
/* The descriptor behind a send or send-once right. */
int world_tx_of(mach_port_t name);
/* Receives whatever is at the port, until there is nothing, looks at each right that came and
 * destroys it. `option` is for the first one, `size` what the first buffer has. */
void world_receive(mach_port_t port, mach_msg_option_t option, mach_msg_size_t size);

#endif
