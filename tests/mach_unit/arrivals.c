/* Receive rights that a hostile peer made or had, and what he sends along as their state. */
#include "packets.h"

#include "receiver.h"
#include "space.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* A SEQPACKET socket in whose queue there is what closes slowly, and that nobody else has. */
static int loaded(void)
{
    int pair[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    put_lingering(pair[0]);
    close(pair[0]);
    return pair[1];
}

/* One that listens, and the other end of a connection in which there is what closes slowly. */
static int listener_make(int *client)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof address;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    *client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    NEED(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) == 0 && listen(fd, 8) == 0);
    NEED(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    NEED(connect(*client, (struct sockaddr *)&address, size) == 0);
    put_lingering(*client);
    return fd;
}

static int loaded_listener(void)
{
    int client, fd = listener_make(&client);
    close(client);
    return fd;
}

/* A state socket with one piece in it; takes fd. */
static int state_of(struct piece piece, int fd)
{
    int state[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, state) == 0);
    put(state[0], &piece, sizeof piece, &fd, 1);
    close(fd);
    close(state[0]);
    return state[1];
}

/* Sends a receive right of a new channel with such a state; takes it. */
static void put_right(int to, int state)
{
    struct with_right p = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    int channel[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    put(to, &p, sizeof p, (int[]){channel[1], channel[0], state}, 3);
    close(channel[0]);
    close(channel[1]);
    close(state);
}

static mach_port_t arrive(struct piece piece, int fd)
{
    mach_port_t port = make_port();
    put_right(sending_end(port), state_of(piece, fd));
    return take_right(port, MACH_MSG_TYPE_PORT_RECEIVE);
}

CASE(a_request_whose_socket_closes_slowly_is_left_out)
{
    IS_OK(mach_port_destroy(TASK, arrive(PIECE(PIECE_NO_SENDERS), loaded())));
}

CASE(what_listens_is_no_request)
{
    IS_OK(mach_port_destroy(TASK, arrive(PIECE(PIECE_NO_SENDERS), loaded_listener())));
}

CASE(what_listens_or_is_not_connected_is_no_source)
{
    mach_port_t name = arrive(PIECE(PIECE_SOURCES), loaded_listener());
    IS(is_empty(name), 1);
    IS_OK(mach_port_destroy(TASK, name));
    name = arrive(PIECE(PIECE_SOURCES), socket(AF_UNIX, SOCK_SEQPACKET, 0));
    IS(is_empty(name), 1);
    IS_OK(mach_port_destroy(TASK, name));
}

CASE(what_listens_is_no_receive_right)
{
    struct with_right p = right_packet(ML_CARRY_RECEIVE, MACH_MSG_TYPE_PORT_RECEIVE);
    mach_port_t port = make_port();
    int client, listener = listener_make(&client), to = sending_end(port);
    put(to, &p, sizeof p, (int[]){listener, client}, 2);
    close(listener);
    close(client);
    IS(is_empty(port), 1);
}

CASE(the_sources_of_a_receive_right_that_is_there_already_are_emptied)
{
    struct {
        struct ml_wire wire;
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t ports[2];
    } p;
    struct with_right one = right_packet(ML_CARRY_RECEIVE, MACH_MSG_TYPE_PORT_RECEIVE),
                      other = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    mach_port_t port = make_port();
    int channel[2], state = state_of(PIECE(PIECE_SOURCES), loaded());
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    memset(&p, 0, sizeof p);
    p.wire = one.wire;
    p.wire.n_fds = 5;
    p.header = one.header;
    p.header.msgh_size = sizeof p - sizeof p.wire;
    p.body.msgh_descriptor_count = 2;
    p.ports[0] = one.port;
    p.ports[1] = other.port;
    put(sending_end(port), &p, sizeof p,
        (int[]){channel[1], channel[0], channel[1], channel[0], state}, 5);
    close(channel[0]);
    close(channel[1]);
    close(state);
    struct letter letter;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_BODY_ERROR | MACH_MSG_IPC_SPACE);
}

CASE(a_source_whose_former_owner_has_a_duplicate_hides_nothing)
{
    const int off = 0;
    struct plain p = plain_packet(7);
    int pair[2];
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    int kept = fcntl(pair[1], F_DUPFD_CLOEXEC, 0);
    mach_port_t name = arrive(PIECE(PIECE_SOURCES), pair[1]);
    put(pair[0], &p, sizeof p, NULL, 0);
    put(pair[0], "", 0, NULL, 0); /* looks like the end, without credentials */
    put_lingering(pair[0]);
    close(pair[0]);
    NEED(setsockopt(kept, SOL_SOCKET, SO_PASSCRED, &off, sizeof off) == 0);
    close(kept);
    IS(take_id(name), 7);
}

