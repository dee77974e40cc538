/* mach_linux on a kernel, or in a sandbox, that lacks what it needs: one clear error that names it,
 * and no port that only seems to work. */
#include "../mach/ports.h"
#include "refuse.h"

#include <errno.h>
#include <fcntl.h>
#include <mach_linux.h>
#include <servers/bootstrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

static const name_t SERVICE = "child_port.restricted";

static void says(const char *text, const char *what)
{
    if (text == NULL || strstr(text, what) == NULL)
        tap_fail(__FILE__, __LINE__, "\"%s\" is not in: %s", what, text != NULL ? text : "(none)");
}

/* Nothing can be made, nobody can be reached, and no answer is wrong. */
static void nothing_works(const char *what)
{
    mach_port_t port = MACH_PORT_NULL;
    int pid = -1;
    struct letter letter;

    IS_CODE(mach_port_allocate(TASK, MACH_PORT_RIGHT_RECEIVE, &port), KERN_NOT_SUPPORTED);
    says(mach_linux_reason(), what);
    says(mach_linux_reason(), "5.14");
    IS_CODE(mach_port_allocate(TASK, MACH_PORT_RIGHT_PORT_SET, &port), KERN_NOT_SUPPORTED);
    IS(mach_reply_port(), MACH_PORT_NULL);
    IS_CODE(bootstrap_check_in(bootstrap_port, SERVICE, &port), KERN_NOT_SUPPORTED);
    IS_CODE(bootstrap_look_up(bootstrap_port, SERVICE, &port), KERN_NOT_SUPPORTED);
    IS(port, MACH_PORT_NULL);
    IS_CODE(pid_for_task(TASK, &pid), KERN_FAILURE);
    letter_to(&letter, TASK, COPY_SEND, 1);
    IS_CODE(letter_send(&letter, NOW), MACH_SEND_INVALID_DEST);
    IS(type_of(TASK), 0);
}

#define MAP_FLAGS_OF_A_PACKET 2 /* MAP_PRIVATE, and nothing else */

CASE(a_message_that_cannot_be_mapped_is_told)
{
    enum { LARGE = 1 << 23 };
    static union {
        mach_msg_header_t header;
        uint8_t room[LARGE + MAX_TRAILER_SIZE];
    } m;
    mach_port_t port = make_port();
    m.header.msgh_bits = MAKE_SEND;
    m.header.msgh_remote_port = port;
    NEED_OK(mach_msg(&m.header, MACH_SEND_MSG, LARGE, 0, 0, 0, 0));
    refuse(SYS_mmap, 3, MAP_FLAGS_OF_A_PACKET, EAGAIN); /* as with locked memory at its limit */
    IS_CODE(mach_msg(&m.header, MACH_RCV_MSG | MACH_RCV_TIMEOUT, 0, sizeof m, port, NOW, 0),
            MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL);
    says(mach_linux_reason(), "mmap");
}

