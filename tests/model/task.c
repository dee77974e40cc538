/*
 * Tasks that the model test drives: each reads one-line commands on a socket and answers one line
 * each. `task A B C` makes a port, leaves a send right to it as the bootstrap special port and
 * forks: the parent serves descriptor A, each child, which inherits that right, one of the others.
 * Each process owns the rights that its commands make and ends when its socket does.
 */
#include <mach/mach.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 12, CARRIED = 2 };

typedef struct {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_port_descriptor_t ports[CARRIED];
    mach_msg_max_trailer_t trailer;
} message_t;

/* ---- messages ---- */

/* send NAME DISPOSITION REPLY DISPOSITION ID COUNT [NAME DISPOSITION]...: the code */
static void send_one(FILE *out, const unsigned *a)
{
    message_t m;
    memset(&m, 0, sizeof m);
    mach_msg_size_t size = sizeof m.header, count = a[5];
    m.header.msgh_bits = MACH_MSGH_BITS(a[1], a[3]);
    m.header.msgh_remote_port = a[0];
    m.header.msgh_local_port = a[2];
    m.header.msgh_id = (mach_msg_id_t)a[4];
    if (count != 0) {
        size += (mach_msg_size_t)(sizeof m.body + count * sizeof m.ports[0]);
        m.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
        m.body.msgh_descriptor_count = count;
    }
    for (unsigned i = 0; i < count && i < CARRIED; i++) {
        m.ports[i].name = a[6 + 2 * i];
        m.ports[i].disposition = a[7 + 2 * i] & 0xff;
        m.ports[i].type = MACH_MSG_PORT_DESCRIPTOR;
    }
    m.header.msgh_size = size;
    fprintf(out, "%d", mach_msg(&m.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, 0, 0));
}

/* receive NAME MILLISECONDS DESTROY: the code, and what came: its id, bits, local and remote name,
 * the number behind a notification's NDR record, and name and disposition of each right. */
