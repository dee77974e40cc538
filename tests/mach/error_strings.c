/* mach_error_string (part N of the rest) and bootstrap_strerror's neighbours: the words that users
 * see. */
#include "tap.h"

#include <mach/mach_error.h>
#include <string.h>

struct wording {
    mach_error_t code;
    const char *text;
};

static void check(const struct wording *wordings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = mach_error_string(wordings[i].code);
        if (!text || strcmp(text, wordings[i].text))
            tap_fail(__FILE__, __LINE__, "%s is \"%s\", not \"%s\"",
                     tap_code_name(wordings[i].code), text ? text : "(null)", wordings[i].text);
    }
}

#define CHECK(wordings) check(wordings, sizeof wordings / sizeof wordings[0])

CASE(kernel_codes)
{
    static const struct wording wordings[] = {
        {KERN_INVALID_NAME, "(os/kern) invalid name"},
        {KERN_INVALID_RIGHT, "(os/kern) invalid right"},
        {KERN_INVALID_VALUE, "(os/kern) invalid value"},
        {KERN_INVALID_CAPABILITY, "(os/kern) invalid capability"},
        {KERN_NAME_EXISTS, "(os/kern) name exists"},
        {KERN_RIGHT_EXISTS, "(os/kern) right exists"},
        {KERN_NO_SPACE, "(os/kern) no space available"},
        {KERN_RESOURCE_SHORTAGE, "(os/kern) resource shortage"},
        {KERN_ALREADY_IN_SET, "(os/kern) already in set"},
        {KERN_NOT_IN_SET, "(os/kern) not in set"},
        {KERN_INVALID_ARGUMENT, "(os/kern) invalid argument"},
        {KERN_FAILURE, "(os/kern) failure"},
        {KERN_UREFS_OVERFLOW, "(os/kern) urefs overflow"},
    };
    CHECK(wordings);
}

CASE(send_codes)
{
    static const struct wording wordings[] = {
        {MACH_SEND_INVALID_DEST, "(ipc/send) invalid destination port"},
        {MACH_SEND_INVALID_RIGHT, "(ipc/send) invalid port right"},
        {MACH_SEND_TIMED_OUT, "(ipc/send) timed out"},
        {MACH_SEND_INTERRUPTED, "(ipc/send) interrupted"},
        {MACH_SEND_INVALID_HEADER, "(ipc/send) invalid msg-header"},
        {MACH_SEND_INVALID_TYPE, "(ipc/send) invalid msg-type"},
        {MACH_SEND_INVALID_REPLY, "(ipc/send) invalid reply port"},
        {MACH_SEND_INVALID_MEMORY, "(ipc/send) invalid memory"},
        {MACH_SEND_INVALID_DATA, "(ipc/send) invalid data"},
        {MACH_SEND_MSG_TOO_SMALL, "(ipc/send) msg too small"},
        {MACH_SEND_TOO_LARGE, "(ipc/send) msg too large"},
    };
    CHECK(wordings);
}

CASE(receive_codes)
{
    static const struct wording wordings[] = {
        {MACH_RCV_TIMED_OUT, "(ipc/rcv) timed out"},
        {MACH_RCV_TOO_LARGE, "(ipc/rcv) msg too large"},
        {MACH_RCV_INVALID_NAME, "(ipc/rcv) invalid name"},
        {MACH_RCV_PORT_CHANGED, "(ipc/rcv) port changed"},
        {MACH_RCV_PORT_DIED, "(ipc/rcv) port died"},
        {MACH_RCV_INTERRUPTED, "(ipc/rcv) interrupted"},
        {MACH_RCV_INVALID_DATA, "(ipc/rcv) invalid data"},
        {MACH_RCV_HEADER_ERROR, "(ipc/rcv) header error"},
        {MACH_RCV_BODY_ERROR, "(ipc/rcv) body error"},
    };
    CHECK(wordings);
}

CASE(mig_codes)
{
    static const struct wording wordings[] = {
        {-300, "(ipc/mig) client type check failure"},
        {-301, "(ipc/mig) wrong reply message ID"},
        {-302, "(ipc/mig) server detected error"},
        {-303, "(ipc/mig) bad request message ID"},
        {-304, "(ipc/mig) server type check failure"},
        {-305, "(ipc/mig) no reply should be sent"},
        {-306, "(ipc/mig) server raised exception"},
        {-307, "(ipc/mig) array not large enough"},
        {-308, "(ipc/mig) server died"},
        {-309, "(ipc/mig) unknown trailer format"},
    };
    CHECK(wordings);
}

CASE(anything_else_is_unknown)
{
    static const struct wording wordings[] = {
        {0x7fff, "unknown error code"},
        {0x3fabcde, "unknown error code"},
        {-4000, "unknown error code"},
    };
    CHECK(wordings);
}
