/* What must not be left over, or be done for ever: pipes of senders that are gone, mappings of
 * messages that were not delivered, names of services whose process was killed, special ports that
 * were not set; and threads that are told again and again of what they cannot do anything about. */
#include "../mach/peers.h"

#include "packets.h"
#include "receiver.h"

#include <dirent.h>
#include <mach_linux.h>
#include <servers/bootstrap.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct rlimit descriptor_limit(void)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit;
}

/* From now on there are n descriptors left. */
static void leave_descriptors(int n)
{
    struct rlimit limit = descriptor_limit();
    int lowest = dup(0);
    NEED(lowest >= 0);
    close(lowest);
    limit.rlim_cur = (rlim_t)(lowest + n);
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* --- pipes of senders ------------------------------------------------------------------------ */

static void mint_and_drop(mach_port_t port, mach_port_t carrier)
{
    NEED_OK(post_right(carrier, port, MAKE_SEND));
    NEED_OK(mach_port_deallocate(TASK, take_right(carrier, MACH_MSG_TYPE_PORT_SEND)));
}

CASE(asking_for_the_status_of_a_port_leaves_no_descriptors)
{
    mach_port_t port = make_port(), carrier = make_port();
    mint_and_drop(port, carrier);
    int before = open_descriptors();
    for (int i = 0; i < 600; i++) {
        IS(status_of(port).mps_srights, 0);
        mint_and_drop(port, carrier);
    }
    IS(is_empty(carrier), 1);
    IS(open_descriptors(), before);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
}

CASE(a_status_does_not_swallow_the_news_that_there_are_no_senders)
{
    mach_port_t port = make_port(), carrier = make_port(), notify = make_port();
    for (int i = 0; i < 200; i++) {
        NEED_OK(post_right(carrier, port, MAKE_SEND));
        mach_port_t there = make_port();
        NEED_OK(post_right(there, carrier, MOVE_RECEIVE)); /* with the only right, in its queue */
        request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
        NEED_OK(mach_port_destroy(TASK, there));
        (void)status_of(port);
        (void)take_notification(notify, MACH_NOTIFY_NO_SENDERS);
        carrier = make_port();
    }
}

CASE(a_port_with_hundreds_of_pipes_moves)
{
    enum { CARRIERS = 4, EACH = 150 };
    mach_port_t port = make_port_with_sends(1), way = make_port(), notify = make_port();
    mach_port_t carriers[CARRIERS];
    struct rlimit limit = descriptor_limit();
    limit.rlim_cur = limit.rlim_max;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify); /* each right that leaves has its own */
    for (int i = 0; i < CARRIERS; i++) {
        carriers[i] = make_port();
        for (int k = 0; k < EACH; k++)
            NEED_OK(post_right(carriers[i], port, MAKE_SEND));
    }
    NEED_OK(post_right(way, port, MOVE_RECEIVE));
    IS(take_right(way, MACH_MSG_TYPE_PORT_RECEIVE), port);
    IS_OK(mach_port_deallocate(TASK, port));
    for (int i = 0; i < CARRIERS; i++) {
        IS(is_empty(notify), 1);
        NEED_OK(mach_port_destroy(TASK, carriers[i]));
    }
    (void)take_notification(notify, MACH_NOTIFY_NO_SENDERS);
}

