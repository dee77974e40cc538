/*
 * Receiving: a packet is taken from a receive right or a set, waited for if there is none, checked
 * against the buffer, and delivered (inbound.c).
 *
 * The order matters to Mach's users: a message that does not fit stays where it was
 * (MACH_RCV_LARGE) or is destroyed, and only one that fits takes a sequence number and touches the
 * name space. That is decided under the receiver's lock, so that threads receiving from one port
 * keep its order. The lock is not held while anybody waits or a message is delivered; a reference
 * to the receiver, or to the set, is then what the call owns.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "calls.h"
#include "forks.h"
#include "inbound.h"
#include "memfile.h"
#include "message.h"
#include "notify.h"
#include "queue.h"
#include "recent.h"
#include "refusal.h"
#include "sets.h"

/* Packets that are no messages are dropped; so many of them, or so long, end a receive that should
 * not wait: a message that was there in time may be behind them. So do as many looks at members of
 * a set that have nothing after all. A member that has so few has had its turn: the others may have
 * messages. */
#define DROPS_MAX 1000u
#define DROPS_A_TURN 32u
#define PATIENCE_MS 100

/* --- taking from a queue --------------------------------------------------------------------- */

enum taken { TAKEN, EMPTY, LEFT_LARGE, GONE_LARGE, DROPPED, CHANGED, FAILED };

/* The descriptors that a message came with did not fit the table, or it did not fit the memory. */
static mach_msg_return_t reading_failed(int error)
{
    return MACH_RCV_BODY_ERROR | (error == EMFILE ? MACH_MSG_IPC_SPACE : MACH_MSG_IPC_KERNEL);
}

/* One try at the queue, under its lock. */
static enum taken take(struct ml_receiver *r, mach_msg_option_t option, mach_msg_size_t size,
                       struct ml_inbound *in, mach_msg_return_t *failure)
{
    enum taken result = TAKEN;
    pthread_mutex_lock(&r->lock);
    while (ml_fork_is_near()) {
        pthread_mutex_unlock(&r->lock);
        ml_fork_pause();
        pthread_mutex_lock(&r->lock);
    }
    if (!r->alive) {
        in->unowned = false;
        pthread_mutex_unlock(&r->lock);
        return CHANGED;
    }
    int error = ml_receiver_next(r, &in->packet);
    switch (error) {
    case 0: {
        uint32_t needed = ml_packet_header(&in->packet)->msgh_size + ml_trailer_size(option);
        if (needed <= size) {
            in->seqno = r->seqno++;
        } else if ((option & MACH_RCV_LARGE) != 0) {
            result = ml_receiver_stash(r, &in->packet) == 0 ? LEFT_LARGE : FAILED;
            *failure = MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
        } else {
            in->seqno = r->seqno++;
            result = GONE_LARGE;
        }
        break;
    }
    case EAGAIN:
        result = EMPTY;
        break;
    case EBADMSG:
        result = DROPPED;
        break;
    case EPIPE: /* somebody shut the shared sending end down: no message will ever come */
        ml_receiver_severed(r);
        *failure = MACH_RCV_PORT_DIED;
        result = FAILED;
        break;
    default:
        *failure = reading_failed(error);
        result = FAILED;
        break;
    }
    in->unowned = error == 0 && (in->packet.n_fds != 0 || in->packet.file >= 0);
    if (in->unowned)
        ml_unowned_begin();
    pthread_mutex_unlock(&r->lock);
    return result;
}

/* False: it was no message after all. */
static bool settle_taken(struct ml_inbound *in, mach_msg_header_t *buffer, mach_msg_option_t option,
                         mach_msg_return_t *result)
{
    int error = in->packet.file >= 0 ? ml_packet_load(&in->packet) : 0;
    if (error != 0) {
        ml_packet_drop(&in->packet);
        if (error != EBADMSG)
            *result = reading_failed(error);
        return error != EBADMSG;
    }
    return ml_inbound_deliver(in, buffer, option, result);
}

/* What one try means for the call. True: it is over, with *result. */
static bool settle_one(enum taken taken, struct ml_inbound *in, mach_msg_header_t *buffer,
                       mach_msg_option_t option, mach_msg_size_t size, mach_msg_return_t *result)
{
    switch (taken) {
    case TAKEN:
        return settle_taken(in, buffer, option, result);
    case LEFT_LARGE:
        *result = MACH_RCV_TOO_LARGE;
        if (size >= 16) /* the size is written where there is room for the header's first half */
            buffer->msgh_size = ml_packet_header(&in->packet)->msgh_size;
        if ((option & MACH_RCV_LARGE_IDENTITY) == MACH_RCV_LARGE_IDENTITY && size >= 16)
            buffer->msgh_local_port = in->port.name;
        ml_packet_drop(&in->packet);
        return true;
    case GONE_LARGE:
        *result = MACH_RCV_TOO_LARGE;
        ml_inbound_put_bare_header(in, buffer, size);
        ml_packet_drop(&in->packet);
        return true;
    case CHANGED:
        *result = MACH_RCV_PORT_CHANGED;
        return true;
    case FAILED:
        return true;
    default:
        return false;
    }
}

static bool settle(enum taken taken, struct ml_inbound *in, mach_msg_header_t *buffer,
                   mach_msg_option_t option, mach_msg_size_t size, mach_msg_return_t *result)
{
    bool over = settle_one(taken, in, buffer, option, size, result);
    if (in->unowned)
        ml_unowned_end();
    in->unowned = false;
    return over;
}

/* --- waiting --------------------------------------------------------------------------------- */

