/* Names, types and attributes (part B of the rest). */
#include "ports.h"

#include <string.h>

CASE(the_type_bits_are_apples)
{
    IS(MACH_PORT_TYPE_SEND, 0x10000);
    IS(MACH_PORT_TYPE_RECEIVE, 0x20000);
    IS(MACH_PORT_TYPE_SEND_ONCE, 0x40000);
    IS(MACH_PORT_TYPE_PORT_SET, 0x80000);
    IS(MACH_PORT_TYPE_DEAD_NAME, 0x100000);
    IS(MACH_PORT_TYPE_DNREQUEST, 0x80000000);
}

CASE(type_of_each_kind)
{
    static const mach_port_type_t wanted[] = {0x20000, 0x30000, 0x10000,
                                              0x40000, 0x80000, 0x100000};
    for (enum kind kind = A_RECEIVE; kind <= A_DEAD_NAME; kind++) {
        tap_about("%s", kind_name(kind));
        IS(type_of(make_kind(kind)), wanted[kind]);
    }
}

CASE(names_gives_two_equal_arrays_that_the_caller_frees)
{
    mach_port_t mine[A_DEAD_NAME + 1];
    for (enum kind kind = A_RECEIVE; kind <= A_DEAD_NAME; kind++)
        mine[kind] = make_kind(kind);
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t name_count = 0, type_count = 0;
    NEED_OK(mach_port_names(TASK, &names, &name_count, &types, &type_count));
    IS(name_count, type_count);
    for (int i = 0; i <= A_DEAD_NAME; i++) {
        int found = 0;
        tap_about("%s", kind_name((enum kind)i));
        for (mach_msg_type_number_t j = 0; j < name_count; j++) {
            if (names[j] == mine[i]) {
                found++;
                IS(types[j], type_of(mine[i]));
            }
        }
        IS(found, 1);
    }
    tap_about(NULL);
    IS_OK(vm_deallocate(TASK, (vm_address_t)names, name_count * sizeof *names));
    IS_OK(vm_deallocate(TASK, (vm_address_t)types, type_count * sizeof *types));
}

CASE(names_no_longer_holds_a_freed_name)
{
    mach_port_t port = make_port();
    destroy_receive(port);
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t name_count = 0, type_count = 0;
    NEED_OK(mach_port_names(TASK, &names, &name_count, &types, &type_count));
    for (mach_msg_type_number_t i = 0; i < name_count; i++)
        IS_TRUE(names[i] != port);
}

/* The type that mach_port_names tells; 0 if it does not list the name. */
static mach_port_type_t listed_type(mach_port_t name)
{
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t name_count = 0, type_count = 0;
    mach_port_type_t type = 0;
    NEED_OK(mach_port_names(TASK, &names, &name_count, &types, &type_count));
    for (mach_msg_type_number_t i = 0; i < name_count; i++)
        if (names[i] == name)
            type = types[i];
    return type;
}

CASE(names_tells_of_a_dead_name_that_nobody_has_looked_at)
{
    mach_port_t parked = MACH_PORT_NULL, send = make_send_only(1, &parked);
    mach_port_t parked_too = make_port(), port = make_port(), once = make_send_once(port);
    IS_OK(post_right(parked_too, port, MOVE_RECEIVE));
    IS(listed_type(send), MACH_PORT_TYPE_SEND);
    IS(listed_type(once), MACH_PORT_TYPE_SEND_ONCE);
    destroy_receive(parked);
    destroy_receive(parked_too);
    IS(listed_type(send), MACH_PORT_TYPE_DEAD_NAME);
    IS(listed_type(once), MACH_PORT_TYPE_DEAD_NAME);
}

CASE(receive_status_of_a_new_port)
{
    mach_port_status_t status = status_of(make_port());
    IS(MACH_PORT_RECEIVE_STATUS_COUNT, 10);
    IS(status.mps_pset, 0);
    IS(status.mps_seqno, 0);
    IS(status.mps_mscount, 0);
    IS(status.mps_qlimit, 5);
    IS(status.mps_msgcount, 0);
    IS(status.mps_sorights, 0);
    IS(status.mps_srights, 0);
    IS(status.mps_pdrequest, 0);
    IS(status.mps_nsrequest, 0);
}

CASE(receive_status_counts_messages_and_seqno)
{
    mach_port_t port = make_port_with_sends(1);
    for (mach_msg_id_t i = 0; i < 3; i++)
        IS_OK(post(port, COPY_SEND, i));
    IS(status_of(port).mps_msgcount, 3);
    take_id(port);
    IS(status_of(port).mps_msgcount, 2);
    IS(status_of(port).mps_seqno, 1);
}

CASE(sorights_drops_at_receive_not_at_send)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    IS(status_of(port).mps_sorights, 1);
    IS_OK(post(once, MOVE_SEND_ONCE, 1));
    IS(status_of(port).mps_sorights, 1);
    take_id(port);
    IS(status_of(port).mps_sorights, 0);
}

CASE(srights_counts_spaces_and_rights_in_transit)
{
    mach_port_t port = make_port_with_sends(3), carrier = make_port();
    IS(status_of(port).mps_srights, 1);
    IS_OK(post_right(carrier, port, COPY_SEND));
    IS(status_of(port).mps_srights, 2);
    IS_OK(post_right(carrier, port, COPY_SEND));
    IS(status_of(port).mps_srights, 3);
    take_right(carrier, 17);
    take_right(carrier, 17);
    IS(status_of(port).mps_srights, 1);
}

