/* Port descriptors that arrive (section 2): what each disposition turns into, under which name, and
 * what becomes of the sender's. The cases named two_process_* ask the same across a process border.
 */
#include "peers.h"

enum { SEND = MACH_PORT_RIGHT_SEND, DEAD = MACH_PORT_RIGHT_DEAD_NAME };

/* ---- one process ---- */

CASE(copy_move_and_make_send_arrive_as_17_under_the_name_held)
{
    static const mach_msg_type_name_t dispositions[] = {19, 17, 20};
    static const long after_send[] = {2, 1, 2};
    for (int i = 0; i < 3; i++) {
        mach_port_t carrier = make_port(), port = make_port_with_sends(2);
        tap_about("disposition %u", dispositions[i]);
        IS_OK(post_right(carrier, port, dispositions[i]));
        IS(refs(port, SEND), after_send[i]);
        IS(take_right(carrier, 17), port);
        IS(refs(port, SEND), after_send[i] + 1);
    }
}

CASE(make_and_move_send_once_arrive_as_18_under_a_new_name_each)
{
    mach_port_t carrier = make_port(), port = make_port();
    mach_port_t moved = make_send_once(port);
    IS_OK(post_right(carrier, port, MAKE_SEND_ONCE));
    IS_OK(post_right(carrier, moved, MOVE_SEND_ONCE));
    IS_TRUE(is_gone(moved));
    mach_port_t one = take_right(carrier, 18), two = take_right(carrier, 18);
    IS_TRUE(one != two && one != port && two != port);
    IS(type_of(one), MACH_PORT_TYPE_SEND_ONCE);
    IS(type_of(two), MACH_PORT_TYPE_SEND_ONCE);
}

CASE(move_receive_arrives_as_16_under_the_name_of_held_sends)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(3);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(type_of(port), MACH_PORT_TYPE_SEND);
    IS(take_right(carrier, 16), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(refs(port, SEND), 3);
}

CASE(move_receive_without_sends_arrives_under_a_new_name)
{
    mach_port_t carrier = make_port(), port = make_port();
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_TRUE(is_gone(port));
    mach_port_t arrived = take_right(carrier, 16);
    IS(type_of(arrived), MACH_PORT_TYPE_RECEIVE);
}

CASE(a_send_right_arrives_under_the_name_of_the_receive_right_held)
{
    mach_port_t carrier = make_port(), port = make_port();
    IS_OK(post_right(carrier, port, MAKE_SEND));
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS(take_right(carrier, 17), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(move_send_drops_one_uref_and_frees_the_name_at_the_last)
{
    mach_port_t carrier = make_port(), port = make_send_only(2, NULL);
    IS_OK(post_right(carrier, port, MOVE_SEND));
    IS(refs(port, SEND), 1);
    IS_OK(post_right(carrier, port, MOVE_SEND));
    IS_TRUE(is_gone(port));
    mach_port_t one = take_right(carrier, 17), two = take_right(carrier, 17);
    IS(one, two);
    IS(refs(one, SEND), 2);
}

CASE(move_receive_keeps_queue_sorights_and_qlimit)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(1);
    set_qlimit(port, 9);
    make_send_once(port);
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS_OK(post(port, COPY_SEND, id));
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_qlimit, 9);
    IS(status_of(port).mps_sorights, 1);
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS(take_id(port), id);
}

CASE(move_receive_resets_seqno_and_mscount)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(2);
    IS_OK(post(port, COPY_SEND, 1));
    IS(take_id(port), 1);
    IS(status_of(port).mps_seqno, 1);
    IS(status_of(port).mps_mscount, 2);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_seqno, 0);
    IS(status_of(port).mps_mscount, 0);
}

CASE(senders_go_on_sending_while_the_receive_right_is_in_transit)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(1);
    IS_OK(post(port, COPY_SEND, 1));
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_OK(post(port, COPY_SEND, 2));
    IS(take_right(carrier, 16), port);
    IS_OK(post(port, COPY_SEND, 3));
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS(take_id(port), id);
}

CASE(move_receive_of_a_port_to_itself_destroys_message_and_port)
{
    mach_port_t port = make_port_with_sends(1), watched = make_port();
    struct letter letter;
    letter_to(&letter, port, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    letter_right(&letter, watched, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, NOW));
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    IS(refs(port, DEAD), 1);
    take_notification(watched, MACH_NOTIFY_SEND_ONCE);
}