static mach_msg_return_t wait_epoll(int epoll, mach_msg_option_t option, ml_deadline deadline)
{
    struct epoll_event event;
    int left = ml_deadline_left(deadline);
    if (left == 0)
        return MACH_RCV_TIMED_OUT;
    int n = ml_epoll_wait(epoll, &event, 1, left);
    if (n < 0 && errno == EINTR)
        return (option & MACH_RCV_INTERRUPT) != 0 ? MACH_RCV_INTERRUPTED : MACH_MSG_SUCCESS;
    return MACH_MSG_SUCCESS; /* look again: at the queue, or at the time */
}

static mach_msg_return_t wait_for_message(struct ml_receiver *r, mach_msg_option_t option,
                                          ml_deadline deadline)
{
    if (ml_deadline_left(deadline) == 0)
        return MACH_RCV_TIMED_OUT;
    pthread_mutex_lock(&r->lock);
    int epoll = r->alive ? ml_receiver_epoll(r) : r->epoll;
    bool alive = r->alive;
    pthread_mutex_unlock(&r->lock);
    if (!alive)
        return MACH_RCV_PORT_CHANGED;
    if (epoll < 0)
        return MACH_RCV_BODY_ERROR | MACH_MSG_IPC_KERNEL;
    return wait_epoll(epoll, option, deadline);
}

/* One more was dropped. Should the call be over, and has it looked for long enough? */
static bool gives_up(struct ml_inbound *in, ml_deadline deadline)
{
    in->dropped++;
    if (ml_deadline_left(deadline) != 0)
        return false;
    if (in->patience == 0)
        in->patience = ml_deadline_after(PATIENCE_MS);
    return in->dropped >= DROPS_MAX || ml_deadline_left(in->patience) == 0;
}

/* From the port that the message is to come in by, which `in` has a reference to. For a turn only:
 * then it does not wait. */
static mach_msg_return_t receive_from(struct ml_inbound *in, mach_msg_header_t *buffer,
                                      mach_msg_option_t option, mach_msg_size_t size,
                                      ml_deadline deadline, bool turn)
{
    struct ml_receiver *r = in->receiver;
    mach_msg_return_t result = MACH_MSG_SUCCESS;
    for (const unsigned last = in->dropped + DROPS_A_TURN;;) {
        enum taken taken = take(r, option, size, in, &result);
        if (settle(taken, in, buffer, option, size, &result))
            return result;
        if (taken == EMPTY) {
            ml_recent_idle(r);
            result = wait_for_message(r, option, turn ? ML_AT_ONCE : deadline);
        } else if (gives_up(in, deadline) || (turn && in->dropped >= last)) {
            result = MACH_RCV_TIMED_OUT;
        }
        if (result != MACH_MSG_SUCCESS)
            return result;
    }
}

static mach_msg_return_t receive_from_set(struct ml_pset *set, struct ml_inbound *in,
                                          mach_msg_header_t *buffer, mach_msg_option_t option,
                                          mach_msg_size_t size, ml_deadline deadline)
{
    ML_GARBAGE(g);
    for (;;) {
        mach_msg_return_t mr = ml_set_wait(set, option, deadline, &in->receiver);
        if (mr != MACH_MSG_SUCCESS)
            return mr;
        ml_lock();
        in->port = ml_receiver_identify(in->receiver);
        ml_unlock();
        mr = receive_from(in, buffer, option, size, deadline, true);
        /* Another thread may have been quicker, or the member may just have gone; or it has no
         * senders left, which says nothing of the others. */
        if (mr != MACH_RCV_TIMED_OUT && mr != MACH_RCV_PORT_CHANGED && mr != MACH_RCV_PORT_DIED)
            return mr;
        ml_lock();
        ml_receiver_release(in->receiver, &g);
        ml_unlock();
        ml_garbage_flush(&g);
        in->receiver = NULL;
        if (gives_up(in, deadline))
            return MACH_RCV_TIMED_OUT;
    }
}

mach_msg_return_t ml_receive(mach_msg_header_t *buffer, mach_msg_option_t option,
                             mach_msg_size_t size, mach_port_name_t name, ml_deadline deadline)
{
    ML_GARBAGE(g);
    struct ml_inbound in;
    struct ml_pset *set = NULL;
    mach_msg_return_t mr;

    if (buffer == NULL)
        return MACH_RCV_INVALID_DATA;
    ml_refused_nothing();
    in.dropped = 0;
    in.patience = 0;
    in.receiver = NULL;
    in.recent = NULL;
    ml_lock();
    struct ml_entry *e = ml_entry_lookup(name);
    if (e != NULL && e->kind == ML_SEND_RECEIVE)
        in.receiver = e->port->receiver;
    else if (e != NULL && e->kind == ML_SET)
        set = ml_set_retain(e->set);
    if (in.receiver != NULL) {
        if (!in.receiver->watched && !ml_receiver_in_set(in.receiver))
            in.recent = in.receiver;
        in.receiver->refs++;
        in.port = ml_receiver_identify(in.receiver);
    }
    ml_unlock();
    if (in.receiver == NULL && set == NULL)
        return MACH_RCV_INVALID_NAME;

    mr = set != NULL ? receive_from_set(set, &in, buffer, option, size, deadline)
                     : receive_from(&in, buffer, option, size, deadline, false);
    if (in.receiver == NULL && set == NULL)
        return mr;
    ml_lock();
    if (in.receiver != NULL)
        ml_inbound_leave(&in, &g);
    if (set != NULL)
        ml_set_release(set, &g);
    ml_unlock();
    ml_garbage_flush(&g);
    return mr;
}
