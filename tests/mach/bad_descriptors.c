/* Bad descriptors (section 3): null and dead names, invalid dispositions, wrong kinds of right,
 * sizes that do not add up, and what a failed body has consumed. */
#include "ports.h"

#include <string.h>

static const mach_msg_type_name_t valid_dispositions[] = {16, 17, 18, 19, 20, 21};
static const mach_msg_type_name_t mapped[] = {16, 17, 18, 17, 17, 18};
static const mach_msg_type_name_t invalid_dispositions[] = {0, 1, 15, 22, 99, 255};

CASE(null_and_dead_pass_with_the_mapped_disposition)
{
    static const mach_port_t names[] = {MACH_PORT_NULL, MACH_PORT_DEAD};
    mach_port_t carrier = make_port();
    for (int i = 0; i < 12; i++) {
        tap_about("name %#x, disposition %u", names[i / 6], valid_dispositions[i % 6]);
        NEED_OK(post_right(carrier, names[i / 6], valid_dispositions[i % 6]));
        IS(take_right(carrier, mapped[i % 6]), names[i / 6]);
    }
}

CASE(null_and_dead_with_an_invalid_disposition_pass_and_arrive_with_0)
{
    static const mach_port_t names[] = {MACH_PORT_NULL, MACH_PORT_DEAD};
    mach_port_t carrier = make_port();
    for (int i = 0; i < 12; i++) {
        tap_about("name %#x, disposition %u", names[i / 6], invalid_dispositions[i % 6]);
        NEED_OK(post_right(carrier, names[i / 6], invalid_dispositions[i % 6]));
        IS(take_right(carrier, 0), names[i / 6]);
    }
}

CASE(a_valid_name_with_an_invalid_disposition_is_invalid_right)
{
    mach_port_t carrier = make_port(), port = make_port_with_sends(2);
    for (int i = 0; i < 6; i++) {
        tap_about("disposition %u", invalid_dispositions[i]);
        IS_CODE(post_right(carrier, port, invalid_dispositions[i]), MACH_SEND_INVALID_RIGHT);
        IS(refs(port, MACH_PORT_RIGHT_SEND), 2);
        IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    }
    IS_TRUE(is_empty(carrier));
}

/* Which kinds of name each disposition accepts; everything else is MACH_SEND_INVALID_RIGHT. */
static int accepted(enum kind kind, mach_msg_type_name_t disposition)
{
    switch (kind) {
    case A_RECEIVE:
        return disposition == 16 || disposition == 20 || disposition == 21;
    case A_SEND_RECEIVE:
        return disposition != 18;
    case A_SEND:
        return disposition == 17 || disposition == 19;
    case A_SEND_ONCE:
        return disposition == 18;
    case A_DEAD_NAME:
        return disposition >= 17 && disposition <= 19;
    case NAME_NULL:
    case NAME_DEAD:
        return 1;
    default:
        return 0;
    }
}

CASE(the_wrong_kind_of_right_is_invalid_right_and_the_name_untouched)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < 6; i++) {
            mach_msg_type_name_t disposition = valid_dispositions[i];
            if (accepted(kind, disposition))
                continue;
            mach_port_t carrier = make_port(), name = make_kind(kind);
            mach_port_type_t before = type_of(name);
            long sends = refs(name, MACH_PORT_RIGHT_SEND);
            tap_about("%s, disposition %u", kind_name(kind), disposition);
            IS_CODE(post_right(carrier, name, disposition), MACH_SEND_INVALID_RIGHT);
            IS(type_of(name), before);
            IS(refs(name, MACH_PORT_RIGHT_SEND), sends);
            IS_TRUE(is_empty(carrier));
        }
    }
}

CASE(the_right_kind_of_right_is_accepted)
{
    for (enum kind kind = 0; kind < KINDS; kind++) {
        for (int i = 0; i < 6; i++) {
            if (!accepted(kind, valid_dispositions[i]))
                continue;
            mach_port_t carrier = make_port();
            tap_about("%s, disposition %u", kind_name(kind), valid_dispositions[i]);
            IS_OK(post_right(carrier, make_kind(kind), valid_dispositions[i]));
            take_right(carrier, mapped[i]);
        }
    }
}

CASE(a_dead_name_as_17_18_or_19_delivers_port_dead)
{
    static const long left[] = {1, 1, 2};
    for (mach_msg_type_name_t disposition = 17; disposition <= 19; disposition++) {
        mach_port_t carrier = make_port(), name = make_dead_name(2);
        tap_about("disposition %u", disposition);
        IS_OK(post_right(carrier, name, disposition));
        IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), left[disposition - 17]);
        IS(take_right(carrier, disposition == 18 ? 18 : 17), MACH_PORT_DEAD);
    }
}

CASE(a_name_whose_port_has_died_unseen_is_a_dead_name_too)
{
    for (int once = 0; once < 2; once++) {
        for (mach_msg_type_name_t disposition = 17; disposition <= 19; disposition++) {
            mach_port_t carrier = make_port(), port = make_port_with_sends(1);
            mach_port_t parking = make_port(), name = once ? make_send_once(port) : port;
            tap_about("%s, disposition %u", once ? "send-once" : "send", disposition);
            IS_OK(post_right(parking, port, MOVE_RECEIVE));
            destroy_receive(parking);
            IS_OK(post_right(carrier, name, disposition));
            IS(take_right(carrier, disposition == 18 ? 18 : 17), MACH_PORT_DEAD);
            IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), disposition == 19 ? 1 : -1);
        }
    }
}

