/* Limits of the system that mach_linux meets, and what it says of them: descriptors of the process,
 * descriptors in flight, sizes, many ports and many messages. mach_linux_reason() is its own; all
 * else is Apple's API. */
#include "../mach/ports.h"

#include <mach_linux.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MANY_PORTS = 10000, QUEUE_PORTS = 500, QUEUE_EACH = 200, SPARE = 200 };

/* --- what the cases share -------------------------------------------------------------------- */

static rlim_t descriptor_limit(void)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    return limit.rlim_cur;
}

static void set_descriptor_limit(rlim_t soft)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = soft;
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* As many descriptors as this process may have. */
static rlim_t raise_descriptor_limit(void)
{
    struct rlimit limit;
    NEED(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    set_descriptor_limit(limit.rlim_max);
    return limit.rlim_max;
}

static int lowest_free(void)
{
    int fd = dup(0);
    NEED(fd >= 0);
    close(fd);
    return fd;
}

/* From now on there are n descriptors left. */
static void leave_descriptors(int n)
{
    set_descriptor_limit((rlim_t)(lowest_free() + n));
}

static void names_the_limit(void)
{
    const char *reason = mach_linux_reason();
    if (reason == NULL || strstr(reason, "RLIMIT_NOFILE") == NULL)
        tap_fail(__FILE__, __LINE__, "the reason is %s", reason != NULL ? reason : "missing");
}

/* --- descriptors of the process -------------------------------------------------------------- */

CASE(no_port_is_made_without_descriptors)
{
    mach_port_t port, set;
    rlim_t before = descriptor_limit();
    IS_OK(mach_port_deallocate(TASK, make_port_with_sends(2))); /* what is made once is made */
    leave_descriptors(1);
    IS_CODE(mach_port_allocate(TASK, MACH_PORT_RIGHT_RECEIVE, &port), KERN_RESOURCE_SHORTAGE);
    names_the_limit();
    leave_descriptors(0);
    IS_CODE(mach_port_allocate(TASK, MACH_PORT_RIGHT_PORT_SET, &set), KERN_RESOURCE_SHORTAGE);
    names_the_limit();
    set_descriptor_limit(before);
    IS_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_RECEIVE, &port));
    IS_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_PORT_SET, &set));
}

CASE(the_task_has_its_port_again_when_there_are_descriptors)
{
    rlim_t before = descriptor_limit();
    int pid = 0;
    leave_descriptors(0);
    IS_CODE(pid_for_task(TASK, &pid), KERN_FAILURE);
    set_descriptor_limit(before);
    IS_OK(pid_for_task(TASK, &pid));
    IS(pid, getpid());
}

/* What a send without descriptors leaves is what was there before, and it can be sent again. */
static void send_without_descriptors(mach_msg_type_name_t disposition)
{
    struct letter letter, before;
    mach_port_t to = make_port(), port = make_port_with_sends(2);
    rlim_t limit = descriptor_limit();

    letter_to(&letter, to, MAKE_SEND, 1);
    letter_right(&letter, port, disposition);
    before = letter;
    mach_port_status_t status = status_of(port);
    leave_descriptors(0);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_NO_BUFFER);
    names_the_limit();
    set_descriptor_limit(limit);
    IS(memcmp(&letter, &before, letter.header.msgh_size), 0);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 2);
    IS(refs(port, MACH_PORT_RIGHT_RECEIVE), 1);
    IS(status_of(port).mps_mscount, status.mps_mscount);
    IS(is_empty(to), 1);
    IS_OK(letter_send(&letter, NOW));
    (void)take_right(to, disposition == MOVE_RECEIVE     ? MACH_MSG_TYPE_PORT_RECEIVE
                         : disposition == MAKE_SEND_ONCE ? MACH_MSG_TYPE_PORT_SEND_ONCE
                                                         : MACH_MSG_TYPE_PORT_SEND);
}

