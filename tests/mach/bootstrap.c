/* Bootstrap names: a service checks in under a name, others look it up. Every case is skipped where
 * this session has no name service, as in a sandbox. */
#include "peers.h"

#include <servers/bootstrap.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A name of this case alone. */
static const char *unique_name(void)
{
    static name_t name;
    static int count;
    snprintf(name, sizeof name, "org.child-port.conformance.%d.%d", (int)getpid(), count++);
    return name;
}

static mach_port_t check_in(const char *name)
{
    mach_port_t port = MACH_PORT_NULL;
    kern_return_t code = bootstrap_check_in(bootstrap_port, name, &port);
    if (code == BOOTSTRAP_NOT_PRIVILEGED || code == MACH_SEND_INVALID_DEST)
        tap_skip("no name may be checked in here");
    NEED_OK(code);
    return port;
}

CASE(check_in_gives_a_receive_right)
{
    mach_port_t port = check_in(unique_name());
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(look_up_gives_a_send_right_to_it)
{
    const char *name = unique_name();
    mach_port_t port = check_in(name), found = MACH_PORT_NULL;
    IS_OK(bootstrap_look_up(bootstrap_port, name, &found));
    IS(found, port);
    IS(type_of(port), MACH_PORT_TYPE_SEND_RECEIVE);
    IS_OK(post(found, COPY_SEND, 3));
    IS(take_id(port), 3);
}

CASE(look_up_of_a_name_nobody_has_is_unknown_service)
{
    mach_port_t found = MACH_PORT_NULL;
    check_in(unique_name());
    IS_CODE(bootstrap_look_up(bootstrap_port, unique_name(), &found), BOOTSTRAP_UNKNOWN_SERVICE);
}

CASE(a_second_check_in_fails)
{
    const char *name = unique_name();
    mach_port_t port = check_in(name), second = MACH_PORT_NULL;
    IS_TRUE(bootstrap_check_in(bootstrap_port, name, &second) != KERN_SUCCESS);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(the_name_goes_with_its_receive_right)
{
    const char *name = unique_name();
    mach_port_t port = check_in(name), found = MACH_PORT_NULL;
    destroy_receive(port);
    kern_return_t code = KERN_SUCCESS;
    for (int i = 0; i < 100 && code == KERN_SUCCESS && found != MACH_PORT_DEAD; i++) {
        code = bootstrap_look_up(bootstrap_port, name, &found);
        if (code == KERN_SUCCESS)
            a_moment();
    }
    IS_TRUE(code == BOOTSTRAP_UNKNOWN_SERVICE || found == MACH_PORT_DEAD);
}

CASE(strerror_gives_words)
{
    static const kern_return_t codes[] = {BOOTSTRAP_SUCCESS,        BOOTSTRAP_NOT_PRIVILEGED,
                                          BOOTSTRAP_NAME_IN_USE,    BOOTSTRAP_UNKNOWN_SERVICE,
                                          BOOTSTRAP_SERVICE_ACTIVE, KERN_INVALID_NAME};
    for (int i = 0; i < 6; i++) {
        const char *text = bootstrap_strerror(codes[i]);
        IS_TRUE(text && text[0]);
    }
}

static name_t shared_name;

static void look_up_and_post(mach_port_t home)
{
    mach_port_t found = MACH_PORT_NULL, bootstrap = take_right(peer_introduce(home), 17);
    NEED_OK(bootstrap_look_up(bootstrap, shared_name, &found));
    IS_OK(post(found, COPY_SEND, 44));
}

CASE(two_process_look_up)
{
    mach_port_t home = make_port();
    snprintf(shared_name, sizeof shared_name, "%s", unique_name());
    mach_port_t port = check_in(shared_name);
    pid_t peer = peer_start(home, look_up_and_post);
    mach_port_t there = peer_meet(home);
    struct letter letter;
    letter_to(&letter, there, COPY_SEND, 1);
    letter_right(&letter, bootstrap_port, COPY_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    IS(take_id(port), 44);
    peer_join(peer);
}

CASE(two_process_the_name_of_a_killed_process_can_be_checked_in_again)
{
    int ready[2];
    const char *name = unique_name();
    char byte = 0;
    NEED(pipe(ready) == 0);
    pid_t peer = fork();
    if (peer == 0) {
        mach_port_t port = MACH_PORT_NULL;
        byte = bootstrap_check_in(bootstrap_port, name, &port) == KERN_SUCCESS;
        if (write(ready[1], &byte, 1) == 1)
            peer_sleep();
        _exit(1);
    }
    NEED(read(ready[0], &byte, 1) == 1);
    if (!byte)
        tap_skip("no name may be checked in here");
    peer_kill(peer);
    mach_port_t port = MACH_PORT_NULL;
    kern_return_t code = KERN_FAILURE;
    for (int i = 0; i < 100 && code != KERN_SUCCESS; i++) {
        code = bootstrap_check_in(bootstrap_port, name, &port);
        if (code != KERN_SUCCESS)
            a_moment();
    }
    IS_OK(code);
}
