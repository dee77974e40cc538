/* What has happened meanwhile: to the names in a message that is refused, to a port that is being
 * sent to or moves with what was put back, to a message while the process forks. Undone, kept or
 * destroyed as the sections on those say (4, 6, 7, and parts F and M of the rest). */
#include "peers.h"

#include <stdlib.h>
#include <string.h>

/* ---- sends that fail ---- */

CASE(a_send_that_is_refused_leaves_dead_names_in_its_body_alone)
{
    mach_port_t parked = MACH_PORT_NULL, to = make_send_only(1, &parked);
    mach_port_t twice = make_dead_name(2), once = make_dead_name(1);
    struct letter letter;
    destroy_receive(parked);
    letter_to(&letter, to, COPY_SEND, 1);
    letter_right(&letter, twice, MOVE_SEND);
    letter_right(&letter, once, MOVE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_DEST);
    IS(refs(twice, MACH_PORT_RIGHT_DEAD_NAME), 2);
    IS(refs(once, MACH_PORT_RIGHT_DEAD_NAME), 1);
}

struct memory_message {
    mach_msg_header_t header;
    mach_msg_body_t body;
    mach_msg_ool_descriptor_t memory[2];
};

CASE(unreadable_memory_is_invalid_memory_at_a_full_queue_too)
{
    static char readable[100];
    struct memory_message m;
    mach_port_t port = make_full_port(1);
    memset(&m, 0, sizeof m);
    m.header.msgh_bits = MACH_MSGH_BITS_COMPLEX | COPY_SEND;
    m.header.msgh_remote_port = port;
    m.body.msgh_descriptor_count = 2;
    for (int i = 0; i < 2; i++)
        m.memory[i] = (mach_msg_ool_descriptor_t){.address = i == 0 ? readable : (void *)8,
                                                  .size = sizeof readable,
                                                  .copy = MACH_MSG_VIRTUAL_COPY,
                                                  .type = MACH_MSG_OOL_DESCRIPTOR};
    IS_CODE(mach_msg(&m.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof m, 0, MACH_PORT_NULL, NOW,
                     MACH_PORT_NULL),
            MACH_SEND_INVALID_MEMORY);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 1);
}

/* ---- ports that die or move ---- */

static struct memory_message slow; /* to send, as there is so much of it */

static void *send_slowly(void *unused)
{
    mach_msg_return_t code = mach_msg(&slow.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, sizeof slow,
                                      0, MACH_PORT_NULL, PROMPT, MACH_PORT_NULL);
    if (code != MACH_SEND_INVALID_DEST)
        IS_OK(code);
    return unused;
}

CASE(a_port_that_is_destroyed_while_a_right_made_for_the_message_is_on_its_way)
{
    enum { LARGE = 64 << 20 };
    vm_address_t address = 0;
    pthread_t thread;
    NEED_OK(vm_allocate(TASK, &address, LARGE, VM_FLAGS_ANYWHERE));
    for (int i = 0; i < 10; i++) {
        mach_port_t port = make_port();
        slow = (struct memory_message){
            .header = {.msgh_bits = MACH_MSGH_BITS_COMPLEX | MAKE_SEND, .msgh_remote_port = port},
            .body = {1},
            .memory = {{.address = (void *)address,
                        .size = LARGE,
                        .copy = MACH_MSG_VIRTUAL_COPY,
                        .type = MACH_MSG_OOL_DESCRIPTOR}}};
        NEED(pthread_create(&thread, NULL, send_slowly, NULL) == 0);
        while (status_of(port).mps_mscount == 0)
            continue;
        NEED_OK(mach_port_destroy(TASK, port));
        NEED(pthread_join(thread, NULL) == 0);
    }
}

CASE(a_large_message_that_was_put_back_moves_with_its_port)
{
    enum { LARGE = 1 << 20 };
    mach_port_t port = make_port_with_sends(1), carrier = make_port();
    mach_msg_header_t *m = calloc(1, LARGE + MAX_TRAILER_SIZE);
    struct letter letter;
    NEED(m != NULL);
    for (int i = 1; i <= 2; i++) {
        m->msgh_bits = COPY_SEND;
        m->msgh_remote_port = port;
        m->msgh_local_port = MACH_PORT_NULL;
        m->msgh_id = i;
        ((char *)m)[LARGE - 1] = (char)i;
        NEED_OK(mach_msg(m, MACH_SEND_MSG | MACH_SEND_TIMEOUT, LARGE, 0, MACH_PORT_NULL, PROMPT,
                         MACH_PORT_NULL));
    }
    IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 100, port,
                     NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, LARGE);
    NEED_OK(post_right(carrier, port, MOVE_RECEIVE));
    mach_port_t moved = take_right(carrier, MACH_MSG_TYPE_PORT_RECEIVE);
    for (int i = 1; i <= 2; i++) {
        memset(m, 0, LARGE);
        NEED_OK(mach_msg(m, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, LARGE + MAX_TRAILER_SIZE, moved,
                         PROMPT, MACH_PORT_NULL));
        IS(m->msgh_size, LARGE);
        IS(m->msgh_id, i);
        IS(((char *)m)[LARGE - 1], i);
    }
}