CASE(a_sender_without_descriptors_keeps_what_it_would_have_sent)
{
    const mach_msg_type_name_t each[] = {MAKE_SEND, COPY_SEND, MOVE_SEND, MAKE_SEND_ONCE,
                                         MOVE_RECEIVE};
    for (unsigned i = 0; i < sizeof each / sizeof each[0]; i++) {
        tap_about("disposition %u", each[i]);
        send_without_descriptors(each[i]);
    }
}

CASE(a_receiver_without_descriptors_is_told_and_gets_the_next_message)
{
    struct letter letter;
    mach_port_t to = make_port(), gone = make_port(), watched = make_port();
    rlim_t limit = descriptor_limit();

    NEED_OK(post_right(to, gone, MAKE_SEND));
    (void)request(gone, MACH_NOTIFY_NO_SENDERS, 0, watched);
    NEED_OK(post(to, MAKE_SEND, 7));
    leave_descriptors(1);
    IS_CODE(letter_receive(&letter, to, 0, NOW) & ~MACH_MSG_MASK, MACH_RCV_BODY_ERROR);
    names_the_limit();
    set_descriptor_limit(limit);
    IS(take_id(to), 7);
    /* The right in the message that was lost is gone, not left somewhere. */
    (void)take_notification(watched, MACH_NOTIFY_NO_SENDERS);
}

CASE(joining_a_set_takes_no_descriptor)
{
    mach_port_t set = make_set(), port = make_port();
    struct letter letter;
    rlim_t limit = descriptor_limit();
    leave_descriptors(0);
    IS_OK(mach_port_insert_member(TASK, port, set));
    IS_OK(post(port, MAKE_SEND, 8));
    IS_OK(letter_receive(&letter, set, 0, NOW));
    IS(letter.header.msgh_id, 8);
    set_descriptor_limit(limit);
}

CASE(a_member_gets_what_its_channel_does_not_show)
{
    mach_port_t set = make_set(), port = make_port(), once;
    struct letter letter;
    rlim_t limit = descriptor_limit();

    IS_OK(mach_port_insert_member(TASK, port, set));
    /* Put back: the kernel's queue is empty, and the set must tell of it all the same. */
    IS_OK(post(port, MAKE_SEND, 1));
    IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 24, set,
                     NOW, 0),
            MACH_RCV_TOO_LARGE);
    IS(take_id(set), 1);
    /* A send-once right, made when the port is a member already. */
    once = make_send_once(port);
    IS_OK(post(once, MOVE_SEND_ONCE, 2));
    IS_OK(post(port, MAKE_SEND, 3));
    IS(take_id(set) + take_id(set), 5);
    IS(is_empty(set), 1);
    /* Without a descriptor for it there is no send-once right, and the set is as it was. */
    mach_port_t other = make_port();
    IS_OK(mach_port_insert_member(TASK, other, set));
    mach_msg_type_name_t type;
    leave_descriptors(2);
    IS_CODE(mach_port_extract_right(TASK, other, MAKE_SEND_ONCE, &once, &type),
            KERN_RESOURCE_SHORTAGE);
    names_the_limit();
    set_descriptor_limit(limit);
    IS_OK(post(other, MAKE_SEND, 4));
    IS(take_id(set), 4);
}

CASE(a_notification_without_descriptors)
{
    mach_port_t parked, port = make_port(), other = make_send_only(1, &parked), previous;
    rlim_t limit = descriptor_limit();
    leave_descriptors(0);
    IS_CODE(mach_port_request_notification(TASK, other, MACH_NOTIFY_DEAD_NAME, 0, port,
                                           MAKE_SEND_ONCE, &previous),
            KERN_RESOURCE_SHORTAGE);
    names_the_limit();
    set_descriptor_limit(limit);
    IS_OK(mach_port_request_notification(TASK, other, MACH_NOTIFY_DEAD_NAME, 0, port,
                                         MAKE_SEND_ONCE, &previous));
    IS(previous, MACH_PORT_NULL);
}

/* --- many rights in one message -------------------------------------------------------------- */

