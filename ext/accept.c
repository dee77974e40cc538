/* accept(): receives messages until one is a valid check-in, or the wait must end.
 *
 * Each message received belongs to this file until server_dispatch() has destroyed it or handed its
 * port over; the port then goes to the CheckIn. The first look at the queue does not block and
 * keeps the GIL; every wait is without it. */
#include "audit.h"
#include "check_in_object.h"
#include "errors.h"
#include "message_parts.h"
#include "requests.h"
#include "right.h"
#include "server.h"
#include "wait.h"

#include <stdio.h>
#include <string.h>

#include <bsm/libbsm.h>

/* Once a wait is to end, what is queued is looked at first: a check-in that arrived in time counts,
 * also behind a stranger's messages. No more can have been queued by then than the highest queue
 * limit there is, so one who keeps sending does not put the end off for ever. */
#define LAST_PASS_LONGEST MACH_PORT_QLIMIT_MAX
/* While messages keep coming the wait never blocks, and so does not see the peer's end by itself;
 * nor may other threads run. Both are seen to once in so many messages: a thread that wants the GIL
 * keeps it for a while, which after each message would make a pass over the queue a matter of
 * seconds. */
#define MESSAGES_BETWEEN_PEER 64
#define MESSAGES_BETWEEN_BREATHS 16

enum ending { ENDING_NONE, ENDING_PEER_GONE, ENDING_TIMED_OUT };

struct accept_call {
    struct server_core *core;
    struct right *port;
    struct cancel_token *cancel;
    deadline_t deadline;
    struct waiter waiter;
    enum ending ending; /* why the pass over the queue that is under way is the last one */
    int last_pass_left;
    uint32_t slice;    /* of the wait: deadline_slice_ms() */
    bool late;         /* the deadline had passed before the queue was looked at */
    unsigned rejected; /* messages that were no check-in, in this call */
    struct server_call call;
    audit_token_t sender;
    union server_message message;
};

/* --- one message ------------------------------------------------------------------------------ */

/* Reads the audit trailer, which lies behind the message at its size rounded up. False if there is
 * none: then nothing is known about the sender. */
static bool trailer_read(struct accept_call *accept)
{
    const mach_msg_header_t *header = &accept->message.header;
    size_t offset = ((size_t)header->msgh_size + 3) & ~(size_t)3;
    if (offset + sizeof(mach_msg_audit_trailer_t) > sizeof accept->message)
        return false;
    const mach_msg_audit_trailer_t *trailer = (const void *)(accept->message.room + offset);
    if (trailer->msgh_trailer_type != MACH_MSG_TRAILER_FORMAT_0 ||
        trailer->msgh_trailer_size < sizeof *trailer)
        return false;
    accept->sender = trailer->msgh_audit;
    return true;
}

static bool sender_is_kernel(const audit_token_t *sender)
{
    static const audit_token_t kernel = {{0}};
    return memcmp(sender, &kernel, sizeof kernel) == 0;
}

static enum verdict message_judge(struct accept_call *accept)
{
    const struct server_core *core = accept->core;
    if (!trailer_read(accept)) {
        message_destroy(&accept->message.header);
        return VERDICT_MALFORMED;
    }
    accept->call = (struct server_call){
        .token = core->token,
        .keyed = core->keyed,
        .pid_expected = core->pid_expected,
        .expected_pid = core->expected_pid,
        .sender_pid = audit_token_to_pid(accept->sender),
    };
    bool answer =
        sender_is_kernel(&accept->sender) && requests_answer(core->state, &accept->message.header);
    return server_dispatch(&accept->call, &accept->message, answer);
}

static mach_msg_return_t message_receive(struct accept_call *accept, mach_port_name_t name,
                                         uint32_t timeout_ms)
{
    const mach_msg_option_t options = MACH_RCV_MSG | MACH_RCV_TIMEOUT | MACH_RCV_INTERRUPT |
                                      MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) |
                                      MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_AUDIT);
    mach_msg_header_t *header = &accept->message.header;
    /* A receive that fails before it writes the header must leave nothing to destroy. */
    header->msgh_bits = 0;
    header->msgh_remote_port = MACH_PORT_NULL;
    return mach_msg(header, options, 0, sizeof accept->message, name, timeout_ms, MACH_PORT_NULL);
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* STEP_AGAIN: a message that was no check-in, or a wake-up: look at the queue once more. */
enum step { STEP_ACCEPTED, STEP_AGAIN, STEP_EMPTY, STEP_INTERRUPTED, STEP_FAILED };