CASE(a_make_send_destination_raises_mscount)
{
    mach_port_t port = make_port();
    IS_OK(post(port, MAKE_SEND, 1));
    IS(status_of(port).mps_mscount, 1);
    take_id(port);
    IS(status_of(port).mps_mscount, 1);
}

CASE(requests_show_in_the_status)
{
    mach_port_t port = make_port_with_sends(1), notify = make_port();
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    IS(status_of(port).mps_nsrequest, 1);
    IS(status_of(port).mps_pdrequest, 0);
    request(port, MACH_NOTIFY_PORT_DESTROYED, 0, notify);
    IS(status_of(port).mps_pdrequest, 1);
}

CASE(receive_status_with_a_smaller_count_is_failure)
{
    mach_port_status_t status;
    mach_msg_type_number_t count = 9;
    IS_CODE(mach_port_get_attributes(TASK, make_port(), MACH_PORT_RECEIVE_STATUS,
                                     (mach_port_info_t)&status, &count),
            KERN_FAILURE);
}

CASE(get_knows_flavors_1_and_2_with_their_counts)
{
    integer_t info[32];
    mach_port_t port = make_port();
    mach_msg_type_number_t count = 32;
    IS_OK(mach_port_get_attributes(TASK, port, 1, info, &count));
    IS(count, 1);
    IS(info[0], 5);
    count = 32;
    IS_OK(mach_port_get_attributes(TASK, port, 2, info, &count));
    IS(count, 10);
}

CASE(an_unknown_flavor_is_invalid_argument)
{
    integer_t info[32];
    mach_msg_type_number_t count = 32;
    IS_CODE(mach_port_get_attributes(TASK, make_port(), 99, info, &count), KERN_INVALID_ARGUMENT);
}

CASE(get_and_set_attributes_of_another_kind)
{
    mach_port_limits_t limits = {.mpl_qlimit = 3};
    for (enum kind kind = 0; kind < KINDS; kind++) {
        mach_port_t name = make_kind(kind);
        mach_msg_type_number_t count = 1;
        integer_t info[1];
        kern_return_t wanted = kind == A_RECEIVE || kind == A_SEND_RECEIVE ? KERN_SUCCESS
                               : kind == NAME_BOGUS                        ? KERN_INVALID_NAME
                                                                           : KERN_INVALID_RIGHT;
        tap_about("%s", kind_name(kind));
        IS_CODE(mach_port_get_attributes(TASK, name, MACH_PORT_LIMITS_INFO, info, &count), wanted);
        IS_CODE(mach_port_set_attributes(TASK, name, MACH_PORT_LIMITS_INFO,
                                         (mach_port_info_t)&limits, 1),
                wanted);
    }
}

CASE(destroy_works_on_any_kind_and_drops_all)
{
    for (enum kind kind = A_RECEIVE; kind <= A_DEAD_NAME; kind++) {
        mach_port_t name = make_kind(kind);
        tap_about("%s", kind_name(kind));
        IS_OK(mach_port_destroy(TASK, name));
        IS_TRUE(is_gone(name));
    }
}

CASE(the_task_argument_null_is_invalid_dest)
{
    mach_port_t name = MACH_PORT_NULL;
    mach_port_type_t type = 0;
    mach_port_urefs_t count = 0;
    IS_CODE(mach_port_allocate(MACH_PORT_NULL, 1, &name), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_type(MACH_PORT_NULL, make_port(), &type), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_get_refs(MACH_PORT_NULL, make_port(), 0, &count), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_deallocate(MACH_PORT_NULL, make_port()), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_mod_refs(MACH_PORT_NULL, make_port(), 1, -1), MACH_SEND_INVALID_DEST);

    mach_port_t port = make_port(), set = make_set(), got = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    mach_port_options_t options = {0};
    mach_port_status_t status;
    mach_port_limits_t limits = {1};
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t n = MACH_PORT_RECEIVE_STATUS_COUNT, m = 0;
    IS_CODE(mach_port_construct(MACH_PORT_NULL, &options, 0, &name), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_destruct(MACH_PORT_NULL, port, 0, 0), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_destroy(MACH_PORT_NULL, port), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_insert_right(MACH_PORT_NULL, port, port, MAKE_SEND), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_extract_right(MACH_PORT_NULL, port, MAKE_SEND, &got, &poly),
            MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_get_attributes(MACH_PORT_NULL, port, MACH_PORT_RECEIVE_STATUS,
                                     (mach_port_info_t)&status, &n),
            MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_set_attributes(MACH_PORT_NULL, port, MACH_PORT_LIMITS_INFO,
                                     (mach_port_info_t)&limits, MACH_PORT_LIMITS_INFO_COUNT),
            MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_names(MACH_PORT_NULL, &names, &n, &types, &m), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_insert_member(MACH_PORT_NULL, port, set), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_move_member(MACH_PORT_NULL, port, set), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_extract_member(MACH_PORT_NULL, port, set), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_get_set_status(MACH_PORT_NULL, set, &names, &n), MACH_SEND_INVALID_DEST);
    IS_CODE(mach_port_request_notification(MACH_PORT_NULL, port, MACH_NOTIFY_NO_SENDERS, 1, port,
                                           MAKE_SEND_ONCE, &got),
            MACH_SEND_INVALID_DEST);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}
