/* Names and their user references (section 1 of the reference): what allocate, insert_right,
 * extract_right, deallocate, mod_refs and destroy do to a name in this task's space. */
#include "ports.h"

enum { SEND = MACH_PORT_RIGHT_SEND, RECEIVE = MACH_PORT_RIGHT_RECEIVE };

CASE(allocate_receive_has_type_0x20000_qlimit_5_mscount_0)
{
    mach_port_t port = make_port();
    IS(type_of(port), 0x20000);
    IS(status_of(port).mps_qlimit, 5);
    IS(status_of(port).mps_mscount, 0);
    IS(refs(port, RECEIVE), 1);
}

CASE(allocate_makes_receive_set_and_dead_name_only)
{
    static const kern_return_t wanted[7] = {
        [0] = KERN_INVALID_VALUE, [1] = KERN_SUCCESS, [2] = KERN_INVALID_VALUE,
        [3] = KERN_SUCCESS,       [4] = KERN_SUCCESS, [5] = KERN_INVALID_VALUE,
        [6] = KERN_INVALID_VALUE,
    };
    static const mach_port_type_t types[7] = {[1] = 0x20000, [3] = 0x80000, [4] = 0x100000};
    for (mach_port_right_t right = 0; right < 7; right++) {
        mach_port_t name = MACH_PORT_NULL;
        tap_about("right %u", right);
        kern_return_t code = mach_port_allocate(TASK, right, &name);
        if (IS_CODE(code, wanted[right]) && code == KERN_SUCCESS)
            IS(type_of(name), types[right]);
    }
}

CASE(allocated_names_differ)
{
    mach_port_t one = make_port(), two = make_port();
    IS_TRUE(one != two && MACH_PORT_VALID(one) && MACH_PORT_VALID(two));
}

CASE(get_refs_of_a_right_that_the_name_lacks_is_0)
{
    mach_port_t port = make_port();
    for (mach_port_right_t right = 0; right <= MACH_PORT_RIGHT_DEAD_NAME; right++) {
        tap_about("right %u", right);
        IS(refs(port, right), right == RECEIVE ? 1 : 0);
    }
}

CASE(insert_make_send_twice_counts_urefs_and_mscount_but_one_sright)
{
    mach_port_t port = make_port();
    for (mach_port_urefs_t n = 1; n <= 2; n++) {
        IS_OK(mach_port_insert_right(TASK, port, port, MAKE_SEND));
        IS(refs(port, SEND), n);
        IS(status_of(port).mps_mscount, n);
        IS(status_of(port).mps_srights, 1);
    }
    IS(type_of(port), 0x30000);
}

CASE(insert_copy_send_onto_itself_adds_a_uref)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(mach_port_insert_right(TASK, port, port, COPY_SEND));
    IS(refs(port, SEND), 2);
    IS(status_of(port).mps_mscount, 1);
}

CASE(insert_move_send_onto_itself_changes_nothing)
{
    mach_port_t port = make_port_with_sends(2);
    IS_OK(mach_port_insert_right(TASK, port, port, MOVE_SEND));
    IS(refs(port, SEND), 2);
}

CASE(insert_copy_send_without_a_send_right_is_invalid_right)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_insert_right(TASK, port, port, COPY_SEND), KERN_INVALID_RIGHT);
    IS(type_of(port), 0x20000);
}

CASE(insert_make_send_at_another_name_of_a_held_port_is_right_exists)
{
    mach_port_t port = make_port(), other = make_port();
    destroy_receive(other); /* a name that is free for certain */
    IS_CODE(mach_port_insert_right(TASK, other, port, MAKE_SEND), KERN_RIGHT_EXISTS);
    IS_TRUE(is_gone(other));
}

CASE(insert_make_send_once_at_its_own_name_is_name_exists_and_notifies)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_insert_right(TASK, port, port, MAKE_SEND_ONCE), KERN_NAME_EXISTS);
    take_notification(port, MACH_NOTIFY_SEND_ONCE);
    IS(type_of(port), 0x20000);
}

CASE(extract_make_send_once_gives_a_new_name_each_time)
{
    mach_port_t port = make_port();
    mach_port_t one = make_send_once(port), two = make_send_once(port);
    IS_TRUE(one != two && one != port && two != port);
    IS(type_of(one), 0x40000);
    IS(status_of(port).mps_sorights, 2);
}

