/* The helpers of ports.h. */
#include "ports.h"

#include <string.h>
#include <time.h>

mach_port_t make_port(void)
{
    mach_port_t port = MACH_PORT_NULL;
    NEED_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_RECEIVE, &port));
    return port;
}

void add_sends(mach_port_t port, mach_port_urefs_t urefs)
{
    for (mach_port_urefs_t i = 0; i < urefs; i++)
        NEED_OK(mach_port_insert_right(TASK, port, port, MACH_MSG_TYPE_MAKE_SEND));
}

mach_port_t make_port_with_sends(mach_port_urefs_t urefs)
{
    mach_port_t port = make_port();
    add_sends(port, urefs);
    return port;
}

mach_port_t make_set(void)
{
    mach_port_t set = MACH_PORT_NULL;
    NEED_OK(mach_port_allocate(TASK, MACH_PORT_RIGHT_PORT_SET, &set));
    return set;
}

mach_port_t make_dead_name(mach_port_urefs_t urefs)
{
    mach_port_t port = make_port_with_sends(urefs);
    destroy_receive(port);
    NEED(type_of(port) == MACH_PORT_TYPE_DEAD_NAME);
    return port;
}

mach_port_t make_send_once(mach_port_t port)
{
    mach_port_t name = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    NEED_OK(mach_port_extract_right(TASK, port, MACH_MSG_TYPE_MAKE_SEND_ONCE, &name, &poly));
    NEED(poly == MACH_MSG_TYPE_PORT_SEND_ONCE);
    return name;
}

mach_port_t make_send_only(mach_port_urefs_t urefs, mach_port_t *parked_at)
{
    mach_port_t port = make_port_with_sends(urefs);
    mach_port_t parking = make_port();
    NEED_OK(post_right(parking, port, MACH_MSG_TYPE_MOVE_RECEIVE));
    NEED(type_of(port) == MACH_PORT_TYPE_SEND);
    if (parked_at)
        *parked_at = parking;
    return port;
}

mach_port_t make_kind(enum kind kind)
{
    switch (kind) {
    case A_RECEIVE:
        return make_port();
    case A_SEND_RECEIVE:
        return make_port_with_sends(2);
    case A_SEND:
        return make_send_only(2, NULL);
    case A_SEND_ONCE:
        return make_send_once(make_port());
    case A_SET:
        return make_set();
    case A_DEAD_NAME:
        return make_dead_name(2);
    case NAME_DEAD:
        return MACH_PORT_DEAD;
    case NAME_BOGUS:
        return BOGUS;
    default:
        return MACH_PORT_NULL;
    }
}

const char *kind_name(enum kind kind)
{
    static const char *const names[KINDS] = {
        "receive",   "send+receive",   "send-only",      "send-once",  "port set",
        "dead name", "MACH_PORT_NULL", "MACH_PORT_DEAD", "bogus name",
    };
    return names[kind];
}

long refs(mach_port_t name, mach_port_right_t right)
{
    mach_port_urefs_t count = 0;
    return mach_port_get_refs(TASK, name, right, &count) == KERN_SUCCESS ? (long)count : -1;
}

mach_port_type_t type_of(mach_port_t name)
{
    mach_port_type_t type = 0;
    kern_return_t code = mach_port_type(TASK, name, &type);
    if (code == KERN_INVALID_NAME)
        return 0;
    NEED_OK(code);
    return type;
}

mach_port_type_t type_for(mach_msg_type_name_t arrived)
{
    return arrived == MACH_MSG_TYPE_PORT_RECEIVE ? MACH_PORT_TYPE_RECEIVE
           : arrived == MACH_MSG_TYPE_PORT_SEND  ? MACH_PORT_TYPE_SEND
                                                 : MACH_PORT_TYPE_SEND_ONCE;
}

mach_port_status_t status_of(mach_port_t port)
{
    mach_port_status_t status;
    mach_msg_type_number_t count = MACH_PORT_RECEIVE_STATUS_COUNT;
    memset(&status, 0, sizeof status);
    NEED_OK(mach_port_get_attributes(TASK, port, MACH_PORT_RECEIVE_STATUS,
                                     (mach_port_info_t)&status, &count));
    return status;
}

int is_gone(mach_port_t name)
{
    mach_port_type_t type = 0;
    return mach_port_type(TASK, name, &type) == KERN_INVALID_NAME;
}

