/* Where notifications go, and what the death of a process fires (section 8): notify ports that
 * move, are in a set or belong to another process; senders and owners that are killed. */
#include "peers.h"

enum {
    DEAD = MACH_PORT_RIGHT_DEAD_NAME,
    DEAD_NAME = MACH_NOTIFY_DEAD_NAME,
    NO_SENDERS = MACH_NOTIFY_NO_SENDERS,
    PORT_DESTROYED = MACH_NOTIFY_PORT_DESTROYED,
};

/* ---- where a notification goes ---- */

CASE(a_notify_port_that_moves_still_receives)
{
    mach_port_t notify = make_port(), carrier = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_send_only(1, &parked);
    request(port, DEAD_NAME, 0, notify);
    IS_OK(post_right(carrier, notify, MOVE_RECEIVE));
    mach_port_t moved = take_right(carrier, 16);
    destroy_receive(parked);
    IS(take_notification(moved, DEAD_NAME), port);
}

CASE(a_notification_that_waits_moves_with_its_port)
{
    mach_port_t notify = make_port(), carrier = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_send_only(1, &parked);
    request(port, DEAD_NAME, 0, notify);
    destroy_receive(parked);
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    IS_OK(post_right(carrier, notify, MOVE_RECEIVE));
    IS(take_notification(take_right(carrier, 16), DEAD_NAME), port);
}

CASE(a_notification_arrives_at_the_set_of_its_port)
{
    mach_port_t notify = make_port(), set = make_set(), port = make_port_with_sends(1);
    NEED_OK(mach_port_insert_member(TASK, notify, set));
    request(port, NO_SENDERS, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(set, NO_SENDERS), 1);
}

CASE(notifications_of_several_kinds_come_to_one_port)
{
    mach_port_t notify = make_port(), parked = MACH_PORT_NULL;
    mach_port_t port = make_port_with_sends(1), dies = make_send_only(1, &parked);
    int seen[100] = {0};
    request(port, NO_SENDERS, 0, notify);
    request(dies, DEAD_NAME, 0, notify);
    mach_port_t once = make_send_once(notify);
    IS_OK(mach_port_deallocate(TASK, port));
    destroy_receive(parked);
    IS_OK(mach_port_deallocate(TASK, once));
    for (int i = 0; i < 3; i++) {
        mach_msg_id_t id = take_id(notify);
        NEED(id >= 0 && id < 100);
        seen[id]++;
    }
    IS(seen[NO_SENDERS], 1);
    IS(seen[DEAD_NAME], 1);
    IS(seen[MACH_NOTIFY_SEND_ONCE], 1);
}

/* ---- two processes ---- */

static void introduce_and_sleep(mach_port_t home)
{
    peer_introduce(home);
    peer_sleep();
}

CASE(two_process_the_death_of_the_owner_fires_dead_name)
{
    mach_port_t home = make_port(), notify = make_port();
    pid_t peer = peer_start(home, introduce_and_sleep);
    mach_port_t there = peer_meet(home);
    request(there, DEAD_NAME, 0, notify);
    IS_TRUE(is_empty(notify));
    peer_kill(peer);
    IS(take_notification(notify, DEAD_NAME), there);
    IS(refs(there, DEAD), 2);
}

static void take_a_right_and_sleep(mach_port_t home)
{
    struct letter letter;
    take(&letter, peer_introduce(home));
    IS_OK(post(home, COPY_SEND, 90));
    peer_sleep();
}

static pid_t give_to_peer(mach_port_t name, mach_msg_type_name_t disposition)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, take_a_right_and_sleep);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, name, disposition);
    NEED_OK(letter_send(&letter, PROMPT));
    NEED(take_id(home) == 90);
    return peer;
}

CASE(two_process_the_death_of_the_last_sender_fires_no_senders)
{
    mach_port_t port = make_port(), notify = make_port();
    pid_t peer = give_to_peer(port, MAKE_SEND);
    request(port, NO_SENDERS, 0, notify);
    IS_TRUE(is_empty(notify));
    peer_kill(peer);
    IS(take_notification(notify, NO_SENDERS), 1);
}

CASE(two_process_no_senders_waits_for_every_process)
{
    mach_port_t port = make_port(), notify = make_port();
    pid_t one = give_to_peer(port, MAKE_SEND), two = give_to_peer(port, MAKE_SEND);
    request(port, NO_SENDERS, 0, notify);
    peer_kill(one);
    IS_TRUE(is_empty(notify));
    peer_kill(two);
    IS(take_notification(notify, NO_SENDERS), 2);
}

