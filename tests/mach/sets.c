/* Port sets (section 6 and part D of the rest): membership, receiving from a set, and what happens
 * to a receiver that waits while its set changes. */
#include "peers.h"

enum { PORT_SET = MACH_PORT_RIGHT_PORT_SET };

static mach_port_t make_member(mach_port_t set)
{
    mach_port_t port = make_port_with_sends(1);
    NEED_OK(mach_port_insert_member(TASK, port, set));
    return port;
}

/* ---- membership ---- */

CASE(a_port_may_be_in_several_sets)
{
    mach_port_t one = make_set(), two = make_set(), port = make_member(one);
    IS_OK(mach_port_insert_member(TASK, port, two));
    IS(status_of(port).mps_pset, 1);
    IS_OK(post(port, COPY_SEND, 1));
    IS(take_id(two), 1);
    IS_OK(post(port, COPY_SEND, 2));
    IS(take_id(one), 2);
}

CASE(re_insert_is_already_in_set)
{
    mach_port_t set = make_set(), port = make_member(set);
    IS_CODE(mach_port_insert_member(TASK, port, set), KERN_ALREADY_IN_SET);
}

CASE(extract_of_a_non_member_is_not_in_set)
{
    mach_port_t set = make_set(), other = make_set(), port = make_member(other);
    IS_CODE(mach_port_extract_member(TASK, port, set), KERN_NOT_IN_SET);
    IS_CODE(mach_port_extract_member(TASK, make_port(), set), KERN_NOT_IN_SET);
}

CASE(extract_of_a_member_leaves_the_set)
{
    mach_port_t set = make_set(), port = make_member(set);
    IS_OK(mach_port_extract_member(TASK, port, set));
    IS(status_of(port).mps_pset, 0);
    IS_OK(post(port, COPY_SEND, 1));
    IS_TRUE(is_empty(set));
    IS(take_id(port), 1);
}

CASE(a_set_into_a_set_is_invalid_right)
{
    IS_CODE(mach_port_insert_member(TASK, make_set(), make_set()), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_move_member(TASK, make_set(), make_set()), KERN_INVALID_RIGHT);
}

CASE(move_member_to_null_removes_from_all)
{
    mach_port_t one = make_set(), two = make_set(), port = make_member(one);
    IS_OK(mach_port_insert_member(TASK, port, two));
    IS_OK(mach_port_move_member(TASK, port, MACH_PORT_NULL));
    IS(status_of(port).mps_pset, 0);
    IS_OK(post(port, COPY_SEND, 1));
    IS_TRUE(is_empty(one));
    IS_TRUE(is_empty(two));
}

CASE(move_member_to_null_of_a_port_in_no_set_succeeds)
{
    IS_OK(mach_port_move_member(TASK, make_port(), MACH_PORT_NULL));
}

CASE(move_member_to_the_set_it_is_in_leaves_it_there_once)
{
    mach_port_t set = make_set(), port = make_member(set);
    IS_OK(mach_port_move_member(TASK, port, set));
    IS_OK(mach_port_extract_member(TASK, port, set));
    IS_CODE(mach_port_extract_member(TASK, port, set), KERN_NOT_IN_SET);
}

CASE(move_member_from_two_sets_to_one_leaves_the_other)
{
    mach_port_t one = make_set(), two = make_set(), port = make_member(one);
    IS_OK(mach_port_insert_member(TASK, port, two));
    IS_OK(mach_port_move_member(TASK, port, two));
    IS_CODE(mach_port_extract_member(TASK, port, one), KERN_NOT_IN_SET);
    IS_OK(mach_port_extract_member(TASK, port, two));
}

static kern_return_t member_code(enum kind member, enum kind set)
{
    if (member == NAME_NULL || member == NAME_DEAD)
        return KERN_INVALID_RIGHT;
    if (member == NAME_BOGUS || set == NAME_BOGUS)
        return KERN_INVALID_NAME;
    return KERN_INVALID_RIGHT;
}