CASE(what_the_library_sends_to_a_port_of_this_process_is_not_the_kernels)
{
    mach_port_t port = make_port();
    int to = sending_end(port), pipes[2], state[2];
    struct piece gone = PIECE(PIECE_GENERATION), asks = PIECE(PIECE_NO_SENDERS);
    NEED(pipe(pipes) == 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, state) == 0);
    close(pipes[0]);
    put(state[0], &gone, sizeof gone, &pipes[1], 1);
    put(state[0], &asks, sizeof asks, &to, 1); /* no send-once right */
    close(pipes[1]);
    close(state[0]);
    put_right(to, state[1]);
    (void)take_right(port, MACH_MSG_TYPE_PORT_RECEIVE);
    struct letter letter;
    NEED_OK(letter_receive(&letter, port,
                           MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                               MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT),
                           PROMPT));
    IS(letter.header.msgh_id, MACH_NOTIFY_NO_SENDERS);
    const mach_msg_audit_trailer_t *trailer = (const void *)letter_trailer(&letter);
    IS(trailer->msgh_audit.val[5], getpid());
}

/* Whoever has a send right knows the address of the port's receiving end, and it is free when the
 * port has died. */
CASE(a_dead_port_does_not_come_back_to_life)
{
    struct with_right send = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND),
                      receive = right_packet(ML_CARRY_RECEIVE, MACH_MSG_TYPE_PORT_RECEIVE);
    struct sockaddr_un address;
    socklen_t size = sizeof address;
    mach_port_t port = make_port(), notify = make_port();
    int to = sending_end(port), channel[2], pipes[2], forged[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0 && pipe(pipes) == 0);
    NEED(ml_channel_matches(channel[0], channel[1])); /* as when it was moved */
    put(to, &send, sizeof send, (int[]){channel[0], pipes[0]}, 2);
    mach_port_t name = take_right(port, MACH_MSG_TYPE_PORT_SEND);
    (void)request(name, MACH_NOTIFY_DEAD_NAME, 0, notify);
    NEED(getpeername(channel[0], (struct sockaddr *)&address, &size) == 0);
    ml_lock(); /* nobody is to notice the death before the forged right is there */
    close(channel[1]);
    close(pipes[1]);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, forged) == 0);
    NEED(bind(forged[1], (struct sockaddr *)&address, size) == 0);
    put(to, &receive, sizeof receive, (int[]){forged[1], channel[0]}, 2);
    ml_unlock();
    IS_TRUE(take_right(port, MACH_MSG_TYPE_PORT_RECEIVE) != name);
    IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), name);
    IS(type_of(name), MACH_PORT_TYPE_DEAD_NAME);
}

/* This process has so many descriptors left. */
static void leave_few(int few)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 256;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (dup(0) >= 0)
        continue;
    for (int i = 1; i <= few; i++)
        close(256 - i);
}

CASE(a_right_that_came_without_all_of_its_state_is_not_given)
{
    struct {
        struct piece piece;
        struct plain message;
    } stashed = {PIECE(PIECE_STASH), plain_packet(5)};
    enum { MANY = 6, FEW = 5 };
    mach_port_t port = make_port();
    int to = sending_end(port), state[2], fds[MANY];
    struct piece sources = PIECE(PIECE_SOURCES);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, state) == 0);
    for (int i = 0; i < MANY; i++) {
        int pair[2];
        NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
        fds[i] = pair[1]; /* the other end stays open */
    }
    put(state[0], &sources, sizeof sources, fds, MANY);
    put(state[0], &stashed, sizeof stashed, NULL, 0);
    put_right(to, state[1]);
    leave_few(FEW);
    struct letter letter;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_BODY_ERROR | MACH_MSG_IPC_SPACE);
}

CASE(a_message_with_all_the_descriptors_there_can_be_moves_with_its_port)
{
    enum { SIZE = 8192, ALL = ML_FDS_MAX };
    static struct {
        struct ml_wire wire;
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t ports[ALL];
        uint8_t rest[SIZE];
    } p;
    static union {
        mach_msg_header_t header;
        uint8_t room[SIZE + MAX_TRAILER_SIZE];
    } buffer;
    mach_port_t other = make_port(), port = make_port(), home = make_port();
    int fds[ALL], end = sending_end(other);
    p.wire = (struct ml_wire){.magic = ML_WIRE_MAGIC, .n_fds = ALL};
    p.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    p.header.msgh_size = SIZE;
    p.header.msgh_id = 9;
    p.body.msgh_descriptor_count = ALL;
    for (int i = 0; i < ALL; i++) {
        fds[i] = end;
        p.ports[i].name = ML_CARRY_SEND_ONCE;
        p.ports[i].disposition = MACH_MSG_TYPE_PORT_SEND_ONCE;
    }
    put(sending_end(port), &p, sizeof p.wire + SIZE, fds, ALL);
    IS_CODE(mach_msg(&buffer.header, MACH_RCV_MSG | MACH_RCV_LARGE, 0, 100, port, 0, 0),
            MACH_RCV_TOO_LARGE);
    IS_OK(post_right(home, port, MOVE_RECEIVE));
    port = take_right(home, MACH_MSG_TYPE_PORT_RECEIVE);
    NEED_OK(mach_msg(&buffer.header, MACH_RCV_MSG, 0, sizeof buffer, port, 0, 0));
    IS(buffer.header.msgh_id, 9);
}