/* What another task says that a receive right had is taken, up to a point. */
CASE(a_moved_right_does_not_bring_descriptors_without_number)
{
    enum { PER_PIECE = 250, PIECES = 30, MOST = 4096 };
    const struct piece generations = PIECE(PIECE_GENERATION);
    struct with_right p = right_packet(ML_CARRY_RECEIVE_STATE, MACH_MSG_TYPE_PORT_RECEIVE);
    struct rlimit limit = descriptor_limit();
    mach_port_t to = make_port();
    int channel[2], state[2], ends[2], fds[PER_PIECE];
    uint64_t cookie;
    limit.rlim_cur = limit.rlim_max;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    NEED(ml_channel_create(channel, &cookie) == 0 && pipe(ends) == 0);
    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, state) == 0);
    for (int i = 0; i < PER_PIECE; i++)
        fds[i] = ends[1];
    for (int i = 0; i < PIECES; i++)
        put(state[0], &generations, sizeof generations, fds, PER_PIECE);
    const int right[] = {channel[1], channel[0], state[1]};
    put(sending_end(to), &p, sizeof p, right, 3);
    close(state[0]);
    close(state[1]);
    int before = open_descriptors();
    mach_port_t port = take_right(to, MACH_MSG_TYPE_PORT_RECEIVE);
    IS_TRUE(open_descriptors() <= before + MOST + 8);
    IS_OK(mach_port_destroy(TASK, port));
    IS_TRUE(open_descriptors() <= before);
}

/* --- mappings -------------------------------------------------------------------------------- */

/* The size of this process, in pages. */
static long pages_mapped(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    NEED(file != NULL && fscanf(file, "%ld", &pages) == 1);
    fclose(file);
    return pages;
}

CASE(a_message_without_room_for_all_of_its_memory_leaves_none)
{
    enum { SMALL = 1 << 22, LARGE = 1 << 28 };
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_ool_descriptor_t memory[2];
        mach_msg_max_trailer_t trailer;
    } m;
    struct rlimit before, little;
    mach_port_t port = make_port();
    vm_address_t address = 0;
    NEED_OK(vm_allocate(TASK, &address, LARGE, VM_FLAGS_ANYWHERE));
    long page = sysconf(_SC_PAGESIZE), first = 0;
    NEED(getrlimit(RLIMIT_AS, &before) == 0);
    for (int i = 0; i < 5; i++) {
        memset(&m, 0, sizeof m);
        m.header.msgh_bits = MACH_MSGH_BITS_COMPLEX | MAKE_SEND;
        m.header.msgh_remote_port = port;
        m.body.msgh_descriptor_count = 2;
        for (int k = 0; k < 2; k++)
            m.memory[k] = (mach_msg_ool_descriptor_t){.address = (void *)address,
                                                      .size = k == 0 ? SMALL : LARGE,
                                                      .copy = MACH_MSG_PHYSICAL_COPY,
                                                      .type = MACH_MSG_OOL_DESCRIPTOR};
        NEED_OK(mach_msg(&m.header, MACH_SEND_MSG, sizeof m - sizeof m.trailer, 0, 0, 0, 0));
        little = before;
        /* Room for the message, and for its smaller part beside it. */
        little.rlim_cur = (rlim_t)(pages_mapped() * page) + SMALL + LARGE + LARGE / 2;
        NEED(setrlimit(RLIMIT_AS, &little) == 0);
        IS_CODE(mach_msg(&m.header, MACH_RCV_MSG, 0, sizeof m, port, 0, 0) & ~MACH_MSG_MASK,
                MACH_RCV_BODY_ERROR);
        NEED(setrlimit(RLIMIT_AS, &before) == 0);
        first = i == 0 ? pages_mapped() : first;
    }
    IS_TRUE(pages_mapped() - first < SMALL / page);
}

/* --- special ports --------------------------------------------------------------------------- */

CASE(a_special_port_that_could_not_be_set_is_the_old_one)
{
    mach_port_t old = make_port_with_sends(1), fresh = make_port_with_sends(1), got;
    mach_port_t ports[3] = {fresh, MACH_PORT_NULL, MACH_PORT_NULL};
    struct rlimit limit = descriptor_limit();
    mach_port_array_t found = NULL;
    mach_msg_type_number_t count = 0;
    mint_and_drop(fresh, make_port()); /* what is made once is made */
    NEED_OK(task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, old));
    ports[0] = old;
    NEED_OK(mach_ports_register(TASK, ports, 3));
    ports[0] = fresh;
    int before = open_descriptors();
    for (int left = 0;; left++) {
        leave_descriptors(left);
        kern_return_t set = task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, fresh);
        NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        NEED_OK(task_get_special_port(TASK, TASK_BOOTSTRAP_PORT, &got));
        IS(got, set == KERN_SUCCESS ? fresh : old);
        IS(open_descriptors(), before);
        if (set == KERN_SUCCESS)
            break;
        IS_CODE(set, KERN_RESOURCE_SHORTAGE);
        leave_descriptors(left);
        IS_CODE(mach_ports_register(TASK, ports, 3), KERN_RESOURCE_SHORTAGE);
        NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        NEED_OK(mach_ports_lookup(TASK, &found, &count));
        IS(found[0], old);
    }
}

