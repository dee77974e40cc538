/*
 * Result codes in words.
 *
 * A code is a system, a subsystem and a number (see <mach/error.h>); a table for each subsystem
 * that has texts holds them by number. MIG's codes are small negative numbers and stand for the
 * numbers of a subsystem of their own. The texts are those that macOS gives, because programs print
 * and compare them; they are static, whoever asks owns nothing.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <mach/mach.h>
#include <servers/bootstrap.h>

static const char no_such_error[] = "unknown error code";

static const char *const kern_texts[] = {
    [KERN_SUCCESS] = "(os/kern) successful",
    [KERN_INVALID_ADDRESS] = "(os/kern) invalid address",
    [KERN_PROTECTION_FAILURE] = "(os/kern) protection failure",
    [KERN_NO_SPACE] = "(os/kern) no space available",
    [KERN_INVALID_ARGUMENT] = "(os/kern) invalid argument",
    [KERN_FAILURE] = "(os/kern) failure",
    [KERN_RESOURCE_SHORTAGE] = "(os/kern) resource shortage",
    [KERN_NOT_RECEIVER] = "(os/kern) not receiver",
    [KERN_NO_ACCESS] = "(os/kern) no access",
    [KERN_MEMORY_FAILURE] = "(os/kern) memory failure",
    [KERN_MEMORY_ERROR] = "(os/kern) memory error",
    [KERN_ALREADY_IN_SET] = "(os/kern) already in set",
    [KERN_NOT_IN_SET] = "(os/kern) not in set",
    [KERN_NAME_EXISTS] = "(os/kern) name exists",
    [KERN_ABORTED] = "(os/kern) aborted",
    [KERN_INVALID_NAME] = "(os/kern) invalid name",
    [KERN_INVALID_TASK] = "(os/kern) invalid task",
    [KERN_INVALID_RIGHT] = "(os/kern) invalid right",
    [KERN_INVALID_VALUE] = "(os/kern) invalid value",
    [KERN_UREFS_OVERFLOW] = "(os/kern) urefs overflow",
    [KERN_INVALID_CAPABILITY] = "(os/kern) invalid capability",
    [KERN_RIGHT_EXISTS] = "(os/kern) right exists",
    [KERN_INVALID_HOST] = "(os/kern) invalid host",
    [KERN_MEMORY_PRESENT] = "(os/kern) memory present",
    [KERN_MEMORY_DATA_MOVED] = "(os/kern) memory data moved",
    [KERN_MEMORY_RESTART_COPY] = "(os/kern) memory restart copy",
    [KERN_INVALID_PROCESSOR_SET] = "(os/kern) invalid processor set",
    [KERN_POLICY_LIMIT] = "(os/kern) policy limit",
    [KERN_INVALID_POLICY] = "(os/kern) invalid policy",
    [KERN_INVALID_OBJECT] = "(os/kern) invalid object",
    [KERN_ALREADY_WAITING] = "(os/kern) already waiting",
    [KERN_DEFAULT_SET] = "(os/kern) default set",
    [KERN_EXCEPTION_PROTECTED] = "(os/kern) exception protected",
    [KERN_INVALID_LEDGER] = "(os/kern) invalid ledger",
    [KERN_INVALID_MEMORY_CONTROL] = "(os/kern) invalid memory control",
    [KERN_INVALID_SECURITY] = "(os/kern) invalid security",
    [KERN_NOT_DEPRESSED] = "(os/kern) not depressed",
    [KERN_TERMINATED] = "(os/kern) object terminated",
    [KERN_LOCK_SET_DESTROYED] = "(os/kern) lock set destroyed",
    [KERN_LOCK_UNSTABLE] = "(os/kern) lock unstable",
    [KERN_LOCK_OWNED] = "(os/kern) lock owned by another",
    [KERN_LOCK_OWNED_SELF] = "(os/kern) lock owned by self",
    [KERN_SEMAPHORE_DESTROYED] = "(os/kern) semaphore destroyed",
    [KERN_RPC_SERVER_TERMINATED] = "(os/kern) RPC terminated",
    [KERN_RPC_TERMINATE_ORPHAN] = "(os/kern) terminate orphan",
    [KERN_RPC_CONTINUE_ORPHAN] = "(os/kern) let orphan continue",
    [KERN_NOT_SUPPORTED] = "(os/kern) service not supported",
    [KERN_NODE_DOWN] = "(os/kern) remote node down",
    [KERN_NOT_WAITING] = "(os/kern) thread not waiting",
    [KERN_OPERATION_TIMED_OUT] = "(os/kern) operation timed out",
    [KERN_CODESIGN_ERROR] = "(os/kern) code signing error",
    [KERN_POLICY_STATIC] = "(os/kern) policy is static",
    [KERN_INSUFFICIENT_BUFFER_SIZE] = "(os/kern) insufficient input buffer size",
    [KERN_DENIED] = "(os/kern) denied by security policy",
    [KERN_MISSING_KC] = "(os/kern) missing kernel collection",
    [KERN_INVALID_KC] = "(os/kern) invalid kernel collection",
    [KERN_NOT_FOUND] = "(os/kern) result not found",
};

#define NUMBER(code) err_get_code(code)

static const char *const send_texts[] = {
    "(ipc/send) no error",
    [NUMBER(MACH_SEND_IN_PROGRESS)] = "(ipc/send) send in progress",
    [NUMBER(MACH_SEND_INVALID_DATA)] = "(ipc/send) invalid data",
    [NUMBER(MACH_SEND_INVALID_DEST)] = "(ipc/send) invalid destination port",
    [NUMBER(MACH_SEND_TIMED_OUT)] = "(ipc/send) timed out",
    [NUMBER(MACH_SEND_INTERRUPTED)] = "(ipc/send) interrupted",
    [NUMBER(MACH_SEND_MSG_TOO_SMALL)] = "(ipc/send) msg too small",
    [NUMBER(MACH_SEND_INVALID_REPLY)] = "(ipc/send) invalid reply port",
    [NUMBER(MACH_SEND_INVALID_RIGHT)] = "(ipc/send) invalid port right",
    [NUMBER(MACH_SEND_INVALID_NOTIFY)] = "(ipc/send) invalid notify port",
    [NUMBER(MACH_SEND_INVALID_MEMORY)] = "(ipc/send) invalid memory",
    [NUMBER(MACH_SEND_NO_BUFFER)] = "(ipc/send) no msg buffer",
    [NUMBER(MACH_SEND_TOO_LARGE)] = "(ipc/send) msg too large",
    [NUMBER(MACH_SEND_INVALID_TYPE)] = "(ipc/send) invalid msg-type",
    [NUMBER(MACH_SEND_INVALID_HEADER)] = "(ipc/send) invalid msg-header",
    [NUMBER(MACH_SEND_INVALID_TRAILER)] = "(ipc/send) invalid msg-trailer",
    [NUMBER(MACH_SEND_INVALID_RT_OOL_SIZE)] = "(ipc/send) out-of-line buffer too large",
};

static const char *const receive_texts[] = {
    "(ipc/rcv) no error",
    [NUMBER(MACH_RCV_IN_PROGRESS)] = "(ipc/rcv) receive in progress",
    [NUMBER(MACH_RCV_INVALID_NAME)] = "(ipc/rcv) invalid name",
    [NUMBER(MACH_RCV_TIMED_OUT)] = "(ipc/rcv) timed out",
    [NUMBER(MACH_RCV_TOO_LARGE)] = "(ipc/rcv) msg too large",
    [NUMBER(MACH_RCV_INTERRUPTED)] = "(ipc/rcv) interrupted",
    [NUMBER(MACH_RCV_PORT_CHANGED)] = "(ipc/rcv) port changed",
    [NUMBER(MACH_RCV_INVALID_NOTIFY)] = "(ipc/rcv) invalid notify port",
    [NUMBER(MACH_RCV_INVALID_DATA)] = "(ipc/rcv) invalid data",
    [NUMBER(MACH_RCV_PORT_DIED)] = "(ipc/rcv) port died",
    [NUMBER(MACH_RCV_IN_SET)] = "(ipc/rcv) port in set",
    [NUMBER(MACH_RCV_HEADER_ERROR)] = "(ipc/rcv) header error",
    [NUMBER(MACH_RCV_BODY_ERROR)] = "(ipc/rcv) body error",
    [NUMBER(MACH_RCV_INVALID_TYPE)] = "(ipc/rcv) invalid scatter list entry",
    [NUMBER(MACH_RCV_SCATTER_SMALL)] = "(ipc/rcv) overwrite region too small",
    [NUMBER(MACH_RCV_INVALID_TRAILER)] = "(ipc/rcv) invalid msg-trailer",
};

/* From MIG_TYPE_ERROR downwards. */
static const char *const mig_texts[] = {
    [0] = "(ipc/mig) client type check failure",
    [MIG_TYPE_ERROR - MIG_REPLY_MISMATCH] = "(ipc/mig) wrong reply message ID",
    [MIG_TYPE_ERROR - MIG_REMOTE_ERROR] = "(ipc/mig) server detected error",
    [MIG_TYPE_ERROR - MIG_BAD_ID] = "(ipc/mig) bad request message ID",
    [MIG_TYPE_ERROR - MIG_BAD_ARGUMENTS] = "(ipc/mig) server type check failure",
    [MIG_TYPE_ERROR - MIG_NO_REPLY] = "(ipc/mig) no reply should be sent",
    [MIG_TYPE_ERROR - MIG_EXCEPTION] = "(ipc/mig) server raised exception",
    [MIG_TYPE_ERROR - MIG_ARRAY_TOO_LARGE] = "(ipc/mig) array not large enough",
    [MIG_TYPE_ERROR - MIG_SERVER_DIED] = "(ipc/mig) server died",
    [MIG_TYPE_ERROR - MIG_TRAILER_ERROR] = "(ipc/mig) unknown trailer format",
};