CASE(the_last_send_right_and_the_receive_right_go_in_one_message_in_either_order)
{
    const mach_msg_type_name_t orders[2][2] = {{MOVE_SEND, MOVE_RECEIVE},
                                               {MOVE_RECEIVE, MOVE_SEND}};
    for (int i = 0; i < 2; i++) {
        mach_port_t to = make_port(), port = make_port_with_sends(1);
        struct letter letter;
        tap_about("order %d", i);
        NEED_OK(post(port, COPY_SEND, 8));
        letter_to(&letter, to, MAKE_SEND, 1);
        letter_right(&letter, port, orders[i][0]);
        letter_right(&letter, port, orders[i][1]);
        IS_OK(letter_send(&letter, NOW));
        IS(is_gone(port), 1);
        take(&letter, to);
        IS(letter.ports[0].name, letter.ports[1].name);
        IS(type_of(letter.ports[0].name), MACH_PORT_TYPE_SEND_RECEIVE);
        IS(refs(letter.ports[0].name, MACH_PORT_RIGHT_SEND), 1);
        IS(take_id(letter.ports[0].name), 8);
        mach_port_t notify = make_port();
        request(letter.ports[0].name, MACH_NOTIFY_NO_SENDERS, 0, notify);
        IS(is_empty(notify), 1);
        IS_OK(mach_port_deallocate(TASK, letter.ports[0].name));
        take_notification(notify, MACH_NOTIFY_NO_SENDERS);
    }
}

/* ---- forks ---- */

static void live_on(mach_port_t home)
{
    IS_OK(post(home, COPY_SEND, 1));
    peer_sleep();
}

CASE(two_process_a_message_that_is_being_sent_is_not_the_forked_childs)
{
    mach_port_t home = make_port(), full = make_full_port(1), port = make_port(),
                notify = make_port();
    mach_port_t moved = make_port(), parked = MACH_PORT_NULL;
    struct waiter waiter;
    struct letter letter;
    IS_OK(post_right(moved, notify, MAKE_SEND_ONCE));
    letter_to(&waiter.letter, full, COPY_SEND, 5);
    letter_reply(&waiter.letter, make_port(), MAKE_SEND_ONCE);
    letter_right(&waiter.letter, make_send_once(port), MOVE_SEND_ONCE);
    letter_right(&waiter.letter, moved, MOVE_RECEIVE);
    letter_right(&waiter.letter, make_send_only(1, &parked), MOVE_SEND);
    waiter_send_letter(&waiter);
    pid_t peer = peer_start(home, live_on);
    IS(take_id(home), 1);
    request(take_right(parked, MACH_MSG_TYPE_PORT_RECEIVE), MACH_NOTIFY_NO_SENDERS, 0, notify);
    take_after_fillers(&letter, full);
    IS(letter.header.msgh_id, 5);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    mach_msg_destroy(&letter.header);
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    /* One of the right in the queue of the port that was moved, one of the port without senders. */
    take(&letter, notify);
    mach_msg_id_t ids = letter.header.msgh_id;
    take(&letter, notify);
    IS(ids + letter.header.msgh_id, MACH_NOTIFY_SEND_ONCE + MACH_NOTIFY_NO_SENDERS);
    peer_kill(peer);
}

CASE(two_process_a_message_that_was_put_back_outlives_a_fork)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1), inside = make_port();
    struct letter letter;
    IS_OK(post(inside, MAKE_SEND, 3));
    IS_OK(post_right(port, inside, MOVE_RECEIVE));
    IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 24, port,
                     NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    pid_t peer = peer_start(home, live_on);
    IS(take_id(home), 1);
    IS(take_id(take_right(port, MACH_MSG_TYPE_PORT_RECEIVE)), 3);
    peer_kill(peer);
}
