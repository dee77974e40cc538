/* The helpers of peers.h. */
#include "peers.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif
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

/* Whether a thread waits in the kernel. No API of Mach that an implementation need have tells, so
 * the platform is asked; elsewhere a while must do. */
#if defined(__linux__)
static long own_thread_id(void)
{
    return syscall(SYS_gettid);
}

static int is_asleep(pthread_t thread, long id)
{
    char path[64], text[256];
    (void)thread;
    snprintf(path, sizeof path, "/proc/self/task/%ld/stat", id);
    FILE *file = fopen(path, "r");
    if (!file)
        return 1; /* it has ended: there is nothing to wait for */
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = 0;
    const char *end = strrchr(text, ')');
    return end && end[1] && end[2] == 'S';
}
#elif defined(__APPLE__)
static long own_thread_id(void)
{
    return 1;
}

static int is_asleep(pthread_t thread, long id)
{
    thread_basic_info_data_t info;
    mach_msg_type_number_t count = THREAD_BASIC_INFO_COUNT;
    (void)id;
    kern_return_t code = thread_info(pthread_mach_thread_np(thread), THREAD_BASIC_INFO,
                                     (thread_info_t)&info, &count);
    return code != KERN_SUCCESS || info.run_state == TH_STATE_WAITING;
}
#else
static long own_thread_id(void)
{
    return 1;
}

static int is_asleep(pthread_t thread, long id)
{
    (void)thread, (void)id;
    a_moment();
    return 1;
}
#endif

int waiter_forever;

static void *waiter_run(void *argument)
{
    struct waiter *waiter = argument;
    atomic_store(&waiter->thread_id, own_thread_id());
    waiter->result = mach_msg(&waiter->letter.header, waiter->options, waiter->send_size,
                              sizeof waiter->letter.bytes, waiter->receive_name,
                              waiter_forever ? MACH_MSG_TIMEOUT_NONE : PROMPT, MACH_PORT_NULL);
    atomic_store(&waiter->over, 1);
    return NULL;
}

static void waiter_start(struct waiter *waiter)
{
    const struct timespec pause = {.tv_nsec = 2000000};
    atomic_store(&waiter->thread_id, 0);
    atomic_store(&waiter->over, 0);
    NEED(pthread_create(&waiter->thread, NULL, waiter_run, waiter) == 0);
    /* Asleep several times in a row: on its way to the call it may wait for a lock. */
    for (int asleep = 0, i = 0; asleep < 5 && i < PROMPT / 2; i++) {
        long id = atomic_load(&waiter->thread_id);
        nanosleep(&pause, NULL);
        asleep = id && is_asleep(waiter->thread, id) ? asleep + 1 : 0;
    }
}

void waiter_receive(struct waiter *waiter, mach_port_t name, mach_msg_option_t options)
{
    *waiter = (struct waiter){.options = MACH_RCV_MSG | options, .receive_name = name};
    if (!waiter_forever)
        waiter->options |= MACH_RCV_TIMEOUT;
    waiter_start(waiter);
}

void waiter_send_letter(struct waiter *waiter)
{
    waiter_send_letter_with(waiter, 0);
}

void waiter_send_letter_with(struct waiter *waiter, mach_msg_option_t options)
{
    waiter->options = MACH_SEND_MSG | options | (waiter_forever ? 0 : MACH_SEND_TIMEOUT);
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

int waiter_is_over(struct waiter *waiter)
{
    return atomic_load(&waiter->over);
}

mach_msg_return_t waiter_result(struct waiter *waiter)
{
    NEED(pthread_join(waiter->thread, NULL) == 0);
    return waiter->result;
}
