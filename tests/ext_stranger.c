/* A stranger for the tests: looks a service up by name and sends it what standard input says, one
 * message a line: "ID COMPLEX PORT_AT MEMORY REPLY HEXBODY", HEXBODY "-" for none. PORT_AT is the
 * offset in the body where the name of a new port of this process goes, -1 for none; the first
 * MEMORY descriptors are given the address and the size of a piece of its memory; REPLY adds a
 * send-once right as the reply port. Prints mach_msg's result for each. Its ports live until it
 * exits. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <mach/mach.h>
#include <servers/bootstrap.h>

#define BODY_MAX 4096
#define MEMORY_SIZE (1 << 20)

struct message {
    mach_msg_header_t header;
    uint8_t body[BODY_MAX];
};

static size_t body_read(const char *text, uint8_t *body)
{
    size_t length = 0;
    unsigned byte;
    while (length < BODY_MAX && sscanf(text + 2 * length, "%2x", &byte) == 1)
        body[length++] = (uint8_t)byte;
    return length;
}

static mach_port_t port_new(void)
{
    mach_port_t port = MACH_PORT_NULL;
    if (mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port) != KERN_SUCCESS ||
        mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND) !=
            KERN_SUCCESS)
        return MACH_PORT_NULL;
    return port;
}

static void memory_put(uint8_t *body, int count)
{
    static uint8_t memory[MEMORY_SIZE];
    mach_msg_ool_descriptor_t piece;
    uint8_t *at = body + sizeof(mach_msg_body_t);
    memset(memory, 1, sizeof memory);
    for (int i = 0; i < count; i++, at += sizeof piece) {
        memcpy(&piece, at, sizeof piece);
        piece.address = memory;
        piece.size = sizeof memory;
        memcpy(at, &piece, sizeof piece);
    }
}

int main(int argc, char **argv)
{
    static struct message message;
    static char line[2 * BODY_MAX + 128], text[2 * BODY_MAX + 1];
    mach_port_t server = MACH_PORT_NULL;
    if (argc != 2 || bootstrap_look_up(bootstrap_port, argv[1], &server) != KERN_SUCCESS)
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        int id, is_complex, port_at, memory, reply;
        if (sscanf(line, "%d %d %d %d %d %8192s", &id, &is_complex, &port_at, &memory, &reply,
                   text) != 6)
            return 2;
        size_t length = body_read(text, message.body);
        if (port_at >= 0) {
            mach_port_name_t port = port_new();
            memcpy(message.body + port_at, &port, sizeof port);
        }
        memory_put(message.body, memory);
        message.header = (mach_msg_header_t){
            .msgh_bits =
                MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, reply ? MACH_MSG_TYPE_MAKE_SEND_ONCE : 0) |
                (is_complex ? MACH_MSGH_BITS_COMPLEX : 0),
            .msgh_remote_port = server,
            .msgh_local_port = reply ? port_new() : MACH_PORT_NULL,
            .msgh_id = id,
        };
        mach_msg_size_t size = (mach_msg_size_t)(sizeof message.header + length);
        printf("%d\n", mach_msg(&message.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0,
                                MACH_PORT_NULL, 10000, MACH_PORT_NULL));
        fflush(stdout);
    }
    return 0;
}
