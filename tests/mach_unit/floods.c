/* What a holder of a port's descriptors can make its receiver do: look into queues that lie in
 * queues, read files that are mostly holes, close what closes slowly, wait for room where there
 * never is any, and drop garbage for as long as it is sent. None of it costs more than it is worth,
 * and no deadline is missed: a case that hangs is killed at its own. */
#include "packets.h"

#include "fds.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* --- queues ---------------------------------------------------------------------------------- */

/* A socket in whose queue lies a socket in whose queue …; gives the outermost. */
static int nested(int depth, int innermost)
{
    int in = innermost;
    for (int i = 0; i < depth; i++) {
        int pair[2];
        NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
        put(pair[0], "x", 1, &in, 1);
        close(in);
        close(pair[0]);
        in = pair[1];
    }
    return in;
}

CASE(ten_thousand_queues_within_each_other_are_emptied)
{
    struct plain p = plain_packet(1);
    struct letter letter;
    mach_port_t port = make_port();
    int ends[2], gone;
    NEED(pipe(ends) == 0);
    int before = open_descriptors(), in = nested(10000, ends[1]);
    put(sending_end(port), &p, sizeof p, &in, 1);
    close(in);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    IS_OK(post(port, MAKE_SEND, 2));
    IS(take_id(port), 2);
    /* The innermost goes, too, though perhaps a little later. */
    IS(read(ends[0], &gone, 1), 0);
    while (open_descriptors() > before) /* sending_end()'s, less the pipe's */
        usleep(1000);
}

CASE(a_queue_within_a_queue_hides_nothing_that_closes_slowly)
{
    struct plain p = plain_packet(1);
    struct letter letter;
    mach_port_t port = make_port();
    int in = nested(3, lingering());
    put(sending_end(port), &p, sizeof p, &in, 1);
    close(in);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
}

CASE(wide_queues_within_each_other_are_emptied)
{
    enum { WIDTH = 100, DEPTH = 20 };
    struct plain p = plain_packet(1);
    struct letter letter;
    mach_port_t port = make_port();
    int fds[WIDTH], before = open_descriptors() + 1, pair[2];
    for (int i = 0; i < WIDTH; i++)
        fds[i] = 0;
    for (int depth = 0; depth < DEPTH; depth++) {
        NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
        for (int k = 0; k < 3; k++)
            put(pair[0], "x", 1, fds, WIDTH);
        for (int i = 1; i < WIDTH && depth > 0; i++)
            if (fds[i] != 0)
                close(fds[i]);
        close(pair[0]);
        fds[WIDTH / 2] = pair[1];
    }
    put(sending_end(port), &p, sizeof p, &pair[1], 1);
    close(pair[1]);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    while (open_descriptors() > before)
        usleep(1000);
}

