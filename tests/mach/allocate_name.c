/* mach_port_allocate_name and mach_port_rename (section 1, and part B of the rest): a file of their
 * own, because an implementation may leave both out. */
#include "ports.h"

CASE(allocate_name_takes_the_three_kinds)
{
    static const mach_port_right_t rights[] = {1, 3, 4};
    for (int i = 0; i < 3; i++) {
        mach_port_t name = make_port();
        destroy_receive(name);
        tap_about("right %u", rights[i]);
        IS_OK(mach_port_allocate_name(TASK, rights[i], name));
        IS(type_of(name), 1u << (16 + rights[i]));
    }
}

CASE(allocate_name_of_another_kind_is_invalid_value)
{
    static const mach_port_right_t rights[] = {0, 2, 5};
    for (int i = 0; i < 3; i++) {
        mach_port_t name = make_port();
        destroy_receive(name);
        tap_about("right %u", rights[i]);
        IS_CODE(mach_port_allocate_name(TASK, rights[i], name), KERN_INVALID_VALUE);
    }
}

CASE(allocate_name_null_or_dead_is_invalid_value)
{
    IS_CODE(mach_port_allocate_name(TASK, 1, MACH_PORT_NULL), KERN_INVALID_VALUE);
    IS_CODE(mach_port_allocate_name(TASK, 1, MACH_PORT_DEAD), KERN_INVALID_VALUE);
}

CASE(allocate_name_taken_is_name_exists)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_allocate_name(TASK, 1, port), KERN_NAME_EXISTS);
    IS(type_of(port), 0x20000);
}

CASE(allocate_name_malformed_is_failure)
{
    IS_CODE(mach_port_allocate_name(TASK, 1, 0x12340), KERN_FAILURE);
}

CASE(rename_is_not_supported)
{
    mach_port_t port = make_port();
    IS_CODE(mach_port_rename(TASK, port, port + 0x100), KERN_NOT_SUPPORTED);
    IS(type_of(port), 0x20000);
}
