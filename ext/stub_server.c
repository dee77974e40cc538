/* The generated server demux and its callout, handle_child_port_check_in: the one place where a
 * check-in enters the extension.
 *
 * Who owns what is MIG's rule. The receiver of a message owns every right in it. A callout that
 * returns KERN_SUCCESS (or MIG_NO_REPLY) has taken them over: here, the port goes to the caller of
 * server_dispatch(). If it returns an error, or the demux found the message malformed and did not
 * call it, the dispatcher still owns them and must destroy the message. The verdict says which it
 * was; the reply that the demux fills in is never sent, as for any simpleroutine.
 *
 * The callout is a plain C function with a fixed name and no context argument. It finds its
 * struct server_call through a thread-local pointer, set only while the demux runs. The demux
 * neither blocks nor runs Python, so calls cannot nest. */
#include "stub_server.h"

#include <stddef.h>

#include <mach/mig_errors.h>
#include <mach/notify.h>

#include "child_portServer.h"
#include "message_parts.h"

_Static_assert(sizeof(__Request__child_port_check_in_t) == SERVER_MESSAGE_SIZE,
               "a check-in does not fit its buffer");

static _Thread_local struct server_call *current_call;

#include "child_portServer.c"

/* A key is in the lower half of its token; the upper half is the server's with every bit turned
 * over. So nobody gets by who does not know the secret, and no key's token is the server's own. One
 * comparison of one machine word: its time does not depend on which bits differ. */
static bool token_is_valid(const struct server_call *call, uint64_t token)
{
    uint64_t difference = call->token ^ token;
    return difference == 0 || (call->keyed && difference >> 32 == UINT32_MAX);
}

static enum verdict check_in_judge(const struct server_call *call, uint64_t token,
                                   mach_msg_type_name_t disposition)
{
    /* What a port descriptor can arrive as. A sender that puts nonsense into a descriptor without
     * a port gets it delivered as disposition 0. */
    if (disposition != MACH_MSG_TYPE_PORT_RECEIVE && disposition != MACH_MSG_TYPE_PORT_SEND &&
        disposition != MACH_MSG_TYPE_PORT_SEND_ONCE)
        return VERDICT_MALFORMED;
    if (!token_is_valid(call, token))
        return VERDICT_BAD_TOKEN;
    if (call->pid_expected && call->sender_pid != call->expected_pid)
        return VERDICT_WRONG_SENDER;
    return VERDICT_ACCEPTED;
}

kern_return_t handle_child_port_check_in(child_port_server_t server, child_port_token_t token,
                                         mach_port_t port, mach_msg_type_name_t portPoly)
{
    struct server_call *call = current_call;
    (void)server;
    call->verdict = check_in_judge(call, token, portPoly);
    if (call->verdict != VERDICT_ACCEPTED)
        return KERN_NO_ACCESS;
    call->port = port;
    call->token_carried = token;
    call->disposition = portPoly;
    return KERN_SUCCESS;
}

/* A notification that was not asked for carries nothing worth keeping, and what it says of a name
 * may be about another process's. A real one that a name died gives the receiver one user reference
 * of the dead name. */
static void notification_consume(union server_message *message, bool is_answer)
{
    if (is_answer && message->header.msgh_id == MACH_NOTIFY_DEAD_NAME &&
        message->header.msgh_size >= offsetof(mach_dead_name_notification_t, trailer)) {
        const mach_dead_name_notification_t *notification = (const void *)message;
        (void)mach_port_deallocate(mach_task_self(), notification->not_port);
    }
    message_destroy(&message->header);
}

enum verdict server_dispatch(struct server_call *call, union server_message *message,
                             bool is_answer)
{
    mach_msg_header_t *request = &message->header;
    union __ReplyUnion__handle_child_port_subsystem reply;
    if (request->msgh_id >= MACH_NOTIFY_FIRST && request->msgh_id <= MACH_NOTIFY_LAST) {
        notification_consume(message, is_answer);
        return VERDICT_NOTIFICATION;
    }
    call->verdict = VERDICT_MALFORMED; /* unless the demux finds it well formed and calls out */
    current_call = call;
    (void)child_port_server(request, (mach_msg_header_t *)&reply);
    current_call = NULL;
    if (call->verdict == VERDICT_ACCEPTED) {
        /* The right is the caller's now; nothing below may destroy it. */
        ((__Request__child_port_check_in_t *)request)->port.name = MACH_PORT_NULL;
        /* A simpleroutine has no reply port; a sender that added one gets it back unused. */
        if (request->msgh_remote_port == MACH_PORT_NULL)
            return VERDICT_ACCEPTED;
    }
    message_destroy(request);
    return call->verdict;
}