/* --- names of services ----------------------------------------------------------------------- */

static const name_t IN_USE = "in.use", PASSING = "passing", SHORT = "short", BUSY = "busy";
static char directory[] = "/tmp/mach-leftovers-XXXXXX";

static void use_a_directory_of_ones_own(void)
{
    NEED(mkdtemp(directory) != NULL && setenv("XDG_RUNTIME_DIR", directory, 1) == 0);
}

static int names_left(void)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "%s/mach-bootstrap", directory);
    DIR *list = opendir(path);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;)
        n += entry->d_name[0] != '.';
    if (list != NULL)
        closedir(list);
    return n;
}

static void remove_directory(void)
{
    char path[64];
    snprintf(path, sizeof path, "%s/mach-bootstrap", directory);
    (void)rmdir(path);
    (void)rmdir(directory);
}

/* A process that checks in n services and ends, one way or the other. */
static void serve_and_end(int first, int n, int killed)
{
    int status;
    pid_t pid = fork();
    NEED(pid >= 0);
    if (pid == 0) {
        for (int i = first; i < first + n; i++) {
            mach_port_t port;
            name_t name;
            snprintf(name, sizeof name, "leftover.%d", i);
            NEED_OK(bootstrap_check_in(bootstrap_port, name, &port));
        }
        if (killed)
            (void)kill(getpid(), SIGKILL);
        exit(0);
    }
    NEED(waitpid(pid, &status, 0) == pid);
    IS_TRUE(killed ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

CASE(a_process_that_ends_takes_its_names_along)
{
    use_a_directory_of_ones_own();
    serve_and_end(0, 5, 0);
    IS(names_left(), 0);
    remove_directory();
}

CASE(names_that_killed_processes_left_are_swept_and_those_in_use_are_not)
{
    mach_port_t kept, port;
    use_a_directory_of_ones_own();
    NEED_OK(bootstrap_check_in(bootstrap_port, IN_USE, &kept));
    unsigned made = status_of(kept).mps_mscount;
    serve_and_end(0, 40, 1);
    NEED(names_left() >= 2);
    for (int i = 0; i < 2000 && names_left() > 1; i++) {
        NEED_OK(bootstrap_check_in(bootstrap_port, PASSING, &port));
        NEED_OK(mach_port_destroy(TASK, port));
    }
    IS(names_left(), 1);
    IS(status_of(kept).mps_mscount, made); /* nobody asked it */
    IS_OK(bootstrap_look_up(bootstrap_port, IN_USE, &port));
    IS_OK(mach_port_destroy(TASK, kept));
    IS(names_left(), 0);
    remove_directory();
}

CASE(a_check_in_that_fails_leaves_no_name)
{
    mach_port_t port;
    struct rlimit limit = descriptor_limit();
    use_a_directory_of_ones_own();
    NEED_OK(mach_port_deallocate(TASK, make_port_with_sends(2)));
    for (int left = 0; left < 6; left++) {
        leave_descriptors(left);
        (void)bootstrap_check_in(bootstrap_port, SHORT, &port);
        NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        if (port != MACH_PORT_NULL)
            NEED_OK(mach_port_destroy(TASK, port));
        IS(names_left(), 0);
    }
    remove_directory();
}

/* --- what is told again and again ------------------------------------------------------------ */

static double seconds(clockid_t clock)
{
    struct timespec t;
    NEED(clock_gettime(clock, &t) == 0);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Sleeps for a while, in which this process has next to nothing to do: not half of the time, where
 * the same would keep a processor busy. */
static void nothing_is_done(void)
{
    double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);
    for (int i = 0; i < 5; i++)
        a_moment();
    IS_TRUE(seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu < (seconds(CLOCK_MONOTONIC) - wall) / 4);
}

static int threads_of_this_process(void)
{
    int n = 0;
    DIR *list = opendir("/proc/self/task");
    NEED(list != NULL);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;)
        n += entry->d_name[0] != '.';
    closedir(list);
    return n;
}

CASE(a_watcher_whose_descriptor_is_0_is_one)
{
    mach_port_t notify = make_port(), parked[2] = {0}, ports[2], once[2];
    mach_port_t previous;
    int threads[2];
    for (int i = 0; i < 2; i++) {
        ports[i] = make_send_only(1, &parked[i]);
        once[i] = make_send_once(notify);
    }
    close(0);
    for (int i = 0; i < 2; i++) {
        NEED_OK(mach_port_request_notification(TASK, ports[i], MACH_NOTIFY_DEAD_NAME, 0, once[i],
                                               MOVE_SEND_ONCE, &previous));
        threads[i] = threads_of_this_process();
    }
    IS(threads[1], threads[0]);
    IS_OK(mach_port_deallocate(TASK, ports[0]));
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), ports[0]);
    destroy_receive(parked[0]);
    nothing_is_done();
    destroy_receive(parked[1]);
    IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), ports[1]);
}