CASE(two_process_the_death_of_the_owner_of_a_send_once_right_fires_send_once)
{
    mach_port_t port = make_port();
    pid_t peer = give_to_peer(port, MAKE_SEND_ONCE);
    IS_TRUE(is_empty(port));
    peer_kill(peer);
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

static void drop_what_comes(mach_port_t home)
{
    mach_port_t right = take_right(peer_introduce(home), 17);
    IS_OK(mach_port_deallocate(TASK, right));
    peer_sleep();
}

CASE(two_process_a_deallocated_send_right_fires_no_senders)
{
    mach_port_t home = make_port(), port = make_port(), notify = make_port();
    pid_t peer = peer_start(home, drop_what_comes);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MAKE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    request(port, NO_SENDERS, 1, notify);
    IS(take_notification(notify, NO_SENDERS), 1);
    peer_kill(peer);
}

static void move_an_armed_port_home(mach_port_t home)
{
    struct letter letter;
    mach_port_t mine = peer_introduce(home);
    mach_port_t port = make_port_with_sends(1);
    request(port, NO_SENDERS, 0, mine);
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS_TRUE(is_empty(mine));
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_notification(mine, NO_SENDERS), 0);
}

CASE(two_process_no_senders_survives_moving_the_receive_right_away)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, move_an_armed_port_home);
    peer_meet(home);
    IS(type_of(take_right(home, 16)), MACH_PORT_TYPE_RECEIVE);
    peer_join(peer);
}

static void move_an_unread_port_and_watch(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    mach_port_t moved = take_right(mine, 16);
    IS(take_id(moved), 1);
    IS_OK(post(home, COPY_SEND, 91));
    peer_sleep();
}

CASE(two_process_dead_name_follows_a_moved_receive_right)
{
    mach_port_t home = make_port(), notify = make_port(), port = make_port_with_sends(1);
    pid_t peer = peer_start(home, move_an_unread_port_and_watch);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    IS_OK(post(port, COPY_SEND, 1));
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    request(port, DEAD_NAME, 0, notify);
    IS(take_id(home), 91);
    IS_TRUE(is_empty(notify));
    peer_kill(peer);
    IS(take_notification(notify, DEAD_NAME), port);
}

/* Sends home three send-once rights to a port of its own and says what came there. */
static void be_notified(mach_port_t home)
{
    mach_port_t mine = make_port();
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    for (int i = 0; i < 3; i++)
        letter_right(&letter, mine, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    for (int i = 0; i < 3; i++) {
        take(&letter, mine);
        IS(letter.header.msgh_bits, 0x1200);
        IS(letter.header.msgh_local_port, mine);
        IS_OK(post(home, COPY_SEND, letter.header.msgh_id));
    }
}

CASE(two_process_notifications_go_to_the_port_of_another_process)
{
    mach_port_t home = make_port(), parked = MACH_PORT_NULL, previous = MACH_PORT_NULL;
    mach_port_t port = make_port_with_sends(1), dies = make_send_only(1, &parked);
    pid_t peer = peer_start(home, be_notified);
    struct letter letter;
    take(&letter, home);
    NEED_OK(mach_port_request_notification(TASK, port, NO_SENDERS, 0, letter.ports[0].name,
                                           MOVE_SEND_ONCE, &previous));
    NEED_OK(mach_port_request_notification(TASK, dies, DEAD_NAME, 0, letter.ports[1].name,
                                           MOVE_SEND_ONCE, &previous));
    IS_OK(mach_port_deallocate(TASK, port));
    IS(take_id(home), NO_SENDERS);
    destroy_receive(parked);
    IS(take_id(home), DEAD_NAME);
    IS_OK(mach_port_deallocate(TASK, letter.ports[2].name));
    IS(take_id(home), MACH_NOTIFY_SEND_ONCE);
    peer_join(peer);
}

static void arm_dead_name_and_sleep(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home), previous = MACH_PORT_NULL;
    mach_port_t notify = take_right(mine, 18);
    NEED_OK(mach_port_request_notification(TASK, home, DEAD_NAME, 0, notify, MOVE_SEND_ONCE,
                                           &previous));
    IS_OK(post(home, COPY_SEND, 93));
    peer_sleep();
}

CASE(two_process_a_dead_name_request_of_a_killed_process_is_port_deleted)
{
    mach_port_t home = make_port(), notify = make_port();
    pid_t peer = peer_start(home, arm_dead_name_and_sleep);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, notify, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    NEED(take_id(home) == 93);
    peer_kill(peer);
    IS(take_id(notify), MACH_NOTIFY_PORT_DELETED);
}

static void arm_port_destroyed_and_sleep(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home), previous = MACH_PORT_NULL;
    mach_port_t notify = take_right(mine, 18);
    NEED_OK(mach_port_request_notification(TASK, mine, PORT_DESTROYED, 0, notify, MOVE_SEND_ONCE,
                                           &previous));
    IS_OK(post(home, COPY_SEND, 92));
    peer_sleep();
}

CASE(two_process_port_destroyed_brings_the_receive_right_of_a_killed_process)
{
    mach_port_t home = make_port(), notify = make_port();
    pid_t peer = peer_start(home, arm_port_destroyed_and_sleep);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, notify, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    NEED(take_id(home) == 92);
    peer_kill(peer);
    IS(take_notification(notify, PORT_DESTROYED), there);
    IS(type_of(there), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(two_process_a_dead_name_request_of_before_the_move_fires_when_the_new_owner_dies)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    request(port, DEAD_NAME, 0, notify);
    peer_kill(give_to_peer(port, MOVE_RECEIVE));
    IS(take_notification(notify, DEAD_NAME), port); /* nobody has looked at the name */
    IS(refs(port, DEAD), 2);
}
