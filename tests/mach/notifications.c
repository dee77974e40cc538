/* Notifications (section 8, and part B of the rest): how each looks, when it fires, what a request
 * returns and what a failed one consumes. */
#include "peers.h"

#include <string.h>

enum {
    SEND = MACH_PORT_RIGHT_SEND,
    DEAD = MACH_PORT_RIGHT_DEAD_NAME,
    DEAD_NAME = MACH_NOTIFY_DEAD_NAME,
    NO_SENDERS = MACH_NOTIFY_NO_SENDERS,
    PORT_DESTROYED = MACH_NOTIFY_PORT_DESTROYED,
};

/* Takes a notification and compares everything in it that is the same for all of its kind. */
static unsigned take_exact(mach_port_t notify, mach_msg_id_t id, mach_msg_size_t size)
{
    static const unsigned char ndr[8] = {0, 0, 0, 0, 1, 0, 0, 0};
    struct letter letter;
    unsigned value = 0;
    take(&letter, notify);
    IS(letter.header.msgh_id, id);
    IS(letter.header.msgh_size, size);
    IS(letter.header.msgh_bits, id == PORT_DESTROYED ? 0x80001200 : 0x1200);
    IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
    IS(letter.header.msgh_local_port, notify);
    if (size == 36) {
        IS(memcmp(letter.bytes + 24, ndr, sizeof ndr), 0);
        memcpy(&value, letter.bytes + 32, sizeof value);
    } else if (size == 40) {
        IS(letter.body.msgh_descriptor_count, 1);
        IS(letter.ports[0].disposition, 16);
        IS(letter.ports[0].type, MACH_MSG_PORT_DESCRIPTOR);
        value = letter.ports[0].name;
    }
    return value;
}

/* ---- each kind as it looks ---- */

CASE(send_once_is_id_71_of_24_bytes)
{
    mach_port_t port = make_port();
    IS_OK(mach_port_deallocate(TASK, make_send_once(port)));
    take_exact(port, 71, 24);
}

CASE(dead_name_is_id_72_of_36_bytes_with_the_name)
{
    mach_port_t notify = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_send_only(1, &parked);
    request(port, DEAD_NAME, 0, notify);
    destroy_receive(parked);
    IS(take_exact(notify, 72, 36), port);
}

CASE(no_senders_is_id_70_of_36_bytes_with_the_mscount)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(3);
    request(port, NO_SENDERS, 0, notify);
    IS_TRUE(is_empty(notify));
    IS_OK(mach_port_mod_refs(TASK, port, SEND, -3));
    IS(take_exact(notify, 70, 36), 3);
}

CASE(port_destroyed_is_id_69_of_40_bytes_with_the_receive_right)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    request(port, PORT_DESTROYED, 0, notify);
    destroy_receive(port);
    IS(type_of(port), MACH_PORT_TYPE_SEND);
    IS(take_exact(notify, 69, 40), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(port_deleted_is_id_65_of_36_bytes_with_the_name)
{
    mach_port_t notify = make_port(), port = make_send_only(1, NULL);
    request(port, DEAD_NAME, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_exact(notify, 65, 36), port);
}

/* ---- dead names ---- */

CASE(dead_name_adds_a_dead_uref)
{
    mach_port_t notify = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_send_only(2, &parked);
    request(port, DEAD_NAME, 0, notify);
    destroy_receive(parked);
    IS(take_notification(notify, DEAD_NAME), port);
    IS(refs(port, DEAD), 3);
}

CASE(dead_name_of_a_port_whose_receive_right_is_held_fires)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(2);
    request(port, DEAD_NAME, 0, notify);
    destroy_receive(port);
    IS(take_notification(notify, DEAD_NAME), port);
    IS(refs(port, DEAD), 3);
}