CASE(a_dead_name_as_16_20_or_21_is_invalid_right)
{
    static const mach_msg_type_name_t dispositions[] = {16, 20, 21};
    for (int i = 0; i < 3; i++) {
        mach_port_t carrier = make_port(), name = make_dead_name(2);
        tap_about("disposition %u", dispositions[i]);
        IS_CODE(post_right(carrier, name, dispositions[i]), MACH_SEND_INVALID_RIGHT);
        IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 2);
    }
}

CASE(descriptor_type_9_is_invalid_type)
{
    mach_port_t carrier = make_port();
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, make_port(), MAKE_SEND);
    letter.ports[0].type = 9;
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_TYPE);
    IS_TRUE(is_empty(carrier));
}

CASE(more_descriptors_than_the_size_holds_is_too_small)
{
    static const mach_msg_size_t counts[] = {2, 3, 100, 0x10000000, 0xffffffff};
    mach_port_t carrier = make_port(), port = make_port();
    for (int i = 0; i < 5; i++) {
        struct letter letter;
        tap_about("count %u", counts[i]);
        letter_to(&letter, carrier, MAKE_SEND, 1);
        letter_right(&letter, port, MAKE_SEND);
        letter.body.msgh_descriptor_count = counts[i];
        IS_CODE(letter_send(&letter, NOW), MACH_SEND_MSG_TOO_SMALL);
    }
    IS_TRUE(is_empty(carrier));
}

CASE(what_is_wrong_with_the_layout_is_found_before_anything_is_consumed)
{
    mach_port_t carrier = make_port_with_sends(1), port = make_port_with_sends(2);
    mach_port_t once = make_send_once(port), reply = make_send_once(port);
    for (int unknown = 0; unknown < 2; unknown++) {
        struct letter letter;
        tap_about(unknown ? "an unknown type" : "too small");
        letter_to(&letter, carrier, MOVE_SEND, 1);
        letter_reply(&letter, reply, MOVE_SEND_ONCE);
        letter_right(&letter, port, MOVE_SEND);
        letter_right(&letter, once, MOVE_SEND_ONCE);
        letter_right(&letter, port, MOVE_SEND);
        if (unknown)
            letter.ports[2].type = 9;
        else
            letter.body.msgh_descriptor_count = 4;
        IS_CODE(letter_send(&letter, NOW),
                unknown ? MACH_SEND_INVALID_TYPE : MACH_SEND_MSG_TOO_SMALL);
        IS(refs(carrier, MACH_PORT_RIGHT_SEND), 1);
        IS(refs(port, MACH_PORT_RIGHT_SEND), 2);
        IS(type_of(once), MACH_PORT_TYPE_SEND_ONCE);
        IS(type_of(reply), MACH_PORT_TYPE_SEND_ONCE);
    }
    IS_TRUE(is_empty(carrier));
}

CASE(complex_with_size_24_is_too_small)
{
    mach_port_t carrier = make_port();
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter.header.msgh_bits |= MACH_MSGH_BITS_COMPLEX;
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_MSG_TOO_SMALL);
}

CASE(a_size_under_24_or_not_a_multiple_of_4_is_too_small)
{
    static const mach_msg_size_t sizes[] = {0, 4, 20, 23, 25, 26, 27, 30};
    mach_port_t carrier = make_port();
    for (int i = 0; i < 8; i++) {
        struct letter letter;
        tap_about("size %u", sizes[i]);
        letter_to(&letter, carrier, MAKE_SEND, 1);
        letter.header.msgh_size = sizes[i];
        IS_CODE(letter_send(&letter, NOW), MACH_SEND_MSG_TOO_SMALL);
    }
    IS_TRUE(is_empty(carrier));
}

CASE(a_failed_body_destroys_destination_reply_and_earlier_descriptors_only)
{
    mach_port_t carrier = make_port_with_sends(1), reply = make_port();
    mach_port_t first = make_port_with_sends(2), last = make_port_with_sends(2);
    mach_port_t once = make_send_once(reply);
    struct letter letter;
    letter_to(&letter, carrier, MOVE_SEND, 1);
    letter_reply(&letter, once, MOVE_SEND_ONCE);
    letter_right(&letter, first, MOVE_SEND);
    letter_right(&letter, BOGUS, MOVE_SEND);
    letter_right(&letter, last, MOVE_SEND);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_RIGHT);
    IS(type_of(carrier), MACH_PORT_TYPE_RECEIVE);
    IS_TRUE(is_gone(once));
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
    IS(refs(first, MACH_PORT_RIGHT_SEND), 1);
    IS(refs(last, MACH_PORT_RIGHT_SEND), 2);
    IS_TRUE(is_empty(carrier));
}

CASE(a_failed_body_destroys_an_earlier_receive_right)
{
    mach_port_t carrier = make_port(), moved = make_port_with_sends(1);
    mach_port_t kept = make_port_with_sends(1);
    struct letter letter;
    letter_to(&letter, carrier, MAKE_SEND, 1);
    letter_right(&letter, moved, MOVE_RECEIVE);
    letter_right(&letter, make_set(), MOVE_SEND);
    letter_right(&letter, kept, MOVE_RECEIVE);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_RIGHT);
    IS_TRUE(becomes_dead(moved));
    IS(type_of(kept), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(msgh_size_in_the_buffer_is_ignored_on_send)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 1);
    letter_data(&letter, "abcdefgh", 8);
    mach_msg_size_t size = letter.header.msgh_size;
    letter.header.msgh_size = 7;
    IS_OK(mach_msg(&letter.header, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, NOW,
                   MACH_PORT_NULL));
    take(&letter, port);
    IS(letter.header.msgh_size, size);
    IS(memcmp(letter.bytes + 24, "abcdefgh", 8), 0);
}

CASE(unknown_msgh_bits_are_masked_off)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 1);
    letter.header.msgh_bits |= 0x40000000;
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, port);
    IS(letter.header.msgh_bits, 0x1100);
}
