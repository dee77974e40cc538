/* The helpers of peers.h. */
#include "peers.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void live_as_peer(void (*body)(mach_port_t home)) __attribute__((noreturn));

static void live_as_peer(void (*body)(mach_port_t home))
{
    mach_port_t home = MACH_PORT_NULL;
    NEED_OK(task_get_special_port(mach_task_self(), TASK_BOOTSTRAP_PORT, &home));
    NEED(MACH_PORT_VALID(home));
    body(home);
    tap_end();
}

pid_t peer_start(mach_port_t home, void (*body)(mach_port_t home))
{
    mach_port_t before = MACH_PORT_NULL, send = MACH_PORT_NULL;
    mach_msg_type_name_t poly = 0;
    NEED_OK(mach_port_extract_right(TASK, home, MACH_MSG_TYPE_MAKE_SEND, &send, &poly));
    NEED_OK(task_get_special_port(TASK, TASK_BOOTSTRAP_PORT, &before));
    NEED_OK(task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, send));
    fflush(stdout);
    pid_t peer = fork();
    NEED(peer >= 0);
    if (peer == 0)
        live_as_peer(body);
    NEED_OK(task_set_special_port(TASK, TASK_BOOTSTRAP_PORT, before));
    if (MACH_PORT_VALID(before))
        NEED_OK(mach_port_deallocate(TASK, before));
    NEED_OK(mach_port_deallocate(TASK, send));
    return peer;
}

void peer_join(pid_t peer)
{
    int status = 0;
    NEED(waitpid(peer, &status, 0) == peer);
    if (WIFSIGNALED(status))
        tap_fail(__FILE__, __LINE__, "the peer was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        tap_fail(__FILE__, __LINE__, "the peer failed");
}

void peer_kill(pid_t peer)
{
    int status = 0;
    NEED(kill(peer, SIGKILL) == 0);
    NEED(waitpid(peer, &status, 0) == peer);
}

void peer_sleep(void)
{
    for (;;)
        pause();
}

mach_port_t peer_introduce(mach_port_t home)
{
    struct letter letter;
    mach_port_t port = make_port();
    letter_to(&letter, home, MACH_MSG_TYPE_COPY_SEND, 1);
    letter_right(&letter, port, MACH_MSG_TYPE_MAKE_SEND);
    NEED_OK(letter_send(&letter, PROMPT));
    return port;
}

mach_port_t peer_meet(mach_port_t home)
{
    mach_port_t port = take_right(home, MACH_MSG_TYPE_PORT_SEND);
    NEED(MACH_PORT_VALID(port));
    return port;
}

void a_moment(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
}

static void *waiter_run(void *argument)
{
    struct waiter *waiter = argument;
    waiter->started = 1;
    waiter->result =
        mach_msg(&waiter->letter.header, waiter->options, waiter->send_size,
                 sizeof waiter->letter.bytes, waiter->receive_name, PROMPT, MACH_PORT_NULL);
    return NULL;
}

static void waiter_start(struct waiter *waiter)
{
    waiter->started = 0;
    NEED(pthread_create(&waiter->thread, NULL, waiter_run, waiter) == 0);
    while (!waiter->started)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    a_moment();
}

void waiter_receive(struct waiter *waiter, mach_port_t name, mach_msg_option_t options)
{
    *waiter =
        (struct waiter){.options = MACH_RCV_MSG | MACH_RCV_TIMEOUT | options, .receive_name = name};
    waiter_start(waiter);
}

void waiter_send_letter(struct waiter *waiter)
{
    waiter_send_letter_with(waiter, 0);
}

void waiter_send_letter_with(struct waiter *waiter, mach_msg_option_t options)
{
    waiter->options = MACH_SEND_MSG | MACH_SEND_TIMEOUT | options;
    waiter->send_size = waiter->letter.header.msgh_size;
    waiter->receive_name = MACH_PORT_NULL;
    waiter_start(waiter);
}

void waiter_send(struct waiter *waiter, mach_port_t destination, mach_msg_type_name_t disposition,
                 mach_msg_id_t id)
{
    letter_to(&waiter->letter, destination, disposition, id);
    waiter_send_letter(waiter);
}

mach_msg_return_t waiter_result(struct waiter *waiter)
{
    NEED(pthread_join(waiter->thread, NULL) == 0);
    return waiter->result;
}
