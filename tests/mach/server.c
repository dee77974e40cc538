/* mach_msg_server and mach_msg_server_once (part H of the rest), with a demux written by hand that
 * answers as each case tells it to. */
#include "peers.h"

#include <string.h>

struct request {
    mach_msg_header_t header;
    NDR_record_t ndr;
    kern_return_t answer_with;
};

static boolean_t demux_returns = TRUE;
static mach_port_t copied_by_demux;
static int complex_reply;
static int demux_calls;

/* Answers with the code that the request asks for, as a MIG server stub would. */
static boolean_t demux(mach_msg_header_t *request, mach_msg_header_t *reply)
{
    mig_reply_error_t *error = (mig_reply_error_t *)(void *)reply;
    kern_return_t code = KERN_SUCCESS;
    demux_calls++;
    if (!(request->msgh_bits & MACH_MSGH_BITS_COMPLEX))
        code = ((struct request *)(void *)request)->answer_with;
    else
        memcpy(&code, (char *)request + 40, sizeof code);
    reply->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(request->msgh_bits), 0);
    reply->msgh_remote_port = request->msgh_remote_port;
    reply->msgh_local_port = MACH_PORT_NULL;
    reply->msgh_id = request->msgh_id + 100;
    reply->msgh_size = sizeof *error;
    error->NDR = NDR_record;
    error->RetCode = code;
    if (complex_reply) {
        struct letter *letter = (struct letter *)(void *)reply;
        reply->msgh_bits |= MACH_MSGH_BITS_COMPLEX;
        reply->msgh_size = 24 + 4 + 12;
        letter->body.msgh_descriptor_count = 1;
        memset(&letter->ports[0], 0, sizeof letter->ports[0]);
        letter->ports[0].name = copied_by_demux;
        letter->ports[0].disposition = MACH_MSG_TYPE_MAKE_SEND;
    }
    return demux_returns;
}

/* Posts a request with one moved send right in it, to be answered with `code`. */
static void post_request(mach_port_t port, mach_port_t reply, mach_msg_type_name_t disposition,
                         mach_port_t carried, kern_return_t code)
{
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 500);
    letter_reply(&letter, reply, disposition);
    letter_right(&letter, carried, MAKE_SEND);
    letter_data(&letter, &code, sizeof code);
    NEED_OK(letter_send(&letter, NOW));
}

static kern_return_t take_answer(mach_port_t reply)
{
    struct letter letter;
    take(&letter, reply);
    IS(letter.header.msgh_id, 600);
    IS(letter.header.msgh_size, sizeof(mig_reply_error_t));
    return ((mig_reply_error_t *)(void *)&letter)->RetCode;
}

static mach_msg_return_t serve_once(mach_port_t port)
{
    return mach_msg_server_once(demux, 1024, port, 0);
}

CASE(code_0_sends_the_reply_and_does_not_destroy_the_request)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    post_request(port, reply, MAKE_SEND_ONCE, carried, KERN_SUCCESS);
    IS_OK(serve_once(port));
    IS_CODE(take_answer(reply), KERN_SUCCESS);
    IS(refs(carried, MACH_PORT_RIGHT_SEND), 1);
}

CASE(mig_no_reply_sends_none_and_does_not_destroy_the_request)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    post_request(port, reply, MAKE_SEND_ONCE, carried, MIG_NO_REPLY);
    IS_OK(serve_once(port));
    IS_TRUE(is_empty(reply));
    IS(refs(carried, MACH_PORT_RIGHT_SEND), 1);
    IS(status_of(reply).mps_sorights, 1);
}

CASE(another_code_sends_the_reply_with_it_and_destroys_the_request)
{
    static const kern_return_t codes[] = {KERN_FAILURE, MIG_BAD_ID, MIG_TYPE_ERROR};
    for (int i = 0; i < 3; i++) {
        mach_port_t port = make_port(), reply = make_port(), carried = make_port();
        tap_about("%s", tap_code_name(codes[i]));
        post_request(port, reply, MAKE_SEND_ONCE, carried, codes[i]);
        IS_OK(serve_once(port));
        IS_CODE(take_answer(reply), codes[i]);
        IS(type_of(carried), MACH_PORT_TYPE_RECEIVE);
    }
}

CASE(the_demuxs_boolean_is_ignored)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    demux_returns = FALSE;
    post_request(port, reply, MAKE_SEND_ONCE, carried, KERN_SUCCESS);
    IS_OK(serve_once(port));
    IS_CODE(take_answer(reply), KERN_SUCCESS);
    IS(refs(carried, MACH_PORT_RIGHT_SEND), 1);
}

CASE(a_complex_reply_is_a_success)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    complex_reply = 1;
    copied_by_demux = make_port();
    post_request(port, reply, MAKE_SEND_ONCE, carried, KERN_FAILURE);
    IS_OK(serve_once(port));
    IS(take_right(reply, 17), copied_by_demux);
    IS(refs(carried, MACH_PORT_RIGHT_SEND), 1);
}