struct array_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_ool_ports_descriptor_t array;
    mach_msg_max_trailer_t trailer;
};

static struct array_message array_of(mach_port_t to, const mach_port_t *names, unsigned n,
                                     mach_msg_type_name_t disposition)
{
    return (struct array_message){
        .header = {.msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0) | MACH_MSGH_BITS_COMPLEX,
                   .msgh_remote_port = to},
        .body = {1},
        .array = {.address = (void *)(uintptr_t)names,
                  .count = n,
                  .disposition = disposition & 0xff,
                  .type = MACH_MSG_OOL_PORTS_DESCRIPTOR}};
}

static mach_msg_return_t send_array(struct array_message *m, mach_msg_timeout_t timeout)
{
    return mach_msg(&m->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof *m - sizeof m->trailer, 0,
                    0, timeout, 0);
}

static mach_msg_return_t receive_array(struct array_message *m, mach_port_t from)
{
    return mach_msg(&m->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof *m, from, NOW, 0);
}

/* The array that arrives is these names: it came to the task that has the ports. */
static void take_array(mach_port_t from, const mach_port_t *names, unsigned n)
{
    struct array_message m;
    NEED_OK(receive_array(&m, from));
    NEED(m.array.count == n);
    IS(memcmp(m.array.address, names, n * sizeof *names), 0);
}

static mach_port_t *some_ports(unsigned n)
{
    mach_port_t *ports = calloc(n, sizeof *ports);
    NEED(ports != NULL);
    for (unsigned i = 0; i < n; i++)
        ports[i] = make_port();
    return ports;
}

CASE(a_message_carries_as_many_rights_as_there_are_descriptors_for)
{
    rlim_t limit = raise_descriptor_limit();
    unsigned most = (unsigned)(limit - SPARE) / 6 < 2000 ? (unsigned)(limit - SPARE) / 6 : 2000;
    mach_port_t to = make_port(), *ports = some_ports(most);
    /* 126 send rights are what one packet takes, beside a memory file. */
    const unsigned counts[] = {125, 126, 127, 128, 253, 254, most};
    for (unsigned i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        tap_about("%u rights", counts[i]);
        unsigned n = counts[i] < most ? counts[i] : most;
        struct array_message m = array_of(to, ports, n, MAKE_SEND);
        IS_OK(send_array(&m, NOW));
        IS_OK(post(to, MAKE_SEND, 5));
        take_array(to, ports, n);
        IS(take_id(to), 5);
    }
    IS(refs(ports[0], MACH_PORT_RIGHT_SEND), sizeof counts / sizeof counts[0]);
}

CASE(a_message_with_many_rights_can_be_put_back_and_moved)
{
    enum { RIGHTS = 300 };
    struct array_message m;
    mach_port_t to = make_port(), carrier = make_port(), *ports = some_ports(RIGHTS);
    m = array_of(to, ports, RIGHTS, MAKE_SEND);
    NEED_OK(send_array(&m, NOW));
    IS_CODE(
        mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 24, to, NOW, 0),
        MACH_RCV_TOO_LARGE);
    NEED_OK(post_right(carrier, to, MOVE_RECEIVE));
    take_array(take_right(carrier, MACH_MSG_TYPE_PORT_RECEIVE), ports, RIGHTS);
}

CASE(many_rights_that_are_not_sent_come_back)
{
    enum { RIGHTS = 300 };
    mach_port_t to = make_full_port(1), *ports = some_ports(RIGHTS);
    int before = lowest_free();
    for (int i = 0; i < RIGHTS; i++)
        add_sends(ports[i], 1);
    struct array_message m = array_of(to, ports, RIGHTS, MOVE_SEND);
    IS_CODE(send_array(&m, NOW), MACH_SEND_TIMED_OUT);
    IS(memcmp(m.array.address, ports, RIGHTS * sizeof *ports), 0);
    for (int i = 0; i < RIGHTS; i++)
        IS(refs(ports[i], MACH_PORT_RIGHT_SEND), 1);
    IS_TRUE(lowest_free() <= before + 2 * RIGHTS); /* the ports' own pipes, and nothing else */
}

