/* Send-once rights (part J of the rest). */
#include "peers.h"

enum { SEND_ONCE = MACH_PORT_RIGHT_SEND_ONCE };

CASE(get_refs_send_once_is_1)
{
    mach_port_t once = make_send_once(make_port());
    IS(refs(once, SEND_ONCE), 1);
    IS(refs(once, MACH_PORT_RIGHT_SEND), 0);
}

CASE(mod_refs_plus_1_or_minus_2_is_invalid_value)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    IS_CODE(mach_port_mod_refs(TASK, once, SEND_ONCE, 1), KERN_INVALID_VALUE);
    IS_CODE(mach_port_mod_refs(TASK, once, SEND_ONCE, -2), KERN_INVALID_VALUE);
    IS_OK(mach_port_mod_refs(TASK, once, SEND_ONCE, 0));
    IS(refs(once, SEND_ONCE), 1);
    IS_TRUE(is_empty(port));
}

CASE(dropping_it_in_any_way_sends_a_send_once_message)
{
    mach_port_t port = make_port();
    IS_OK(mach_port_mod_refs(TASK, make_send_once(port), SEND_ONCE, -1));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS_OK(mach_port_deallocate(TASK, make_send_once(port)));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS_OK(mach_port_destroy(TASK, make_send_once(port)));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS_TRUE(is_empty(port));
    IS(status_of(port).mps_sorights, 0);
}

CASE(as_a_destination_only_18_works_and_uses_it_up)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    for (mach_msg_type_name_t disposition = 17; disposition <= 21; disposition++)
        if (disposition != 18)
            IS_CODE(post(once, disposition, 1), MACH_SEND_INVALID_DEST);
    IS_OK(post(once, MOVE_SEND_ONCE, 2));
    IS_TRUE(is_gone(once));
    IS_CODE(post(once, MOVE_SEND_ONCE, 3), MACH_SEND_INVALID_DEST);
    IS(take_id(port), 2);
    IS_TRUE(is_empty(port));
}

CASE(as_a_descriptor_only_18_works)
{
    mach_port_t carrier = make_port(), port = make_port(), once = make_send_once(port);
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++)
        if (disposition != 18)
            IS_CODE(post_right(carrier, once, disposition), MACH_SEND_INVALID_RIGHT);
    IS(refs(once, SEND_ONCE), 1);
    IS_OK(post_right(carrier, once, MOVE_SEND_ONCE));
    mach_port_t arrived = take_right(carrier, 18);
    IS_OK(post(arrived, MOVE_SEND_ONCE, 4));
    IS(take_id(port), 4);
}

CASE(twice_in_one_message_is_invalid_right_and_it_is_destroyed)
{
    mach_port_t carrier = make_port(), port = make_port(), once = make_send_once(port);
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, once, MOVE_SEND_ONCE);
    letter_right(&letter, once, MOVE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_RIGHT);
    IS_TRUE(is_gone(once));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

CASE(the_same_one_as_destination_and_reply_is_invalid_dest_and_kept)
{
    mach_port_t once = make_send_once(make_port());
    struct letter letter;
    letter_to(&letter, once, MOVE_SEND_ONCE, 1);
    letter_reply(&letter, once, MOVE_SEND_ONCE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_DEST);
    IS(refs(once, SEND_ONCE), 1);
}

CASE(the_local_disposition_at_the_receiver)
{
    for (mach_msg_type_name_t disposition = 17; disposition <= 21; disposition++) {
        mach_port_t port = make_port_with_sends(1);
        struct letter letter;
        int once = disposition == 18 || disposition == 21;
        tap_about("disposition %u", disposition);
        IS_OK(post(disposition == 18 ? make_send_once(port) : port, disposition, 1));
        take(&letter, port);
        IS(letter.header.msgh_bits, once ? 0x1200 : 0x1100);
        IS(letter.header.msgh_local_port, port);
    }
}

CASE(when_the_port_dies_it_becomes_a_dead_name_of_1)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    destroy_receive(port);
    IS(type_of(once), MACH_PORT_TYPE_DEAD_NAME);
    IS(refs(once, MACH_PORT_RIGHT_DEAD_NAME), 1);
}

static void use_what_comes(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    IS_OK(post(take_right(mine, 18), MOVE_SEND_ONCE, 71));
    IS_OK(mach_port_deallocate(TASK, take_right(mine, 18)));
    take_right(mine, 18); /* and dies with it */
}

CASE(two_process_used_dropped_and_owner_dead)
{
    mach_port_t home = make_port(), port = make_port();
    pid_t peer = peer_start(home, use_what_comes);
    mach_port_t there = peer_meet(home);
    for (int i = 0; i < 3; i++) {
        struct letter letter;
        letter_to(&letter, there, COPY_SEND, 1);
        letter_right(&letter, port, MAKE_SEND_ONCE);
        NEED_OK(letter_send(&letter, PROMPT));
        if (i == 0)
            IS(take_id(port), 71);
        else
            take_notification(port, MACH_NOTIFY_SEND_ONCE);
    }
    peer_join(peer);
}
