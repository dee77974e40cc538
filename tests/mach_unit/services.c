/* A service whose receive right goes away: its name goes with the right, wherever that dies, and
 * stays as long as it lives. On macOS such a right is not moved at all, so these are no cases of
 * tests/mach. */
#include "../mach/peers.h"

#include <servers/bootstrap.h>
#include <stdio.h>
#include <unistd.h>

static const char *unique_name(void)
{
    static name_t name;
    snprintf(name, sizeof name, "org.child-port.services.%d", (int)getpid());
    return name;
}

static kern_return_t check_in(mach_port_t *port)
{
    return bootstrap_check_in(bootstrap_port, unique_name(), port);
}

CASE(a_service_that_comes_home_is_found_again_and_its_name_goes_with_it)
{
    mach_port_t port = MACH_PORT_NULL, found = MACH_PORT_NULL, carrier = make_port();
    NEED_OK(check_in(&port));
    NEED_OK(post_right(carrier, port, MOVE_RECEIVE));
    mach_port_t back = take_right(carrier, MACH_MSG_TYPE_PORT_RECEIVE);
    IS_OK(bootstrap_look_up(bootstrap_port, unique_name(), &found));
    IS(found, back);
    IS_OK(post(found, COPY_SEND, 5));
    IS(take_id(back), 5);
    NEED_OK(mach_port_destroy(TASK, back));
    IS_OK(check_in(&port));
}

static void own_and_sleep(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    take_right(mine, MACH_MSG_TYPE_PORT_RECEIVE);
    IS_OK(post(home, COPY_SEND, 1));
    peer_sleep();
}

CASE(the_name_of_a_service_goes_when_the_process_dies_that_has_the_right_now)
{
    mach_port_t port = MACH_PORT_NULL, home = make_port();
    NEED_OK(check_in(&port));
    pid_t peer = peer_start(home, own_and_sleep);
    struct letter letter;
    letter_to(&letter, peer_meet(home), COPY_SEND, 1);
    letter_right(&letter, port, MOVE_RECEIVE);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_id(home), 1);
    IS_CODE(check_in(&port), BOOTSTRAP_SERVICE_ACTIVE);
    peer_kill(peer);
    kern_return_t code = KERN_FAILURE;
    for (int i = 0; i < 100 && code != KERN_SUCCESS; i++) {
        code = check_in(&port);
        if (code != KERN_SUCCESS)
            a_moment();
    }
    IS_OK(code);
}
