/* mach_msg_destroy (section 10): what it does to each right that a header and a body name. */
#include "ports.h"

enum { SEND = MACH_PORT_RIGHT_SEND };

static void destroy_letter_with(mach_port_t name, mach_msg_type_name_t disposition)
{
    struct letter letter;
    letter_to(&letter, MACH_PORT_NULL, 0, 1);
    letter_right(&letter, name, disposition);
    mach_msg_destroy(&letter.header);
}

CASE(destroy_17_drops_a_send_uref)
{
    mach_port_t port = make_port_with_sends(2);
    destroy_letter_with(port, 17);
    IS(refs(port, SEND), 1);
}

CASE(destroy_18_destroys_the_right_with_a_notification)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    destroy_letter_with(once, 18);
    IS_TRUE(is_gone(once));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

CASE(destroy_16_drops_the_receive_right)
{
    mach_port_t port = make_port_with_sends(2);
    destroy_letter_with(port, 16);
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    IS(refs(port, MACH_PORT_RIGHT_DEAD_NAME), 2);
}

CASE(destroy_20_makes_and_drops)
{
    mach_port_t port = make_port();
    destroy_letter_with(port, 20);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS(status_of(port).mps_mscount, 1);
    IS(status_of(port).mps_srights, 0);
}

CASE(destroy_21_makes_and_destroys)
{
    mach_port_t port = make_port();
    destroy_letter_with(port, 21);
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(destroy_19_0_null_and_dead_do_nothing)
{
    mach_port_t port = make_port_with_sends(2);
    destroy_letter_with(port, 19);
    destroy_letter_with(port, 0);
    for (mach_msg_type_name_t disposition = 16; disposition <= 21; disposition++) {
        destroy_letter_with(MACH_PORT_NULL, disposition);
        destroy_letter_with(MACH_PORT_DEAD, disposition);
    }
    IS(refs(port, SEND), 2);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(status_of(port).mps_mscount, 2);
    IS_TRUE(is_empty(port));
}

CASE(destroy_treats_the_remote_port_likewise)
{
    mach_port_t port = make_port_with_sends(3), once = make_send_once(port);
    struct letter letter;
    letter_to(&letter, port, 17, 1);
    mach_msg_destroy(&letter.header);
    IS(refs(port, SEND), 2);
    letter_to(&letter, port, 19, 1);
    mach_msg_destroy(&letter.header);
    IS(refs(port, SEND), 2);
    letter_to(&letter, once, 18, 1);
    mach_msg_destroy(&letter.header);
    IS_TRUE(is_gone(once));
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

CASE(destroy_ignores_the_local_port)
{
    mach_port_t port = make_port_with_sends(2);
    struct letter letter;
    letter_to(&letter, MACH_PORT_NULL, 0, 1);
    letter_reply(&letter, port, 17);
    mach_msg_destroy(&letter.header);
    IS(refs(port, SEND), 2);
}

CASE(destroy_ignores_descriptors_of_a_message_that_is_not_complex)
{
    mach_port_t port = make_port_with_sends(2);
    struct letter letter;
    letter_to(&letter, MACH_PORT_NULL, 0, 1);
    letter_right(&letter, port, 17);
    letter.header.msgh_bits &= ~MACH_MSGH_BITS_COMPLEX;
    mach_msg_destroy(&letter.header);
    IS(refs(port, SEND), 2);
}

CASE(destroy_of_a_received_message_gives_up_all_that_came)
{
    mach_port_t port = make_port(), carried = make_port(), reply = make_port();
    mach_port_t moved = make_port_with_sends(1);
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter_right(&letter, carried, MAKE_SEND);
    letter_right(&letter, moved, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, port);
    IS(refs(carried, SEND), 1);
    mach_msg_destroy(&letter.header);
    IS(type_of(carried), MACH_PORT_TYPE_RECEIVE);
    IS(type_of(moved), MACH_PORT_TYPE_DEAD_NAME);
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}
