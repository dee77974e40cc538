/* The helpers around mach_msg that no row of the semantics covers: what stubs call, audit tokens,
 * texts. Like the cases of tests/mach this is Apple's API only. */
#include "../mach/ports.h"

#include <bsm/libbsm.h>
#include <fcntl.h>
#include <pthread.h>
#include <servers/bootstrap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- strings, memory, representation --------------------------------------------------------- */

CASE(strncpy_counts_the_terminator)
{
    char copy[8] = "xxxxxxx";
    IS(mig_strncpy(copy, "abc", 8), 4);
    IS(strcmp(copy, "abc"), 0);
    IS(copy[4], 'x');
    IS(mig_strncpy(copy, "", 8), 1);
    IS(copy[0], '\0');
}

CASE(strncpy_truncates_and_terminates)
{
    char copy[8] = "xxxxxxx";
    IS(mig_strncpy(copy, "abcdef", 4), 4);
    IS(strcmp(copy, "abc"), 0);
    IS(copy[4], 'x');
    IS(mig_strncpy(copy, "abcdef", 1), 1);
    IS(copy[0], '\0');
}

CASE(strncpy_reads_no_further_than_it_copies)
{
    const char unterminated[3] = {'a', 'b', 'c'};
    char copy[3];
    IS(mig_strncpy(copy, unterminated, 3), 3);
    IS(strcmp(copy, "ab"), 0);
}

CASE(strncpy_without_room_does_nothing)
{
    char copy[2] = "x";
    IS(mig_strncpy(copy, "abc", 0), 0);
    IS(mig_strncpy(copy, "abc", -1), 0);
    IS(mig_strncpy_zerofill(copy, "abc", 0), 0);
    IS(copy[0], 'x');
}

CASE(strncpy_zerofill_clears_the_rest)
{
    char copy[8] = "xxxxxxx";
    static const char cleared[8] = "ab";
    IS(mig_strncpy_zerofill(copy, "ab", 8), 3);
    IS(memcmp(copy, cleared, sizeof copy), 0);
    IS(mig_strncpy_zerofill(copy, "abcdefghij", 8), 8);
    IS(strcmp(copy, "abcdefg"), 0);
}

CASE(strncpy_zerofill_of_nothing_clears_everything)
{
    char copy[8] = "xxxxxxx";
    static const char cleared[8];
    IS(mig_strncpy_zerofill(copy, NULL, 8), 0);
    IS(memcmp(copy, cleared, sizeof copy), 0);
}

CASE(allocated_memory_is_zeroed_and_can_be_given_back)
{
    enum { SIZE = 100000 };
    static const char cleared[SIZE];
    vm_address_t address = 0;
    mig_allocate(&address, SIZE);
    NEED(address != 0);
    IS(memcmp((const void *)address, cleared, SIZE), 0);
    memset((void *)address, 1, SIZE);
    mig_deallocate(address, SIZE);
}

CASE(memory_that_cannot_be_had_is_a_null_address)
{
    vm_address_t address = 1;
    mig_allocate(&address, (vm_size_t)1 << 60);
    IS(address, 0);
}

CASE(ndr_record_says_little_endian_ascii_ieee)
{
    static const unsigned char bytes[8] = {0, 0, 0, 0, 1, 0, 0, 0};
    IS(sizeof NDR_record, sizeof bytes);
    IS(memcmp(&NDR_record, bytes, sizeof bytes), 0);
}

CASE(reply_setup_answers_to_the_local_port)
{
    mach_msg_header_t request = {0};
    mig_reply_error_t reply;
    memset(&reply, 0xff, sizeof reply);
    request.msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MOVE_SEND, MACH_MSG_TYPE_MOVE_SEND_ONCE);
    request.msgh_remote_port = 0x103;
    request.msgh_local_port = 0x203;
    request.msgh_id = 500;
    mig_reply_setup(&request, &reply.Head);
    IS(reply.Head.msgh_bits, MACH_MSG_TYPE_MOVE_SEND_ONCE);
    IS(reply.Head.msgh_remote_port, 0x203);
    IS(reply.Head.msgh_local_port, MACH_PORT_NULL);
    IS(reply.Head.msgh_size, sizeof reply);
    IS(reply.Head.msgh_id, 600);
    IS(memcmp(&reply.NDR, &NDR_record, sizeof reply.NDR), 0);
}

