/* A received message through the generated server demux; see stub_server.c. Knows nothing of
 * Python. */
#ifndef CHILD_PORT_STUB_SERVER_H
#define CHILD_PORT_STUB_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <mach/mach.h>

/* What became of a message. All but the first were destroyed, with the rights in them. */
enum verdict {
    VERDICT_ACCEPTED,
    VERDICT_BAD_TOKEN,
    VERDICT_MALFORMED,
    VERDICT_WRONG_SENDER,
    VERDICT_NOTIFICATION,
    VERDICTS,
};

/* One message's way through the demux: what a valid check-in must carry, and what it carried. */
struct server_call {
    uint64_t token; /* of a check-in without a key */
    bool keyed;     /* those with a key are valid too */
    bool pid_expected;
    pid_t expected_pid;
    pid_t sender_pid; /* from the audit trailer */
    enum verdict verdict;
    mach_port_t port; /* on VERDICT_ACCEPTED the caller owns this right */
    uint64_t token_carried;
    mach_msg_type_name_t disposition;
};

/* Room for the largest message that the interface has, and any trailer. */
#define SERVER_MESSAGE_SIZE 56
union server_message {
    mach_msg_header_t header;
    uint8_t room[SERVER_MESSAGE_SIZE + MAX_TRAILER_SIZE];
};

/* Destroys what the message carries, or hands its port over in `call`; see enum verdict. Of a
 * notification, `is_answer` says that the kernel sent it because it was asked to here. */
enum verdict server_dispatch(struct server_call *call, union server_message *message,
                             bool is_answer);

#endif