static void receive_one(FILE *out, const unsigned *a)
{
    union {
        message_t message;
        struct {
            mach_msg_header_t header;
            NDR_record_t ndr;
            unsigned number;
        } notification;
    } m;
    memset(&m, 0, sizeof m);
    mach_msg_header_t *h = &m.message.header;
    int kr = mach_msg(h, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, a[0], a[1], 0);
    if (kr != MACH_MSG_SUCCESS) {
        fprintf(out, "%d", kr);
        return;
    }
    int complex = (h->msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0;
    int numbered = !complex && h->msgh_size >= sizeof m.notification;
    fprintf(out, "%d %d %u %u %u %u", kr, h->msgh_id, h->msgh_bits, h->msgh_local_port,
            h->msgh_remote_port, numbered ? m.notification.number : 0);
    for (unsigned i = 0; complex && i < m.message.body.msgh_descriptor_count; i++)
        fprintf(out, " %u %u", m.message.ports[i].name, m.message.ports[i].disposition);
    if (a[2] != 0)
        mach_msg_destroy(h);
}

/* ---- what there is ---- */

static void look_at_set(FILE *out, mach_port_name_t name)
{
    mach_port_name_array_t members = NULL;
    mach_msg_type_number_t n = 0;
    if (mach_port_get_set_status(mach_task_self(), name, &members, &n) != KERN_SUCCESS)
        fprintf(out, ":?");
    for (mach_msg_type_number_t i = 0; i < n; i++)
        fprintf(out, ":%u", members[i]);
    (void)vm_deallocate(mach_task_self(), (vm_address_t)members, n * sizeof *members);
}

static void look_at_port(FILE *out, mach_port_name_t name)
{
    mach_port_status_t s;
    mach_msg_type_number_t count = MACH_PORT_RECEIVE_STATUS_COUNT;
    memset(&s, 0, sizeof s);
    if (mach_port_get_attributes(mach_task_self(), name, MACH_PORT_RECEIVE_STATUS,
                                 (mach_port_info_t)&s, &count) != KERN_SUCCESS)
        fprintf(out, ":?");
    fprintf(out, ":%u:%u:%u:%u:%u:%u:%u", s.mps_mscount, s.mps_seqno, s.mps_msgcount,
            s.mps_sorights, s.mps_pset != 0, s.mps_nsrequest != 0, s.mps_pdrequest != 0);
}

/* look: for each name that mach_port_names gives, its type by that and by mach_port_type, its
 * references of a send right and of a dead name, and the members of a set or the status of a
 * receive right. */
static void look(FILE *out)
{
    mach_port_t self = mach_task_self();
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t n = 0, n_types = 0;
    fprintf(out, "%d", mach_port_names(self, &names, &n, &types, &n_types));
    for (mach_msg_type_number_t i = 0; i < n; i++) {
        mach_port_type_t type = 0;
        mach_port_urefs_t sends = 0, dead = 0;
        (void)mach_port_type(self, names[i], &type);
        (void)mach_port_get_refs(self, names[i], MACH_PORT_RIGHT_SEND, &sends);
        (void)mach_port_get_refs(self, names[i], MACH_PORT_RIGHT_DEAD_NAME, &dead);
        fprintf(out, " %u:%u:%u:%u:%u", names[i], types[i], type, sends, dead);
        if (type & MACH_PORT_TYPE_PORT_SET)
            look_at_set(out, names[i]);
        if (type & MACH_PORT_TYPE_RECEIVE)
            look_at_port(out, names[i]);
    }
    (void)vm_deallocate(self, (vm_address_t)names, n * sizeof *names);
    (void)vm_deallocate(self, (vm_address_t)types, n_types * sizeof *types);
}

/* ---- names: the code, and a name or number ---- */

/* A name that nothing has, until the next is made. */
static kern_return_t fresh(mach_port_name_t *name)
{
    kern_return_t kr = mach_port_allocate(mach_task_self(), MACH_PORT_RIGHT_RECEIVE, name);
    return kr != KERN_SUCCESS
               ? kr
               : mach_port_mod_refs(mach_task_self(), *name, MACH_PORT_RIGHT_RECEIVE, -1);
}

static void call(FILE *out, const char *verb, const unsigned *a)
{
    mach_port_t self = mach_task_self();
    unsigned value = 0, poly = 0;
    int kr = -1;
    if (strcmp(verb, "pid") == 0) {
        kr = 0;
        value = (unsigned)getpid();
    } else if (strcmp(verb, "self") == 0) {
        kr = 0;
        value = self;
    } else if (strcmp(verb, "bootstrap") == 0)
        kr = task_get_special_port(self, TASK_BOOTSTRAP_PORT, &value);
    else if (strcmp(verb, "allocate") == 0)
        kr = mach_port_allocate(self, a[0], &value);
    else if (strcmp(verb, "fresh") == 0)
        kr = fresh(&value);
    else if (strcmp(verb, "insert") == 0)
        kr = mach_port_insert_right(self, a[0], a[1], a[2]);
    else if (strcmp(verb, "extract") == 0)
        kr = mach_port_extract_right(self, a[0], a[1], &value, &poly);
    else if (strcmp(verb, "deallocate") == 0)
        kr = mach_port_deallocate(self, a[0]);
    else if (strcmp(verb, "destroy") == 0)
        kr = mach_port_destroy(self, a[0]);
    else if (strcmp(verb, "mod_refs") == 0)
        kr = mach_port_mod_refs(self, a[0], a[1], (int)a[2]);
    else if (strcmp(verb, "insert_member") == 0)
        kr = mach_port_insert_member(self, a[0], a[1]);
    else if (strcmp(verb, "extract_member") == 0)
        kr = mach_port_extract_member(self, a[0], a[1]);
    else if (strcmp(verb, "move_member") == 0)
        kr = mach_port_move_member(self, a[0], a[1]);
    else if (strcmp(verb, "request") == 0)
        kr = mach_port_request_notification(self, a[0], (mach_msg_id_t)a[1], a[2], a[3], a[4],
                                            &value);
    fprintf(out, "%d %u %u", kr, value, poly);
}

static void answer(FILE *out, const char *verb, const unsigned *a)
{
    if (strcmp(verb, "send") == 0)
        send_one(out, a);
    else if (strcmp(verb, "receive") == 0)
        receive_one(out, a);
    else if (strcmp(verb, "look") == 0)
        look(out);
    else
        call(out, verb, a);
    fputc('\n', out);
    fflush(out);
}

static int serve(int fd, mach_port_name_t first)
{
    FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
    char line[300];
    if (in == NULL || out == NULL)
        return 4;
    fprintf(out, "0 %u\n", first);
    fflush(out);
    while (fgets(line, sizeof line, in) != NULL) {
        unsigned a[WORDS] = {0};
        char *rest = line, *verb = strsep(&rest, " \n");
        for (int i = 0; i < WORDS && rest != NULL && *rest != '\0'; i++)
            a[i] = (unsigned)strtoll(rest, &rest, 10);
        answer(out, verb, a);
    }
    return 0;
}

int main(int argc, char **argv)
{
    mach_port_t self = mach_task_self(), first = 0;
    if (argc < 2 || mach_port_allocate(self, MACH_PORT_RIGHT_RECEIVE, &first) ||
        mach_port_insert_right(self, first, first, MACH_MSG_TYPE_MAKE_SEND) ||
        task_set_special_port(self, TASK_BOOTSTRAP_PORT, first) ||
        mach_port_deallocate(self, first))
        return 2;
    int who = 1;
    for (int i = 2; i < argc && who == 1; i++) {
        pid_t child = fork();
        if (child < 0)
            return 3;
        if (child == 0)
            who = i;
    }
    for (int i = 1; i < argc; i++)
        if (i != who)
            close(atoi(argv[i]));
    return serve(atoi(argv[who]), who == 1 ? first : 0);
}