int becomes_dead(mach_port_t name)
{
    for (int i = 0; i < PROMPT; i++) {
        if (type_of(name) & MACH_PORT_TYPE_DEAD_NAME)
            return 1;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    return 0;
}

void set_qlimit(mach_port_t port, mach_port_msgcount_t limit)
{
    mach_port_limits_t limits = {.mpl_qlimit = limit};
    NEED_OK(mach_port_set_attributes(TASK, port, MACH_PORT_LIMITS_INFO, (mach_port_info_t)&limits,
                                     MACH_PORT_LIMITS_INFO_COUNT));
}

void destroy_receive(mach_port_t port)
{
    NEED_OK(mach_port_mod_refs(TASK, port, MACH_PORT_RIGHT_RECEIVE, -1));
}

mach_port_t make_full_port(mach_port_urefs_t urefs)
{
    mach_port_t port = make_port_with_sends(urefs);
    set_qlimit(port, 1);
    for (int i = 0; i < 100000; i++) {
        struct letter letter;
        letter_to(&letter, port, MAKE_SEND, FILLER);
        mach_msg_return_t code = letter_send(&letter, NOW);
        if (code == MACH_SEND_TIMED_OUT) {
            mach_msg_destroy(&letter.header);
            return port;
        }
        NEED_OK(code);
    }
    tap_die(__FILE__, __LINE__, "the queue is never full");
}

void letter_to(struct letter *letter, mach_port_t destination, mach_msg_type_name_t disposition,
               mach_msg_id_t id)
{
    memset(letter, 0, sizeof *letter);
    letter->header.msgh_bits = disposition;
    letter->header.msgh_size = sizeof letter->header;
    letter->header.msgh_remote_port = destination;
    letter->header.msgh_id = id;
}

void letter_reply(struct letter *letter, mach_port_t reply, mach_msg_type_name_t disposition)
{
    letter->header.msgh_bits |= disposition << 8;
    letter->header.msgh_local_port = reply;
}

void letter_right(struct letter *letter, mach_port_t name, mach_msg_type_name_t disposition)
{
    if (!(letter->header.msgh_bits & MACH_MSGH_BITS_COMPLEX)) {
        letter->header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
        letter->header.msgh_size += (mach_msg_size_t)sizeof letter->body;
    }
    NEED(letter->body.msgh_descriptor_count < LETTER_PORTS);
    mach_msg_port_descriptor_t *port = &letter->ports[letter->body.msgh_descriptor_count++];
    memset(port, 0, sizeof *port);
    port->name = name;
    port->disposition = disposition & 0xff;
    port->type = MACH_MSG_PORT_DESCRIPTOR;
    letter->header.msgh_size += (mach_msg_size_t)sizeof *port;
}

void letter_data(struct letter *letter, const void *data, mach_msg_size_t size)
{
    NEED(letter->header.msgh_size + size <= sizeof letter->bytes);
    memcpy(letter->bytes + letter->header.msgh_size, data, size);
    letter->header.msgh_size += size;
}

mach_msg_return_t letter_send(struct letter *letter, mach_msg_timeout_t timeout)
{
    return mach_msg(&letter->header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, letter->header.msgh_size, 0,
                    MACH_PORT_NULL, timeout, MACH_PORT_NULL);
}

mach_msg_return_t letter_receive(struct letter *letter, mach_port_t port, mach_msg_option_t options,
                                 mach_msg_timeout_t timeout)
{
    return mach_msg(&letter->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | options, 0,
                    sizeof letter->bytes, port, timeout, MACH_PORT_NULL);
}

mach_msg_max_trailer_t *letter_trailer(struct letter *letter)
{
    size_t end = (letter->header.msgh_size + 3u) & ~3u;
    NEED(end + sizeof(mach_msg_max_trailer_t) <= sizeof letter->bytes);
    return (mach_msg_max_trailer_t *)(void *)(letter->bytes + end);
}

mach_msg_return_t post(mach_port_t destination, mach_msg_type_name_t disposition, mach_msg_id_t id)
{
    struct letter letter;
    letter_to(&letter, destination, disposition, id);
    return letter_send(&letter, NOW);
}

mach_msg_return_t post_right(mach_port_t to, mach_port_t name, mach_msg_type_name_t disposition)
{
    struct letter letter;
    letter_to(&letter, to, MACH_MSG_TYPE_MAKE_SEND, 1);
    letter_right(&letter, name, disposition);
    return letter_send(&letter, NOW);
}

void take(struct letter *letter, mach_port_t port)
{
    memset(letter, 0, sizeof *letter);
    NEED_CODE(letter_receive(letter, port, 0, PROMPT), MACH_MSG_SUCCESS);
}

mach_port_t take_right(mach_port_t port, mach_msg_type_name_t arrives_as)
{
    struct letter letter;
    take(&letter, port);
    NEED(letter.header.msgh_bits & MACH_MSGH_BITS_COMPLEX);
    NEED(letter.body.msgh_descriptor_count == 1);
    NEED(letter.ports[0].type == MACH_MSG_PORT_DESCRIPTOR);
    IS(letter.ports[0].disposition, arrives_as);
    return letter.ports[0].name;
}

void take_after_fillers(struct letter *letter, mach_port_t port)
{
    do
        take(letter, port);
    while (letter->header.msgh_id == FILLER);
}

void drain(mach_port_t port)
{
    struct letter letter;
    while (letter_receive(&letter, port, 0, NOW) == MACH_MSG_SUCCESS)
        mach_msg_destroy(&letter.header);
}

mach_msg_id_t take_id(mach_port_t port)
{
    struct letter letter;
    take(&letter, port);
    return letter.header.msgh_id;
}

unsigned take_notification(mach_port_t port, mach_msg_id_t id)
{
    struct letter letter;
    unsigned value = 0;
    take(&letter, port);
    if (IS(letter.header.msgh_id, id) && id == MACH_NOTIFY_PORT_DESTROYED)
        value = letter.ports[0].name;
    else if (id != MACH_NOTIFY_SEND_ONCE)
        memcpy(&value, letter.bytes + 32, sizeof value);
    return value;
}

int is_empty(mach_port_t port)
{
    struct letter letter;
    return letter_receive(&letter, port, 0, NOW) == MACH_RCV_TIMED_OUT;
}

mach_port_t request(mach_port_t name, mach_msg_id_t id, mach_port_mscount_t sync,
                    mach_port_t notify)
{
    mach_port_t previous = MACH_PORT_NULL;
    NEED_OK(mach_port_request_notification(TASK, name, id, sync, notify,
                                           MACH_MSG_TYPE_MAKE_SEND_ONCE, &previous));
    return previous;
}
