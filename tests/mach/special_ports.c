/* The bootstrap special port and the registered ports of this task (part E of the rest).
 *
 * The kernel passes both on to a program that is started and to a process that is forked. But on
 * macOS libc's fork has registered something else first: libSystem_atfork_prepare (Apple's
 * Libsystem, init.c) calls libxpc, which registers the one port that it needs. So what the kernel
 * does with registered ports is asked with posix_spawn, and what is left after a fork is a case of
 * its own. */
#include "peers.h"

#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SEND = MACH_PORT_RIGHT_SEND };

static kern_return_t set_bootstrap(mach_port_t name)
{
    return task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, name);
}

static mach_port_t get_bootstrap(void)
{
    mach_port_t name = BOGUS;
    NEED_OK(task_get_special_port(TASK, TASK_BOOTSTRAP_PORT, &name));
    return name;
}

/* ---- the bootstrap port ---- */

CASE(the_bootstrap_port_is_number_4)
{
    IS(TASK_BOOTSTRAP_PORT, 4);
}

CASE(get_adds_a_uref_and_gives_the_same_name)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(set_bootstrap(port));
    IS(refs(port, SEND), 1);
    for (long n = 2; n <= 4; n++) {
        IS(get_bootstrap(), port);
        IS(refs(port, SEND), n);
    }
}

CASE(set_copies_the_right)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    IS_OK(set_bootstrap(port));
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(is_empty(notify));
    IS_OK(set_bootstrap(MACH_PORT_NULL));
    take_notification(notify, MACH_NOTIFY_NO_SENDERS);
}

CASE(set_null_makes_get_give_null)
{
    IS_OK(set_bootstrap(make_port_with_sends(1)));
    IS_OK(set_bootstrap(MACH_PORT_NULL));
    IS(get_bootstrap(), MACH_PORT_NULL);
}

CASE(a_dead_bootstrap_port_is_got_as_dead)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(set_bootstrap(port));
    NEED_OK(mach_port_destroy(TASK, port));
    IS(get_bootstrap(), MACH_PORT_DEAD);
}

CASE(set_of_a_receive_only_or_bogus_name_is_invalid_right)
{
    mach_port_t before = get_bootstrap();
    IS_CODE(set_bootstrap(make_port()), MACH_SEND_INVALID_RIGHT);
    IS_CODE(set_bootstrap(BOGUS), MACH_SEND_INVALID_RIGHT);
    IS(get_bootstrap(), before);
}

static void post_home_twice(mach_port_t home)
{
    IS_OK(post(home, COPY_SEND, 11));
    mach_port_t again = MACH_PORT_NULL;
    NEED_OK(task_get_special_port(TASK, TASK_BOOTSTRAP_PORT, &again));
    IS(again, home);
    IS_OK(post(again, MOVE_SEND, 12));
}

CASE(two_process_the_bootstrap_port_is_inherited_over_fork)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, post_home_twice);
    IS(take_id(home), 11);
    IS(take_id(home), 12);
    peer_join(peer);
}

extern char **environ;

/* Starts this program, as one of the cases whose names begin with an underscore. */
static pid_t spawn_self(const char *name)
{
    const char *run = getenv("MACH_RUN");
    char command[4096], *arguments[] = {"sh", "-c", command, getenv("MACH_SELF"), NULL};
    pid_t peer = 0;
    snprintf(command, sizeof command, "exec %s \"$0\" --run %s", run ? run : "", name);
    fflush(stdout);
    NEED(posix_spawn(&peer, "/bin/sh", NULL, NULL, arguments, environ) == 0);
    return peer;
}

CASE(_spawned_peer)
{
    mach_port_t home = get_bootstrap();
    NEED(MACH_PORT_VALID(home));
    IS(type_of(home), MACH_PORT_TYPE_SEND);
    IS_OK(post(home, COPY_SEND, 21));
    mach_port_array_t ports = NULL;
    mach_msg_type_number_t count = 0;
    NEED_OK(mach_ports_lookup(TASK, &ports, &count));
    IS(count, 3);
    IS_OK(post(ports[1], COPY_SEND, 22));
}

CASE(two_process_special_and_registered_ports_are_inherited_by_a_program)
{
    mach_port_t home = make_port_with_sends(1), before = get_bootstrap();
    mach_port_t ports[3] = {MACH_PORT_NULL, home, MACH_PORT_NULL};
    IS_OK(set_bootstrap(home));
    IS_OK(mach_ports_register(TASK, ports, 3));
    pid_t peer = spawn_self("_spawned_peer");
    IS_OK(set_bootstrap(before));
    IS(take_id(home), 21);
    IS(take_id(home), 22);
    peer_join(peer);
}

static void change_the_bootstrap_port(mach_port_t home)
{
    IS_OK(set_bootstrap(make_port_with_sends(1)));
    IS_OK(post(home, COPY_SEND, 1));
}

CASE(two_process_a_childs_change_does_not_reach_the_parent)
{
    mach_port_t home = make_port(), mine = make_port_with_sends(1);
    IS_OK(set_bootstrap(mine));
    pid_t peer = peer_start(home, change_the_bootstrap_port);
    IS(take_id(home), 1);
    peer_join(peer);
    IS(get_bootstrap(), mine);
}

/* ---- registered ports ---- */

