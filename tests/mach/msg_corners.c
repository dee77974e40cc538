/* Corners of mach_msg (part G of the rest). */
#include "peers.h"

#include <string.h>
#include <time.h>

static mach_msg_return_t rpc(struct letter *letter, mach_port_t reply, mach_msg_option_t options,
                             mach_msg_size_t room, mach_msg_timeout_t timeout)
{
    return mach_msg(&letter->header, MACH_SEND_MSG | MACH_RCV_MSG | options,
                    letter->header.msgh_size, room, reply, timeout, MACH_PORT_NULL);
}

static void *answer_one(void *argument)
{
    mach_port_t port = *(mach_port_t *)argument;
    struct letter letter, answer;
    take(&letter, port);
    letter_to(&answer, letter.header.msgh_remote_port, MOVE_SEND_ONCE, 101);
    letter_data(&answer, "0123456789abcdef", 16);
    NEED_OK(letter_send(&answer, NOW));
    return NULL;
}

CASE(an_rpc_reply_arrives_with_bits_0x1200)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port();
    pthread_t thread;
    struct letter letter;
    NEED(pthread_create(&thread, NULL, answer_one, &port) == 0);
    letter_to(&letter, port, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS_OK(rpc(&letter, reply, MACH_RCV_TIMEOUT, sizeof letter.bytes, PROMPT));
    IS(letter.header.msgh_bits, 0x1200);
    IS(letter.header.msgh_id, 101);
    IS(letter.header.msgh_size, 40);
    IS(letter.header.msgh_local_port, reply);
    IS(letter.header.msgh_remote_port, MACH_PORT_NULL);
    NEED(pthread_join(thread, NULL) == 0);
}