CASE(members_and_sets_of_the_wrong_kind)
{
    static const enum kind sets[] = {A_SET,       NAME_NULL, A_RECEIVE, A_SEND,
                                     A_DEAD_NAME, NAME_DEAD, NAME_BOGUS};
    for (enum kind member = 0; member < KINDS; member++) {
        for (int i = 0; i < 7; i++) {
            int receives = member == A_RECEIVE || member == A_SEND_RECEIVE;
            if ((receives && sets[i] == A_SET) || (member == NAME_BOGUS && sets[i] != A_SET))
                continue;
            mach_port_t name = make_kind(member), set = make_kind(sets[i]);
            kern_return_t wanted = member_code(member, sets[i]);
            tap_about("%s into %s", kind_name(member), kind_name(sets[i]));
            IS_CODE(mach_port_insert_member(TASK, name, set), wanted);
            IS_CODE(mach_port_extract_member(TASK, name, set), wanted);
            IS_CODE(mach_port_move_member(TASK, name, set),
                    receives && sets[i] == NAME_NULL ? KERN_SUCCESS : wanted);
        }
    }
}

CASE(mod_refs_of_a_set)
{
    mach_port_t set = make_set(), port = make_member(set);
    IS_OK(mach_port_mod_refs(TASK, set, PORT_SET, 0));
    IS_CODE(mach_port_mod_refs(TASK, set, PORT_SET, -2), KERN_INVALID_VALUE);
    IS(type_of(set), MACH_PORT_TYPE_PORT_SET);
    IS_OK(mach_port_mod_refs(TASK, set, PORT_SET, -1));
    IS_TRUE(is_gone(set));
    IS(status_of(port).mps_pset, 0);
    IS_OK(post(port, COPY_SEND, 1));
    IS(take_id(port), 1);
}

CASE(get_set_status_lists_the_members)
{
    mach_port_t set = make_set(), ports[3];
    mach_port_name_array_t members = NULL;
    mach_msg_type_number_t count = 99;
    IS_OK(mach_port_get_set_status(TASK, set, &members, &count));
    IS(count, 0);
    IS_TRUE(members == NULL);
    for (int i = 0; i < 3; i++)
        ports[i] = make_member(set);
    NEED_OK(mach_port_get_set_status(TASK, set, &members, &count));
    IS(count, 3);
    for (int i = 0; i < 3; i++) {
        int found = 0;
        for (mach_msg_type_number_t j = 0; j < count; j++)
            found += members[j] == ports[i];
        IS(found, 1);
    }
    IS_OK(vm_deallocate(TASK, (vm_address_t)members, count * sizeof *members));
}

CASE(get_set_status_of_another_kind)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        mach_port_name_array_t members = NULL;
        mach_msg_type_number_t count = 0;
        if (kind == A_SET)
            continue;
        tap_about("%s", kind_name(kind));
        IS_CODE(mach_port_get_set_status(TASK, make_kind(kind), &members, &count),
                kind == NAME_BOGUS ? KERN_INVALID_NAME : KERN_INVALID_RIGHT);
    }
}

CASE(moving_the_receive_right_leaves_all_sets)
{
    mach_port_t set = make_set(), port = make_member(set), carrier = make_port();
    IS_OK(post(port, COPY_SEND, 1));
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_TRUE(is_empty(set));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_pset, 0);
    IS_TRUE(is_empty(set));
    IS(take_id(port), 1);
}

CASE(extracting_the_receive_right_leaves_all_sets)
{
    mach_port_t set = make_set(), port = make_member(set), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    NEED_OK(mach_port_extract_right(TASK, port, MOVE_RECEIVE, &got, &poly));
    IS(status_of(got).mps_pset, 0);
    IS_OK(post(got, COPY_SEND, 1));
    IS_TRUE(is_empty(set));
}

