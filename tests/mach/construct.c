/* mach_port_construct and mach_port_destruct (part A of the rest). Where the macOS kernel kills the
 * process with a guard exception before the return code comes back, the case is skipped there. */
#include "ports.h"

#define GUARD ((mach_port_context_t)0x123456789a)

enum { SEND = MACH_PORT_RIGHT_SEND, DEAD = MACH_PORT_RIGHT_DEAD_NAME };

static void skip_if_guards_kill(void)
{
#ifdef __APPLE__
    tap_skip("the guard exception kills the process");
#endif
}

/* macOS alone, and its later SDKs, have it. */
#ifndef MPO_REPLY_PORT
#define MPO_REPLY_PORT 0x1000
#endif

static mach_port_t construct(uint32_t flags, mach_port_context_t context)
{
    mach_port_options_t options = {.flags = flags};
    mach_port_t port = MACH_PORT_NULL;
    NEED_OK(mach_port_construct(TASK, &options, context, &port));
    return port;
}

CASE(the_options_are_24_bytes_and_the_flags_apples)
{
    IS(sizeof(mach_port_options_t), 24);
    IS(MPO_CONTEXT_AS_GUARD, 1);
    IS(MPO_QLIMIT, 2);
    IS(MPO_TEMPOWNER, 4);
    IS(MPO_IMPORTANCE_RECEIVER, 8);
    IS(MPO_INSERT_SEND_RIGHT, 0x10);
    IS(MPO_STRICT, 0x20);
    IS(MPO_IMMOVABLE_RECEIVE, 0x80);
}

CASE(a_reply_port_takes_the_answer_to_a_request)
{
    struct letter letter;
    mach_port_t server = make_port_with_sends(1), reply = construct(MPO_REPLY_PORT, 0);
    IS(type_of(reply), MACH_PORT_TYPE_RECEIVE);
    letter_to(&letter, server, COPY_SEND, 1);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    IS_OK(letter_send(&letter, 0));
    IS_OK(letter_receive(&letter, server, 0, 0));
    IS_OK(post(letter.header.msgh_remote_port, MOVE_SEND_ONCE, 2));
    IS_OK(letter_receive(&letter, reply, 0, 0));
    IS(letter.header.msgh_id, 2);
    IS_OK(mach_port_destruct(TASK, reply, 0, 0));
}

CASE(construct_with_no_flags_makes_a_receive_right)
{
    mach_port_t port = construct(0, 0);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS(status_of(port).mps_qlimit, 5);
    IS(status_of(port).mps_mscount, 0);
}

CASE(construct_with_insert_send_right)
{
    mach_port_t port = construct(MPO_INSERT_SEND_RIGHT, 0);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(refs(port, SEND), 1);
    IS(status_of(port).mps_mscount, 1);
    IS(status_of(port).mps_srights, 1);
}

CASE(construct_with_qlimit)
{
    static const mach_port_msgcount_t limits[] = {0, 1, 1024};
    for (int i = 0; i < 3; i++) {
        mach_port_options_t options = {.flags = MPO_QLIMIT, .mpl.mpl_qlimit = limits[i]};
        mach_port_t port = MACH_PORT_NULL;
        tap_about("qlimit %u", limits[i]);
        NEED_OK(mach_port_construct(TASK, &options, 0, &port));
        IS(status_of(port).mps_qlimit, limits[i]);
    }
}

CASE(construct_with_qlimit_1025_up_is_invalid_value)
{
    static const mach_port_msgcount_t limits[] = {1025, 1026, 65536, 0x7fffffff, 0xffffffff};
    for (int i = 0; i < 5; i++) {
        mach_port_options_t options = {.flags = MPO_QLIMIT, .mpl.mpl_qlimit = limits[i]};
        mach_port_t port = MACH_PORT_NULL;
        tap_about("limit %u", limits[i]);
        IS_CODE(mach_port_construct(TASK, &options, 0, &port), KERN_INVALID_VALUE);
    }
}

CASE(destruct_of_a_receive_right_frees_the_name)
{
    mach_port_t port = construct(0, 0);
    IS_OK(mach_port_destruct(TASK, port, 0, 0));
    IS_TRUE(is_gone(port));
}

