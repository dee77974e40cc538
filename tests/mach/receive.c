/* Receiving (section 6), with the refinements of the companion reference. What concerns port sets
 * is in sets.c. */
#include "peers.h"

#include <string.h>

enum { CANARY = 0x5a };

static mach_msg_return_t receive_into(struct letter *letter, mach_port_t port,
                                      mach_msg_option_t options, mach_msg_size_t room)
{
    memset(letter, CANARY, sizeof *letter);
    return mach_msg(&letter->header, MACH_RCV_MSG | MACH_RCV_TIMEOUT | options, 0, room, port, NOW,
                    MACH_PORT_NULL);
}

static int is_untouched(const struct letter *letter)
{
    for (size_t i = 0; i < sizeof letter->bytes; i++)
        if (letter->bytes[i] != CANARY)
            return 0;
    return 1;
}

CASE(a_name_that_cannot_be_received_from_is_invalid_name)
{
    static const enum kind kinds[] = {NAME_NULL, NAME_DEAD,   NAME_BOGUS,
                                      A_SEND,    A_SEND_ONCE, A_DEAD_NAME};
    for (int i = 0; i < 6; i++) {
        struct letter letter;
        tap_about("%s", kind_name(kinds[i]));
        IS_CODE(letter_receive(&letter, make_kind(kinds[i]), 0, NOW), MACH_RCV_INVALID_NAME);
    }
}

CASE(a_timeout_leaves_the_buffer_untouched)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_CODE(receive_into(&letter, port, 0, sizeof letter.bytes), MACH_RCV_TIMED_OUT);
    IS_TRUE(is_untouched(&letter));
}

CASE(a_timed_wait_ends_with_timed_out)
{
    struct letter letter;
    IS_CODE(letter_receive(&letter, make_port(), 0, 50), MACH_RCV_TIMED_OUT);
}

static void post_data_and_rights(mach_port_t port, mach_port_t once, mach_port_t carried)
{
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 7);
    letter_reply(&letter, once, MAKE_SEND_ONCE);
    letter_right(&letter, carried, MOVE_RECEIVE);
    letter_data(&letter, "some more data", 12);
    NEED_OK(letter_send(&letter, NOW));
}

CASE(too_large_destroys_the_message_and_its_rights)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port_with_sends(1);
    struct letter letter;
    post_data_and_rights(port, reply, carried);
    IS_CODE(receive_into(&letter, port, 0, 40), MACH_RCV_TOO_LARGE);
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
    IS_TRUE(becomes_dead(carried));
    IS_TRUE(is_empty(port));
}

CASE(too_large_gives_a_header_of_24_with_a_trailer_of_8)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 7);
    letter_data(&letter, "some more data", 12);
    NEED_OK(letter_send(&letter, NOW));
    IS_CODE(receive_into(&letter, port, 0, 36), MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, 24);
    IS(letter_trailer(&letter)->msgh_trailer_type, 0);
    IS(letter_trailer(&letter)->msgh_trailer_size, 8);
}

CASE(too_large_counts_in_seqno)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    IS_CODE(receive_into(&letter, port, 0, 24), MACH_RCV_TOO_LARGE);
    IS(status_of(port).mps_seqno, 1);
}

CASE(too_large_with_rcv_large_keeps_the_message_and_writes_its_size)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port_with_sends(1);
    struct letter letter;
    post_data_and_rights(port, reply, carried);
    for (int i = 0; i < 2; i++) {
        IS_CODE(receive_into(&letter, port, MACH_RCV_LARGE, 40), MACH_RCV_TOO_LARGE);
        IS(letter.header.msgh_size, 24 + 4 + 12 + 12);
        IS(letter.header.msgh_bits, 0x5a5a5a5a);
        IS(letter.header.msgh_id, 0x5a5a5a5a);
    }
    IS(status_of(port).mps_seqno, 0);
    IS(status_of(port).mps_msgcount, 1);
    IS_OK(receive_into(&letter, port, MACH_RCV_LARGE, sizeof letter.bytes));
    IS(letter.header.msgh_id, 7);
    IS(memcmp(letter.bytes + 40, "some more da", 12), 0);
    IS(letter.ports[0].name, carried);
    IS(type_of(carried), MACH_PORT_TYPE_SEND_RECEIVE);
}

CASE(rcv_large_keeps_the_order)
{
    mach_port_t port = make_port();
    struct letter letter;
    for (int i = 1; i <= 3; i++) {
        letter_to(&letter, port, MAKE_SEND, i);
        letter_data(&letter, "0123456789abcdef", 16);
        NEED_OK(letter_send(&letter, NOW));
    }
    IS_CODE(receive_into(&letter, port, MACH_RCV_LARGE, 32), MACH_RCV_TOO_LARGE);
    for (int i = 1; i <= 3; i++)
        IS(take_id(port), i);
}

CASE(a_message_that_was_too_large_moves_with_its_port)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port(), carrier = make_port();
    mach_port_t carried = make_port_with_sends(1);
    struct letter letter;
    post_data_and_rights(port, reply, carried);
    IS_OK(post(port, COPY_SEND, 8));
    IS_CODE(receive_into(&letter, port, MACH_RCV_LARGE, 40), MACH_RCV_TOO_LARGE);
    NEED_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    take(&letter, port);
    IS(letter.header.msgh_id, 7);
    IS(letter.ports[0].name, carried);
    IS(type_of(carried), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(take_id(port), 8);
    IS_OK(post(carried, COPY_SEND, 9)); /* what was in it lives */
    IS(take_id(carried), 9);
}