/* --- reply ports ----------------------------------------------------------------------------- */

static void *give_reply_port(void *result)
{
    *(mach_port_t *)result = mig_get_reply_port();
    return NULL;
}

CASE(a_threads_reply_port_ends_with_the_thread)
{
    mach_port_t own = mig_get_reply_port(), other = MACH_PORT_NULL;
    mach_port_type_t type = 0;
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, give_reply_port, &other) == 0);
    NEED(pthread_join(thread, NULL) == 0);
    IS_TRUE(MACH_PORT_VALID(other) && other != own);
    IS_CODE(mach_port_type(TASK, other, &type), KERN_INVALID_NAME);
    IS_OK(mach_port_type(TASK, own, &type));
    IS(type, MACH_PORT_TYPE_RECEIVE);
}

CASE(threads_without_number_leave_no_reply_ports)
{
    mach_port_name_array_t names = NULL;
    mach_port_type_array_t types = NULL;
    mach_msg_type_number_t before = 0, after = 0, count = 0;
    IS_OK(mach_port_names(TASK, &names, &before, &types, &count));
    for (int i = 0; i < 100; i++) {
        mach_port_t port = MACH_PORT_NULL;
        pthread_t thread;
        NEED(pthread_create(&thread, NULL, give_reply_port, &port) == 0);
        NEED(pthread_join(thread, NULL) == 0);
    }
    IS_OK(mach_port_names(TASK, &names, &after, &types, &count));
    IS(after, before);
}

/* --- the server loop ------------------------------------------------------------------------- */

static mach_msg_size_t largest_seen;
static mach_msg_size_t trailer_seen;

/* Knows no message: leaves the reply alone, as a demux may. */
static boolean_t demux_of_nothing(mach_msg_header_t *request, mach_msg_header_t *reply)
{
    const mach_msg_trailer_t *trailer =
        (const mach_msg_trailer_t *)(const void *)((char *)request + round_msg(request->msgh_size));
    (void)reply;
    largest_seen = request->msgh_size > largest_seen ? request->msgh_size : largest_seen;
    trailer_seen = trailer->msgh_trailer_size;
    return FALSE;
}

static void post_bytes(mach_port_t port, mach_msg_size_t size)
{
    mach_msg_header_t *message = calloc(1, size);
    NEED(message != NULL);
    message->msgh_bits = MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND, 0);
    message->msgh_remote_port = port;
    NEED_OK(mach_msg(message, MACH_SEND_MSG | MACH_SEND_TIMEOUT, size, 0, MACH_PORT_NULL, PROMPT,
                     MACH_PORT_NULL));
    free(message);
}

CASE(a_demux_that_leaves_the_reply_alone_sends_none)
{
    mach_port_t port = make_port();
    post_bytes(port, 24);
    IS_OK(mach_msg_server_once(demux_of_nothing, 64, port, 0));
    IS(largest_seen, 24);
}

CASE(max_size_is_a_limit_to_the_byte)
{
    mach_port_t port = make_port();
    post_bytes(port, 64);
    IS_OK(mach_msg_server_once(demux_of_nothing, 64, port, 0));
    post_bytes(port, 68);
    IS_CODE(mach_msg_server_once(demux_of_nothing, 64, port, 0), MACH_RCV_TOO_LARGE);
    IS_TRUE(is_empty(port));
}

CASE(the_buffer_has_room_for_the_trailer_asked_for)
{
    mach_port_t port = make_port();
    mach_msg_options_t options =
        MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0) | MACH_RCV_TRAILER_ELEMENTS(3);
    post_bytes(port, 64);
    IS_OK(mach_msg_server_once(demux_of_nothing, 64, port, options));
    IS(trailer_seen, sizeof(mach_msg_audit_trailer_t));
}

CASE(requests_of_rising_size_grow_the_buffer)
{
    mach_port_t port = make_port();
    mach_msg_options_t options = MACH_RCV_LARGE | MACH_RCV_TIMEOUT;
    for (mach_msg_size_t size = 1024; size <= 65536; size *= 4) {
        post_bytes(port, size);
        post_bytes(port, 24);
        IS_CODE(mach_msg_server(demux_of_nothing, 24, port, options), MACH_RCV_TIMED_OUT);
        IS(largest_seen, size);
    }
}