/* MIG's codes as a subsystem of Mach's messages: as many numbers as lie between -300 and -400. */
#define MIG_SUBSYSTEM 2
#define MIG_RANGE 100

static const struct subsystem {
    int base; /* system and subsystem, with number 0 */
    const char *name;
    const char *const *texts;
    int count;
} subsystems[] = {
#define TEXTS(table) table, (int)(sizeof(table) / sizeof(table)[0])
    {err_kern, "(os/kern)", TEXTS(kern_texts)},
    {err_mach_ipc, "(ipc/send)", TEXTS(send_texts)},
    {err_mach_ipc | err_sub(1), "(ipc/rcv)", TEXTS(receive_texts)},
    {err_mach_ipc | err_sub(MIG_SUBSYSTEM), "(ipc/mig)", TEXTS(mig_texts)},
#undef TEXTS
};

/* A negative MIG code as it stands in its subsystem; any other as it is. */
static mach_error_t canonical(mach_error_t code)
{
    if (code <= MIG_TYPE_ERROR && code > MIG_TYPE_ERROR - MIG_RANGE)
        code = (MIG_TYPE_ERROR - code) | err_mach_ipc | err_sub(MIG_SUBSYSTEM);
    return code;
}

static const struct subsystem *subsystem_of(mach_error_t code)
{
    for (size_t i = 0; i < sizeof subsystems / sizeof subsystems[0]; i++)
        if ((code & ~code_emask) == subsystems[i].base)
            return &subsystems[i];
    return NULL;
}