CASE(a_name_given_back_after_its_port_died_is_dead_not_deleted)
{
    for (int destroyed = 0; destroyed < 2; destroyed++) {
        mach_port_t notify = make_port(), parked = MACH_PORT_NULL;
        tap_about(destroyed ? "destroy" : "deallocate");
        for (int i = 0; i < 50; i++) {
            mach_port_t port = make_send_only(1, &parked);
            request(port, DEAD_NAME, 0, notify);
            destroy_receive(parked);
            IS_OK(destroyed ? mach_port_destroy(TASK, port) : mach_port_deallocate(TASK, port));
            IS(take_notification(notify, DEAD_NAME), port);
            IS(refs(port, DEAD), destroyed ? -1 : 1);
            if (!destroyed)
                IS_OK(mach_port_deallocate(TASK, port));
        }
        IS_TRUE(is_empty(notify));
    }
}

CASE(a_name_sent_away_after_its_port_died_is_dead_not_deleted)
{
    mach_port_t notify = make_port(), carrier = make_port(), parked = MACH_PORT_NULL;
    for (int i = 0; i < 50; i++) {
        mach_port_t port = make_send_only(1, &parked);
        request(port, DEAD_NAME, 0, notify);
        destroy_receive(parked);
        IS_OK(post_right(carrier, port, MOVE_SEND));
        IS(take_right(carrier, 17), MACH_PORT_DEAD);
        IS(take_notification(notify, DEAD_NAME), port);
        IS(refs(port, DEAD), 1);
        IS_OK(mach_port_deallocate(TASK, port));
    }
    IS_TRUE(is_empty(notify));
}

CASE(a_name_whose_last_right_is_inserted_elsewhere_is_deleted)
{
    mach_port_t notify = make_port(), port = make_send_only(1, NULL), fresh = make_port();
    destroy_receive(fresh);
    request(port, DEAD_NAME, 0, notify);
    IS_OK(mach_port_insert_right(TASK, fresh, port, MOVE_SEND));
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), port);
    IS_TRUE(is_gone(port));
    request(fresh, DEAD_NAME, 0, notify); /* the new name has no request yet */
    IS_OK(mach_port_deallocate(TASK, fresh));
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), fresh);
}

CASE(a_second_request_returns_the_earlier_right)
{
    mach_port_t first = make_port(), second = make_port(), port = make_port_with_sends(1);
    IS(request(port, DEAD_NAME, 0, first), MACH_PORT_NULL);
    mach_port_t previous = request(port, DEAD_NAME, 0, second);
    IS(type_of(previous), MACH_PORT_TYPE_SEND_ONCE);
    IS_OK(post(previous, MOVE_SEND_ONCE, 4));
    IS(take_id(first), 4);
    destroy_receive(port);
    IS(take_notification(second, DEAD_NAME), port);
    IS_TRUE(is_empty(first));
}

CASE(a_second_request_returns_dead_when_the_first_ones_port_has_died)
{
    static const mach_msg_id_t ids[] = {PORT_DESTROYED, NO_SENDERS, DEAD_NAME};
    mach_port_t port = make_port_with_sends(1), other = make_port();
    for (int i = 0; i < 3; i++) {
        mach_port_t notify = make_port();
        tap_about("%d", ids[i]);
        request(port, ids[i], 0, notify);
        destroy_receive(notify);
        IS(request(port, ids[i], 0, other), MACH_PORT_DEAD);
    }
}

CASE(a_null_request_cancels_and_returns_the_earlier_right)
{
    static const mach_msg_id_t ids[] = {DEAD_NAME, NO_SENDERS, PORT_DESTROYED};
    for (int i = 0; i < 3; i++) {
        mach_port_t notify = make_port(), port = make_port_with_sends(1);
        mach_port_t previous = MACH_PORT_NULL;
        tap_about("id %d", ids[i]);
        request(port, ids[i], 0, notify);
        IS_OK(mach_port_request_notification(TASK, port, ids[i], 0, MACH_PORT_NULL, MAKE_SEND_ONCE,
                                             &previous));
        IS(type_of(previous), MACH_PORT_TYPE_SEND_ONCE);
        IS_OK(post(previous, MOVE_SEND_ONCE, 4));
        IS(take_id(notify), 4);
        NEED_OK(mach_port_destroy(TASK, port));
        IS_TRUE(is_empty(notify));
    }
}