static void is_registered(mach_port_t one, mach_port_t two, mach_port_t three)
{
    mach_port_array_t ports = NULL;
    mach_msg_type_number_t count = 0;
    NEED_OK(mach_ports_lookup(TASK, &ports, &count));
    IS(count, 3);
    IS(ports[0], one);
    IS(ports[1], two);
    IS(ports[2], three);
    IS_OK(vm_deallocate(TASK, (vm_address_t)ports, count * sizeof *ports));
}

CASE(lookup_returns_3_always)
{
    NEED_OK(mach_ports_register(TASK, NULL, 0));
    is_registered(MACH_PORT_NULL, MACH_PORT_NULL, MACH_PORT_NULL);
}

CASE(lookup_adds_a_uref_an_entry)
{
    mach_port_t port = make_port_with_sends(1), ports[] = {port, port};
    IS_OK(mach_ports_register(TASK, ports, 2));
    IS(refs(port, SEND), 1);
    is_registered(port, port, MACH_PORT_NULL);
    IS(refs(port, SEND), 3);
}

CASE(register_replaces_all_three)
{
    mach_port_t port = make_port_with_sends(1), three[] = {port, port, port}, one[] = {port};
    IS_OK(mach_ports_register(TASK, three, 3));
    IS_OK(mach_ports_register(TASK, one, 1));
    is_registered(port, MACH_PORT_NULL, MACH_PORT_NULL);
    IS_OK(mach_ports_register(TASK, NULL, 0));
    is_registered(MACH_PORT_NULL, MACH_PORT_NULL, MACH_PORT_NULL);
}

CASE(register_of_4_is_invalid_argument)
{
    mach_port_t four[4] = {MACH_PORT_NULL};
    IS_CODE(mach_ports_register(TASK, four, 4), KERN_INVALID_ARGUMENT);
}

CASE(register_of_bogus_receive_only_or_send_once_is_invalid_right_and_the_old_set_stays)
{
    static const enum kind kinds[] = {NAME_BOGUS, A_RECEIVE, A_SEND_ONCE};
    mach_port_t port = make_port_with_sends(1);
    IS_OK(mach_ports_register(TASK, &port, 1));
    for (int i = 0; i < 3; i++) {
        mach_port_t ports[] = {port, make_kind(kinds[i])};
        tap_about("%s", kind_name(kinds[i]));
        IS_CODE(mach_ports_register(TASK, ports, 2), MACH_SEND_INVALID_RIGHT);
        is_registered(port, MACH_PORT_NULL, MACH_PORT_NULL);
    }
}

CASE(a_registered_port_is_a_sender)
{
    mach_port_t notify = make_port(), port = make_port_with_sends(1);
    IS_OK(mach_ports_register(TASK, &port, 1));
    request(port, MACH_NOTIFY_NO_SENDERS, 0, notify);
    IS_OK(mach_port_deallocate(TASK, port));
    IS_TRUE(is_empty(notify));
    IS_OK(mach_ports_register(TASK, NULL, 0));
    take_notification(notify, MACH_NOTIFY_NO_SENDERS);
}

CASE(a_registered_port_that_died_is_looked_up_as_dead)
{
    mach_port_t port = make_port_with_sends(1);
    IS_OK(mach_ports_register(TASK, &port, 1));
    NEED_OK(mach_port_destroy(TASK, port));
    is_registered(MACH_PORT_DEAD, MACH_PORT_NULL, MACH_PORT_NULL);
}

CASE(_spawned_peer_that_registers)
{
    mach_port_array_t ports = NULL;
    mach_msg_type_number_t count = 0;
    NEED_OK(mach_ports_lookup(TASK, &ports, &count));
    IS(count, 3);
    IS(ports[1], MACH_PORT_NULL);
    IS_OK(post(ports[2], COPY_SEND, 61));
    IS_OK(mach_ports_register(TASK, NULL, 0));
    IS_OK(post(ports[2], COPY_SEND, 62));
}

CASE(two_process_a_program_inherits_registered_ports_and_its_change_stays_there)
{
    mach_port_t port = make_port_with_sends(1);
    mach_port_t ports[] = {MACH_PORT_NULL, MACH_PORT_NULL, port};
    IS_OK(mach_ports_register(TASK, ports, 3));
    pid_t peer = spawn_self("_spawned_peer_that_registers");
    IS(take_id(port), 61);
    IS(take_id(port), 62);
    peer_join(peer);
    is_registered(MACH_PORT_NULL, MACH_PORT_NULL, port);
}

static void only_slot_0_is_in_use(void)
{
    mach_port_array_t ports = NULL;
    mach_msg_type_number_t count = 0;
    NEED_OK(mach_ports_lookup(TASK, &ports, &count));
    IS_TRUE(MACH_PORT_VALID(ports[0]));
    IS(ports[1], MACH_PORT_NULL);
    IS(ports[2], MACH_PORT_NULL);
}

static void look_at_the_registered_ports(mach_port_t home)
{
    only_slot_0_is_in_use();
    IS_OK(post(home, COPY_SEND, 71));
}

CASE(two_process_a_fork_leaves_only_libxpcs_port_registered)
{
    mach_port_t home = make_port(), port = make_port_with_sends(1);
    mach_port_t ports[] = {port, port, port};
    IS_OK(mach_ports_register(TASK, ports, 3));
    pid_t peer = peer_start(home, look_at_the_registered_ports);
    IS(take_id(home), 71);
    peer_join(peer);
    only_slot_0_is_in_use();
}
