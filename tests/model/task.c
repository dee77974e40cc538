/*
 * A task that the model test drives: it reads one-line commands on a socket and answers one line
 * each. `task A B` makes a port, leaves a send right to it as the bootstrap special port and forks:
 * the parent serves descriptor A, the child, which inherits that right, serves B. Each process owns
 * the rights that its commands make and ends when its socket does.
 */
#include <mach/mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t port;
    mach_msg_max_trailer_t trailer;
} message_t;

static int send_one(const unsigned *a)
{
    message_t m;
    memset(&m, 0, sizeof m);
    mach_msg_size_t size = sizeof m.header;
    m.header.msgh_bits = MACH_MSGH_BITS(a[1], 0);
    m.header.msgh_remote_port = a[0];
    m.header.msgh_id = (mach_msg_id_t)a[2];
    if (a[4] != 0) {
        size = (mach_msg_size_t)(sizeof m - sizeof m.trailer);
        m.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
        m.body.msgh_descriptor_count = 1;
        m.port.name = a[3];
        m.port.disposition = a[4] & 0xff;
        m.port.type = MACH_MSG_PORT_DESCRIPTOR;
    }
    m.header.msgh_size = size;
    return mach_msg(&m.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0);
}

static void receive_one(FILE *out, mach_port_name_t name)
{
    message_t m;
    memset(&m, 0, sizeof m);
    int kr = mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, name, 0, 0);
    int complex = kr == 0 && (m.header.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0;
    fprintf(out, "%d %d %u %u\n", kr, m.header.msgh_id, complex ? m.port.name : 0,
            complex ? m.port.disposition : 0u);
}

/* The next notification: its id and the number behind the NDR record. Waits for a[1] ms: the system
 * may be a little late to tell. */
static void notified(FILE *out, const unsigned *a)
{
    struct {
        mach_msg_header_t header;
        NDR_record_t ndr;
        unsigned number;
        mach_msg_max_trailer_t trailer;
    } m;
    memset(&m, 0, sizeof m);
    int kr = mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, a[0], a[1], 0);
    int numbered = m.header.msgh_size >= sizeof m.header + sizeof m.ndr + sizeof m.number;
    fprintf(out, "%d %d %u\n", kr, m.header.msgh_id, numbered ? m.number : 0);
}

/* Asks for a notification at a[3]; a request that it replaces is dropped, which tells at the port
 * of that. */
static int request(const unsigned *a)
{
    mach_port_t previous = 0;
    int kr = mach_port_request_notification(mach_task_self(), a[0], (mach_msg_id_t)a[1], a[2], a[3],
                                            MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous);
    if (kr == 0 && previous != 0)
        (void)mach_port_deallocate(mach_task_self(), previous);
    return kr;
}

static void answer(FILE *out, const char *verb, const unsigned *a)
{
    mach_port_t self = mach_task_self();
    unsigned value = 0;
    int kr = -1;
    if (strcmp(verb, "receive") == 0) {
        receive_one(out, a[0]);
        return;
    }
    if (strcmp(verb, "notified") == 0) {
        notified(out, a);
        return;
    }
    if (strcmp(verb, "pid") == 0) {
        kr = 0;
        value = (unsigned)getpid();
    } else if (strcmp(verb, "bootstrap") == 0)
        kr = task_get_special_port(self, TASK_BOOTSTRAP_PORT, &value);
    else if (strcmp(verb, "allocate") == 0)
        kr = mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &value);
    else if (strcmp(verb, "insert") == 0)
        kr = mach_port_insert_right(self, a[0], a[0], a[1]);
    else if (strcmp(verb, "deallocate") == 0)
        kr = mach_port_deallocate(self, a[0]);
    else if (strcmp(verb, "destroy") == 0)
        kr = mach_port_destroy(self, a[0]);
    else if (strcmp(verb, "mod_refs") == 0)
        kr = mach_port_mod_refs(self, a[0], a[1], (int)a[2]);
    else if (strcmp(verb, "type") == 0)
        kr = mach_port_type(self, a[0], &value);
    else if (strcmp(verb, "refs") == 0)
        kr = mach_port_get_refs(self, a[0], a[1], &value);
    else if (strcmp(verb, "send") == 0)
        kr = send_one(a);
    else if (strcmp(verb, "request") == 0)
        kr = request(a);
    fprintf(out, "%d %u\n", kr, value);
}

int main(int argc, char **argv)
{
    mach_port_t first = 0;
    if (argc != 3 || mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, &first) ||
        mach_port_insert_right(mach_task_self(), first, first, MACH_MSG_TYPE_MAKE_SEND) ||
        task_set_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, first) ||
        mach_port_deallocate(mach_task_self(), first))
        return 2;
    pid_t child = fork();
    if (child < 0)
        return 3;
    int fd = atoi(argv[child == 0 ? 2 : 1]);
    close(atoi(argv[child == 0 ? 1 : 2]));
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    if (in == NULL || out == NULL)
        return 4;
    fprintf(out, "0 %u\n", child == 0 ? 0 : first);
    fflush(out);
    char line[200], verb[32];
    while (fgets(line, sizeof line, in) != NULL) {
        unsigned a[5] = {0};
        if (sscanf(line, "%31s %u %u %u %u %u", verb, &a[0], &a[1], &a[2], &a[3], &a[4]) < 1)
            return 5;
        answer(out, verb, a);
        fflush(out);
    }
    return 0;
}
