/* A port's context and what a guard makes of it (part A of the rest): a file of their own, because
 * an implementation may leave mach_port_get_context out. */
#include "ports.h"

#define GUARD ((mach_port_context_t)0x123456789a)

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

CASE(a_guard_reads_as_the_context_unless_strict)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD, GUARD);
    IS(context_of(port), GUARD);
    mach_port_t strict = construct(MPO_CONTEXT_AS_GUARD | MPO_STRICT, GUARD);
    IS(context_of(strict), 0);
}

CASE(moving_a_guarded_receive_right_resets_the_context)
{
    mach_port_t port = construct(MPO_CONTEXT_AS_GUARD | MPO_INSERT_SEND_RIGHT, GUARD);
    mach_port_t carrier = make_port();
    IS_OK(post_right(carrier, port, MOVE_RECEIVE));
    IS(take_right(carrier, 16), port);
    IS(context_of(port), 0);
}
