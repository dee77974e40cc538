/* MACH_SEND_INTERRUPT and MACH_RCV_INTERRUPT (part G and the codes of part N): with them a signal
 * ends a wait, without them the wait goes on. */
#include "peers.h"

#include <errno.h>
#include <signal.h>

static atomic_int signals;

static void count_signal(int number)
{
    int before = errno;
    (void)number;
    atomic_fetch_add(&signals, 1);
    errno = before;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    NEED(sigaction(SIGUSR1, &action, NULL) == 0);
}

static void signal_until(struct waiter *waiter, int wanted)
{
    while (atomic_load(&signals) < wanted) {
        NEED(pthread_kill(waiter->thread, SIGUSR1) == 0);
        a_moment();
    }
}

WAITING_CASE(a_receive_with_interrupt_ends_at_a_signal)
{
    struct waiter waiter;
    catch_signals();
    waiter_receive(&waiter, make_port(), MACH_RCV_INTERRUPT);
    signal_until(&waiter, 1);
    IS_CODE(waiter_result(&waiter), MACH_RCV_INTERRUPTED);
}

WAITING_CASE(a_receive_without_interrupt_goes_on_after_a_signal)
{
    mach_port_t port = make_port();
    struct waiter waiter;
    catch_signals();
    waiter_receive(&waiter, port, 0);
    signal_until(&waiter, 2);
    IS_OK(post(port, MAKE_SEND, 5));
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
    IS(waiter.letter.header.msgh_id, 5);
}

WAITING_CASE(a_send_with_interrupt_ends_at_a_signal_and_gives_the_rights_back)
{
    mach_port_t port = make_full_port(1), carried = make_port_with_sends(1);
    struct waiter waiter;
    catch_signals();
    letter_to(&waiter.letter, port, COPY_SEND, 1);
    letter_right(&waiter.letter, carried, MOVE_RECEIVE);
    waiter_send_letter_with(&waiter, MACH_SEND_INTERRUPT);
    signal_until(&waiter, 1);
    IS_CODE(waiter_result(&waiter), MACH_SEND_INTERRUPTED);
    IS(waiter.letter.ports[0].name, carried);
    IS(type_of(carried), MACH_PORT_TYPE_SEND_RECEIVE);
    IS(refs(port, MACH_PORT_RIGHT_SEND), 2);
}

WAITING_CASE(a_send_without_interrupt_goes_on_after_a_signal)
{
    mach_port_t port = make_full_port(1);
    struct waiter waiter;
    struct letter letter;
    catch_signals();
    waiter_send(&waiter, port, COPY_SEND, 6);
    signal_until(&waiter, 2);
    take_after_fillers(&letter, port);
    IS(letter.header.msgh_id, 6);
    IS_CODE(waiter_result(&waiter), MACH_MSG_SUCCESS);
}