CASE(a_message_that_was_too_large_dies_with_its_port)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port_with_sends(1);
    struct letter letter;
    post_data_and_rights(port, reply, carried);
    IS_CODE(receive_into(&letter, port, MACH_RCV_LARGE, 40), MACH_RCV_TOO_LARGE);
    destroy_receive(port);
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
    IS_TRUE(becomes_dead(carried));
}

CASE(rcv_large_writes_the_size_only_from_16_bytes_of_room)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    for (mach_msg_size_t room = 0; room <= 28; room += 4) {
        tap_about("room %u", room);
        IS_CODE(receive_into(&letter, port, MACH_RCV_LARGE, room), MACH_RCV_TOO_LARGE);
        if (room < 16)
            IS_TRUE(is_untouched(&letter));
        else
            IS(letter.header.msgh_size, 24);
    }
    IS(take_id(port), 1);
}

CASE(the_size_needed_is_msgh_size_and_the_requested_trailer)
{
    static const mach_msg_size_t trailers[] = {8, 12, 20, 52, 60};
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    for (unsigned elements = 0; elements <= 4; elements++) {
        mach_msg_option_t options =
            MACH_RCV_LARGE | (mach_msg_option_t)MACH_RCV_TRAILER_ELEMENTS(elements);
        tap_about("elements %u", elements);
        IS_CODE(receive_into(&letter, port, options, 24 + trailers[elements] - 4),
                MACH_RCV_TOO_LARGE);
        IS_OK(receive_into(&letter, port, options, 24 + trailers[elements]));
        IS_OK(post(port, MAKE_SEND, 1));
    }
}

CASE(nothing_is_written_behind_the_trailer)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    IS_OK(receive_into(&letter, port, 0, sizeof letter.bytes));
    for (size_t i = 24 + 8; i < 24 + 8 + 68; i++)
        IS(letter.bytes[i], CANARY);
}

CASE(send_and_receive_with_a_bad_receive_name_sends_first)
{
    mach_port_t port = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 9);
    IS_CODE(mach_msg(&letter.header, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24,
                     sizeof letter.bytes, BOGUS, NOW, MACH_PORT_NULL),
            MACH_RCV_INVALID_NAME);
    IS(take_id(port), 9);
}

CASE(send_ok_and_receive_timed_out_leaves_the_buffer)
{
    mach_port_t port = make_port(), reply = make_port();
    struct letter letter, before;
    letter_to(&letter, port, MAKE_SEND, 9);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    before = letter;
    IS_CODE(mach_msg(&letter.header, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24,
                     sizeof letter.bytes, reply, NOW, MACH_PORT_NULL),
            MACH_RCV_TIMED_OUT);
    IS(memcmp(&letter, &before, sizeof letter), 0);
    IS(take_id(port), 9);
}

CASE(a_failed_send_does_not_receive)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 9));
    letter_to(&letter, BOGUS, COPY_SEND, 1);
    IS_CODE(mach_msg(&letter.header, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24,
                     sizeof letter.bytes, port, NOW, MACH_PORT_NULL),
            MACH_SEND_INVALID_DEST);
    IS(take_id(port), 9);
}

WAITING_CASE(a_blocked_receiver_receives_what_comes)
{
    mach_port_t port = make_port();
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    IS_OK(post(port, MAKE_SEND, 3));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 3);
}

WAITING_CASE(a_blocked_receiver_receives_a_send_once_message)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    IS_OK(post(once, MOVE_SEND_ONCE, 3));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 3);
}

WAITING_CASE(a_blocked_receiver_receives_on_a_right_made_meanwhile)
{
    mach_port_t port = make_port();
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    IS_OK(post(make_send_once(port), MOVE_SEND_ONCE, 4));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 4);
}

WAITING_CASE(a_blocked_receiver_whose_port_is_destroyed_gets_port_changed)
{
    mach_port_t port = make_port_with_sends(1);
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    destroy_receive(port);
    IS_CODE(waiter_result(&waiter), MACH_RCV_PORT_CHANGED);
}

WAITING_CASE(a_blocked_receiver_whose_port_is_moved_gets_port_changed)
{
    mach_port_t port = make_port_with_sends(1), carrier = make_port();
    struct waiter waiter;
    waiter_receive(&waiter, port, 0);
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS_CODE(waiter_result(&waiter), MACH_RCV_PORT_CHANGED);
    IS(take_right(carrier, 16), port);
    IS_OK(post(port, COPY_SEND, 6));
    IS(take_id(port), 6);
}

static void post_a_bit_later(mach_port_t home)
{
    a_moment();
    IS_OK(post(home, COPY_SEND, 55));
}

CASE(two_process_a_blocked_receiver_receives_what_comes)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, post_a_bit_later);
    IS(take_id(home), 55);
    peer_join(peer);
}

static void send_a_large_body(mach_port_t home)
{
    struct letter letter;
    letter_to(&letter, home, COPY_SEND, 1);
    memset(letter.bytes + 24, 'x', 3000);
    letter.header.msgh_size = 3024;
    NEED_OK(letter_send(&letter, PROMPT));
    IS_OK(post(home, COPY_SEND, 2));
}

CASE(two_process_rcv_large_keeps_the_message_for_a_larger_buffer)
{
    mach_port_t home = make_port();
    peer_join(peer_start(home, send_a_large_body));
    struct letter letter;
    IS_CODE(receive_into(&letter, home, MACH_RCV_LARGE, 100), MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, 3024);
    take(&letter, home);
    IS(letter.header.msgh_id, 1);
    for (size_t i = 24; i < 3024; i++)
        NEED(letter.bytes[i] == 'x');
    IS(take_id(home), 2);
}