CASE(deallocate_drops_a_send_uref)
{
    mach_port_t port = make_port_with_sends(2);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(refs(port, SEND), 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(type_of(port), 0x20000);
}

CASE(deallocate_of_a_receive_only_name_is_invalid_right)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_deallocate(TASK, port), KERN_INVALID_RIGHT);
    IS(type_of(port), 0x20000);
}

CASE(deallocate_of_a_port_set_destroys_it)
{
    mach_port_t set = make_set();
    IS_OK(mach_port_deallocate(TASK, set));
    IS_TRUE(is_gone(set));
}

CASE(deallocate_of_a_send_only_name_frees_it_at_the_last)
{
    mach_port_t port = make_send_only(2, NULL);
    IS_OK(mach_port_deallocate(TASK, port));
    IS(refs(port, SEND), 1);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(is_gone(port));
}

CASE(mod_refs_send_below_zero_is_invalid_value_and_changes_nothing)
{
    mach_port_t port = make_port_with_sends(7);
    IS_CODE(mach_port_mod_refs(TASK, port, SEND, -100), KERN_INVALID_VALUE);
    IS_CODE(mach_port_mod_refs(TASK, port, SEND, -8), KERN_INVALID_VALUE);
    IS(refs(port, SEND), 7);
}

CASE(mod_refs_send_adds_and_drops)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, 9));
    IS(refs(port, SEND), 10);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, -4));
    IS(refs(port, SEND), 6);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, 0));
    IS(refs(port, SEND), 6);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, -6));
    IS(type_of(port), 0x20000);
}

CASE(mod_refs_receive_plus_1_or_minus_2_is_invalid_value)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_mod_refs(TASK, port, RECEIVE, 1), KERN_INVALID_VALUE);
    IS_CODE(mach_port_mod_refs(TASK, port, RECEIVE, -2), KERN_INVALID_VALUE);
    IS(type_of(port), 0x20000);
}

CASE(mod_refs_port_set_plus_1_is_invalid_value)
{
    mach_port_t set = make_set();
    IS_CODE(mach_port_mod_refs(TASK, set, MACH_PORT_RIGHT_PORT_SET, 1), KERN_INVALID_VALUE);
    IS(type_of(set), 0x80000);
}

CASE(mod_refs_of_a_right_not_present_is_invalid_right)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_mod_refs(TASK, port, SEND, 1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, port, SEND, -1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, port, MACH_PORT_RIGHT_SEND_ONCE, -1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, port, MACH_PORT_RIGHT_PORT_SET, -1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, port, MACH_PORT_RIGHT_DEAD_NAME, -1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, make_send_only(1, NULL), RECEIVE, -1), KERN_INVALID_RIGHT);
}

CASE(mod_refs_receive_minus_1_with_7_sends_leaves_a_dead_name_with_7)
{
    mach_port_t port = make_port_with_sends(7);
    IS_OK(mach_port_mod_refs(TASK, port, RECEIVE, -1));
    IS(type_of(port), 0x100000);
    IS(refs(port, MACH_PORT_RIGHT_DEAD_NAME), 7);
    IS(refs(port, SEND), 0);
}

CASE(mod_refs_receive_minus_1_without_senders_frees_the_name)
{
    mach_port_t port = make_port();
    IS_OK(mach_port_mod_refs(TASK, port, RECEIVE, -1));
    IS_TRUE(is_gone(port));
    IS_TRUE(make_port() != port); /* the same index, perhaps, but another generation */
}

CASE(dead_name_mod_refs_adds_and_drops_and_frees_at_0)
{
    mach_port_t name = make_dead_name(3);
    IS_OK(mach_port_mod_refs(TASK, name, MACH_PORT_RIGHT_DEAD_NAME, 4));
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 7);
    IS_OK(mach_port_mod_refs(TASK, name, MACH_PORT_RIGHT_DEAD_NAME, -6));
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 1);
    IS_OK(mach_port_mod_refs(TASK, name, MACH_PORT_RIGHT_DEAD_NAME, -1));
    IS_TRUE(is_gone(name));
}

CASE(dead_name_deallocate_drops_one_and_frees_at_0)
{
    mach_port_t name = make_dead_name(2);
    IS_OK(mach_port_deallocate(TASK, name));
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 1);
    IS_OK(mach_port_deallocate(TASK, name));
    IS_TRUE(is_gone(name));
}

