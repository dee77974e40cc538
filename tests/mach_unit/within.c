/* What the library calls when, which only somebody in a bad moment would notice: the linker puts
 * functions of this file in place of those that the library calls. */
#include "../mach/ports.h"

#include "fds.h"
#include "packets.h"
#include "space.h"
#include "vm.h"
#include "watcher.h"

#include <errno.h>
#include <fcntl.h>
#include <mach_linux.h>
#include <servers/bootstrap.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char *unique_name(void)
{
    static name_t name;
    snprintf(name, sizeof name, "org.child-port.within.%d", (int)getpid());
    return name;
}

/* --- memory ---------------------------------------------------------------------------------- */

static unsigned placed, placed_with_names_free;

void *__real_ml_vm_allocate(size_t size);
void *__wrap_ml_vm_allocate(size_t size);

void *__wrap_ml_vm_allocate(size_t size)
{
    placed++;
    if (ml_try_lock()) {
        placed_with_names_free++;
        ml_unlock();
    }
    return __real_ml_vm_allocate(size);
}

CASE(memory_that_arrives_is_placed_while_others_may_use_names)
{
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_ool_descriptor_t memory;
        mach_msg_max_trailer_t trailer;
    } m = {.header = {.msgh_bits = MAKE_SEND | MACH_MSGH_BITS_COMPLEX},
           .body = {.msgh_descriptor_count = 1},
           .memory = {.address = (void *)(uintptr_t)"content",
                      .size = 8,
                      .copy = MACH_MSG_VIRTUAL_COPY,
                      .type = MACH_MSG_OOL_DESCRIPTOR}};
    mach_port_t port = m.header.msgh_remote_port = make_port();
    NEED_OK(mach_msg(&m.header, MACH_SEND_MSG, sizeof m - sizeof m.trailer, 0, 0, 0, 0));
    placed = placed_with_names_free = 0;
    NEED_OK(mach_msg(&m.header, MACH_RCV_MSG, 0, sizeof m, port, 0, 0));
    IS(strcmp(m.memory.address, "content"), 0);
    IS(placed, 1);
    IS(placed_with_names_free, 1);
}

/* --- what a peer's descriptor is ------------------------------------------------------------- */

static atomic_uint file_systems_asked;

int __real_fstatfs(int fd, struct statfs *to);
int __wrap_fstatfs(int fd, struct statfs *to);
int __real_fstat(int fd, struct stat *to);
int __wrap_fstat(int fd, struct stat *to);

int __wrap_fstatfs(int fd, struct statfs *to)
{
    file_systems_asked++;
    return __real_fstatfs(fd, to);
}

int __wrap_fstat(int fd, struct stat *to)
{
    file_systems_asked++;
    return __real_fstat(fd, to);
}

CASE(a_file_in_a_tasks_place_is_refused_and_its_file_system_is_not_asked)
{
    struct with_right p = right_packet(ML_CARRY_TASK, MACH_MSG_TYPE_PORT_SEND);
    struct letter letter;
    mach_port_t port = make_port();
    FILE *file = tmpfile();
    NEED(file != NULL);
    const int fd = fileno(file);
    NEED_OK(post_right(port, TASK, COPY_SEND)); /* the task's own port is known from now on */
    (void)take_right(port, MACH_MSG_TYPE_PORT_SEND);
    put(sending_end(port), &p, sizeof p, &fd, 1);
    file_systems_asked = 0;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    IS(file_systems_asked, 0);
}

/* --- time ------------------------------------------------------------------------------------ */

static long ms_a_look; /* so much later it is with each look at the clock */

int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    static long later;
    int result = __real_clock_gettime(clock, now);
    later += ms_a_look;
    now->tv_sec += later / 1000;
    return result;
}

CASE(after_the_deadline_a_receive_is_patient_for_a_while_not_for_a_number_of_packets)
{
    struct plain good = plain_packet(7), broken = good;
    struct letter letter;
    mach_port_t port = make_port();
    int to = sending_end(port);
    broken.wire.reserved = 1;
    for (int i = 0; i < 50; i++)
        put(to, &broken, sizeof broken, NULL, 0);
    put(to, &good, sizeof good, NULL, 0);
    ms_a_look = 1000;
    IS_CODE(letter_receive(&letter, port, 0, NOW), MACH_RCV_TIMED_OUT);
    ms_a_look = 0;
    IS(take_id(port), 7);
}

