/*
 * Writes the seeds of the corpus: real packets, sent by the library, in the form that the targets
 * read. Its argument is a folder; the files go to packet/ and state/ in it.
 *
 * Each sample builds a message and says which kind of descriptor (world.h) stands for each that the
 * library sends with it. That their number is right is checked, so that the corpus keeps up with
 * what travels.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "packet.h"
#include "receiver.h"
#include "space.h"
#include "world.h"

#define MAKE_SEND MACH_MSG_TYPE_MAKE_SEND
#define MAKE_SEND_ONCE MACH_MSG_TYPE_MAKE_SEND_ONCE
#define MOVE_SEND MACH_MSG_TYPE_MOVE_SEND
#define MOVE_RECEIVE MACH_MSG_TYPE_MOVE_RECEIVE
#define COPY_SEND MACH_MSG_TYPE_COPY_SEND

struct letter {
    mach_msg_header_t header;
    mach_msg_body_t body;
    uint8_t room[200];
};

static const char *folder;

static void need(kern_return_t kr, const char *what)
{
    if (kr == KERN_SUCCESS)
        return;
    fprintf(stderr, "%s: %s\n", what, mach_error_string(kr));
    exit(1);
}

static FILE *open_seed(const char *target, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, target);
    (void)mkdir(path, 0777);
    snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    return file;
}

static mach_port_t make_port(void)
{
    mach_port_t port;
    need(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port), "allocate");
    return port;
}

/* The next packet at a descriptor, which must come with n descriptors. */
static void read_packet(int fd, struct ml_packet *packet, unsigned n, const char *name)
{
    static uint8_t bytes[ML_PACKET_MAX];
    if (ml_packet_read_raw(fd, packet, bytes, sizeof bytes) != 0 || packet->n_fds != n) {
        fprintf(stderr, "%s: there is no packet, or not with %u descriptors\n", name, n);
        exit(1);
    }
}

static int rx_of(mach_port_t port)
{
    ml_lock();
    int rx = ml_entry_lookup(port)->port->receiver->rx;
    ml_unlock();
    return rx;
}

/* Sends `size` bytes of the letter and keeps what went through the socket. */
static void sample(const char *name, struct letter *letter, size_t size, const uint8_t *kinds,
                   unsigned n_kinds, uint8_t options)
{
    struct ml_packet packet;
    mach_port_t to = make_port();
    letter->header.msgh_bits |= MAKE_SEND;
    letter->header.msgh_remote_port = to;
    need(mach_msg(&letter->header, MACH_SEND_MSG, (mach_msg_size_t)size, 0, 0, 0, 0), name);
    read_packet(rx_of(to), &packet, n_kinds, name);
    if ((options & 0x80) != 0)
        ml_packet_wire(&packet)->flags |= ML_WIRE_CHAIN;
    FILE *file = open_seed("packet", name);
    const uint8_t head[2] = {options, (uint8_t)n_kinds};
    fwrite(head, 1, sizeof head, file);
    fwrite(kinds, 1, n_kinds, file);
    fwrite(packet.bytes, 1, packet.size, file);
    fclose(file);
    ml_packet_drop(&packet);
    need(mach_port_destroy(mach_task_self(), to), "destroy");
}

/* --- letters --------------------------------------------------------------------------------- */

static size_t length(const struct letter *letter, const uint8_t *end)
{
    return (size_t)(end - (const uint8_t *)letter);
}

static struct letter *fresh(struct letter *letter, mach_msg_id_t id)
{
    memset(letter, 0, sizeof *letter);
    letter->header.msgh_id = id;
    return letter;
}

/* Adds a descriptor at `at`; gives the place behind it. */
static uint8_t *add_port(struct letter *letter, uint8_t *at, mach_port_t name,
                         mach_msg_type_name_t disposition)
{
    mach_msg_port_descriptor_t d = {
        .name = name, .disposition = disposition & 0xff, .type = MACH_MSG_PORT_DESCRIPTOR};
    letter->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    letter->body.msgh_descriptor_count++;
    memcpy(at, &d, sizeof d);
    return at + sizeof d;
}

static uint8_t *add_memory(struct letter *letter, uint8_t *at, const void *bytes, uint32_t size)
{
    mach_msg_ool_descriptor_t d = {.address = (void *)(uintptr_t)bytes,
                                   .size = size,
                                   .copy = MACH_MSG_VIRTUAL_COPY,
                                   .type = MACH_MSG_OOL_DESCRIPTOR};
    letter->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    letter->body.msgh_descriptor_count++;
    memcpy(at, &d, sizeof d);
    return at + sizeof d;
}

static uint8_t *add_array(struct letter *letter, uint8_t *at, const mach_port_t *names, uint32_t n,
                          mach_msg_type_name_t disposition)
{
    mach_msg_ool_ports_descriptor_t d = {.address = (void *)(uintptr_t)names,
                                         .count = n,
                                         .disposition = disposition & 0xff,
                                         .type = MACH_MSG_OOL_PORTS_DESCRIPTOR};
    letter->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    letter->body.msgh_descriptor_count++;
    memcpy(at, &d, sizeof d);
    return at + sizeof d;
}