CASE(a_receiver_without_descriptors_for_all_of_many_rights_keeps_none)
{
    enum { RIGHTS = 300 };
    mach_port_t to = make_port(), *ports = some_ports(RIGHTS);
    struct array_message m = array_of(to, ports, RIGHTS, MAKE_SEND);
    rlim_t limit = descriptor_limit();
    NEED_OK(send_array(&m, NOW));
    NEED_OK(post(to, MAKE_SEND, 6));
    int before = lowest_free();
    leave_descriptors(400);
    IS_CODE(receive_array(&m, to) & ~MACH_MSG_MASK, MACH_RCV_BODY_ERROR);
    names_the_limit();
    set_descriptor_limit(limit);
    IS(lowest_free(), before);
    IS(take_id(to), 6);
}

CASE(receive_rights_with_a_history_go_in_one_message)
{
    enum { RIGHTS = 100 };
    mach_port_t to = make_port(), *ports = some_ports(RIGHTS);
    struct array_message m;
    for (mach_port_msgcount_t i = 0; i < RIGHTS; i++) {
        set_qlimit(ports[i], 10 + i);
        NEED_OK(post(ports[i], MAKE_SEND, (mach_msg_id_t)i));
    }
    m = array_of(to, ports, RIGHTS, MOVE_RECEIVE);
    NEED_OK(send_array(&m, NOW));
    NEED_OK(receive_array(&m, to));
    NEED(m.array.count == RIGHTS);
    const mach_port_t *names = m.array.address;
    for (mach_port_msgcount_t i = 0; i < RIGHTS; i++) {
        IS(status_of(names[i]).mps_qlimit, 10 + i);
        IS(take_id(names[i]), i);
    }
}

CASE(more_rights_than_a_message_can_count_are_refused_and_kept)
{
    enum { RIGHTS = 33000 };
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_port_descriptor_t ports[RIGHTS];
    } *m = calloc(1, sizeof *m);
    mach_port_t to = make_port(), port = make_port_with_sends(1);
    NEED(m != NULL);
    m->header.msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
    m->header.msgh_remote_port = to;
    m->body.msgh_descriptor_count = RIGHTS;
    for (int i = 0; i < RIGHTS; i++)
        m->ports[i] = (mach_msg_port_descriptor_t){
            .name = port, .disposition = COPY_SEND, .type = MACH_MSG_PORT_DESCRIPTOR};
    IS_CODE(mach_msg(&m->header, MACH_SEND_MSG, sizeof *m, 0, 0, 0, 0), MACH_SEND_TOO_LARGE);
    IS_TRUE(mach_linux_reason() != NULL && strstr(mach_linux_reason(), "65535") != NULL);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 1);
    IS(is_empty(to), 1);
    free(m);
}

/* --- descriptors in flight ------------------------------------------------------------------- */

/* Becomes a user of whom nothing is in flight; root is not limited. */
static void become_limited(void)
{
    uid_t nobody_else = 60000u + (uid_t)getpid() % 5000u;
    if (geteuid() == 0)
        NEED(setresuid(nobody_else, nobody_else, nobody_else) == 0);
}

/* Queues rights until no more are taken; gives how many were, and the failure. */
static int fill_flight(const mach_port_t *to, int n_ports, mach_port_t right,
                       mach_msg_return_t *failure, mach_msg_timeout_t timeout)
{
    struct letter letter;
    for (int sent = 0; sent < 4000; sent++) {
        letter_to(&letter, to[sent % n_ports], MAKE_SEND, sent);
        letter_right(&letter, right, MAKE_SEND);
        *failure = timeout != MACH_MSG_TIMEOUT_NONE
                       ? letter_send(&letter, timeout)
                       : mach_msg(&letter.header, MACH_SEND_MSG, letter.header.msgh_size, 0, 0, 0,
                                  MACH_PORT_NULL);
        if (*failure != MACH_MSG_SUCCESS)
            return sent;
    }
    return 4000;
}