/* --- deaths ---------------------------------------------------------------------------------- */

static int watched_fd = -1;
static unsigned watches_removed, removed_while_open;

void __real_ml_watch_remove(uint64_t watch);
void __wrap_ml_watch_remove(uint64_t watch);

void __wrap_ml_watch_remove(uint64_t watch)
{
    if (watch != 0 && watched_fd >= 0) {
        watches_removed++;
        removed_while_open += fcntl(watched_fd, F_GETFD) >= 0;
    }
    __real_ml_watch_remove(watch);
}

/* Who else has the descriptor keeps a watch going that was not removed before it is closed. */
CASE(the_watch_of_a_name_that_dies_ends_before_its_descriptor_is_closed)
{
    struct with_right p = right_packet(ML_CARRY_SEND, MACH_MSG_TYPE_PORT_SEND);
    mach_port_t port = make_port(), notify = make_port();
    int channel[2], pipes[2];
    uint64_t cookie;
    ML_GARBAGE(g);
    NEED(ml_channel_create(channel, &cookie) == 0 && pipe(pipes) == 0);
    put(sending_end(port), &p, sizeof p, (int[]){channel[0], pipes[0]}, 2);
    mach_port_t name = take_right(port, MACH_MSG_TYPE_PORT_SEND);
    (void)request(name, MACH_NOTIFY_DEAD_NAME, 0, notify);
    ml_lock(); /* the watcher is not to come first */
    close(channel[1]);
    close(pipes[1]);
    for (int i = 0; i < ML_GARBAGE_MAX - 1; i++) /* after one more the list is full */
        ml_garbage_add(&g, dup(0));
    watched_fd = ml_entry_lookup(name)->port->tx;
    (void)ml_entry_look(name, &g);
    ml_unlock();
    watched_fd = -1;
    ml_garbage_flush(&g);
    IS(take_notification(notify, MACH_NOTIFY_DEAD_NAME), name);
    IS(watches_removed, 1);
    IS(removed_while_open, 1);
}

/* --- services -------------------------------------------------------------------------------- */

static unsigned names_given_up, given_up_while_listening;

int __real_unlink(const char *path);
int __wrap_unlink(const char *path);

static int somebody_listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rlimit few, more;
    NEED(getrlimit(RLIMIT_NOFILE, &few) == 0);
    more = few;
    more.rlim_cur = more.rlim_max;
    NEED(setrlimit(RLIMIT_NOFILE, &more) == 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    int listens = connect(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    NEED(setrlimit(RLIMIT_NOFILE, &few) == 0);
    return listens;
}

int __wrap_unlink(const char *path)
{
    names_given_up++;
    given_up_while_listening += (unsigned)somebody_listens(path);
    return __real_unlink(path);
}

CASE(a_check_in_that_fails_gives_the_name_up_before_it_stops_listening)
{
    struct rlimit limit;
    mach_port_t port = MACH_PORT_NULL;
    NEED_OK(bootstrap_check_in(bootstrap_port, unique_name(), &port)); /* makes the directory */
    NEED_OK(mach_port_destroy(TASK, port));
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    int next = dup(0);
    close(next);
    names_given_up = given_up_while_listening = 0;
    limit.rlim_cur = (rlim_t)next + 2; /* the directory and the listener, but no port */
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    IS_CODE(bootstrap_check_in(bootstrap_port, unique_name(), &port), BOOTSTRAP_NO_MEMORY);
    IS(names_given_up, 1);
    IS(given_up_while_listening, 1);
}

static bool locked_by_another;

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
    if (!locked_by_another)
        return __real_flock(fd, operation);
    errno = EWOULDBLOCK;
    return -1;
}

CASE(a_check_in_does_not_wait_for_ever_for_who_has_the_directory)
{
    mach_port_t port = MACH_PORT_NULL;
    locked_by_another = true;
    ms_a_look = 1000;
    IS_CODE(bootstrap_check_in(bootstrap_port, unique_name(), &port), BOOTSTRAP_NO_MEMORY);
    IS_TRUE(mach_linux_reason() != NULL && strstr(mach_linux_reason(), "flock") != NULL);
}