CASE(destroying_a_member_leaves_the_set_usable)
{
    mach_port_t set = make_set(), port = make_member(set), other = make_member(set);
    IS_OK(post(port, COPY_SEND, 1));
    destroy_receive(port);
    IS_TRUE(is_empty(set));
    IS_OK(post(other, COPY_SEND, 2));
    IS(take_id(set), 2);
}

/* ---- receiving ---- */

CASE(msgh_local_port_names_the_member)
{
    mach_port_t set = make_set(), one = make_member(set), two = make_member(set);
    struct letter letter;
    IS_OK(post(two, COPY_SEND, 1));
    take(&letter, set);
    IS(letter.header.msgh_local_port, two);
    IS_OK(post(one, COPY_SEND, 1));
    take(&letter, set);
    IS(letter.header.msgh_local_port, one);
}

CASE(a_member_can_be_received_from_directly)
{
    mach_port_t set = make_set(), port = make_member(set);
    IS_OK(post(port, COPY_SEND, 1));
    IS(take_id(port), 1);
    IS_TRUE(is_empty(set));
}

CASE(an_empty_set_times_out)
{
    struct letter letter;
    IS_CODE(letter_receive(&letter, make_set(), 0, NOW), MACH_RCV_TIMED_OUT);
}

CASE(a_port_with_messages_joins_with_them)
{
    mach_port_t set = make_set(), port = make_port_with_sends(1);
    IS_OK(post(port, COPY_SEND, 1));
    IS_OK(mach_port_insert_member(TASK, port, set));
    IS(take_id(set), 1);
}

CASE(a_send_once_message_to_a_member_arrives_at_the_set)
{
    mach_port_t set = make_set(), port = make_member(set), once = make_send_once(port);
    IS_OK(post(once, MOVE_SEND_ONCE, 1));
    IS(take_id(set), 1);
    IS_OK(mach_port_deallocate(TASK, make_send_once(port)));
    take_notification(set, MACH_NOTIFY_SEND_ONCE);
}

CASE(every_ready_member_is_served)
{
    enum { COUNT = 20 };
    mach_port_t set = make_set(), ports[COUNT];
    int seen[COUNT] = {0};
    for (int i = 0; i < COUNT; i++) {
        ports[i] = make_member(set);
        IS_OK(post(ports[i], COPY_SEND, i));
    }
    for (int i = 0; i < COUNT; i++) {
        mach_msg_id_t id = take_id(set);
        NEED(id >= 0 && id < COUNT);
        seen[id]++;
    }
    for (int i = 0; i < COUNT; i++)
        IS(seen[i], 1);
}

CASE(large_identity_names_the_member)
{
    mach_port_t set = make_set(), port = make_member(set);
    struct letter letter;
    IS_OK(post(port, COPY_SEND, 1));
    letter_to(&letter, MACH_PORT_NULL, 0, 0);
    IS_CODE(mach_msg(&letter.header,
                     MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE | MACH_RCV_LARGE_IDENTITY, 0,
                     24, set, NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, 24);
    IS(letter.header.msgh_local_port, port);
    IS(take_id(set), 1);
}

/* ---- a receiver that waits ---- */

WAITING_CASE(a_receiver_on_a_set_receives_from_a_member)
{
    mach_port_t set = make_set(), port = make_member(set);
    struct waiter waiter;
    waiter_receive(&waiter, set, 0);
    IS_OK(post(port, COPY_SEND, 1));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
}

WAITING_CASE(a_receiver_whose_set_is_destroyed_gets_port_changed)
{
    mach_port_t set = make_set();
    struct waiter waiter;
    make_member(set);
    waiter_receive(&waiter, set, 0);
    IS_OK(mach_port_mod_refs(TASK, set, PORT_SET, -1));
    IS_CODE(waiter_result(&waiter), MACH_RCV_PORT_CHANGED);
}

WAITING_CASE(a_receiver_on_a_set_stays_when_a_member_is_destroyed_extracted_or_moved)
{
    mach_port_t set = make_set(), stays = make_member(set), carrier = make_port();
    mach_port_t destroyed = make_member(set), extracted = make_member(set),
                moved = make_member(set);
    struct waiter waiter;
    waiter_receive(&waiter, set, 0);
    destroy_receive(destroyed);
    IS_OK(mach_port_extract_member(TASK, extracted, set));
    IS_OK(post_right(carrier, moved, MOVE_RECEIVE));
    a_moment();
    IS_OK(post(extracted, COPY_SEND, 1));
    IS_OK(post(stays, COPY_SEND, 2));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 2);
}