CASE(descriptors_in_flight_at_their_limit_are_a_full_queue)
{
    enum { PORTS = 8 };
    mach_port_t to[PORTS], right = make_port();
    mach_msg_return_t failure = MACH_MSG_SUCCESS;

    for (int i = 0; i < PORTS; i++)
        to[i] = make_port();
    become_limited();
    set_descriptor_limit(64);
    int sent = fill_flight(to, PORTS, right, &failure, 20);
    IS_CODE(failure, MACH_SEND_TIMED_OUT);
    IS_TRUE(sent >= 30 && sent < 100); /* two each */
    /* The pseudo-receive gave the right back. */
    IS(refs(right, MACH_PORT_RIGHT_SEND), 1);
    /* Without a deadline it does not wait for ever: only this very thread could make room. */
    IS(fill_flight(to, PORTS, right, &failure, MACH_MSG_TIMEOUT_NONE), 0);
    IS_CODE(failure, MACH_SEND_NO_BUFFER);
    names_the_limit();
    IS_TRUE(strstr(mach_linux_reason(), "user") != NULL);
    for (int i = 0; i < sent; i++)
        (void)take_right(to[i % PORTS], MACH_MSG_TYPE_PORT_SEND);
    IS_OK(post_right(to[0], right, MAKE_SEND));
}

/* --- sizes ----------------------------------------------------------------------------------- */

static const mach_msg_size_t sizes[] = {
    24,      28,      44,      100,      512,      4096,      65536,
    131072,  204768,  204772,  204776,   204780,   204784,    204800,
    212900,  212960,  212964,  1u << 20, 4u << 20, 16u << 20, 425984,
    2097152, 2097156, 1048572, 8388608,  8388612,  3145728,   (16u << 20) - 4};

static uint8_t pattern(size_t at, uint32_t salt)
{
    return (uint8_t)((at * 2654435761u + salt) >> 13);
}

static int same_pattern(const uint8_t *bytes, size_t from, size_t to, uint32_t salt)
{
    for (size_t i = from; i < to; i++)
        if (bytes[i] != pattern(i, salt))
            return 0;
    return 1;
}

CASE(messages_of_24_bytes_to_16_mebibytes_arrive_as_they_were)
{
    mach_port_t port = make_port();
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mach_msg_size_t size = sizes[i];
        size_t room = size + sizeof(mach_msg_max_trailer_t);
        uint8_t *sent = malloc(size), *got = malloc(room);
        NEED(sent != NULL && got != NULL);
        tap_about("%u bytes", size);
        for (size_t k = 0; k < size; k++)
            sent[k] = pattern(k, size);
        mach_msg_header_t *m = (mach_msg_header_t *)(void *)sent;
        *m = (mach_msg_header_t){.msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0),
                                 .msgh_remote_port = port,
                                 .msgh_id = (mach_msg_id_t)i};
        IS_OK(mach_msg(m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, 0, PROMPT, 0));
        m = (mach_msg_header_t *)(void *)got;
        IS_OK(mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, (mach_msg_size_t)room, port, PROMPT,
                       0));
        IS(m->msgh_size, size);
        IS(m->msgh_id, i);
        IS_TRUE(same_pattern(got, sizeof *m, size, size));
        free(sent);
        free(got);
    }
}

