/* A stream of Mach messages between two processes. VARIANT 1: check-ins, sent by the generated user
 * stub with a send right in each (COPY_SEND), received by the generated server demux, whose callout
 * releases the right. VARIANT 0: messages without a right, of the size of the raw stream's.
 *
 * The receiver owns the service port; the sender owns the port that it hands out rights to. The
 * service port is the bootstrap port that the sender inherits, so each process has one thread, as
 * in the raw stream. VARIANT 2 is 1 with a service that is looked up by name: the receiver has a
 * second thread then, which answers, and with two the kernel counts more references. VARIANT 3 is 1
 * with two rights by turns: none comes twice in a row. */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mach/mach.h>
#include <servers/bootstrap.h>

#include "child_port.h"
#include "child_portServer.h"

enum {
    TOKEN = 0x5eed,
    WITHOUT_RIGHTS = 0,
    NAMED = 2,
    BY_TURNS = 3,
    PLAIN_ID = 4711,
    PLAIN_SIZE = 48
};

struct plain {
    mach_msg_header_t header;
    char payload[PLAIN_SIZE - sizeof(mach_msg_header_t)];
};

union incoming {
    mach_msg_header_t header;
    struct plain plain;
    union __RequestUnion__handle_child_port_subsystem request;
    char room[256]; /* for the trailer */
};

static long accepted;

static void check(kern_return_t result, const char *call)
{
    if (result == KERN_SUCCESS)
        return;
    fprintf(stderr, "%s: %s (0x%x)\n", call, mach_error_string(result), (unsigned)result);
    exit(1);
}

/* Success: the rights in the message are ours, so the port is released here. */
kern_return_t handle_child_port_check_in(child_port_server_t server, child_port_token_t token,
                                         mach_port_t port, mach_msg_type_name_t disposition)
{
    (void)server;
    if (token != TOKEN || disposition != MACH_MSG_TYPE_PORT_SEND)
        return KERN_INVALID_ARGUMENT;
    check(mach_port_deallocate(mach_task_self(), port), "mach_port_deallocate");
    accepted++;
    return KERN_SUCCESS;
}

static void receive(mach_port_t port)
{
    union incoming message;
    union __ReplyUnion__handle_child_port_subsystem reply;
    const mach_msg_option_t options = MACH_RCV_MSG |
                                      MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                                      MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);
    check(mach_msg(&message.header, options, 0, sizeof message, port, MACH_MSG_TIMEOUT_NONE,
                   MACH_PORT_NULL),
          "mach_msg");
    if (message.header.msgh_id == PLAIN_ID)
        accepted++;
    else
        (void)child_port_server(&message.header, (mach_msg_header_t *)&reply);
}

static uint64_t receive_all(mach_port_t port, const struct stream *stream)
{
    for (long i = 0; i < stream->warm_up; i++)
        receive(port);
    uint64_t start = nanoseconds();
    for (long i = 0; i < stream->count; i++)
        receive(port);
    uint64_t elapsed = nanoseconds() - start;
    if (accepted != stream->warm_up + stream->count) {
        fprintf(stderr, "only %ld messages were accepted\n", accepted);
        exit(1);
    }
    return elapsed;
}

static void send_plain(mach_port_t server)
{
    struct plain message = {.header = {.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_COPY_SEND, 0),
                                       .msgh_size = sizeof message,
                                       .msgh_remote_port = server,
                                       .msgh_id = PLAIN_ID}};
    check(mach_msg(&message.header, MACH_SEND_MSG, sizeof message, 0, MACH_PORT_NULL,
                   MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL),
          "mach_msg");
}

static mach_port_t make_port(void)
{
    mach_port_t port;
    check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &port),
          "mach_port_allocate");
    check(mach_port_insert_right(mach_task_self(), port, port, MACH_MSG_TYPE_MAKE_SEND),
          "mach_port_insert_right");
    return port;
}

static void send_all(const char *service, const struct stream *stream)
{
    mach_port_t server, ports[2];
    if (stream->variant == NAMED)
        check(bootstrap_look_up(bootstrap_port, service, &server), "bootstrap_look_up");
    else
        check(task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &server),
              "task_get_special_port");
    for (int i = 0; i < 2; i++)
        ports[i] = make_port();
    for (long sent = 0; sent < stream->warm_up + stream->count; sent++) {
        if (stream->variant == WITHOUT_RIGHTS)
            send_plain(server);
        else
            check(child_port_check_in(server, TOKEN,
                                      ports[stream->variant == BY_TURNS ? sent % 2 : 0],
                                      MACH_MSG_TYPE_COPY_SEND),
                  "child_port_check_in");
    }
}

/* The port that a child inherits a right to. */
static mach_port_t make_inherited(void)
{
    mach_port_t port = make_port();
    check(task_set_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, port),
          "task_set_special_port");
    return port;
}

int main(int argc, char **argv)
{
    struct stream stream = stream_arguments(argc, argv);
    name_t service;
    char byte = 0;
    mach_port_t port = MACH_PORT_NULL;
    int ready[2], done[2];
    snprintf(service, sizeof service, "child_port.bench.%ld", (long)getpid());
    if (pipe(ready) != 0 || pipe(done) != 0)
        fail("pipe");
    if (stream.variant != NAMED)
        port = make_inherited();
    pid_t sender = fork();
    if (sender < 0)
        fail("fork");
    if (sender == 0) {
        close(ready[1]);
        close(done[1]);
        run_on_cpu(stream.sender_cpu);
        if (read(ready[0], &byte, 1) != 1)
            _exit(1);
        send_all(service, &stream);
        /* Until the receiver hangs up. */
        _exit(read(done[0], &byte, 1) == 0 ? 0 : 1);
    }
    run_on_cpu(stream.receiver_cpu);
    if (stream.variant == NAMED)
        check(bootstrap_check_in(bootstrap_port, service, &port), "bootstrap_check_in");
    if (write(ready[1], &byte, 1) != 1)
        fail("write");
    uint64_t elapsed = receive_all(port, &stream);
    close(done[1]);
    return stream_finish(&stream, elapsed, sender);
}