CASE(move_receive_of_a_port_to_itself_through_a_send_once_right_destroys_it)
{
    for (int made = 0; made < 2; made++) {
        mach_port_t port = make_port_with_sends(1);
        mach_port_t to = made ? port : make_send_once(port);
        struct letter letter;
        tap_about(made ? "MAKE_SEND_ONCE" : "MOVE_SEND_ONCE");
        letter_to(&letter, to, made ? MAKE_SEND_ONCE : MOVE_SEND_ONCE, 1);
        letter_right(&letter, port, MOVE_RECEIVE);
        NEED_OK(letter_send(&letter, NOW));
        IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    }
}

/* The receive right leaves, and what send rights come before it in the message were made. */
CASE(send_rights_and_then_the_receive_right_of_a_port_in_one_message)
{
    static const mach_msg_type_name_t before[] = {MAKE_SEND, COPY_SEND, MOVE_SEND, MAKE_SEND_ONCE};
    for (int i = 0; i < 4; i++) {
        mach_port_t carrier = make_port(), port = make_port_with_sends(before[i] != MAKE_SEND);
        struct letter letter;
        tap_about("disposition %u", before[i]);
        letter_to(&letter, carrier, MAKE_SEND, 1);
        letter_reply(&letter, port, MAKE_SEND);
        letter_right(&letter, port, before[i]);
        letter_right(&letter, port, MOVE_RECEIVE);
        NEED_OK(letter_send(&letter, NOW));
        take(&letter, carrier);
        port = letter.ports[1].name;
        IS(letter.header.msgh_remote_port, port);
        IS(before[i] != MAKE_SEND_ONCE, letter.ports[0].name == port);
        IS_OK(post(letter.ports[0].name, i == 3 ? MOVE_SEND_ONCE : COPY_SEND, 7));
        IS(take_id(port), 7);
        IS_OK(post(port, COPY_SEND, 8));
        IS(take_id(port), 8);
    }
}

CASE(the_same_name_as_move_send_twice_works_with_two_urefs)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(2);
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, port, MOVE_SEND);
    letter_right(&letter, port, MOVE_SEND);
    NEED_OK(letter_send(&letter, NOW));
    IS(refs(port, SEND), 0);
    take(&letter, carrier);
    IS(letter.ports[0].name, port);
    IS(letter.ports[1].name, port);
    IS(refs(port, SEND), 2);
}

CASE(the_same_name_as_move_send_twice_with_one_uref_is_invalid_right_and_loses_it)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(1);
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, port, MOVE_SEND);
    letter_right(&letter, port, MOVE_SEND);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_RIGHT);
    IS(refs(port, SEND), 0);
    IS_TRUE(is_empty(carrier));
}

CASE(a_port_that_dies_while_its_right_is_in_transit_arrives_as_port_dead)
{
    static const mach_msg_type_name_t dispositions[] = {19, 17, 20, 21};
    for (int i = 0; i < 4; i++) {
        mach_port_t carrier = make_port(), port = make_port_with_sends(1);
        tap_about("disposition %u", dispositions[i]);
        IS_OK(post_right(carrier, port, dispositions[i]));
        NEED_OK(mach_port_destroy(TASK, port));
        IS(take_right(carrier, dispositions[i] == 21 ? 18 : 17), MACH_PORT_DEAD);
        IS_TRUE(is_gone(port));
    }
}

CASE(a_port_that_dies_while_its_moved_send_once_right_is_in_transit_arrives_as_port_dead)
{
    mach_port_t carrier = make_port(), port = make_port();
    IS_OK(post_right(carrier, make_send_once(port), MOVE_SEND_ONCE));
    destroy_receive(port);
    IS(take_right(carrier, 18), MACH_PORT_DEAD);
}

CASE(destroying_a_queue_destroys_a_receive_right_in_it)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(2);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    destroy_receive(carrier);
    IS_TRUE(becomes_dead(port));
    IS(refs(port, DEAD), 2);
}

CASE(destroying_a_queue_destroys_a_send_once_right_in_it)
{
    mach_port_t carrier = make_port(), port = make_port();
    IS_OK(post_right(carrier, port, MAKE_SEND_ONCE));
    destroy_receive(carrier);
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

CASE(several_rights_arrive_in_order)
{
    enum { COUNT = 40 };
    mach_port_t carrier = make_port(), ports[COUNT];
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    for (int i = 0; i < COUNT; i++) {
        ports[i] = make_port();
        letter_right(&letter, ports[i], i % 2 ? MAKE_SEND : MAKE_SEND_ONCE);
    }
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, carrier);
    IS(letter.body.msgh_descriptor_count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        tap_about("descriptor %d", i);
        IS(letter.ports[i].disposition, i % 2 ? 17 : 18);
        IS_OK(post(letter.ports[i].name, letter.ports[i].disposition, i));
        IS(take_id(ports[i]), i);
    }
}