static enum step step_after(struct accept_call *accept, mach_msg_return_t mr)
{
    enum verdict verdict = VERDICT_MALFORMED;
    switch (mr & ~MACH_MSG_MASK) {
    case MACH_MSG_SUCCESS:
        verdict = message_judge(accept);
        atomic_fetch_add_explicit(&accept->core->counts[verdict], 1, memory_order_relaxed);
        return verdict == VERDICT_ACCEPTED ? STEP_ACCEPTED : STEP_AGAIN;
    case MACH_RCV_TOO_LARGE: /* the kernel destroyed the message, rights and all */
        atomic_fetch_add_explicit(&accept->core->counts[verdict], 1, memory_order_relaxed);
        return STEP_AGAIN;
    case MACH_RCV_TIMED_OUT:
        return STEP_EMPTY;
    case MACH_RCV_INTERRUPTED:
        return STEP_INTERRUPTED;
    case MACH_RCV_INVALID_NAME: /* it was one when the call began */
    case MACH_RCV_PORT_CHANGED:
    case MACH_RCV_PORT_DIED:
        error_set_as(accept->core->state, ERROR_PORT_CHANGED, "mach_msg", mr, ADVICE_PORT_CHANGED);
        return STEP_FAILED;
    case MACH_RCV_BODY_ERROR: /* the message came without some of its rights */
        message_destroy(&accept->message.header);
        error_set(accept->core->state, "mach_msg", mr, NULL);
        return STEP_FAILED;
    default:
        error_set(accept->core->state, "mach_msg", mr, NULL);
        return STEP_FAILED;
    }
}

static void accept_last_pass(struct accept_call *accept, enum ending ending)
{
    accept->ending = ending;
    accept->last_pass_left = LAST_PASS_LONGEST;
}

static enum step accept_poll(struct accept_call *accept, mach_port_name_t name)
{
    return step_after(accept, message_receive(accept, name, 0));
}

/* Blocks until something happens: in mach_msg itself if only a message or the deadline can end the
 * wait, else in the waiter, after which the caller looks at the queue again. */
static enum step accept_block(struct accept_call *accept, mach_port_name_t name)
{
    uint32_t left = deadline_slice_ms(accept->deadline, &accept->slice);
    bool alone = accept->waiter.cancel_fd < 0 && accept->waiter.peer_fd < 0;
    mach_msg_return_t mr;
    Py_BEGIN_ALLOW_THREADS mr =
        alone ? message_receive(accept, name, left) : waiter_wait(&accept->waiter, name, left);
    Py_END_ALLOW_THREADS if (alone || mr != MACH_MSG_SUCCESS) return step_after(accept, mr);
    if (accept->waiter.peer_gone && accept->ending == ENDING_NONE)
        accept_last_pass(accept, ENDING_PEER_GONE);
    return STEP_AGAIN;
}

/* Before the queue is looked at again: signals. After a message that was no check-in also a chance
 * for other threads, so that a flood of them holds nobody up. 0, or -1 with an exception. */
static int accept_breathe(struct accept_call *accept, enum step step)
{
    if (step != STEP_EMPTY && ++accept->rejected % MESSAGES_BETWEEN_BREATHS == 0) {
        Py_BEGIN_ALLOW_THREADS Py_END_ALLOW_THREADS
    }
    return PyErr_CheckSignals();
}

static PyObject *accept_result(struct accept_call *accept)
{
    return check_in_object_steal(accept->core->state, accept->call.port, accept->call.disposition,
                                 accept->call.token_carried, &accept->sender);
}

/* What has been rejected so far, for an error that tells of no check-in: most often it is the
 * answer to why there was none. NULL: nothing, or that some were accepted shows that it is not. */