/* --- the samples ----------------------------------------------------------------------------- */

static void plain_messages(void)
{
    struct letter l;
    sample("header", fresh(&l, 1), sizeof l.header, NULL, 0, 0);
    memset(fresh(&l, 2)->room, 0x5a, sizeof l.room);
    sample("data", &l, sizeof l, NULL, 0, 0);
    sample("data_through_a_send_once_right", &l, sizeof l, NULL, 0, 0x01);
    sample("data_too_large", &l, sizeof l, NULL, 0, 0x04);
    sample("data_too_large_kept", &l, sizeof l, NULL, 0, 0x46);
    sample("data_in_a_file", &l, sizeof l, NULL, 0, 0x08);
    sample("data_in_a_file_without_seals", &l, sizeof l, NULL, 0, 0x18);
}

static void one_right(const char *name, mach_msg_type_name_t disposition, const uint8_t *kinds,
                      unsigned n, uint8_t options)
{
    struct letter l;
    mach_port_t port = make_port();
    uint8_t *end = add_port(fresh(&l, 3), l.room, port, disposition);
    sample(name, &l, length(&l, end), kinds, n, options);
    (void)mach_port_destroy(mach_task_self(), port);
}

static void rights(void)
{
    const uint8_t send[] = {KIND_TX_A, KIND_PIPE_READ}, once[] = {KIND_TX_A},
                  receive[] = {KIND_RX_A, KIND_TX_A}, own[] = {KIND_OWN_TX, KIND_PIPE_READ},
                  dead[] = {KIND_DEAD_TX, KIND_DEAD_PIPE}, task[] = {KIND_TASK},
                  wrong[] = {KIND_UDP, KIND_NULL_DEVICE}, mixed[] = {KIND_RX_A, KIND_TX_B};
    struct letter l;

    one_right("send", MAKE_SEND, send, 2, 0);
    one_right("send_to_the_receiver_itself", MAKE_SEND, own, 2, 0);
    one_right("send_of_a_dead_port", MAKE_SEND, dead, 2, 0);
    one_right("send_with_other_descriptors", MAKE_SEND, wrong, 2, 0);
    one_right("send_at_the_limit", MAKE_SEND, send, 2, 0x20);
    one_right("send_in_a_file", MAKE_SEND, send, 2, 0x08);
    one_right("send_in_a_chain", MAKE_SEND, send, 2, 0x80);
    one_right("receive_in_a_chain_in_a_file", MOVE_RECEIVE, receive, 2, 0x88);
    one_right("send_once", MAKE_SEND_ONCE, once, 1, 0);
    one_right("receive", MOVE_RECEIVE, receive, 2, 0);
    one_right("receive_kept_back", MOVE_RECEIVE, receive, 2, 0x06);
    one_right("receive_of_two_channels", MOVE_RECEIVE, mixed, 2, 0);
    uint8_t *end = add_port(fresh(&l, 4), l.room, mach_task_self(), COPY_SEND);
    sample("task", &l, length(&l, end), task, 1, 0);
    end = add_port(fresh(&l, 5), l.room, MACH_PORT_NULL, COPY_SEND);
    end = add_port(&l, end, MACH_PORT_DEAD, MAKE_SEND_ONCE);
    sample("null_and_dead", &l, length(&l, end), NULL, 0, 0);
}

static void receive_with_a_history(void)
{
    const uint8_t kinds[] = {KIND_RX_A, KIND_TX_A, KIND_STATE};
    struct letter l;
    mach_port_t port = make_port();
    mach_port_limits_t limits = {.mpl_qlimit = 9};
    need(mach_port_set_attributes(mach_task_self(), port, MACH_PORT_LIMITS_INFO,
                                  (mach_port_info_t)&limits, MACH_PORT_LIMITS_INFO_COUNT),
         "limits");
    uint8_t *end = add_port(fresh(&l, 6), l.room, port, MOVE_RECEIVE);
    sample("receive_with_state", &l, length(&l, end), kinds, 3, 0);
}

static void replies(void)
{
    const uint8_t once[] = {KIND_TX_A}, send[] = {KIND_TX_A, KIND_PIPE_READ},
                  both[] = {KIND_TX_A, KIND_TX_B, KIND_PIPE_READ};
    struct letter l;
    mach_port_t reply = make_port(), port = make_port();

    fresh(&l, 7)->header.msgh_local_port = reply;
    l.header.msgh_bits = MACH_MSGH_BITS(0, MAKE_SEND_ONCE);
    sample("reply_once", &l, sizeof l.header, once, 1, 0);
    fresh(&l, 8)->header.msgh_local_port = reply;
    l.header.msgh_bits = MACH_MSGH_BITS(0, MAKE_SEND);
    sample("reply_send", &l, sizeof l.header, send, 2, 0);
    fresh(&l, 9)->header.msgh_local_port = reply;
    l.header.msgh_bits = MACH_MSGH_BITS(0, MAKE_SEND_ONCE);
    uint8_t *end = add_port(&l, l.room, port, MAKE_SEND);
    sample("reply_and_right", &l, length(&l, end), both, 3, 0);
    (void)mach_port_destroy(mach_task_self(), reply);
    (void)mach_port_destroy(mach_task_self(), port);
}

