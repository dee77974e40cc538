/* The task's own port, and pid_for_task: of this task, of another, and of what is no task. */
#include "peers.h"

#include <unistd.h>

CASE(mach_task_self_is_a_send_right_that_stays_the_same)
{
    IS(mach_task_self(), mach_task_self());
    IS_TRUE(type_of(mach_task_self()) & MACH_PORT_TYPE_SEND);
}

CASE(pid_for_task_of_this_task)
{
    int pid = 0;
    NEED_OK(pid_for_task(mach_task_self(), &pid));
    IS(pid, getpid());
}

CASE(pid_for_task_of_what_is_no_task_fails)
{
    static const enum kind kinds[] = {A_SEND_RECEIVE, A_SEND, A_DEAD_NAME, NAME_NULL, NAME_BOGUS};
    for (int i = 0; i < 5; i++) {
        int pid = 0;
        tap_about("%s", kind_name(kinds[i]));
        IS_TRUE(pid_for_task(make_kind(kinds[i]), &pid) != KERN_SUCCESS);
    }
}

static void hand_over_the_task(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    for (int i = 0; i < 2; i++) {
        struct letter letter;
        letter_to(&letter, home, COPY_SEND, 1);
        letter_right(&letter, mach_task_self(), COPY_SEND);
        NEED_OK(letter_send(&letter, PROMPT));
    }
    IS(take_id(mine), 2);
}

CASE(two_process_a_task_port_names_its_process_and_joins_one_name)
{
    mach_port_t home = make_port();
    pid_t peer = peer_start(home, hand_over_the_task);
    mach_port_t there = peer_meet(home);
    mach_port_t task = take_right(home, 17);
    int pid = 0;
    IS_TRUE(task != mach_task_self());
    NEED_OK(pid_for_task(task, &pid));
    IS(pid, peer);
    IS(take_right(home, 17), task);
    IS(refs(task, MACH_PORT_RIGHT_SEND), 2);
    IS_OK(post(there, COPY_SEND, 2));
    peer_join(peer);
    IS_TRUE(becomes_dead(task));
}