CASE(out_of_line_memory_of_none_to_16_mebibytes_arrives_as_it_was)
{
    struct {
        mach_msg_header_t header;
        mach_msg_body_t body;
        mach_msg_ool_descriptor_t memory;
        mach_msg_max_trailer_t trailer;
    } m;
    mach_port_t port = make_port();
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        mach_msg_size_t size = sizes[i] - 24;
        uint8_t *sent = malloc(size + 1);
        NEED(sent != NULL);
        tap_about("%u bytes", size);
        for (size_t k = 0; k < size; k++)
            sent[k] = pattern(k, size);
        memset(&m, 0, sizeof m);
        m.header.msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0) | MACH_MSGH_BITS_COMPLEX;
        m.header.msgh_remote_port = port;
        m.body.msgh_descriptor_count = 1;
        m.memory.address = sent;
        m.memory.size = size;
        m.memory.copy = MACH_MSG_VIRTUAL_COPY;
        m.memory.type = MACH_MSG_OOL_DESCRIPTOR;
        IS_OK(mach_msg(&m.header, MACH_SEND_MSG, sizeof m - sizeof m.trailer, 0, 0, 0, 0));
        IS_OK(mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, port, PROMPT, 0));
        IS(m.memory.size, size);
        IS_TRUE(m.memory.address != sent && same_pattern(m.memory.address, 0, size, size));
        mach_msg_destroy(&m.header);
        free(sent);
    }
}

/* --- many ports, many messages --------------------------------------------------------------- */

/* Which port a name is: names are index << 8 and some bits, as on Mach. */
enum { INDICES = 1 << 16 };
static unsigned numbers[INDICES];

/* Ports in one set: as many as the limit of descriptors lets there be, `most` at the most. */
static unsigned fill_set(mach_port_t set, mach_port_t *ports, unsigned most)
{
    rlim_t limit = raise_descriptor_limit();
    unsigned n = 0;
    while (n < most && lowest_free() + SPARE < (int)limit) {
        ports[n] = make_port();
        NEED(ports[n] >> 8 < INDICES);
        numbers[ports[n] >> 8] = n;
        NEED_OK(mach_port_insert_member(TASK, ports[n], set));
        n++;
    }
    return n;
}

static unsigned number_of(mach_port_t port)
{
    return numbers[port >> 8];
}

CASE(ten_thousand_ports_in_a_set_each_have_their_turn)
{
    mach_port_t set = make_set(), *ports = calloc(MANY_PORTS, sizeof *ports);
    uint8_t *seen = calloc(MANY_PORTS, 1);
    struct letter letter;
    NEED(ports != NULL && seen != NULL);
    unsigned n = fill_set(set, ports, MANY_PORTS);
    printf("# %u ports in one set, within %llu descriptors\n", n,
           (unsigned long long)descriptor_limit());
    /* Two descriptors each: 10,000 need a limit above 20,000. */
    IS_TRUE(n == MANY_PORTS || 2 * n + 2 * SPARE > descriptor_limit());
    for (unsigned i = 0; i < n; i++)
        NEED_OK(post(ports[i], MAKE_SEND, (mach_msg_id_t)i));
    for (unsigned i = 0; i < n; i++) {
        NEED_OK(letter_receive(&letter, set, 0, NOW));
        unsigned number = number_of(letter.header.msgh_local_port);
        NEED(number < n && !seen[number]);
        NEED(letter.header.msgh_id == (mach_msg_id_t)number);
        seen[number] = 1;
    }
    IS_CODE(letter_receive(&letter, set, 0, NOW), MACH_RCV_TIMED_OUT);
}

CASE(a_hundred_thousand_queued_messages_are_drained_in_order)
{
    mach_port_t set = make_set(), ports[QUEUE_PORTS];
    unsigned next[QUEUE_PORTS] = {0};
    struct letter letter;
    unsigned n = fill_set(set, ports, QUEUE_PORTS);
    IS(n, QUEUE_PORTS);
    for (unsigned k = 0; k < QUEUE_EACH; k++)
        for (unsigned i = 0; i < n; i++)
            NEED_OK(post(ports[i], MAKE_SEND, (mach_msg_id_t)k));
    for (unsigned i = 0; i < n * QUEUE_EACH; i++) {
        NEED_OK(letter_receive(&letter, set, 0, NOW));
        unsigned number = number_of(letter.header.msgh_local_port);
        NEED(number < n && letter.header.msgh_id == (mach_msg_id_t)next[number]);
        next[number]++;
    }
    IS_CODE(letter_receive(&letter, set, 0, NOW), MACH_RCV_TIMED_OUT);
}