/* The text, or null if the code has none. */
static const char *text_of(mach_error_t code)
{
    const struct subsystem *subsystem;

    code = canonical(code);
    subsystem = subsystem_of(code);
    if (subsystem == NULL || err_get_code(code) >= subsystem->count)
        return NULL;
    return subsystem->texts[err_get_code(code)];
}

/* Apple's prototype says char *, although nobody may write there. */
static char *unconst(const char *text)
{
    return (char *)(uintptr_t)text;
}

char *mach_error_string(mach_error_t error_value)
{
    const char *text = text_of(error_value);

    return unconst(text != NULL ? text : no_such_error);
}

void mach_error(const char *str, mach_error_t error_value)
{
    const char *text = text_of(error_value);
    const struct subsystem *subsystem = subsystem_of(canonical(error_value));

    if (text != NULL)
        (void)fprintf(stderr, "%s %s\n", str, text);
    else
        (void)fprintf(stderr, "%s %s %s (%x)\n", str, subsystem != NULL ? subsystem->name : "(?/?)",
                      no_such_error, (unsigned)error_value);
}

const char *bootstrap_strerror(kern_return_t r)
{
    switch (r) {
    case BOOTSTRAP_SUCCESS:
        return "Success";
    case BOOTSTRAP_NOT_PRIVILEGED:
        return "Permission denied";
    case BOOTSTRAP_NAME_IN_USE:
    case BOOTSTRAP_SERVICE_ACTIVE:
        return "Service name already exists";
    case BOOTSTRAP_UNKNOWN_SERVICE:
        return "Unknown service name";
    case BOOTSTRAP_BAD_COUNT:
        return "Too many lookups were requested in one request";
    case BOOTSTRAP_NO_MEMORY:
        return "Out of memory";
    default:
        return mach_error_string(r);
    }
}
