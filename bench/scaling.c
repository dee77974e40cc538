/*
 * What a message costs among many ports: Apple's API on mach_linux, in one process.
 *
 * - `scaling set PORTS`: one set with so many members. Three figures, in ns: making a port and
 *   joining the set; a receive from the set when one member has a message; one when all have.
 * - `scaling raw SOCKETS`: one figure, the same receive of one that is ready, of so many socket
 *   pairs in an epoll descriptor: what the kernel and the processor's caches make of their number.
 * - `scaling queue PORTS MESSAGES`: so many messages over so many ports, all queued, then all
 *   received from their set. Two figures: a send, a receive.
 * - `scaling room`: how many ports the limit of descriptors lets there be in a set.
 *
 * A figure is the median over batches, so that what disturbs one does not show.
 */
#include <mach/mach.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define BATCH 64u
#define BATCHES 201u
#define PER_PORT 2u /* descriptors */
#define SPARE 200u
#define LARGEST 10000u

static void check(kern_return_t kr, const char *what)
{
    if (kr == KERN_SUCCESS)
        return;
    fprintf(stderr, "%s: %s\n", what, mach_error_string(kr));
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* As many descriptors as the largest set needs, for whoever may have them; else as many as the hard
 * limit lets anybody have. */
static unsigned raise_limit(void)
{
    struct rlimit limit, enough;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    enough.rlim_cur = enough.rlim_max = PER_PORT * LARGEST + SPARE;
    if (limit.rlim_max < enough.rlim_max && setrlimit(RLIMIT_NOFILE, &enough) == 0)
        return PER_PORT * LARGEST + SPARE;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_max > 1u << 20 ? 1u << 20 : (unsigned)limit.rlim_max;
}

static int ascending(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static double median(double *figures, unsigned n)
{
    qsort(figures, n, sizeof *figures, ascending);
    return figures[n / 2];
}

static void post(mach_port_t port)
{
    mach_msg_header_t m = {.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0),
                           .msgh_remote_port = port};
    check(mach_msg(&m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof m, 0, 0, 0, 0), "send");
}

static void take(mach_port_t from)
{
    struct {
        mach_msg_header_t header;
        mach_msg_trailer_t trailer;
    } m;
    check(mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, from, 0, 0), "receive");
}

static mach_port_t *make_ports(unsigned n, mach_port_t set, double *each)
{
    mach_port_t *ports = calloc(n, sizeof *ports);
    if (ports == NULL)
        exit(1);
    double begin = now_ns();
    for (unsigned i = 0; i < n; i++) {
        check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &ports[i]), "allocate");
        check(mach_port_insert_member(mach_task_self(), ports[i], set), "insert");
    }
    *each = (now_ns() - begin) / n;
    return ports;
}

/* Where a message goes, by its number, and where it is received from. */
struct place {
    const mach_port_t *ports;
    mach_port_t set;
    int (*pairs)[2];
    int epoll;
};

static void post_there(const struct place *place, unsigned i)
{
    post(place->ports[i]);
}

static void take_there(const struct place *place)
{
    take(place->set);
}

static void write_there(const struct place *place, unsigned i)
{
    mach_msg_header_t m = {0};
    if (send(place->pairs[i][1], &m, sizeof m, 0) != sizeof m)
        exit(1);
}

static void read_there(const struct place *place)
{
    mach_msg_header_t m;
    struct epoll_event event;
    if (epoll_wait(place->epoll, &event, 1, 0) != 1 ||
        recv(event.data.fd, &m, sizeof m, MSG_DONTWAIT) != sizeof m)
        exit(1);
}

/* Receives when one member is ready, each time another. */
static double one_ready(const struct place *place, unsigned n,
                        void (*put)(const struct place *, unsigned),
                        void (*get)(const struct place *))
{
    static double figures[BATCHES];
    uint32_t random = 12345;
    for (unsigned b = 0; b < BATCHES; b++) {
        double spent = 0;
        for (unsigned i = 0; i < BATCH; i++) {
            random = random * 1664525u + 1013904223u;
            put(place, (random >> 8) % n);
            double begin = now_ns();
            get(place);
            spent += now_ns() - begin;
        }
        figures[b] = spent / BATCH;
    }
    return median(figures, BATCHES);
}

static double receive_all_ready(const mach_port_t *ports, unsigned n, mach_port_t set)
{
    static double figures[BATCHES];
    unsigned rounds = n >= 1000 ? 5 : 25;
    for (unsigned r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < n; i++)
            post(ports[i]);
        double begin = now_ns();
        for (unsigned i = 0; i < n; i++)
            take(set);
        figures[r] = (now_ns() - begin) / n;
    }
    return median(figures, rounds);
}

static void measure_set(unsigned n)
{
    mach_port_t set;
    double join;
    check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set), "set");
    mach_port_t *ports = make_ports(n, set, &join);
    const struct place place = {.ports = ports, .set = set};
    double one = one_ready(&place, n, post_there, take_there);
    printf("%.1f %.1f %.1f\n", join, one, receive_all_ready(ports, n, set));
    free(ports);
}

static void measure_raw(unsigned n)
{
    struct place place = {.pairs = calloc(n, sizeof *place.pairs), .epoll = epoll_create1(0)};
    for (unsigned i = 0; i < n; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        if (place.pairs == NULL || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, place.pairs[i]) != 0)
            exit(1);
        event.data.fd = place.pairs[i][0];
        if (epoll_ctl(place.epoll, EPOLL_CTL_ADD, event.data.fd, &event) != 0)
            exit(1);
    }
    printf("%.1f\n", one_ready(&place, n, write_there, read_there));
    free(place.pairs);
}

static void measure_queue(unsigned n, unsigned messages)
{
    mach_port_t set;
    double join;
    check(mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_PORT_SET, &set), "set");
    mach_port_t *ports = make_ports(n, set, &join);
    double begin = now_ns();
    for (unsigned i = 0; i < messages; i++)
        post(ports[i % n]);
    double sent = now_ns();
    for (unsigned i = 0; i < messages; i++)
        take(set);
    printf("%.1f %.1f\n", (sent - begin) / messages, (now_ns() - sent) / messages);
    free(ports);
}

int main(int argc, char **argv)
{
    unsigned limit = raise_limit();
    if (argc == 2 && strcmp(argv[1], "room") == 0) {
        printf("%u\n", limit > SPARE ? (limit - SPARE) / PER_PORT : 0);
    } else if (argc == 3 && strcmp(argv[1], "set") == 0) {
        measure_set((unsigned)atoi(argv[2]));
    } else if (argc == 3 && strcmp(argv[1], "raw") == 0) {
        measure_raw((unsigned)atoi(argv[2]));
    } else if (argc == 4 && strcmp(argv[1], "queue") == 0) {
        measure_queue((unsigned)atoi(argv[2]), (unsigned)atoi(argv[3]));
    } else {
        fprintf(stderr, "usage: scaling set PORTS | raw SOCKETS | queue PORTS MESSAGES | room\n");
        return 2;
    }
    return 0;
}