CASE(send_and_receive_among_the_options_are_ignored)
{
    mach_port_t port = make_port();
    mach_msg_options_t options = MACH_SEND_MSG | MACH_RCV_MSG;
    post_bytes(port, 24);
    IS_OK(mach_msg_server_once(demux_of_nothing, 64, port, options));
}

CASE(a_name_that_cannot_be_received_from_ends_the_loop)
{
    IS_CODE(mach_msg_server(demux_of_nothing, 64, BOGUS, 0), MACH_RCV_INVALID_NAME);
    IS_CODE(mach_msg_server_once(demux_of_nothing, 64, BOGUS, 0), MACH_RCV_INVALID_NAME);
}

/* --- audit tokens and texts ------------------------------------------------------------------ */

CASE(the_parts_of_an_audit_token)
{
    audit_token_t token = {{(unsigned)-1, 501, 20, 502, 21, 4711, 100003, 99}};
    uid_t auid, euid, ruid;
    gid_t egid, rgid;
    pid_t pid;
    au_asid_t asid;
    au_tid_t tid;
    IS(audit_token_to_auid(token), AU_DEFAUDITID);
    IS(audit_token_to_euid(token), 501);
    IS(audit_token_to_egid(token), 20);
    IS(audit_token_to_ruid(token), 502);
    IS(audit_token_to_rgid(token), 21);
    IS(audit_token_to_pid(token), 4711);
    IS(audit_token_to_asid(token), 100003);
    IS(audit_token_to_pidversion(token), 99);
    audit_token_to_au32(token, &auid, &euid, &egid, &ruid, &rgid, &pid, &asid, &tid);
    IS_TRUE(auid == AU_DEFAUDITID && euid == 501 && egid == 20 && ruid == 502 && rgid == 21);
    IS_TRUE(pid == 4711 && asid == 100003);
    audit_token_to_au32(token, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
}

CASE(bootstrap_texts)
{
    IS(strcmp(bootstrap_strerror(BOOTSTRAP_SUCCESS), "Success"), 0);
    IS(strcmp(bootstrap_strerror(BOOTSTRAP_NOT_PRIVILEGED), "Permission denied"), 0);
    IS(strcmp(bootstrap_strerror(BOOTSTRAP_UNKNOWN_SERVICE), "Unknown service name"), 0);
    IS(strcmp(bootstrap_strerror(KERN_INVALID_NAME), mach_error_string(KERN_INVALID_NAME)), 0);
}

/* What mach_error writes to the standard error of this process. */
static void check_mach_error(kern_return_t code, const char *wanted)
{
    char text[256] = "";
    int kept = dup(STDERR_FILENO), ends[2];
    NEED(kept >= 0 && pipe(ends) == 0);
    NEED(dup2(ends[1], STDERR_FILENO) >= 0);
    mach_error("doing it:", code);
    NEED(dup2(kept, STDERR_FILENO) >= 0);
    close(ends[1]);
    NEED(read(ends[0], text, sizeof text - 1) > 0);
    if (strcmp(text, wanted) != 0)
        tap_fail(__FILE__, __LINE__, "mach_error wrote %s", text);
    close(ends[0]);
    close(kept);
}

CASE(mach_error_writes_the_text_or_the_number)
{
    check_mach_error(KERN_INVALID_RIGHT, "doing it: (os/kern) invalid right\n");
    check_mach_error(MIG_BAD_ID, "doing it: (ipc/mig) bad request message ID\n");
    check_mach_error(KERN_RETURN_MAX, "doing it: (os/kern) unknown error code (100)\n");
    check_mach_error(0x10004321, "doing it: (ipc/rcv) unknown error code (10004321)\n");
}

CASE(a_mask_beside_a_code_makes_it_another_code)
{
    const char *text = mach_error_string(MACH_RCV_BODY_ERROR | MACH_MSG_VM_SPACE);
    IS(strcmp(text, "unknown error code"), 0);
    IS(strcmp(mach_error_string(-299), "unknown error code"), 0);
    IS(strcmp(mach_error_string(-310), "unknown error code"), 0);
    IS(strcmp(mach_error_string(-400), "unknown error code"), 0);
    IS(strcmp(mach_error_string(INT32_MIN), "unknown error code"), 0);
}
