/* The helpers of packets.h. */
#include "packets.h"

#include "space.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int sending_end(mach_port_t port)
{
    ml_lock();
    struct ml_entry *e = ml_entry_lookup(port);
    int fd = e != NULL ? dup(e->port->tx) : -1;
    ml_unlock();
    NEED(fd >= 0);
    return fd;
}

struct plain plain_packet(mach_msg_id_t id)
{
    return (struct plain){.wire = {.magic = ML_WIRE_MAGIC},
                          .header = {.msgh_size = sizeof(mach_msg_header_t), .msgh_id = id}};
}

struct with_right right_packet(enum ml_carry carry, mach_msg_type_name_t disposition)
{
    struct with_right p;
    memset(&p, 0, sizeof p);
    p.wire.magic = ML_WIRE_MAGIC;
    p.wire.n_fds = (uint16_t)ml_carry_fds(carry);
    p.header.msgh_bits = MACH_MSGH_BITS_COMPLEX;
    p.header.msgh_size = sizeof p - sizeof p.wire;
    p.body.msgh_descriptor_count = 1;
    p.port.name = carry;
    p.port.disposition = disposition & 0xff;
    p.port.type = MACH_MSG_PORT_DESCRIPTOR;
    return p;
}

void put(int fd, const void *bytes, size_t size, const int *fds, unsigned n)
{
    struct iovec iov = {(void *)(uintptr_t)bytes, size};
    NEED(ml_packet_write(fd, &iov, 1, fds, n) == 0);
}

int lingering(void)
{
    static const char bytes[65536];
    const struct linger linger = {.l_onoff = 1, .l_linger = 600};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);
    NEED(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    NEED(connect(fd, (struct sockaddr *)&address, len) == 0 && accept(listener, NULL, NULL) >= 0);
    NEED(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0)
        continue;
    close(listener);
    return fd;
}

void put_lingering(int fd)
{
    int one = lingering();
    put(fd, "x", 1, &one, 1);
    close(one);
}

void fill_flight(mach_port_t port, mach_port_t right)
{
    const uid_t somebody_else = 20000u + (uid_t)getpid() % 40000u;
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 64;
    if (geteuid() == 0)
        NEED(setresuid(somebody_else, somebody_else, somebody_else) == 0);
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    while (post_right(port, right, MAKE_SEND) == MACH_MSG_SUCCESS)
        continue;
}

int open_descriptors(void)
{
    int n = 0;
    DIR *list = opendir("/proc/self/fd");
    NEED(list != NULL);
    while (readdir(list) != NULL)
        n++;
    closedir(list);
    return n;
}