CASE(a_name_whose_right_is_being_sent_when_its_port_dies)
{
    mach_port_t full = make_full_port(1), notify = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_send_only(1, &parked);
    struct waiter waiter;
    struct letter letter;
    request(port, MACH_NOTIFY_DEAD_NAME, 0, notify);
    letter_to(&waiter.letter, full, COPY_SEND, 1);
    letter_right(&waiter.letter, port, MOVE_SEND);
    waiter_forever = 1;
    waiter_send_letter(&waiter);
    /* It looks for room now and then: so seldom that it hardly counts. */
    destroy_receive(parked);
    nothing_is_done();
    take_after_fillers(&letter, full);
    IS_OK(waiter_result(&waiter));
    IS(letter.ports[0].name, MACH_PORT_DEAD);
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), port);
}

static void ask_for_a_service(mach_port_t home)
{
    mach_port_t found, own = peer_introduce(home);
    IS(take_id(own), 2);
    IS_OK(bootstrap_look_up(bootstrap_port, BUSY, &found));
}

CASE(a_look_up_that_cannot_be_answered_for_want_of_descriptors_waits)
{
    mach_port_t home = make_port(), service;
    struct rlimit limit = descriptor_limit();
    use_a_directory_of_ones_own();
    NEED_OK(bootstrap_check_in(bootstrap_port, BUSY, &service));
    pid_t peer = peer_start(home, ask_for_a_service);
    mach_port_t there = peer_meet(home);
    leave_descriptors(0);
    IS_OK(post(there, COPY_SEND, 2));
    nothing_is_done();
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    peer_join(peer);
    IS_OK(mach_port_destroy(TASK, service));
    remove_directory();
}

CASE(descriptors_in_flight_at_their_limit_are_waited_for_asleep)
{
    mach_port_t to = make_port_with_sends(1), right = make_port();
    struct waiter waiter;
    fill_flight(to, right);
    letter_to(&waiter.letter, to, COPY_SEND, 5);
    letter_right(&waiter.letter, right, MAKE_SEND);
    waiter_send_letter(&waiter);
    nothing_is_done();
    struct letter letter;
    do {
        take(&letter, to);
        mach_msg_destroy(&letter.header);
    } while (letter.header.msgh_id != 5);
    IS_OK(waiter_result(&waiter));
}
