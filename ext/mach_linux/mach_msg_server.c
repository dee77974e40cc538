/*
 * mach_msg_server and mach_msg_server_once: receive a request, have it answered, send the reply.
 *
 * MIG's rule decides who owns what the request carried. A routine that returns KERN_SUCCESS or
 * MIG_NO_REPLY has taken it; after any other code nobody has, and the request is destroyed here,
 * but for its reply right, which the demux has moved into the reply. The reply is consumed by
 * sending it, or here if the client has gone or does not read. The two buffers belong to the call.
 */
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <mach/mach.h>

typedef boolean_t (*demux_t)(mach_msg_header_t *, mach_msg_header_t *);

struct buffer {
    vm_address_t address;
    mach_msg_size_t size; /* whole pages */
};

struct server {
    demux_t demux;
    mach_port_t port;
    mach_msg_options_t options;
    mach_msg_size_t receive_size; /* how much of the request's buffer a request may fill */
    struct buffer request;
    struct buffer reply;
};

static void buffer_release(struct buffer *buffer)
{
    if (buffer->size != 0)
        (void)vm_deallocate(mach_task_self(), buffer->address, buffer->size);
    *buffer = (struct buffer){0, 0};
}

/* Room for at least that many bytes, and for an error reply in any case. What it held is gone. */
static kern_return_t buffer_replace(struct buffer *buffer, uint64_t least)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t size = least == 0 ? page : (least + page - 1) & ~(page - 1);
    kern_return_t kr;

    buffer_release(buffer);
    if (size > MACH_MSG_SIZE_MAX)
        return KERN_NO_SPACE;
    kr = vm_allocate(mach_task_self(), &buffer->address, (vm_size_t)size, VM_FLAGS_ANYWHERE);
    if (kr == KERN_SUCCESS)
        buffer->size = (mach_msg_size_t)size;
    return kr;
}

static mach_msg_header_t *request_header(const struct server *server)
{
    return (mach_msg_header_t *)server->request.address;
}

/* With MACH_RCV_LARGE a request that is too long waits in the queue until the buffer has grown. */
static mach_msg_return_t receive_request(struct server *server)
{
    mach_msg_return_t mr;

    for (;;) {
        mr = mach_msg(request_header(server), MACH_RCV_MSG | server->options, 0,
                      server->receive_size, server->port, MACH_MSG_TIMEOUT_NONE, MACH_PORT_NULL);
        if (mr != MACH_RCV_TOO_LARGE || (server->options & MACH_RCV_LARGE) == 0)
            return mr;
        mr = buffer_replace(&server->request, (uint64_t)request_header(server)->msgh_size +
                                                  REQUESTED_TRAILER_SIZE(server->options));
        if (mr != KERN_SUCCESS)
            return mr;
        server->receive_size = server->request.size;
    }
}

/* A reply that mach_msg handed back: mach_msg_destroy leaves the local port to us. */
static void reply_consume(mach_msg_header_t *reply)
{
    mach_msg_type_name_t disposition = MACH_MSGH_BITS_LOCAL(reply->msgh_bits);

    if (MACH_PORT_VALID(reply->msgh_local_port) &&
        (disposition == MACH_MSG_TYPE_MOVE_SEND || disposition == MACH_MSG_TYPE_MOVE_SEND_ONCE)) {
        (void)mach_port_deallocate(mach_task_self(), reply->msgh_local_port);
        reply->msgh_local_port = MACH_PORT_NULL;
    }
    mach_msg_destroy(reply);
}

static mach_msg_return_t send_reply(const struct server *server, mach_msg_header_t *reply)
{
    mach_msg_option_t option = MACH_SEND_MSG | server->options;
    mach_msg_return_t mr;

    /* A send-once right never meets a full queue; behind a send right a client that does not read
     * must not stop the server. */
    if (MACH_MSGH_BITS_REMOTE(reply->msgh_bits) != MACH_MSG_TYPE_MOVE_SEND_ONCE)
        option |= MACH_SEND_TIMEOUT;
    mr = mach_msg(reply, option, reply->msgh_size, 0, MACH_PORT_NULL, MACH_MSG_TIMEOUT_NONE,
                  MACH_PORT_NULL);
    if (mr == MACH_SEND_INVALID_DEST || mr == MACH_SEND_TIMED_OUT || mr == MACH_SEND_INTERRUPTED) {
        reply_consume(reply);
        mr = MACH_MSG_SUCCESS;
    }
    return mr;
}

static mach_msg_return_t answer(const struct server *server)
{
    mach_msg_header_t *request = request_header(server);
    mig_reply_error_t *reply = (mig_reply_error_t *)server->reply.address;
    kern_return_t code = KERN_SUCCESS;

    /* A demux that does not know the message may leave the reply alone: then there is none. */
    memset(reply, 0, sizeof *reply);
    (void)server->demux(request, &reply->Head);

    /* Only success makes a complex reply, which has descriptors where the code would be. */
    if ((reply->Head.msgh_bits & MACH_MSGH_BITS_COMPLEX) == 0)
        code = reply->RetCode;
    if (code == MIG_NO_REPLY) {
        reply->Head.msgh_remote_port = MACH_PORT_NULL;
    } else if (code != KERN_SUCCESS) {
        request->msgh_remote_port = MACH_PORT_NULL;
        mach_msg_destroy(request);
    }
    if (reply->Head.msgh_remote_port == MACH_PORT_NULL)
        return MACH_MSG_SUCCESS;
    return send_reply(server, &reply->Head);
}

static mach_msg_return_t serve(demux_t demux, mach_msg_size_t max_size, mach_port_t port,
                               mach_msg_options_t options, boolean_t once)
{
    struct server server = {
        .demux = demux,
        .port = port,
        .options = options & ~(MACH_SEND_MSG | MACH_RCV_MSG),
    };
    uint64_t wanted = (uint64_t)max_size + REQUESTED_TRAILER_SIZE(server.options);
    mach_msg_return_t mr;

    mr = buffer_replace(&server.reply, max_size);
    if (mr == KERN_SUCCESS)
        mr = buffer_replace(&server.request, wanted);
    if (mr != KERN_SUCCESS)
        goto done;
    /* Without MACH_RCV_LARGE max_size is a limit that clients are held to, to the byte. */
    server.receive_size =
        (options & MACH_RCV_LARGE) != 0 ? server.request.size : (mach_msg_size_t)wanted;
    do {
        mr = receive_request(&server);
        if (mr == MACH_MSG_SUCCESS)
            mr = answer(&server);
    } while (mr == MACH_MSG_SUCCESS && !once);
done:
    buffer_release(&server.request);
    buffer_release(&server.reply);
    return mr;
}

mach_msg_return_t mach_msg_server_once(demux_t demux, mach_msg_size_t max_size,
                                       mach_port_t rcv_name, mach_msg_options_t options)
{
    return serve(demux, max_size, rcv_name, options, TRUE);
}

mach_msg_return_t mach_msg_server(demux_t demux, mach_msg_size_t max_size, mach_port_t rcv_name,
                                  mach_msg_options_t options)
{
    return serve(demux, max_size, rcv_name, options, FALSE);
}
