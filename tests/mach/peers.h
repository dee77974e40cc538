/* A second process for a case. The first right that the two share travels as the bootstrap special
 * port of the task: set before fork, got by the child, restored in the parent. No name service is
 * needed. */
#ifndef TESTS_MACH_PEERS_H
#define TESTS_MACH_PEERS_H

#include "ports.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* Starts a child that runs `body` with a send right to `home`, whose receive right is the caller's,
 * and then ends as a case ends. */
pid_t peer_start(mach_port_t home, void (*body)(mach_port_t home));
/* Waits for it; its failed checks are the caller's. */
void peer_join(pid_t peer);
/* Kills it and waits. */
void peer_kill(pid_t peer);
/* Does nothing until killed. */
void peer_sleep(void) __attribute__((noreturn));
/* In a peer: a new port, a send right to which goes home. */
mach_port_t peer_introduce(mach_port_t home);
/* In the parent: the send right that peer_introduce sent. */
mach_port_t peer_meet(mach_port_t home);

/* One mach_msg call made on a thread of its own, so that the case can do something to it meanwhile.
 */
struct waiter {
    struct letter letter;
    mach_msg_option_t options;
    mach_msg_size_t send_size;
    mach_port_t receive_name;
    mach_msg_return_t result;
    pthread_t thread;
    atomic_int over;
    atomic_long thread_id; /* as is_asleep knows it; 0 before the thread runs */
};
/* Whether the calls are made without a timeout: an implementation may wait in another way then. */
extern int waiter_forever;
/* A case with waiters, which is run both with a timeout and without. */
#define WAITING_CASE(name)                                                                         \
    static void wait_##name(void);                                                                 \
    CASE(name)                                                                                     \
    {                                                                                              \
        wait_##name();                                                                             \
    }                                                                                              \
    CASE(name##_without_timeout)                                                                   \
    {                                                                                              \
        waiter_forever = 1;                                                                        \
        wait_##name();                                                                             \
    }                                                                                              \
    static void wait_##name(void)
/* They return when the thread waits inside the call. */
void waiter_receive(struct waiter *waiter, mach_port_t name, mach_msg_option_t options);
void waiter_send(struct waiter *waiter, mach_port_t destination, mach_msg_type_name_t disposition,
                 mach_msg_id_t id);
/* Sends waiter->letter as it stands. */
void waiter_send_letter(struct waiter *waiter);
void waiter_send_letter_with(struct waiter *waiter, mach_msg_option_t options);
/* Has the call returned? */
int waiter_is_over(struct waiter *waiter);
mach_msg_return_t waiter_result(struct waiter *waiter);
/* Long enough for what happens by itself to have happened, if it ever does. */
void a_moment(void);

#endif