/* ---- two processes ---- */

static void hand_over_every_disposition(mach_port_t home)
{
    static const mach_msg_type_name_t dispositions[] = {19, 17, 20, 21};
    for (mach_msg_id_t i = 0; i < 4; i++) {
        struct letter letter;
        mach_port_t port = make_port_with_sends(1);
        letter_to(&letter, home, COPY_SEND, i);
        letter_right(&letter, port, dispositions[i]);
        NEED_OK(letter_send(&letter, PROMPT));
        IS(take_id(port), 100 + i);
    }
}

CASE(two_process_send_and_send_once_rights_work_at_the_receiver)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, hand_over_every_disposition);
    for (mach_msg_id_t i = 0; i < 4; i++) {
        struct letter letter;
        take(&letter, home);
        mach_msg_type_name_t wanted = i == 3 ? 18 : 17;
        tap_about("letter %d", i);
        IS(letter.ports[0].disposition, wanted);
        IS(type_of(letter.ports[0].name), type_for(wanted));
        IS_OK(post(letter.ports[0].name, wanted, 100 + i));
    }
    peer_join(peer);
}

static void send_the_same_port_three_times(mach_port_t home)
{
    mach_port_t port = make_port();
    for (int i = 0; i < 3; i++) {
        struct letter letter;
        letter_to(&letter, home, COPY_SEND, i);
        letter_right(&letter, port, MAKE_SEND);
        NEED_OK(letter_send(&letter, PROMPT));
    }
    IS(take_id(port), 5);
}

CASE(two_process_sends_to_one_port_join_one_name)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, send_the_same_port_three_times);
    mach_port_t one = take_right(home, 17);
    IS(take_right(home, 17), one);
    IS(take_right(home, 17), one);
    IS(refs(one, SEND), 3);
    IS_OK(post(one, COPY_SEND, 5));
    peer_join(peer);
}

static void send_back_what_comes(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    mach_port_t came = take_right(mine, 17);
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, came, MOVE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
}

CASE(two_process_a_right_that_comes_home_joins_the_receive_right)
{
    mach_port_t home = make_port(), port = make_port();
    pid_t peer = peer_start(home, send_back_what_comes);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MAKE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_right(home, 17), port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    peer_join(peer);
}

static void move_a_receive_right_with_a_queue(mach_port_t home)
{
    mach_port_t port = make_port_with_sends(1);
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS_OK(post(port, COPY_SEND, id));
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(type_of(port), MACH_PORT_TYPE_SEND);
    IS_OK(post(port, COPY_SEND, 4));
}

CASE(two_process_move_receive_brings_the_queue_and_later_messages)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, move_a_receive_right_with_a_queue);
    mach_port_t port = take_right(home, 16);
    for (mach_msg_id_t id = 1; id <= 4; id++)
        IS(take_id(port), id);
    peer_join(peer);
}

static void receive_through_a_moved_port(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    mach_port_t moved = take_right(mine, 16);
    mach_port_t carried = take_right(moved, 17);
    IS_OK(post(carried, COPY_SEND, 77));
    IS(take_id(moved), 78);
}

CASE(two_process_a_moved_queue_keeps_the_rights_in_it)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1), inside = make_port();
    pid_t peer = peer_start(home, receive_through_a_moved_port);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, port, COPY_SEND, 1);
    letter_right(&letter, inside, MAKE_SEND);
    NEED_OK(letter_send(&letter, NOW));
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_id(inside), 77);
    IS_OK(post(port, COPY_SEND, 78));
    peer_join(peer);
}

static void move_a_receive_right_there_and_back(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    mach_port_t moved = take_right(mine, 16);
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, moved, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
}

CASE(two_process_a_receive_right_that_comes_home_joins_the_sends_held)
{
    mach_port_t home = make_port(), port = make_port_with_sends(2);
    pid_t peer = peer_start(home, move_a_receive_right_there_and_back);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    IS_OK(post(port, COPY_SEND, 1));
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_right(home, 16), port);
    IS(refs(port, SEND), 2);
    IS(take_id(port), 1);
    peer_join(peer);
}

static void send_a_right_and_die(mach_port_t home)
{
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, make_port(), MAKE_SEND);
    letter_right(&letter, make_port(), MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
}