static void out_of_line(void)
{
    static const char text[] = "bytes that lie elsewhere";
    const uint8_t two[] = {KIND_TX_A, KIND_PIPE_READ, KIND_TX_B, KIND_PIPE_READ},
                  one[] = {KIND_TX_A, KIND_PIPE_READ};
    struct letter l;
    mach_port_t ports[3] = {make_port(), make_port(), MACH_PORT_NULL};

    uint8_t *end = add_memory(fresh(&l, 10), l.room, text, sizeof text);
    sample("memory", &l, length(&l, end), NULL, 0, 0);
    end = add_memory(fresh(&l, 11), l.room, NULL, 0);
    end = add_memory(&l, end, text, 7);
    end = add_port(&l, end, ports[0], MAKE_SEND);
    memcpy(end, text, 12);
    sample("memory_and_right", &l, length(&l, end) + 12, one, 2, 0);
    end = add_array(fresh(&l, 12), l.room, ports, 3, MAKE_SEND);
    sample("array", &l, length(&l, end), two, 4, 0);
    end = add_array(fresh(&l, 12), l.room, ports, 3, MAKE_SEND);
    sample("array_in_a_chain", &l, length(&l, end), two, 4, 0x80);
    end = add_array(fresh(&l, 12), l.room, ports, 3, MAKE_SEND);
    sample("array_in_a_chain_kept_back", &l, length(&l, end), two, 4, 0x86);
    end = add_array(fresh(&l, 13), l.room, ports, 1, MAKE_SEND);
    end = add_memory(&l, end, text, 3);
    sample("array_and_memory_in_a_file", &l, length(&l, end), one, 2, 0x08);
    for (int i = 0; i < 2; i++)
        (void)mach_port_destroy(mach_task_self(), ports[i]);
}

/* --- state ----------------------------------------------------------------------------------- */

/* A receive right with everything that one can have, and what its state socket says. */
static void state(void)
{
    static const uint8_t kinds[][2] = {
        {0},                  /* limits */
        {1, KIND_PIPE_WRITE}, /* the senders' pipe */
        {1, KIND_RX_B},       /* the send-once right */
        {0},                  /* the message that was put back */
        {1, KIND_DEAD_TX},    /* whom to tell that there are no senders */
    };
    struct letter l;
    struct ml_packet packet, piece;
    mach_port_t self = mach_task_self(), port = make_port(), to = make_port(), once, previous;
    mach_msg_type_name_t type;

    (void)fresh(&l, 14);
    l.header.msgh_bits = MAKE_SEND;
    l.header.msgh_remote_port = port;
    need(mach_msg(&l.header, MACH_SEND_MSG, 100, 0, 0, 0, 0), "send");
    (void)mach_msg(&l.header, MACH_RCV_MSG | MACH_RCV_LARGE, 0, 40, port, 0, 0); /* put back */
    need(mach_port_extract_right(self, port, MAKE_SEND_ONCE, &once, &type), "send-once");
    /* A send right that is in a message is what the pipe is for. */
    uint8_t *end = add_port(fresh(&l, 15), l.room, port, MAKE_SEND);
    l.header.msgh_bits |= MAKE_SEND;
    l.header.msgh_remote_port = to;
    need(mach_msg(&l.header, MACH_SEND_MSG, (mach_msg_size_t)length(&l, end), 0, 0, 0, 0), "send");
    need(mach_port_request_notification(self, port, MACH_NOTIFY_NO_SENDERS, 0, to, MAKE_SEND_ONCE,
                                        &previous),
         "request");
    read_packet(rx_of(to), &packet, 2, "state");

    mach_port_t moved_to = make_port();
    end = add_port(fresh(&l, 16), l.room, port, MOVE_RECEIVE);
    l.header.msgh_bits |= MAKE_SEND;
    l.header.msgh_remote_port = moved_to;
    need(mach_msg(&l.header, MACH_SEND_MSG, (mach_msg_size_t)length(&l, end), 0, 0, 0, 0), "move");
    struct ml_packet moved;
    read_packet(rx_of(moved_to), &moved, 3, "state");
    FILE *file = open_seed("state", "everything");
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        read_packet(moved.fds[2], &piece, kinds[i][0], "piece");
        const uint8_t size[2] = {(uint8_t)piece.size, (uint8_t)(piece.size >> 8)};
        fwrite(kinds[i], 1, 1u + kinds[i][0], file);
        fwrite(size, 1, sizeof size, file);
        fwrite(piece.bytes, 1, piece.size, file);
        ml_packet_drop(&piece);
    }
    fclose(file);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: record FOLDER\n");
        return 1;
    }
    folder = argv[1];
    plain_messages();
    rights();
    receive_with_a_history();
    replies();
    out_of_line();
    state();
    return 0;
}