CASE(what_lies_behind_the_message_of_a_send_once_right_is_not_waited_for)
{
    struct plain p = plain_packet(5);
    mach_port_t port = make_port(), once = make_send_once(port);
    int fd = sending_end(once);
    put(fd, &p, sizeof p, NULL, 0);
    put_lingering(fd);
    IS(take_id(port), 5);
    IS_TRUE(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
    IS_OK(mach_port_destroy(TASK, port));
}

CASE(a_send_once_right_ends_when_its_sender_keeps_the_channel)
{
    struct plain p = plain_packet(5);
    mach_port_t port = make_port(), once = make_send_once(port);
    int fd = sending_end(once);
    put(fd, &p, sizeof p, NULL, 0);
    put(fd, &p, sizeof p, NULL, 0);
    IS(take_id(port), 5);
    IS(is_empty(port), 1);
    IS_TRUE(send(fd, "x", 1, MSG_NOSIGNAL) < 0);
}

/* --- replies --------------------------------------------------------------------------------- */

CASE(a_reply_right_that_was_used_up_before_does_not_hold_up_who_replies)
{
    struct plain p = plain_packet(5);
    struct letter letter, answer;
    mach_port_t to = make_port(), lost = make_port();
    int channel[2];
    uint64_t cookie;
    NEED(ml_channel_create(channel, &cookie) == 0);
    while (send(channel[0], "junk", 4, MSG_DONTWAIT) > 0)
        continue;
    p.wire.n_fds = 1;
    p.wire.reply = ML_CARRY_SEND_ONCE;
    p.header.msgh_bits = MACH_MSG_TYPE_PORT_SEND_ONCE;
    put(sending_end(to), &p, sizeof p, channel, 1);
    take(&letter, to);
    mach_port_t reply = letter.header.msgh_remote_port;
    IS(type_of(reply), MACH_PORT_TYPE_SEND_ONCE);
    letter_to(&answer, reply, MOVE_SEND_ONCE, 9);
    letter_right(&answer, make_send_once(lost), MOVE_SEND_ONCE);
    IS_OK(mach_msg(&answer.header, MACH_SEND_MSG, answer.header.msgh_size, 0, 0, 0, 0));
    IS(is_gone(reply), 1);
    take_notification(lost, MACH_NOTIFY_SEND_ONCE); /* what it carried went with it */
}

/* --- files ----------------------------------------------------------------------------------- */

/* A message whose bytes are in a file of `size`, of which as many are written as there are in head.
 */
static void put_in_file(int to, struct plain head, off_t size, int seals)
{
    int file = memfd_create("packet", MFD_ALLOW_SEALING);
    NEED(file >= 0 && pwrite(file, &head, sizeof head, 0) == sizeof head);
    NEED(ftruncate(file, size) == 0);
    NEED(fcntl(file, F_ADD_SEALS, seals) == 0);
    head.wire.flags |= ML_WIRE_MEMFD;
    put(to, &head, sizeof head, &file, 1);
    close(file);
}

static long most_memory(void)
{
    struct rusage usage;
    NEED(getrusage(RUSAGE_SELF, &usage) == 0);
    return usage.ru_maxrss;
}

CASE(a_file_that_is_mostly_holes_is_not_read)
{
    enum { HUGE = 1 << 29 };
    struct plain inside = plain_packet(1), behind = inside;
    struct letter letter;
    mach_port_t port = make_port();
    int fd = sending_end(port);
    long before = most_memory();
    inside.header.msgh_size = HUGE;
    behind.wire.extra = HUGE;
    put_in_file(fd, inside, (off_t)sizeof inside.wire + HUGE, ML_SEALS);
    put_in_file(fd, behind, (off_t)sizeof behind + HUGE, ML_SEALS);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    IS_TRUE(most_memory() - before < HUGE / 1024 / 4);
}

CASE(a_message_in_a_file_that_is_too_large_is_not_read)
{
    enum { LARGE = 1 << 26 };
    struct letter letter;
    mach_port_t port = make_port();
    mach_msg_header_t *m = calloc(1, LARGE + MAX_TRAILER_SIZE);
    NEED(m != NULL);
    for (int i = 0; i < 4; i++) {
        *m = (mach_msg_header_t){.msgh_bits = MAKE_SEND, .msgh_remote_port = port, .msgh_id = i};
        NEED_OK(mach_msg(m, MACH_SEND_MSG, LARGE, 0, 0, 0, 0));
    }
    long before = most_memory();
    for (int i = 0; i < 100; i++)
        IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_LARGE, 0, 100, port, 0, 0),
                MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, LARGE);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TOO_LARGE);
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TOO_LARGE);
    IS_TRUE(most_memory() - before < LARGE / 1024 / 2);
    for (int i = 2; i < 4; i++) {
        NEED_OK(mach_msg(m, MACH_RCV_MSG, 0, LARGE + MAX_TRAILER_SIZE, port, 0, 0));
        IS(m->msgh_id, i);
    }
    free(m);
}

CASE(files_that_are_not_what_their_headers_say_are_dropped)
{
    struct plain p = plain_packet(1), other = plain_packet(2), chained = p, cut = p;
    mach_port_t port = make_port();
    int fd = sending_end(port), file = memfd_create("packet", MFD_ALLOW_SEALING);
    put_in_file(fd, p, sizeof p - 1, 0);
    put_in_file(fd, p, sizeof p, F_SEAL_WRITE);
    put_in_file(fd, p, sizeof p - 4, ML_SEALS);
    put_in_file(fd, p, sizeof p + 4, ML_SEALS);
    chained.wire.flags = ML_WIRE_CHAIN;
    put_in_file(fd, chained, sizeof p, ML_SEALS);
    for (uint32_t size = 0; size < sizeof p.header; size++) { /* shorter than the headers */
        cut.header.msgh_size = size;
        put_in_file(fd, cut, (off_t)(sizeof cut.wire + size), ML_SEALS);
    }
    /* Headers that are not those in the file. */
    NEED(write(file, &other, sizeof other) == sizeof other);
    NEED(fcntl(file, F_ADD_SEALS, ML_SEALS) == 0);
    p.wire.flags = ML_WIRE_MEMFD;
    put(fd, &p, sizeof p, &file, 1);
    put(fd, &p, sizeof p.wire, &file, 1);
    int before = open_descriptors();
    IS(is_empty(port), 1);
    while (open_descriptors() > before) /* what is no socket is closed elsewhere */
        usleep(1000);
    p.wire.flags = 0;
    put_in_file(fd, p, sizeof p, ML_SEALS);
    IS(take_id(port), 1);
}