CASE(two_process_rights_to_the_ports_of_a_dead_sender_arrive_as_port_dead)
{
    mach_port_t home = make_port();
    peer_join(peer_start(home, send_a_right_and_die));
    struct letter letter;
    take(&letter, home);
    IS(letter.body.msgh_descriptor_count, 2);
    IS(letter.ports[0].name, MACH_PORT_DEAD);
    IS(letter.ports[0].disposition, 17);
    IS(letter.ports[1].name, MACH_PORT_DEAD);
    IS(letter.ports[1].disposition, 18);
}

static void move_a_receive_right_and_die(mach_port_t home)
{
    mach_port_t port = make_port_with_sends(1);
    struct letter letter;
    IS_OK(post(port, COPY_SEND, 41));
    letter_to(&letter, home, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
}

CASE(two_process_a_receive_right_outlives_the_process_that_sent_it)
{
    mach_port_t home = make_port();
    peer_join(peer_start(home, move_a_receive_right_and_die));
    mach_port_t port = take_right(home, 16);
    IS(take_id(port), 41);
    add_sends(port, 1);
    IS_OK(post(port, COPY_SEND, 42));
    IS(take_id(port), 42);
}

static void hold_a_letter_unread(mach_port_t home)
{
    peer_introduce(home);
    peer_sleep();
}

CASE(two_process_a_killed_receiver_destroys_the_rights_in_its_queue)
{
    mach_port_t home = make_port(), moved = make_port_with_sends(1), replying = make_port();
    pid_t peer = peer_start(home, hold_a_letter_unread);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, moved, MOVE_RECEIVE);
    letter_right(&letter, replying, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(type_of(moved), MACH_PORT_TYPE_SEND);
    peer_kill(peer);
    IS_TRUE(becomes_dead(moved));
    take_notification(replying, MACH_NOTIFY_SEND_ONCE);
    IS_TRUE(becomes_dead(there));
}

CASE(two_process_a_killed_receiver_destroys_the_send_right_in_its_queue)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1), notify = make_port();
    pid_t peer = peer_start(home, hold_a_letter_unread);
    struct letter letter;
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    letter_to(&letter, peer_meet(home), COPY_SEND, 1);
    letter_right(&letter, port, MOVE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    IS_TRUE(is_empty(notify));
    peer_kill(peer);
    IS(take_notification(notify, MACH_NOTIFY_NO_SENDERS), 1);
}

CASE(a_send_once_right_follows_its_moved_port)
{
    mach_port_t carrier = make_port(), port = make_port();
    mach_port_t before = make_send_once(port), after = make_send_once(port);
    IS_OK(post(before, MOVE_SEND_ONCE, 1));
    NEED_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_OK(post(after, MOVE_SEND_ONCE, 2));
    mach_port_t moved = take_right(carrier, 16);
    IS(take_id(moved), 1);
    IS(take_id(moved), 2);
    IS(status_of(moved).mps_sorights, 0);
}

static void receive_two_send_once_messages(mach_port_t home)
{
    mach_port_t moved = take_right(peer_introduce(home), 16);
    IS(take_id(moved), 1);
    IS_OK(post(home, COPY_SEND, 99));
    IS(take_id(moved), 2);
}

CASE(two_process_a_send_once_right_follows_its_moved_port)
{
    mach_port_t home = make_port(), port = make_port();
    mach_port_t before = make_send_once(port), after = make_send_once(port);
    pid_t peer = peer_start(home, receive_two_send_once_messages);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    IS_OK(post(before, MOVE_SEND_ONCE, 1));
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_id(home), 99);
    IS_OK(post(after, MOVE_SEND_ONCE, 2));
    peer_join(peer);
}

static void pass_on_what_comes(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    struct letter letter;
    take(&letter, mine);
    mach_port_t next = letter.ports[0].name, moved = letter.ports[1].name;
    letter_to(&letter, next, COPY_SEND, 1);
    letter_right(&letter, moved, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
}

static void receive_three(mach_port_t home)
{
    mach_port_t moved = take_right(peer_introduce(home), 16);
    for (mach_msg_id_t id = 1; id <= 3; id++)
        IS(take_id(moved), id);
}

CASE(three_process_a_receive_right_moves_on_with_its_queue)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1);
    pid_t one = peer_start(home, pass_on_what_comes);
    mach_port_t first = peer_meet(home);
    pid_t two = peer_start(home, receive_three);
    mach_port_t second = peer_meet(home);
    struct letter letter;
    IS_OK(post(port, COPY_SEND, 1));
    letter_to(&letter, first, COPY_SEND, 1);
    letter_right(&letter, second, COPY_SEND);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS_OK(post(port, COPY_SEND, 2));
    peer_join(one);
    IS_OK(post(port, COPY_SEND, 3));
    peer_join(two);
}
