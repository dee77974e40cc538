/* The header on receive (section 9). */
#include "peers.h"

#include <string.h>

CASE(copy_send_with_a_make_send_once_reply_arrives_as_0x1112)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port();
    struct letter letter;
    letter_to(&letter, port, COPY_SEND, 0x1234567);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS(letter.header.msgh_bits, 0x1513);
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, port);
    IS(letter.header.msgh_bits, 0x1112);
    IS(letter.header.msgh_size, 24);
    IS(letter.header.msgh_local_port, port);
    IS(letter.header.msgh_id, 0x1234567);
    IS(type_of(letter.header.msgh_remote_port), MACH_PORT_TYPE_SEND_ONCE);
    IS_TRUE(letter.header.msgh_remote_port != reply);
}

CASE(the_reply_arrives_as_0x1200_with_remote_0)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port();
    struct letter letter;
    letter_to(&letter, port, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, NOW));
    take(&letter, port);
    mach_port_t once = letter.header.msgh_remote_port;
    IS_OK(post(once, MOVE_SEND_ONCE, 101));
    IS_TRUE(is_gone(once));
    take(&letter, reply);
    IS(letter.header.msgh_bits, 0x1200);
    IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
    IS(letter.header.msgh_local_port, reply);
    IS(letter.header.msgh_id, 101);
}

CASE(without_a_reply_it_arrives_as_0x1100)
{
    static const mach_msg_type_name_t dispositions[] = {17, 19, 20};
    for (int i = 0; i < 3; i++) {
        mach_port_t port = make_port_with_sends(1);
        struct letter letter;
        tap_about("disposition %u", dispositions[i]);
        IS_OK(post(port, dispositions[i], 1));
        take(&letter, port);
        IS(letter.header.msgh_bits, 0x1100);
        IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
        IS(letter.header.msgh_local_port, port);
    }
}

CASE(complex_adds_0x80000000)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post_right(port, make_port(), MAKE_SEND));
    take(&letter, port);
    IS(letter.header.msgh_bits, 0x80001100);
}

CASE(a_send_reply_right_arrives_with_disposition_17)
{
    static const mach_msg_type_name_t dispositions[] = {17, 19, 20};
    for (int i = 0; i < 3; i++) {
        mach_port_t port = make_port(), reply = make_port_with_sends(1);
        struct letter letter;
        tap_about("disposition %u", dispositions[i]);
        letter_to(&letter, port, MAKE_SEND, 1);
        letter_reply(&letter, reply, dispositions[i]);
        NEED_OK(letter_send(&letter, NOW));
        take(&letter, port);
        IS(letter.header.msgh_bits, 0x1111);
        IS(letter.header.msgh_remote_port, reply);
    }
}

CASE(negative_and_large_ids_arrive_unchanged)
{
    static const mach_msg_id_t ids[] = {0, -1, 0x7fffffff, -0x7fffffff};
    mach_port_t port = make_port_with_sends(1);
    for (int i = 0; i < 4; i++) {
        IS_OK(post(port, COPY_SEND, ids[i]));
        IS(take_id(port), ids[i]);
    }
}

CASE(the_senders_buffer_is_unchanged_after_success)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port(), carried = make_port();
    struct letter letter, before;
    letter_to(&letter, port, COPY_SEND, 5);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter_right(&letter, carried, MOVE_RECEIVE);
    letter_data(&letter, "data", 4);
    before = letter;
    NEED_OK(letter_send(&letter, NOW));
    IS(memcmp(&letter, &before, sizeof letter), 0);
}

static void answer_one_request(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    struct letter letter;
    take(&letter, mine);
    IS(letter.header.msgh_bits, 0x1112);
    IS(letter.header.msgh_local_port, mine);
    IS(type_of(letter.header.msgh_remote_port), MACH_PORT_TYPE_SEND_ONCE);
    IS_OK(post(letter.header.msgh_remote_port, MOVE_SEND_ONCE, 102));
}

CASE(two_process_request_and_reply)
{
    mach_port_t home = make_port(), reply = make_port();
    pid_t peer = peer_start(home, answer_one_request);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 2);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    NEED_OK(letter_send(&letter, PROMPT));
    take(&letter, reply);
    IS(letter.header.msgh_bits, 0x1200);
    IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
    IS(letter.header.msgh_local_port, reply);
    IS(letter.header.msgh_id, 102);
    peer_join(peer);
}
