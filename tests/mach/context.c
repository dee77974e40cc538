/* A port's context and its guard (part A of the rest): a file of their own, because an
 * implementation may leave mach_port_get_context out. Where the macOS kernel kills the process with
 * a guard exception before the return code comes back, the case is skipped there. */
#include "ports.h"

#define GUARD ((mach_port_context_t)0x123456789a)

static void skip_if_guards_kill(void)
{
#ifdef __APPLE__
    tap_skip("the guard exception kills the process");
#endif
}

static mach_port_t construct(uint32_t flags, mach_port_context_t context)
{
    mach_port_options_t options = {.flags = flags};
    mach_port_t port = MACH_PORT_NULL;
    NEED_OK(mach_port_construct(TASK, &options, context, &port));
    return port;
}

static mach_port_context_t context_of(mach_port_t port)
{
    mach_port_context_t context = 0;
    NEED_OK(mach_port_get_context(TASK, port, &context));
    return context;
}

CASE(construct_sets_the_context)
{
    IS(context_of(construct(0, GUARD)), GUARD);
    IS(context_of(make_port()), 0);
}

CASE(moving_the_receive_right_resets_the_context)
{
    mach_port_t port = construct(MPO_INSERT_SEND_RIGHT, GUARD), carrier = make_port();
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(context_of(port), 0);
}

CASE(construct_with_context_as_guard_guards)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD, GUARD);
    IS(status_of(port).mps_flags & 0x6, 0x2);
    IS(context_of(port), GUARD);
    mach_port_t strict = construct(MPO_CONTEXT_AS_GUARD | MPO_STRICT, GUARD);
    IS(status_of(strict).mps_flags & 0x6, 0x6);
    IS(context_of(strict), 0);
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

CASE(moving_a_guarded_receive_right_unguards_it)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD | MPO_INSERT_SEND_RIGHT, GUARD);
    mach_port_t carrier = make_port();
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(status_of(port).mps_flags & 0x6, 0);
    IS(context_of(port), 0);
}