WAITING_CASE(a_receiver_on_a_port_stays_and_receives_when_the_port_joins_a_set)
{
    mach_port_t set = make_set(), port = make_port_with_sends(1);
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    IS_OK(mach_port_insert_member(TASK, port, set));
    a_moment();
    IS_OK(post(port, COPY_SEND, 3));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 3);
}

WAITING_CASE(a_receiver_on_an_empty_set_receives_when_a_member_with_a_message_joins)
{
    mach_port_t set = make_set(), port = make_port_with_sends(1);
    struct waiter waiter;
    IS_OK(post(port, COPY_SEND, 4));
    waiter_receive(&waiter, set, 0);
    IS_OK(mach_port_insert_member(TASK, port, set));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 4);
}

/* ---- two processes ---- */

static void post_to_two(mach_port_t home)
{
    struct letter letter;
    take(&letter, peer_introduce(home));
    IS_OK(post(letter.ports[0].name, COPY_SEND, 1));
    IS_OK(post(letter.ports[1].name, COPY_SEND, 2));
}

CASE(two_process_a_set_serves_members_that_another_process_sends_to)
{
    mach_port_t home = make_port(), set = make_set();
    mach_port_t one = make_member(set), two = make_member(set);
    pid_t peer = peer_start(home, post_to_two);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, one, COPY_SEND);
    letter_right(&letter, two, COPY_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    for (int i = 0; i < 2; i++) {
        take(&letter, set);
        IS(letter.header.msgh_local_port, letter.header.msgh_id == 1 ? one : two);
    }
    peer_join(peer);
}

CASE(members_come_and_go)
{
    enum { COUNT = 8 };
    mach_port_t set = make_set(), ports[COUNT];
    for (int i = 0; i < COUNT; i++)
        ports[i] = make_member(set);
    for (int round = 0; round < 5; round++) {
        for (int i = round % 2; i < COUNT; i += 2)
            IS_OK(mach_port_extract_member(TASK, ports[i], set));
        for (int i = 0; i < COUNT; i++)
            IS_OK(post(ports[i], COPY_SEND, i));
        for (int i = 0, sum = 0; i < COUNT / 2; i++) {
            mach_msg_id_t id = take_id(set);
            IS(id % 2, 1 - round % 2);
            sum += id;
            if (i == COUNT / 2 - 1)
                IS(sum, round % 2 ? 0 + 2 + 4 + 6 : 1 + 3 + 5 + 7);
        }
        IS_TRUE(is_empty(set));
        for (int i = round % 2; i < COUNT; i += 2) {
            IS_OK(mach_port_insert_member(TASK, ports[i], set));
            IS(take_id(set), i);
        }
    }
}

CASE(a_message_too_large_for_a_set_stays_with_its_member)
{
    mach_port_t set = make_set(), port = make_member(set);
    struct letter letter;
    for (mach_msg_id_t id = 1; id <= 2; id++) {
        letter_to(&letter, port, COPY_SEND, id);
        letter_data(&letter, "0123456789abcdef", 16);
        NEED_OK(letter_send(&letter, NOW));
    }
    IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 0, 32, set,
                     NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    IS_OK(mach_port_extract_member(TASK, port, set));
    IS_TRUE(is_empty(set));
    IS_OK(mach_port_insert_member(TASK, port, set));
    IS(take_id(set), 1);
    IS(take_id(port), 2);
}
