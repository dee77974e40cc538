/*
 * Sending: the rights of a message are copied in, the packet is written to the destination's
 * channel, and the rights are then gone for good (committed), put back (undone), or received by the
 * sender itself (the pseudo-receive of Mach: nothing is lost when a send times out).
 *
 * The lock is not held while the kernel is asked to send. The destination and every right in the
 * message are references of the message's own, so their descriptors stay open.
 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "calls.h"
#include "outbound.h"
#include "refusal.h"

/* How long a send without a deadline tries when the user's descriptors in flight are at their
 * limit: no receiver of ours may be the one to free them. */
#define IN_FLIGHT_PATIENCE_MS 1000u

/* --- time ------------------------------------------------------------------------------------ */

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

ml_deadline ml_deadline_after(mach_msg_timeout_t milliseconds)
{
    return milliseconds == 0 ? ML_AT_ONCE : now() + (int64_t)milliseconds * 1000000;
}

int ml_deadline_left(ml_deadline deadline)
{
    if (deadline == ML_FOREVER || deadline == ML_AT_ONCE)
        return deadline == ML_FOREVER ? -1 : 0;
    int64_t left = deadline - now();
    if (left <= 0)
        return 0;
    left = (left + 999999) / 1000000;
    return left > INT32_MAX ? INT32_MAX : (int)left;
}

/* --- transmission ---------------------------------------------------------------------------- */

/* Waits for room. The kernel reports room only when three quarters of the buffer are free, so look
 * again now and then: the message may fit before. */
static mach_msg_return_t wait_for_room(int tx, mach_msg_option_t option, ml_deadline deadline,
                                       int *slice)
{
    /* A descriptor of −1 is none: then this is a mere sleep. */
    int left = ml_deadline_left(deadline);
    if (left == 0)
        return MACH_SEND_TIMED_OUT;
    struct pollfd p = {.fd = tx, .events = POLLOUT};
    int ms = left < 0 || *slice < left ? *slice : left;
    if (ml_poll(&p, 1, ms) < 0 && errno == EINTR && (option & MACH_SEND_INTERRUPT) != 0)
        return MACH_SEND_INTERRUPTED;
    *slice = *slice < 8 ? *slice * 2 : 8;
    return MACH_MSG_SUCCESS;
}

/* *waited: the queue was full at least once. */
static mach_msg_return_t transmit(const struct ml_outbound *out, mach_msg_option_t option,
                                  ml_deadline deadline, bool *waited)
{
    int tx = out->destination.port->tx, slice = 1;
    ml_deadline patience = 0;

    for (;;) {
        int error = ml_packet_write(tx, out->pieces, out->n_pieces, out->fds, out->n_fds);
        switch (error) {
        case 0:
            return MACH_MSG_SUCCESS;
        case ETOOMANYREFS:
            if (deadline == ML_FOREVER) {
                if (patience == 0)
                    patience = ml_deadline_after(IN_FLIGHT_PATIENCE_MS);
                else if (ml_deadline_left(patience) == 0) {
                    ml_refused("sendmsg", error);
                    return MACH_SEND_NO_BUFFER;
                }
            }
            slice = 8;
            break;
        case EAGAIN:
            if (out->destination.port->kind != ML_SEND_ONCE)
                break;
            /* There is always room for the one message: whoever gave the right used it up before.
             */
            /* fall through */
        case EPIPE:
        case ECONNRESET:
        case ENOTCONN:
            return MACH_SEND_INVALID_DEST;
        case EMSGSIZE:
        case EINVAL:
            return MACH_SEND_TOO_LARGE;
        case EFAULT:
            return out->memory ? MACH_SEND_INVALID_MEMORY : MACH_SEND_INVALID_DATA;
        default:
            ml_refused("sendmsg", error);
            return MACH_SEND_NO_BUFFER;
        }
        *waited = true;
        mach_msg_return_t mr =
            error == ETOOMANYREFS && deadline != ML_FOREVER && ml_deadline_left(deadline) == 0
                ? MACH_SEND_TIMED_OUT
                /* The queue has room, so it would be no wait. */
                : wait_for_room(error == ETOOMANYREFS ? -1 : tx, option, deadline, &slice);
        if (mr != MACH_MSG_SUCCESS)
            return mr;
    }
}

/* --- what becomes of the rights -------------------------------------------------------------- */

static mach_msg_return_t conclude(struct ml_outbound *out, mach_msg_header_t *m,
                                  mach_msg_return_t mr, bool waited)
{
    switch (mr) {
    case MACH_MSG_SUCCESS:
        ml_outbound_end(out, ml_right_commit);
        return mr;
    case MACH_SEND_TIMED_OUT:
    case MACH_SEND_INTERRUPTED:
        ml_outbound_pseudo_receive(out, m);
        return mr;
    case MACH_SEND_INVALID_DEST:
        /* Of a port whose receive right is here the sending end was shut down; it is not dead. */
        if (out->destination.port->receiver == NULL)
            out->destination.port->dead = true;
        if (!waited && out->destination.carry == ML_CARRY_SEND) {
            ml_outbound_end(out, ml_right_undo);
            return mr;
        }
        /* The port died with the message on its way: to the sender it was sent, and what it carries
         * is destroyed with the port. A send-once right is used up by that. */
        ml_outbound_end(out, ml_right_destroy);
        return MACH_MSG_SUCCESS;
    default:
        ml_outbound_end(out, ml_right_undo);
        return mr;
    }
}

static mach_msg_return_t send_opened(struct ml_outbound *out, mach_msg_header_t *m,
                                     mach_msg_option_t option, mach_msg_size_t size,
                                     ml_deadline deadline)
{
    bool waited = false;

    ml_lock();
    mach_msg_return_t mr = ml_outbound_copyin(out, m, size);
    ml_unlock();
    if (mr == ML_SENT_AND_DESTROYED)
        return MACH_MSG_SUCCESS;
    if (mr != MACH_MSG_SUCCESS)
        return mr;
    /* What copy-in closed is not to wait for the end of a send that may take for ever. */
    ml_garbage_flush(&out->garbage);
    if (ml_outbound_is_long(out))
        mr = ml_outbound_spill(out);
    if (mr == MACH_MSG_SUCCESS)
        mr = transmit(out, option, deadline, &waited);
    if (mr == MACH_SEND_TOO_LARGE && out->file < 0) {
        /* Any holder of the port's sending end can shrink its buffer, for all of them. */
        mr = ml_outbound_spill(out);
        if (mr == MACH_MSG_SUCCESS)
            mr = transmit(out, option, deadline, &waited);
    }
    if (out->memory && (mr == MACH_SEND_TIMED_OUT || mr == MACH_SEND_INTERRUPTED))
        mr = ml_outbound_copy_memory(out, m, mr);
    ml_lock();
    mr = conclude(out, m, mr, waited);
    ml_unlock();
    return mr;
}

mach_msg_return_t ml_send(mach_msg_header_t *m, mach_msg_option_t option, mach_msg_size_t size,
                          ml_deadline deadline)
{
    struct ml_outbound out;

    ml_refused_nothing();
    if (m == NULL)
        return MACH_SEND_INVALID_DATA;
    if (size < sizeof *m || size % 4 != 0)
        return MACH_SEND_MSG_TOO_SMALL;
    mach_msg_return_t mr = ml_outbound_open(&out, m, size);
    if (mr == MACH_MSG_SUCCESS) {
        mr = send_opened(&out, m, option, size, deadline);
        if (mr == MACH_MSG_SUCCESS)
            ml_outbound_deallocate(&out, m);
    }
    ml_outbound_close(&out);
    return mr;
}