CASE(already_dead_with_sync_0_is_invalid_argument)
{
    mach_port_t notify = make_port(), name = make_dead_name(1), previous = MACH_PORT_NULL;
    IS_CODE(
        mach_port_request_notification(TASK, name, DEAD_NAME, 0, notify, MAKE_SEND_ONCE, &previous),
        KERN_INVALID_ARGUMENT);
    IS(refs(name, DEAD), 1);
}

CASE(already_dead_with_sync_1_fires_at_once)
{
    mach_port_t notify = make_port(), name = make_dead_name(1);
    IS(request(name, DEAD_NAME, 1, notify), MACH_PORT_NULL);
    IS(take_notification(notify, DEAD_NAME), name);
    IS(refs(name, DEAD), 2);
}

CASE(the_name_deallocated_first_is_port_deleted_at_the_last_uref)
{
    mach_port_t notify = make_port(), port = make_send_only(2, NULL);
    request(port, DEAD_NAME, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(is_empty(notify));
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), port);
}

CASE(dnrequest_shows_in_the_type_until_it_fires)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    request(port, DEAD_NAME, 0, notify);
    IS(type_of(port), 0x80030000);
    destroy_receive(port);
    IS(take_notification(notify, DEAD_NAME), port);
    IS(type_of(port), 0x100000);
}

CASE(dnrequest_shows_on_send_and_send_once_rights)
{
    mach_port_t notify = make_port(), send = make_send_only(1, NULL);
    mach_port_t once = make_send_once(make_port());
    request(send, DEAD_NAME, 0, notify);
    IS(type_of(send), 0x80010000);
    request(once, DEAD_NAME, 0, notify);
    IS(type_of(once), 0x80040000);
}

CASE(dead_name_on_a_send_once_right_fires_when_the_port_dies)
{
    mach_port_t notify = make_port(), port = make_port(), once = make_send_once(port);
    request(once, DEAD_NAME, 0, notify);
    destroy_receive(port);
    IS(take_notification(notify, DEAD_NAME), once);
    IS(refs(once, DEAD), 2);
}

CASE(dead_name_on_a_send_once_right_that_is_used_is_port_deleted)
{
    mach_port_t notify = make_port(), port = make_port(), once = make_send_once(port);
    request(once, DEAD_NAME, 0, notify);
    IS_OK(post(once, MOVE_SEND_ONCE, 1));
    IS(take_notification(notify, MACH_NOTIFY_PORT_DELETED), once);
    IS(take_id(port), 1);
}

/* ---- port destroyed ---- */

CASE(port_destroyed_with_sync_1_is_invalid_value)
{
    mach_port_t notify = make_port(), port = make_port(), previous = MACH_PORT_NULL;
    IS_CODE(mach_port_request_notification(TASK, port, PORT_DESTROYED, 1, notify, MAKE_SEND_ONCE,
                                           &previous),
            KERN_INVALID_VALUE);
    take_notification(notify, MACH_NOTIFY_SEND_ONCE);
}

CASE(port_destroyed_delivers_the_queue_too)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    IS_OK(post(port, COPY_SEND, 61));
    IS_OK(post(port, COPY_SEND, 62));
    request(port, PORT_DESTROYED, 0, notify);
    IS(status_of(port).mps_pdrequest, 1);
    destroy_receive(port);
    IS(take_notification(notify, PORT_DESTROYED), port);
    IS(take_id(port), 61);
    IS(take_id(port), 62);
    IS(status_of(port).mps_pdrequest, 0);
}

CASE(port_destroyed_survives_moving_the_receive_right)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    request(port, PORT_DESTROYED, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS_TRUE(is_empty(notify));
    IS(status_of(port).mps_pdrequest, 1);
    destroy_receive(port);
    IS(take_notification(notify, PORT_DESTROYED), port);
}

