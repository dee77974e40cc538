/* Sockets that a peer made and set options of, before he sent them: what then comes with each
 * packet, and what then no longer comes. The linker puts a setsockopt() of this file in place of
 * the library's. */
#include "packets.h"

#include "fds.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

enum { ALL = ML_FDS_MAX };

/* A socket pair, the second end for the victim. */
static void pair_make(int pair[2])
{
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
}

static bool switch_on(int fd, int option, int value)
{
    return setsockopt(fd, SOL_SOCKET, option, &value, sizeof value) == 0;
}

/* A message whose one right is to be what is in the chain. */
static void put_chain(int to, int chain, unsigned n_fds)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    p.wire.flags = ML_WIRE_CHAIN;
    p.wire.n_fds = (uint16_t)n_fds;
    put(to, &p, sizeof p, &chain, 1);
    close(chain);
}

static void put_refused(int to, int fd)
{
    struct plain p = plain_packet(1);
    put(to, &p, sizeof p, &fd, 1);
    close(fd);
}

static void no_more_than(int before)
{
    while (open_descriptors() > before) /* what was refused may be closed elsewhere */
        usleep(1000);
}

CASE(a_descriptor_of_the_sender_with_each_packet_of_a_refused_socket_is_closed)
{
    struct letter letter;
    mach_port_t port = make_port();
    int to = sending_end(port), before = open_descriptors(), pair[2];
    pair_make(pair);
    if (!switch_on(pair[1], SO_PASSPIDFD, 1))
        tap_skip("the kernel has no SO_PASSPIDFD");
    for (int i = 0; i < 50; i++)
        put(pair[0], "x", 1, NULL, 0);
    close(pair[0]);
    put_refused(to, pair[1]);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    no_more_than(before);
}

CASE(a_descriptor_of_the_sender_with_each_link_of_a_chain_is_closed)
{
    mach_port_t port = make_port(), other = make_port();
    int to = sending_end(port), tx = sending_end(other), pair[2], pipes[2];
    NEED(pipe(pipes) == 0);
    pair_make(pair);
    if (!switch_on(pair[1], SO_PASSPIDFD, 1))
        tap_skip("the kernel has no SO_PASSPIDFD");
    put(pair[0], "", 1, &tx, 1);
    put(pair[0], "", 1, pipes, 1);
    close(pair[0]);
    put_chain(to, pair[1], 2);
    int before = open_descriptors();
    IS(take_right(port, MACH_MSG_TYPE_PORT_SEND), other);
    no_more_than(before);
}

/* One that adds to every packet what the kernel can add, and holds as many descriptors as a packet
 * has, the last of which closes slowly. */
static int talkative(int filler)
{
    int pair[2], fds[ALL];
    pair_make(pair);
    NEED(switch_on(pair[1], SO_TIMESTAMPNS, 1) && switch_on(pair[1], SO_TIMESTAMPING, 1 << 4));
    for (int i = 0; i < ALL - 1; i++)
        fds[i] = filler;
    fds[ALL - 1] = lingering();
    put(pair[0], "x", 1, fds, ALL);
    close(fds[ALL - 1]);
    close(pair[0]);
    return pair[1];
}

CASE(no_descriptor_of_a_refused_socket_is_cut_off)
{
    struct letter letter;
    mach_port_t port = make_port();
    int to = sending_end(port);
    put_refused(to, talkative(to));
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
}

CASE(no_descriptor_of_a_chain_is_cut_off)
{
    struct letter letter;
    mach_port_t port = make_port();
    int to = sending_end(port), chain = talkative(to);
    NEED(switch_on(chain, SO_PASSCRED, 1));
    put_chain(to, chain, 300);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
}

/* A receive right arrives whose queue is what `fill` leaves. */
static mach_port_t take_filled(mach_port_t port, void (*fill)(int tx, int rx))
{
    struct with_right p = right_packet(ML_CARRY_RECEIVE, MACH_MSG_TYPE_PORT_RECEIVE);
    int channel[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    fill(channel[0], channel[1]);
    put(sending_end(port), &p, sizeof p, (int[]){channel[1], channel[0]}, 2);
    close(channel[0]);
    close(channel[1]);
    return take_right(port, MACH_MSG_TYPE_PORT_RECEIVE);
}

static void fill_all(int tx, int rx)
{
    int fds[ALL];
    NEED(switch_on(rx, SO_TIMESTAMPNS, 1) && switch_on(rx, SO_TIMESTAMPING, 1 << 4));
    for (int i = 0; i < ALL - 1; i++)
        fds[i] = tx;
    fds[ALL - 1] = lingering();
    put(tx, "x", 1, fds, ALL);
    close(fds[ALL - 1]);
}

CASE(no_descriptor_in_the_queue_of_a_right_that_arrived_is_cut_off)
{
    IS_OK(mach_port_destroy(TASK, take_filled(make_port(), fill_all)));
}

/* --- credentials ----------------------------------------------------------------------------- */

static bool turned_off_at_once; /* by somebody else who has the socket, too */

int __real_setsockopt(int fd, int level, int name, const void *value, socklen_t size);
int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size);

int __wrap_setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    static const int off = 0;
    int result = __real_setsockopt(fd, level, name, value, size);
    if (turned_off_at_once && level == SOL_SOCKET && name == SO_PASSCRED)
        (void)__real_setsockopt(fd, level, name, &off, sizeof off);
    return result;
}

/* What is first looks like the end to whoever has no credentials with it. */
static void put_nothing_and_lingering(int fd)
{
    put(fd, "", 0, NULL, 0);
    put_lingering(fd);
}

CASE(a_packet_without_content_hides_nothing_in_a_refused_socket)
{
    struct letter letter;
    mach_port_t port = make_port();
    int pair[2];
    pair_make(pair);
    put_nothing_and_lingering(pair[0]);
    close(pair[0]);
    put_refused(sending_end(port), pair[1]);
    turned_off_at_once = true;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
}

CASE(a_packet_without_content_hides_nothing_in_a_sending_end)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    struct letter letter;
    mach_port_t port = make_port();
    int channel[2], pipes[2], to = sending_end(port);
    NEED(pipe(pipes) == 0);
    pair_make(channel);
    put_nothing_and_lingering(channel[1]);
    put(to, &p, sizeof p, (int[]){channel[0], pipes[0]}, 2);
    close(channel[0]);
    turned_off_at_once = true;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
}

static void fill_with_nothing(int tx, int rx)
{
    (void)rx;
    put_nothing_and_lingering(tx);
}

CASE(a_packet_without_content_hides_nothing_in_a_receive_right)
{
    turned_off_at_once = true;
    IS_OK(mach_port_destroy(TASK, take_filled(make_port(), fill_with_nothing)));
}