CASE(a_file_with_holes_in_it_and_blocks_behind_it_is_not_read)
{
    enum { SIZE = 1 << 23, PAGE = 1 << 12 };
    struct plain p = plain_packet(1);
    const off_t size = (off_t)sizeof p.wire + SIZE;
    mach_msg_header_t *m = malloc(SIZE + MAX_TRAILER_SIZE);
    mach_port_t port = make_port();
    struct stat before, after;
    int file = memfd_create("packet", MFD_ALLOW_SEALING);
    p.header.msgh_size = SIZE;
    NEED(m != NULL && file >= 0 && pwrite(file, &p, sizeof p, 0) == sizeof p);
    NEED(ftruncate(file, size) == 0);
    NEED(fallocate(file, FALLOC_FL_KEEP_SIZE, (size / PAGE + 1) * PAGE, size) == 0);
    NEED(fcntl(file, F_ADD_SEALS, ML_SEALS) == 0 && fstat(file, &before) == 0);
    p.wire.flags = ML_WIRE_MEMFD;
    put(sending_end(port), &p, sizeof p, &file, 1);
    IS_CODE(mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, SIZE + MAX_TRAILER_SIZE, port, NOW, 0),
            MACH_RCV_TIMED_OUT);
    NEED(fstat(file, &after) == 0);
    IS(after.st_blocks, before.st_blocks);
    free(m);
}

CASE(a_file_that_is_refused_is_not_read)
{
    enum { LARGE = 1 << 26, TIMES = 500, PIECE = 1 << 16 };
    static const uint8_t piece[PIECE];
    struct plain p = plain_packet(1);
    mach_msg_header_t *m = malloc(LARGE + MAX_TRAILER_SIZE);
    mach_port_t port = make_port();
    int fd = sending_end(port), file = memfd_create("packet", MFD_ALLOW_SEALING);
    NEED(m != NULL);
    p.header.msgh_size = LARGE;
    p.wire.reserved = 1; /* which it should not be */
    NEED(file >= 0 && pwrite(file, &p, sizeof p, 0) == sizeof p);
    for (off_t at = sizeof p; at < (off_t)sizeof p.wire + LARGE; at += PIECE)
        NEED(pwrite(file, piece, PIECE, at) == PIECE);
    NEED(ftruncate(file, (off_t)sizeof p.wire + LARGE) == 0);
    NEED(fcntl(file, F_ADD_SEALS, ML_SEALS) == 0);
    p.wire.flags = ML_WIRE_MEMFD;
    long before = most_memory();
    for (int i = 1; i <= TIMES; i++) {
        put(fd, &p, sizeof p, &file, 1);
        if (i % 50 == 0)
            IS_CODE(mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, LARGE + MAX_TRAILER_SIZE, port,
                             NOW, 0),
                    MACH_RCV_TIMED_OUT);
    }
    IS_TRUE(most_memory() - before < LARGE / 1024 / 4);
    free(m);
}

CASE(an_array_has_no_more_rights_than_mach_takes)
{
    enum { MOST = 16382 };
    struct {
        struct ml_wire wire;
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_ool_ports_descriptor_t array;
        uint8_t kinds[MOST + 6]; /* all NULL */
    } p;
    struct letter letter;
    mach_port_t port = make_port();
    int fd = sending_end(port);
    for (uint32_t count = MOST; count <= MOST + 1; count++) {
        const uint32_t extra = (uint32_t)ml_padded(count);
        memset(&p, 0, sizeof p);
        p.wire = (struct ml_wire){.magic = ML_WIRE_MAGIC, .extra = extra};
        p.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
        p.header.msgh_size = offsetof(__typeof__(p), kinds) - sizeof p.wire;
        p.body.msgh_descriptor_count = 1;
        p.array.count = count;
        p.array.disposition = MACH_MSG_TYPE_PORT_SEND;
        p.array.copy = MACH_MSG_VIRTUAL_COPY;
        p.array.type = MACH_MSG_OOL_PORTS_DESCRIPTOR;
        put(fd, &p, offsetof(__typeof__(p), kinds) + extra, NULL, 0);
        IS_CODE(letter_receive(&letter, port, 0, NOW),
                count == MOST ? MACH_MSG_SUCCESS : MACH_RCV_TIMED_OUT);
    }
}