static const char *rejected_note(struct server_core *core, char *note, size_t size)
{
    uint64_t senders = atomic_load(&core->counts[VERDICT_WRONG_SENDER]);
    uint64_t tokens = atomic_load(&core->counts[VERDICT_BAD_TOKEN]);
    if (atomic_load(&core->counts[VERDICT_ACCEPTED]) != 0 || (senders == 0 && tokens == 0))
        return NULL;
    int length = snprintf(note, size, "no check-in was accepted; rejected:");
    if (senders != 0)
        length += snprintf(note + length, size - (size_t)length,
                           " %llu from another process than the expected %lld (with Popen, pass "
                           "pinned=False if the command starts the real child)%s",
                           (unsigned long long)senders, (long long)core->expected_pid,
                           tokens != 0 ? "," : "");
    if (tokens != 0)
        snprintf(note + length, size - (size_t)length, " %llu with a wrong token",
                 (unsigned long long)tokens);
    return note;
}

static void accept_set_ending(struct accept_call *accept)
{
    struct module_state *state = accept->core->state;
    char note[256], text[384];
    const char *rejected = rejected_note(accept->core, note, sizeof note);
    if (accept->ending == ENDING_TIMED_OUT) {
        error_set(state, "mach_msg", MACH_RCV_TIMED_OUT, rejected);
        return;
    }
    snprintf(text, sizeof text, "the peer died, or closed its end, before it checked in%s%s",
             rejected ? "; " : "", rejected ? rejected : "");
    error_set_plain(state, ERROR_PEER_GONE, text);
}

static bool accept_peer_is_gone(struct accept_call *accept)
{
    if (accept->waiter.peer_fd >= 0)
        (void)waiter_wait(&accept->waiter, right_peek(accept->port), 0);
    return accept->waiter.peer_gone;
}

/* Raises what ends the wait: 0 to go on, -1 with the exception. */
static int accept_check_end(struct accept_call *accept, enum step step)
{
    struct module_state *state = accept->core->state;
    if (cancel_check(state, accept->cancel) < 0)
        return -1;
    if (accept->ending == ENDING_NONE) {
        bool passed = deadline_passed(accept->deadline);
        bool look = step == STEP_AGAIN && accept->rejected % MESSAGES_BETWEEN_PEER == 0;
        /* Polling, too, tells of the peer's death, and what it sent before comes first. */
        if ((passed || look) && accept_peer_is_gone(accept)) {
            accept_last_pass(accept, ENDING_PEER_GONE);
            return 0;
        }
        if (!passed)
            return 0;
        accept_last_pass(accept, ENDING_TIMED_OUT);
        if (!accept->late)
            return 0;
    }
    if (step != STEP_EMPTY && accept->last_pass_left-- > 0)
        return 0;
    accept_set_ending(accept);
    return -1;
}

static PyObject *accept_run(struct accept_call *accept)
{
    if (cancel_check(accept->core->state, accept->cancel) < 0)
        return NULL;
    bool block = false;
    for (;;) {
        mach_port_name_t name = right_peek(accept->port);
        if (name == MACH_PORT_NULL)
            return error_set_as(accept->core->state, ERROR_PORT_CHANGED, "mach_msg",
                                MACH_RCV_PORT_CHANGED, NULL);
        accept->late = deadline_passed(accept->deadline);
        enum step step = block ? accept_block(accept, name) : accept_poll(accept, name);
        if (step == STEP_ACCEPTED)
            return accept_result(accept);
        if (step == STEP_FAILED)
            return NULL;
        if (accept_breathe(accept, step) < 0)
            return NULL;
        if (accept_check_end(accept, step) < 0)
            return NULL;
        block = step == STEP_EMPTY;
    }
}

PyObject *server_accept(struct server_core *core, const struct accept_request *request)
{
    /* Most of it is written before it is read: the message by mach_msg, the rest by its judge. */
    struct accept_call accept;
    accept.core = core;
    accept.port = (struct right *)core->port;
    mach_port_name_t name = right_peek(accept.port);
    accept.cancel = request->cancel;
    accept.deadline = request->deadline;
    accept.ending = ENDING_NONE;
    accept.last_pass_left = 0;
    accept.rejected = 0;
    accept.slice = DEADLINE_SLICE_FIRST_MS;
    if (name == MACH_PORT_NULL) {
        right_fail_closed(accept.port);
        return NULL;
    }
    if (audit_accept(core->state, name) < 0)
        return NULL;
    waiter_init(&accept.waiter, cancel_descriptor(accept.cancel), request->watch_fd);
    PyObject *result = accept_run(&accept);
    waiter_release(&accept.waiter);
    return result;
}