CASE(destruct_with_all_sends_frees_the_name)
{
    mach_port_t port = make_port_with_sends(3);
    IS_OK(mach_port_destruct(TASK, port, -3, 0));
    IS_TRUE(is_gone(port));
}

CASE(destruct_with_sends_left_leaves_a_dead_name)
{
    mach_port_t port = make_port_with_sends(3);
    IS_OK(mach_port_destruct(TASK, port, 0, 0));
    IS(type_of(port), MACH_PORT_TYPE_DEAD_NAME);
    IS(refs(port, DEAD), 3);
    port = make_port_with_sends(2);
    IS_OK(mach_port_destruct(TASK, port, -1, 0));
    IS(refs(port, DEAD), 1);
}

CASE(destruct_with_too_large_a_delta_or_plus_1_is_invalid_value)
{
    mach_port_t port = make_port_with_sends(2);
    IS_CODE(mach_port_destruct(TASK, port, -3, 0), KERN_INVALID_VALUE);
    IS_CODE(mach_port_destruct(TASK, port, 1, 0), KERN_INVALID_VALUE);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(refs(port, SEND), 2);
}

CASE(destruct_of_receive_without_send_by_minus_1_is_invalid_right)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_destruct(TASK, port, -1, 0), KERN_INVALID_RIGHT);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(destruct_ignores_the_guard_of_an_unguarded_port)
{
    mach_port_t port = make_port();
    IS_OK(mach_port_destruct(TASK, port, 0, GUARD));
    IS_TRUE(is_gone(port));
}

CASE(destruct_of_another_kind)
{
    static const enum kind rights[] = {A_SET, A_SEND_ONCE, A_SEND, A_DEAD_NAME};
    static const enum kind names[] = {NAME_NULL, NAME_DEAD, NAME_BOGUS};
    for (int i = 0; i < 4; i++) {
        mach_port_t name = make_kind(rights[i]);
        tap_about("%s", kind_name(rights[i]));
        IS_CODE(mach_port_destruct(TASK, name, 0, 0), KERN_INVALID_RIGHT);
        IS_TRUE(type_of(name) != 0);
    }
    for (int i = 0; i < 3; i++) {
        tap_about("%s", kind_name(names[i]));
        IS_CODE(mach_port_destruct(TASK, make_kind(names[i]), 0, 0), KERN_INVALID_NAME);
    }
}

CASE(destruct_destroys_queued_messages_with_their_rights)
{
    mach_port_t port = make_port(), once = make_port(), moved = make_port_with_sends(1);
    IS_OK(post_right(port, once, MAKE_SEND_ONCE));
    IS_OK(post_right(port, moved, MOVE_RECEIVE));
    IS_OK(mach_port_destruct(TASK, port, 0, 0));
    take_notification(once, MACH_NOTIFY_SEND_ONCE);
    IS_TRUE(becomes_dead(moved));
}

CASE(destruct_with_the_guard_destroys)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD, GUARD);
    IS_OK(mach_port_destruct(TASK, port, 0, GUARD));
    IS_TRUE(is_gone(port));
}

CASE(destruct_with_a_wrong_guard_is_invalid_argument)
{
    skip_if_guards_kill();
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD, GUARD);
    IS_CODE(mach_port_destruct(TASK, port, 0, 0), KERN_INVALID_ARGUMENT);
    IS_CODE(mach_port_destruct(TASK, port, 0, GUARD + 1), KERN_INVALID_ARGUMENT);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(mod_refs_of_a_guarded_receive_right_is_invalid_right)
{
    skip_if_guards_kill();
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD, GUARD);
    IS_CODE(mach_port_mod_refs(TASK, port, MACH_PORT_RIGHT_RECEIVE, -1), KERN_INVALID_RIGHT);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(construct_with_context_as_guard_and_strict_shows_in_the_flags)
{
    IS(status_of(construct(MPO_CONTEXT_AS_GUARD, GUARD)).mps_flags & 0x6, 0x2);
    IS(status_of(construct(MPO_CONTEXT_AS_GUARD | MPO_STRICT, GUARD)).mps_flags & 0x6, 0x6);
}

CASE(a_moved_guarded_receive_right_arrives_unguarded)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD | MPO_INSERT_SEND_RIGHT, GUARD);
    mach_port_t carrier = make_port();
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_flags & 0x6, 0);
    IS_OK(mach_port_destruct(TASK, port, 0, 0));
}