CASE(a_message_has_no_more_descriptors_than_can_be_named_at_once)
{
    enum { MOST = 65536 };
    struct plain p = plain_packet(1);
    mach_msg_size_t size = sizeof(mach_msg_header_t) + sizeof(mach_msg_body_t) +
                           (MOST + 1) * sizeof(mach_msg_port_descriptor_t);
    uint32_t counts[] = {MOST, MOST + 1};
    mach_msg_header_t *m = calloc(1, size + MAX_TRAILER_SIZE);
    mach_port_t port = make_port();
    int to = sending_end(port);
    NEED(m != NULL);
    p.header.msgh_size = size;
    p.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    for (int i = 0; i < 2; i++) {
        const mach_msg_return_t most = i == 0 ? MACH_MSG_SUCCESS : MACH_SEND_TOO_LARGE;
        *m = (mach_msg_header_t){.msgh_bits = MAKE_SEND | MACH_MSGH_BITS_COMPLEX,
                                 .msgh_remote_port = port};
        memcpy(m + 1, &counts[i], sizeof counts[i]);
        IS_CODE(mach_msg(m, MACH_SEND_MSG, size, 0, 0, 0, 0), most);
        drain(port);
        /* The same by one who does not ask. */
        *m = p.header;
        int file = memfd_create("packet", MFD_ALLOW_SEALING);
        NEED(write(file, &p.wire, sizeof p.wire) == sizeof p.wire);
        NEED(write(file, m, size) == (ssize_t)size && fcntl(file, F_ADD_SEALS, ML_SEALS) == 0);
        struct plain head = p;
        head.wire.flags = ML_WIRE_MEMFD;
        put(to, &head, sizeof head, &file, 1);
        close(file);
        IS_CODE(
            mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, size + MAX_TRAILER_SIZE, port, NOW, 0),
            i == 0 ? MACH_MSG_SUCCESS : MACH_RCV_TIMED_OUT);
    }
    free(m);
}

/* --- closing elsewhere ----------------------------------------------------------------------- */

CASE(sockets_of_any_kind_with_what_closes_slowly_hold_nobody)
{
    enum { MANY = 20 };
    const int types[] = {SOCK_DGRAM, SOCK_STREAM};
    struct plain p = plain_packet(1);
    mach_port_t port = make_port();
    int to = sending_end(port), before = open_descriptors();
    for (int i = 0; i < MANY; i++) {
        int pair[2];
        NEED(socketpair(AF_UNIX, types[i % 2], 0, pair) == 0);
        put_lingering(pair[0]);
        close(pair[0]);
        put(to, &p, sizeof p, &pair[1], 1);
        close(pair[1]);
        IS(is_empty(port), 1);
    }
    while (open_descriptors() > before + MANY) /* the other ends of the connections stay */
        usleep(1000);
}