CASE(without_a_reply_port_nothing_is_sent)
{
    mach_port_t port = make_port(), carried = make_port();
    post_request(port, MACH_PORT_NULL, 0, carried, KERN_FAILURE);
    IS_OK(serve_once(port));
    IS(type_of(carried), MACH_PORT_TYPE_RECEIVE);
    IS(demux_calls, 1);
}

CASE(a_full_queue_drops_the_reply_to_a_send_right)
{
    mach_port_t port = make_port(), reply = make_full_port(0), carried = make_port();
    post_request(port, reply, MAKE_SEND, carried, KERN_SUCCESS);
    IS_OK(serve_once(port));
    IS(type_of(reply), MACH_PORT_TYPE_RECEIVE);
    IS_OK(post(reply, MAKE_SEND_ONCE, 1)); /* which passes the limit: the last in the queue */
    struct letter letter;
    take_after_fillers(&letter, reply);
    IS(letter.header.msgh_id, 1);
}

CASE(a_dead_reply_port_is_no_error)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    post_request(port, reply, MAKE_SEND, carried, KERN_SUCCESS);
    destroy_receive(reply);
    IS_OK(serve_once(port));
}

CASE(once_serves_one_message)
{
    mach_port_t port = make_port(), reply = make_port(), carried = make_port();
    post_request(port, reply, MAKE_SEND_ONCE, carried, KERN_SUCCESS);
    post_request(port, reply, MAKE_SEND_ONCE, carried, KERN_SUCCESS);
    IS_OK(serve_once(port));
    IS(demux_calls, 1);
    IS_TRUE(!is_empty(port));
}

CASE(an_oversize_request_is_too_large_and_its_client_is_notified)
{
    mach_port_t port = make_port(), reply = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 500);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter.header.msgh_size = 3000;
    NEED_OK(letter_send(&letter, NOW));
    IS_CODE(mach_msg_server_once(demux, 64, port, 0), MACH_RCV_TOO_LARGE);
    IS(demux_calls, 0);
    take_notification(reply, MACH_NOTIFY_SEND_ONCE);
}

CASE(an_oversize_request_with_rcv_large_grows_the_buffer)
{
    mach_port_t port = make_port(), reply = make_port();
    struct letter letter;
    letter_to(&letter, port, MAKE_SEND, 500);
    letter_reply(&letter, reply, MAKE_SEND_ONCE);
    letter.header.msgh_size = 3000;
    NEED_OK(letter_send(&letter, NOW));
    IS_OK(mach_msg_server_once(demux, 64, port, MACH_RCV_LARGE));
    IS(demux_calls, 1);
    IS_CODE(take_answer(reply), KERN_SUCCESS);
}

struct server {
    mach_port_t port;
    mach_msg_return_t result;
};

static void *serve(void *argument)
{
    struct server *server = argument;
    server->result = mach_msg_server(demux, 1024, server->port, 0);
    return NULL;
}

CASE(server_serves_until_its_port_is_destroyed)
{
    struct server server = {.port = make_port_with_sends(1)};
    pthread_t thread;
    mach_port_t reply = make_port();
    NEED(pthread_create(&thread, NULL, serve, &server) == 0);
    for (int i = 0; i < 10; i++) {
        kern_return_t code = i % 3 ? KERN_FAILURE : KERN_SUCCESS;
        struct letter letter;
        letter_to(&letter, server.port, COPY_SEND, 500);
        letter_reply(&letter, reply, MAKE_SEND_ONCE);
        letter_data(&letter, &NDR_record, sizeof NDR_record);
        letter_data(&letter, &code, sizeof code);
        NEED_OK(letter_send(&letter, PROMPT));
        IS_CODE(take_answer(reply), code);
    }
    a_moment();
    destroy_receive(server.port);
    NEED(pthread_join(thread, NULL) == 0);
    IS_CODE(server.result, MACH_RCV_PORT_CHANGED);
    IS(demux_calls, 10);
}

static void *serve_one(void *argument)
{
    struct server *server = argument;
    server->result = serve_once(server->port);
    return NULL;
}

CASE(once_ends_when_its_port_is_destroyed)
{
    struct server server = {.port = make_port()};
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, serve_one, &server) == 0);
    a_moment();
    destroy_receive(server.port);
    NEED(pthread_join(thread, NULL) == 0);
    IS_CODE(server.result, MACH_RCV_PORT_CHANGED);
    IS(demux_calls, 0);
}

static void serve_three(mach_port_t home)
{
    mach_port_t mine = peer_introduce(home);
    for (int i = 0; i < 3; i++)
        IS_OK(serve_once(mine));
}

CASE(two_process_requests_are_answered)
{
    mach_port_t home = make_port(), reply = make_port();
    pid_t peer = peer_start(home, serve_three);
    mach_port_t there = peer_meet(home);
    for (int i = 0; i < 3; i++) {
        kern_return_t code = i;
        struct letter letter;
        letter_to(&letter, there, COPY_SEND, 500);
        letter_reply(&letter, reply, MAKE_SEND_ONCE);
        letter_data(&letter, &NDR_record, sizeof NDR_record);
        letter_data(&letter, &code, sizeof code);
        NEED_OK(letter_send(&letter, PROMPT));
        IS_CODE(take_answer(reply), code);
    }
    peer_join(peer);
}