CASE(an_rpc_with_rcv_large_and_little_room_keeps_the_reply)
{
    mach_port_t port = make_port_with_sends(1), reply = make_port();
    pthread_t thread;
    struct letter letter;
    NEED(pthread_create(&thread, NULL, answer_one, &port) == 0);
    letter_to(&letter, port, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS_CODE(rpc(&letter, reply, MACH_RCV_TIMEOUT | MACH_RCV_LARGE, 32, PROMPT), MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_size, 40);
    IS(letter.header.msgh_bits, 0x1513);
    IS(letter.header.msgh_id, 1);
    IS(take_id(reply), 101);
    NEED(pthread_join(thread, NULL) == 0);
}

CASE(an_rpc_that_times_out_sending_does_not_receive)
{
    mach_port_t port = make_full_port(1), reply = make_port();
    struct letter letter;
    IS_OK(post(reply, MAKE_SEND, 7));
    letter_to(&letter, port, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS_CODE(rpc(&letter, reply, MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT, sizeof letter.bytes, 20),
            MACH_SEND_TIMED_OUT);
    IS(letter.header.msgh_bits, 0x1211);
    IS(type_of(letter.header.msgh_local_port), MACH_PORT_TYPE_SEND_ONCE);
    IS(take_id(reply), 7);
}

enum { LATE = 2500, BOTH = 3000 }; /* ms */

static void *make_room_late(void *argument)
{
    nanosleep(&(struct timespec){.tv_sec = LATE / 1000, .tv_nsec = LATE % 1000 * 1000000l}, NULL);
    IS(take_id(*(mach_port_t *)argument), FILLER);
    return NULL;
}

/* The send takes most of the time that there is for both. With as much again for the receive it
 * would be LATE + BOTH. */
CASE(one_timeout_serves_both_halves)
{
    mach_port_t port = make_full_port(1), reply = make_port();
    struct timespec begun, ended;
    pthread_t thread;
    struct letter letter;
    NEED(pthread_create(&thread, NULL, make_room_late, &port) == 0);
    letter_to(&letter, port, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    NEED(clock_gettime(CLOCK_MONOTONIC, &begun) == 0);
    IS_CODE(rpc(&letter, reply, MACH_SEND_TIMEOUT | MACH_RCV_TIMEOUT, sizeof letter.bytes, BOTH),
            MACH_RCV_TIMED_OUT);
    NEED(clock_gettime(CLOCK_MONOTONIC, &ended) == 0);
    long ms = (ended.tv_sec - begun.tv_sec) * 1000 + (ended.tv_nsec - begun.tv_nsec) / 1000000;
    IS_TRUE(ms >= LATE);
    IS_TRUE(ms < LATE + BOTH - 300);
    NEED(pthread_join(thread, NULL) == 0);
}

CASE(a_header_only_message_and_rooms_of_0_to_28_lose_it)
{
    mach_port_t port = make_port();
    for (mach_msg_size_t room = 0; room <= 28; room += 4) {
        struct letter letter;
        tap_about("room %u", room);
        IS_OK(post(port, MAKE_SEND, 1));
        memset(&letter, 0, sizeof letter);
        IS_CODE(mach_msg(&letter.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, room, port, NOW,
                         MACH_PORT_NULL),
                MACH_RCV_TOO_LARGE);
        if (room >= 24)
            IS(letter.header.msgh_size, 24);
        IS_TRUE(is_empty(port));
    }
}

CASE(option_0_succeeds_and_does_nothing)
{
    mach_port_t port = make_port();
    struct letter letter, before;
    IS_OK(post(port, MAKE_SEND, 1));
    letter_to(&letter, port, MAKE_SEND, 2);
    before = letter;
    IS_OK(mach_msg(&letter.header, 0, 24, sizeof letter.bytes, port, NOW, MACH_PORT_NULL));
    IS(memcmp(&letter, &before, sizeof letter), 0);
    IS(take_id(port), 1);
    IS_TRUE(is_empty(port));
}

CASE(a_null_buffer_is_invalid_data)
{
    mach_port_t port = make_port();
    IS_OK(post(port, MAKE_SEND, 8));
    IS_CODE(mach_msg(NULL, MACH_SEND_MSG | MACH_SEND_TIMEOUT, 24, 0, MACH_PORT_NULL, NOW,
                     MACH_PORT_NULL),
            MACH_SEND_INVALID_DATA);
    IS_CODE(mach_msg(NULL, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, 4096, port, NOW, MACH_PORT_NULL),
            MACH_RCV_INVALID_DATA);
    IS(take_id(port), 8);
}

CASE(mach_msg_overwrite_receives_into_the_other_buffer)
{
    mach_port_t port = make_port();
    struct letter sent, received, before;
    letter_to(&sent, port, MAKE_SEND, 9);
    before = sent;
    memset(&received, 0, sizeof received);
    IS_OK(mach_msg_overwrite(&sent.header, MACH_SEND_MSG | MACH_RCV_MSG | MACH_RCV_TIMEOUT, 24,
                             sizeof received.bytes, port, PROMPT, MACH_PORT_NULL, &received.header,
                             0));
    IS(memcmp(&sent, &before, sizeof sent), 0);
    IS(received.header.msgh_id, 9);
    IS(received.header.msgh_bits, 0x1100);
}

CASE(large_identity_on_a_port_names_it)
{
    mach_port_t port = make_port();
    struct letter letter;
    IS_OK(post(port, MAKE_SEND, 1));
    letter_to(&letter, MACH_PORT_NULL, 0, 0);
    IS_CODE(mach_msg(&letter.header,
                     MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_LARGE | MACH_RCV_LARGE_IDENTITY, 0,
                     24, port, NOW, MACH_PORT_NULL),
            MACH_RCV_TOO_LARGE);
    IS(letter.header.msgh_local_port, port);
    IS(take_id(port), 1);
}

CASE(sizes_from_24_to_4096_arrive_whole)
{
    mach_port_t port = make_port();
    for (mach_msg_size_t size = 24; size <= 4000; size += 4) {
        struct letter letter;
        letter_to(&letter, port, MAKE_SEND, (mach_msg_id_t)size);
        for (mach_msg_size_t i = 24; i < size; i++)
            letter.bytes[i] = (unsigned char)(i * 31 + size);
        letter.header.msgh_size = size;
        NEED_OK(letter_send(&letter, NOW));
        take(&letter, port);
        NEED(letter.header.msgh_size == size);
        for (mach_msg_size_t i = 24; i < size; i++)
            NEED(letter.bytes[i] == (unsigned char)(i * 31 + size));
    }
}