/* How long it takes to refuse as many sockets as a message has, in nanoseconds. */
static double time_to_refuse(mach_port_t port, int type)
{
    enum { MANY = ML_FDS_MAX / 2 * 2 };
    struct plain p = plain_packet(1);
    int to = sending_end(port), fds[MANY];
    struct timespec begin, end;
    for (int i = 0; i < MANY; i += 2)
        NEED(socketpair(AF_UNIX, type, 0, fds + i) == 0);
    put(to, &p, sizeof p, fds, MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    clock_gettime(CLOCK_MONOTONIC, &begin);
    IS(is_empty(port), 1);
    clock_gettime(CLOCK_MONOTONIC, &end);
    close(to);
    return (double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec);
}

CASE(a_stream_takes_no_longer_than_another_socket)
{
    mach_port_t port = make_port();
    double packets = 1e18, streams = 1e18;
    for (int i = 0; i < 5; i++) {
        double one = time_to_refuse(port, SOCK_SEQPACKET),
               other = time_to_refuse(port, SOCK_STREAM);
        packets = one < packets ? one : packets;
        streams = other < streams ? other : streams;
    }
    IS_TRUE(streams < 20 * packets);
}

CASE(what_is_refused_is_closed_where_no_thread_is_to_be_had)
{
    enum { MANY = 100 };
    struct plain p = plain_packet(1);
    struct rlimit limit = {.rlim_cur = 1, .rlim_max = 1};
    mach_port_t port = make_port();
    int to = sending_end(port), before = open_descriptors();
    uid_t nobody_else = 65400u + (uid_t)getpid() % 100u;
    if (geteuid() == 0)
        NEED(setresuid(nobody_else, nobody_else, nobody_else) == 0);
    NEED(setrlimit(RLIMIT_NPROC, &limit) == 0);
    for (int i = 0; i < MANY; i++) {
        int file = open("/dev/null", O_RDONLY);
        NEED(file >= 0);
        put(to, &p, sizeof p, &file, 1);
        close(file);
        IS(is_empty(port), 1);
    }
    IS(open_descriptors(), before);
}

/* --- floods ---------------------------------------------------------------------------------- */

/* Processes that send garbage with 200 descriptors each until they are killed. */
enum { FLOODERS = 2 };

static void flood(int fd, pid_t flooders[FLOODERS])
{
    for (int i = 0; i < FLOODERS; i++) {
        flooders[i] = fork();
        NEED(flooders[i] >= 0);
        if (flooders[i] != 0)
            continue;
        int ends[2], fds[200];
        struct iovec iov = {(void *)(uintptr_t)"garbage", 7};
        if (pipe(ends) != 0)
            _exit(1);
        for (int k = 0; k < 200; k++)
            fds[k] = ends[0];
        for (;;)
            (void)ml_packet_write(fd, &iov, 1, fds, 200);
    }
}

static void end_flood(const pid_t flooders[FLOODERS])
{
    for (int i = 0; i < FLOODERS; i++)
        NEED(kill(flooders[i], SIGKILL) == 0 && waitpid(flooders[i], NULL, 0) == flooders[i]);
}

static void deadlines_hold(mach_port_t name)
{
    const mach_msg_timeout_t timeouts[] = {0, 0, 1, 50, 200};
    struct letter letter;
    for (unsigned i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++)
        IS_CODE(letter_receive(&letter, name, 0, timeouts[i]), MACH_RCV_TIMED_OUT);
}

CASE(deadlines_hold_at_a_port_while_it_is_flooded)
{
    pid_t flooders[FLOODERS];
    mach_port_t port = make_port();
    flood(sending_end(port), flooders);
    deadlines_hold(port);
    end_flood(flooders);
    IS(is_empty(port), 1);
    IS_OK(post(port, MAKE_SEND, 1));
    IS(take_id(port), 1);
}

CASE(deadlines_hold_at_a_set_while_a_member_is_flooded)
{
    pid_t flooders[FLOODERS];
    mach_port_t port = make_port(), set = make_set();
    NEED_OK(mach_port_insert_member(TASK, port, set));
    flood(sending_end(port), flooders);
    deadlines_hold(set);
    end_flood(flooders);
    IS(is_empty(set), 1);
    IS_OK(post(port, MAKE_SEND, 1));
    IS(take_id(set), 1);
}

CASE(deadlines_hold_at_a_set_while_a_member_with_send_once_rights_is_flooded)
{
    pid_t flooders[FLOODERS];
    mach_port_t port = make_port(), set = make_set(), once = make_send_once(port);
    NEED_OK(mach_port_insert_member(TASK, port, set));
    flood(sending_end(port), flooders);
    deadlines_hold(set);
    IS_OK(post(once, MOVE_SEND_ONCE, 7));
    IS(take_id(set), 7); /* it waits in a place of its own */
    end_flood(flooders);
}

CASE(the_other_members_of_a_set_are_served_while_one_is_flooded)
{
    pid_t flooders[FLOODERS];
    mach_port_t port = make_port(), other = make_port(), set = make_set();
    struct letter letter;
    NEED_OK(mach_port_insert_member(TASK, port, set));
    NEED_OK(mach_port_insert_member(TASK, other, set));
    flood(sending_end(port), flooders);
    for (int i = 0; i < 20; i++) {
        NEED_OK(post(other, MAKE_SEND, i));
        NEED_OK(letter_receive(&letter, set, 0, i % 2 == 0 ? NOW : PROMPT));
        IS(letter.header.msgh_id, i);
        IS(letter.header.msgh_local_port, other);
    }
    end_flood(flooders);
}