CASE(dead_name_mod_refs_send_is_invalid_right)
{
    mach_port_t name = make_dead_name(2);
    IS_CODE(mach_port_mod_refs(TASK, name, SEND, -1), KERN_INVALID_RIGHT);
    IS_CODE(mach_port_mod_refs(TASK, name, SEND, 1), KERN_INVALID_RIGHT);
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 2);
}

CASE(dead_name_insert_copy_send_is_invalid_capability)
{
    mach_port_t name = make_dead_name(2);
    IS_CODE(mach_port_insert_right(TASK, name, name, COPY_SEND), KERN_INVALID_CAPABILITY);
    IS_CODE(mach_port_insert_right(TASK, name, name, MAKE_SEND), KERN_INVALID_CAPABILITY);
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 2);
}

CASE(dead_name_extract_copy_send_succeeds_with_port_dead)
{
    mach_port_t name = make_dead_name(2), right = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    IS_OK(mach_port_extract_right(TASK, name, COPY_SEND, &right, &poly));
    IS(right, MACH_PORT_DEAD);
    IS(refs(name, MACH_PORT_RIGHT_DEAD_NAME), 2);
}

CASE(destroy_of_send_and_receive_leaves_no_dead_name)
{
    mach_port_t port = make_port_with_sends(3);
    IS_OK(mach_port_destroy(TASK, port));
    IS_TRUE(is_gone(port));
}

CASE(null_and_dead_as_a_name)
{
    static const mach_port_t names[] = {MACH_PORT_NULL, MACH_PORT_DEAD};
    for (int i = 0; i < 2; i++) {
        mach_port_urefs_t count = 0;
        tap_about("%s", i ? "MACH_PORT_DEAD" : "MACH_PORT_NULL");
        IS_OK(mach_port_deallocate(TASK, names[i]));
        IS_OK(mach_port_destroy(TASK, names[i]));
        IS_OK(mach_port_get_refs(TASK, names[i], SEND, &count));
        IS_OK(mach_port_mod_refs(TASK, names[i], SEND, 1));
        IS_OK(mach_port_mod_refs(TASK, names[i], SEND, -1));
    }
}

CASE(type_of_null_is_invalid_name_and_of_dead_succeeds)
{
    mach_port_type_t type = 0;
    IS_CODE(mach_port_type(TASK, MACH_PORT_NULL, &type), KERN_INVALID_NAME);
    IS_OK(mach_port_type(TASK, MACH_PORT_DEAD, &type));
}

CASE(bogus_name_is_invalid_name)
{
    mach_port_type_t type = 0;
    mach_port_urefs_t count = 0;
    mach_port_t name = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    IS_CODE(mach_port_type(TASK, BOGUS, &type), KERN_INVALID_NAME);
    IS_CODE(mach_port_get_refs(TASK, BOGUS, SEND, &count), KERN_INVALID_NAME);
    IS_CODE(mach_port_mod_refs(TASK, BOGUS, SEND, -1), KERN_INVALID_NAME);
    IS_CODE(mach_port_deallocate(TASK, BOGUS), KERN_INVALID_NAME);
    IS_CODE(mach_port_destroy(TASK, BOGUS), KERN_INVALID_NAME);
    IS_CODE(mach_port_extract_right(TASK, BOGUS, COPY_SEND, &name, &poly), KERN_INVALID_NAME);
}

CASE(a_freed_name_is_invalid_name)
{
    mach_port_t port = make_port();
    mach_port_urefs_t count = 0;
    destroy_receive(port);
    IS_CODE(mach_port_get_refs(TASK, port, RECEIVE, &count), KERN_INVALID_NAME);
    IS_CODE(mach_port_mod_refs(TASK, port, RECEIVE, -1), KERN_INVALID_NAME);
    IS_CODE(mach_port_insert_right(TASK, port, port, MAKE_SEND), KERN_INVALID_NAME);
}

CASE(urefs_stick_at_65535)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, 65534));
    IS(refs(port, SEND), 65535);
    IS_OK(mach_port_mod_refs(TASK, port, SEND, 1));
    IS_OK(mach_port_insert_right(TASK, port, port, MAKE_SEND));
    IS(refs(port, SEND), 65535);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_OK(mach_port_mod_refs(TASK, port, SEND, -10));
    IS(refs(port, SEND), 65535);
}
