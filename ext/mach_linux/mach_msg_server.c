/*
 * mach_msg_server() and mach_msg_server_once(): receive, call the demux, reply.
 *
 * MIG's rule of ownership: a routine that succeeds, or says MIG_NO_REPLY, has taken what the request carried.
 * For any other code nobody has, and the request is destroyed here, all but its reply right, which carries
 * the news. The demux's boolean adds nothing to that: it has filled in an error reply.
 */
#include <stdlib.h>
#include <string.h>

#include <mach/mach.h>

/* Request and reply buffers of one size; NULL when there is no memory. */
struct buffers {
    mach_msg_header_t *request;
    mig_reply_error_t *reply;
    mach_msg_size_t size; /* of the request's buffer, with room for the trailer */
};

static int buffers_resize(struct buffers *b, mach_msg_size_t message, mach_msg_options_t options)
{
    mach_msg_size_t size = message + REQUESTED_TRAILER_SIZE(options);
    mach_msg_size_t least = (mach_msg_size_t)sizeof(mig_reply_error_t) + MAX_TRAILER_SIZE;
    if (size < least)
        size = least;
    mach_msg_header_t *request = realloc(b->request, size);
    if (request != NULL)
        b->request = request;
    mig_reply_error_t *reply = realloc(b->reply, size);
    if (reply != NULL)
        b->reply = reply;
    if (request == NULL || reply == NULL)
        return 0;
    b->size = size;
    return 1;
}

static mach_msg_return_t receive(struct buffers *b, mach_port_t port, mach_msg_options_t options)
{
    for (;;) {
        mach_msg_return_t mr = mach_msg(b->request, MACH_RCV_MSG | options, 0, b->size, port,
                                        MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
        if (mr != MACH_RCV_TOO_LARGE || (options & MACH_RCV_LARGE) == 0)
            return mr;
        if (!buffers_resize(b, b->request->msgh_size, options))
            return KERN_RESOURCE_SHORTAGE;
    }
}

static mach_msg_return_t send_reply(mig_reply_error_t *reply)
{
    mach_msg_option_t option = MACH_SEND_MSG;
    /* A client's send-once right never waits; a full queue behind a send right must not stop the server. */
    if (MACH_MSGH_BITS_REMOTE(reply->Head.msgh_bits) != MACH_MSG_TYPE_MOVE_SEND_ONCE)
        option |= MACH_SEND_TIMEOUT;
    mach_msg_return_t mr = mach_msg(&reply->Head, option, reply->Head.msgh_size, 0,
                                    MACH_PORT_NULL, 0, MACH_PORT_NULL);
    if (mr == MACH_SEND_INVALID_DEST || mr == MACH_SEND_TIMED_OUT) {
        mach_msg_destroy(&reply->Head); /* the client has gone, or does not read */
        mr = MACH_MSG_SUCCESS;
    }
    return mr;
}

static mach_msg_return_t serve_one(struct buffers *b,
                                   boolean_t (*demux)(mach_msg_header_t *, mach_msg_header_t *))
{
    mach_msg_header_t *request = b->request;
    mig_reply_error_t *reply = b->reply;

    memset(reply, 0, sizeof *reply);
    (void)demux(request, &reply->Head);
    if ((reply->Head.msgh_bits & MACH_MSGH_BITS_COMPLEX) == 0) {
        if (reply->RetCode == MIG_NO_REPLY) {
            reply->Head.msgh_remote_port = MACH_PORT_NULL;
        } else if (reply->RetCode != KERN_SUCCESS) {
            request->msgh_remote_port = MACH_PORT_NULL;
            mach_msg_destroy(request);
        }
    }
    return reply->Head.msgh_remote_port != MACH_PORT_NULL ? send_reply(reply) : MACH_MSG_SUCCESS;
}

static mach_msg_return_t serve(boolean_t (*demux)(mach_msg_header_t *, mach_msg_header_t *),
                               mach_msg_size_t max_size, mach_port_t port,
                               mach_msg_options_t options, int once)
{
    struct buffers b = {NULL, NULL, 0};
    mach_msg_return_t mr = KERN_RESOURCE_SHORTAGE;

    if (buffers_resize(&b, max_size, options)) {
        do {
            mr = receive(&b, port, options);
            if (mr == MACH_MSG_SUCCESS)
                mr = serve_one(&b, demux);
        } while (mr == MACH_MSG_SUCCESS && !once);
    }
    free(b.request);
    free(b.reply);
    return mr;
}

mach_msg_return_t mach_msg_server_once(boolean_t (*demux)(mach_msg_header_t *,
                                                          mach_msg_header_t *),
                                       mach_msg_size_t max_size, mach_port_t rcv_name,
                                       mach_msg_options_t options)
{
    return serve(demux, max_size, rcv_name, options, 1);
}

mach_msg_return_t mach_msg_server(boolean_t (*demux)(mach_msg_header_t *, mach_msg_header_t *),
                                  mach_msg_size_t max_size, mach_port_t rcv_name,
                                  mach_msg_options_t options)
{
    return serve(demux, max_size, rcv_name, options, 0);
}