/* What is written to standard error meanwhile. */
static int begin_capture(void)
{
    int ends[2];
    NEED(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
    close(ends[1]);
    return ends[0];
}

static void captured(int from, char *text, size_t room)
{
    close(2);
    ssize_t n = read(from, text, room - 1);
    text[n > 0 ? n : 0] = '\0';
    dup2(1, 2);
}

static void is_said_once(const char *what)
{
    char text[1000];
    int from = begin_capture();
    nothing_works(what);
    captured(from, text, sizeof text);
    says(text, "mach_linux: ");
    says(text, what);
    IS_TRUE(strchr(text, '\n') == strrchr(text, '\n')); /* one line */
}

CASE(without_pidfd)
{
    refuse(SYS_pidfd_open, -1, 0, ENOSYS);
    is_said_once("pidfd_open");
}

CASE(without_the_cookies_of_sockets)
{
    refuse(SYS_getsockopt, 2, SO_COOKIE, EPERM);
    is_said_once("SO_COOKIE");
}

CASE(before_linux_5_14)
{
    refuse(SYS_getsockopt, 2, SO_NETNS_COOKIE, ENOPROTOOPT);
    is_said_once("SO_NETNS_COOKIE");
}

CASE(without_the_credentials_of_senders)
{
    refuse(SYS_setsockopt, 2, SO_PASSCRED, EPERM);
    is_said_once("SO_PASSCRED");
}

CASE(without_unix_sockets)
{
    refuse(SYS_socketpair, -1, 0, EACCES);
    is_said_once("socketpair");
}

CASE(without_epoll)
{
    refuse(SYS_epoll_create1, -1, 0, ENOSYS);
    is_said_once("epoll_create1");
}

CASE(without_eventfd)
{
    refuse(SYS_eventfd2, -1, 0, EPERM);
    is_said_once("eventfd");
}

CASE(a_program_that_asks_is_told_and_nothing_is_printed)
{
    char text[1000];
    refuse(SYS_pidfd_open, -1, 0, EPERM);
    int from = begin_capture();
    says(mach_linux_missing(), "pidfd_open");
    nothing_works("pidfd_open");
    captured(from, text, sizeof text);
    IS(text[0], '\0');
}

CASE(with_all_that_is_needed_nothing_is_missing)
{
    IS_TRUE(mach_linux_missing() == NULL);
    IS_TRUE(mach_linux_reason() == NULL);
    (void)make_port();
    IS_TRUE(mach_linux_reason() == NULL);
}

static mach_msg_return_t send_large(mach_port_t to)
{
    enum { SIZE = 1 << 20 };
    mach_msg_header_t *m = calloc(1, SIZE);
    NEED(m != NULL);
    m->msgh_bits = MACH_MSGH_BITS(MAKE_SEND, 0);
    m->msgh_remote_port = to;
    mach_msg_return_t mr = mach_msg(m, MACH_SEND_MSG, SIZE, 0, 0, 0, 0);
    free(m);
    return mr;
}

CASE(without_memory_files_large_messages_alone_are_refused)
{
    mach_port_t port = make_port();
    refuse(SYS_memfd_create, -1, 0, ENOSYS);
    IS_CODE(send_large(port), MACH_SEND_NO_BUFFER);
    says(mach_linux_reason(), "memfd_create");
    IS_OK(post(port, MAKE_SEND, 3));
    IS(take_id(port), 3);
}

CASE(without_seals_large_messages_alone_are_refused)
{
    mach_port_t port = make_port();
    refuse(SYS_fcntl, 1, F_ADD_SEALS, EPERM);
    IS_CODE(send_large(port), MACH_SEND_NO_BUFFER);
    says(mach_linux_reason(), "F_ADD_SEALS");
    IS_OK(post(port, MAKE_SEND, 4));
    IS(take_id(port), 4);
}

CASE(a_sandbox_that_closes_later_is_a_shortage_with_its_reason)
{
    mach_port_t port = make_port(), other;
    refuse(SYS_socketpair, -1, 0, EPERM);
    IS_CODE(mach_port_allocate(TASK, MACH_PORT_RIGHT_RECEIVE, &other), KERN_RESOURCE_SHORTAGE);
    says(mach_linux_reason(), "socketpair");
    says(mach_linux_reason(), "sandbox");
    IS_OK(post(port, MAKE_SEND, 5));
    IS(take_id(port), 5);
}

CASE(a_look_behind_a_send_once_message_may_be_refused)
{
    mach_port_t port = make_port(), once = make_send_once(port);
    refuse(SYS_recvmmsg, -1, 0, ENOSYS);
    IS_OK(post(once, MOVE_SEND_ONCE, 6));
    IS(take_id(port), 6);
    once = make_send_once(port);
    IS_OK(mach_port_deallocate(TASK, once));
    (void)take_notification(port, MACH_NOTIFY_SEND_ONCE);
}

CASE(sending_descriptors_may_be_refused)
{
    mach_port_t to = make_port(), port = make_port();
    refuse(SYS_sendmsg, -1, 0, EPERM);
    IS_CODE(post_right(to, port, MAKE_SEND), MACH_SEND_NO_BUFFER);
    says(mach_linux_reason(), "sendmsg");
}
