/*
 * What codes mean, in words: the strings that Apple's library gives for them.
 */
#include <stddef.h>
#include <stdio.h>

#include <mach/mach.h>
#include <servers/bootstrap.h>

struct text {
    kern_return_t code;
    const char *text;
};

static const struct text texts[] = {
    {KERN_SUCCESS, "(os/kern) successful"},
    {KERN_INVALID_ADDRESS, "(os/kern) invalid address"},
    {KERN_NO_SPACE, "(os/kern) no space available"},
    {KERN_INVALID_ARGUMENT, "(os/kern) invalid argument"},
    {KERN_FAILURE, "(os/kern) failure"},
    {KERN_RESOURCE_SHORTAGE, "(os/kern) resource shortage"},
    {KERN_ALREADY_IN_SET, "(os/kern) already in set"},
    {KERN_NOT_IN_SET, "(os/kern) not in set"},
    {KERN_NAME_EXISTS, "(os/kern) name exists"},
    {KERN_ABORTED, "(os/kern) aborted"},
    {KERN_INVALID_NAME, "(os/kern) invalid name"},
    {KERN_INVALID_TASK, "(os/kern) invalid task"},
    {KERN_INVALID_RIGHT, "(os/kern) invalid right"},
    {KERN_INVALID_VALUE, "(os/kern) invalid value"},
    {KERN_UREFS_OVERFLOW, "(os/kern) urefs overflow"},
    {KERN_INVALID_CAPABILITY, "(os/kern) invalid capability"},
    {KERN_RIGHT_EXISTS, "(os/kern) right exists"},
    {KERN_NOT_SUPPORTED, "(os/kern) not supported"},
    {MACH_SEND_INVALID_DATA, "(ipc/send) invalid data"},
    {MACH_SEND_INVALID_DEST, "(ipc/send) invalid destination port"},
    {MACH_SEND_TIMED_OUT, "(ipc/send) timed out"},
    {MACH_SEND_INTERRUPTED, "(ipc/send) interrupted"},
    {MACH_SEND_MSG_TOO_SMALL, "(ipc/send) msg too small"},
    {MACH_SEND_INVALID_REPLY, "(ipc/send) invalid reply port"},
    {MACH_SEND_INVALID_RIGHT, "(ipc/send) invalid port right"},
    {MACH_SEND_INVALID_NOTIFY, "(ipc/send) invalid notify port"},
    {MACH_SEND_INVALID_MEMORY, "(ipc/send) invalid memory"},
    {MACH_SEND_NO_BUFFER, "(ipc/send) no msg buffer"},
    {MACH_SEND_TOO_LARGE, "(ipc/send) msg too large"},
    {MACH_SEND_INVALID_TYPE, "(ipc/send) invalid msg-type"},
    {MACH_SEND_INVALID_HEADER, "(ipc/send) invalid msg-header"},
    {MACH_SEND_INVALID_TRAILER, "(ipc/send) invalid msg-trailer"},
    {MACH_RCV_INVALID_NAME, "(ipc/rcv) invalid name"},
    {MACH_RCV_TIMED_OUT, "(ipc/rcv) timed out"},
    {MACH_RCV_TOO_LARGE, "(ipc/rcv) msg too large"},
    {MACH_RCV_INTERRUPTED, "(ipc/rcv) interrupted"},
    {MACH_RCV_PORT_CHANGED, "(ipc/rcv) port changed"},
    {MACH_RCV_INVALID_NOTIFY, "(ipc/rcv) invalid notify port"},
    {MACH_RCV_INVALID_DATA, "(ipc/rcv) invalid data"},
    {MACH_RCV_PORT_DIED, "(ipc/rcv) port died"},
    {MACH_RCV_IN_SET, "(ipc/rcv) port in set"},
    {MACH_RCV_HEADER_ERROR, "(ipc/rcv) header error"},
    {MACH_RCV_BODY_ERROR, "(ipc/rcv) body error"},
    {MACH_RCV_INVALID_TYPE, "(ipc/rcv) invalid type"},
    {MACH_RCV_SCATTER_SMALL, "(ipc/rcv) scatter list too small"},
    {MACH_RCV_INVALID_TRAILER, "(ipc/rcv) invalid trailer"},
    {MIG_TYPE_ERROR, "(ipc/mig) client type check failure"},
    {MIG_REPLY_MISMATCH, "(ipc/mig) wrong reply message ID"},
    {MIG_REMOTE_ERROR, "(ipc/mig) server detected error"},
    {MIG_BAD_ID, "(ipc/mig) bad request message ID"},
    {MIG_BAD_ARGUMENTS, "(ipc/mig) server type check failure"},
    {MIG_NO_REPLY, "(ipc/mig) no reply should be sent"},
    {MIG_EXCEPTION, "(ipc/mig) server raised exception"},
    {MIG_ARRAY_TOO_LARGE, "(ipc/mig) array not large enough"},
    {MIG_SERVER_DIED, "(ipc/mig) server died"},
    {MIG_TRAILER_ERROR, "(ipc/mig) unknown trailer format"},
};

static const struct text bootstrap_texts[] = {
    {BOOTSTRAP_NOT_PRIVILEGED, "Permission denied"},
    {BOOTSTRAP_NAME_IN_USE, "Service name already in use"},
    {BOOTSTRAP_UNKNOWN_SERVICE, "Unknown service name"},
    {BOOTSTRAP_SERVICE_ACTIVE, "Service is active"},
    {BOOTSTRAP_BAD_COUNT, "Too many lookups were requested in one request"},
    {BOOTSTRAP_NO_MEMORY, "Out of memory"},
    {BOOTSTRAP_NO_CHILDREN, "No child jobs"},
};

static const char *find(const struct text *table, size_t n, kern_return_t code)
{
    for (size_t i = 0; i < n; i++)
        if (table[i].code == code)
            return table[i].text;
    return NULL;
}

#define FIND(table, code) find(table, sizeof(table) / sizeof(table)[0], code)

char *mach_error_string(mach_error_t error_value)
{
    static const char unknown[] = "unknown error code";
    const char *text = FIND(texts, error_value);
    /* A receive error may say beside its code what was short. */
    if (text == NULL && (error_value & ~MACH_MSG_MASK) > MACH_RCV_IN_PROGRESS)
        text = FIND(texts, error_value & ~MACH_MSG_MASK);
    return (char *)(uintptr_t)(text != NULL ? text : unknown);
}

void mach_error(const char *str, mach_error_t error_value)
{
    fprintf(stderr, "%s: %s\n", str, mach_error_string(error_value));
}

const char *bootstrap_strerror(kern_return_t r)
{
    const char *text = FIND(bootstrap_texts, r);
    return text != NULL ? text : mach_error_string(r);
}