CASE(port_destroyed_brings_a_receive_right_that_a_failed_send_destroyed)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    struct letter letter;
    request(port, PORT_DESTROYED, 0, notify);
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    letter_right(&letter, BOGUS, COPY_SEND);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_RIGHT);
    IS(take_notification(notify, PORT_DESTROYED), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(port_destroyed_brings_a_receive_right_from_a_queue_that_dies)
{
    mach_port_t notify = make_port(), carrier = make_port(), port = make_port_with_sends(1);
    request(port, PORT_DESTROYED, 0, notify);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    destroy_receive(carrier);
    IS(take_notification(notify, PORT_DESTROYED), port);
}

/* ---- send once ---- */

CASE(send_once_fires_when_an_unused_right_is_dropped)
{
    mach_port_t port = make_port();
    IS_OK(mach_port_deallocate(TASK, make_send_once(port)));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS_OK(mach_port_mod_refs(TASK, make_send_once(port), MACH_PORT_RIGHT_SEND_ONCE, -1));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS_OK(mach_port_destroy(TASK, make_send_once(port)));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

/* ---- refused requests ---- */

static void try_request(enum kind kind, mach_msg_id_t id, kern_return_t wanted)
{
    mach_port_t notify = make_port(), name = make_kind(kind), previous = MACH_PORT_NULL;
    tap_about("%s, id %d", kind_name(kind), id);
    IS_CODE(mach_port_request_notification(TASK, name, id, 0, notify, MAKE_SEND_ONCE, &previous),
            wanted);
}

CASE(ids_other_than_69_70_72_are_invalid_value)
{
    static const mach_msg_id_t ids[] = {0, 64, 65, 66, 68, 71, 73, -1};
    for (int i = 0; i < 8; i++)
        try_request(A_SEND_RECEIVE, ids[i], KERN_INVALID_VALUE);
}

CASE(no_senders_and_port_destroyed_need_the_receive_right)
{
    static const enum kind kinds[] = {A_SEND, A_SEND_ONCE, A_SET, A_DEAD_NAME};
    for (int i = 0; i < 4; i++) {
        try_request(kinds[i], NO_SENDERS, KERN_INVALID_RIGHT);
        try_request(kinds[i], PORT_DESTROYED, KERN_INVALID_RIGHT);
    }
}

CASE(dead_name_works_on_receive_send_and_send_once_but_not_on_a_set)
{
    try_request(A_RECEIVE, DEAD_NAME, KERN_SUCCESS);
    try_request(A_SEND, DEAD_NAME, KERN_SUCCESS);
    try_request(A_SEND_RECEIVE, DEAD_NAME, KERN_SUCCESS);
    try_request(A_SEND_ONCE, DEAD_NAME, KERN_SUCCESS);
    try_request(A_SET, DEAD_NAME, KERN_INVALID_RIGHT);
}

CASE(a_failed_request_consumes_the_notify_right)
{
    mach_port_t notify = make_port(), previous = MACH_PORT_NULL;
    mach_port_t once = make_send_once(notify);
    IS_CODE(mach_port_request_notification(TASK, make_set(), DEAD_NAME, 0, once, MOVE_SEND_ONCE,
                                           &previous),
            KERN_INVALID_RIGHT);
    IS_TRUE(is_gone(once));
    take_notification(notify, MACH_NOTIFY_SEND_ONCE);
}

CASE(a_notify_disposition_other_than_18_or_21_is_a_type_error)
{
    static const mach_msg_type_name_t dispositions[] = {16, 17, 19, 20};
    for (int i = 0; i < 4; i++) {
        mach_port_t notify = make_port_with_sends(1), port = make_port(), previous;
        tap_about("disposition %u", dispositions[i]);
        IS_CODE(mach_port_request_notification(TASK, port, NO_SENDERS, 5, notify, dispositions[i],
                                               &previous),
                MIG_TYPE_ERROR);
    }
}

CASE(a_bogus_notify_name_is_invalid_name_and_a_dead_one_invalid_capability)
{
    mach_port_t port = make_port(), previous = MACH_PORT_NULL;
    IS_CODE(
        mach_port_request_notification(TASK, port, NO_SENDERS, 5, BOGUS, MAKE_SEND_ONCE, &previous),
        KERN_INVALID_NAME);
    IS_CODE(mach_port_request_notification(TASK, port, NO_SENDERS, 5, MACH_PORT_DEAD,
                                           MAKE_SEND_ONCE, &previous),
            KERN_INVALID_CAPABILITY);
}
