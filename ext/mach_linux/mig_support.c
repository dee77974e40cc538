/*
 * What stubs made by MIG call: the reply port of a thread, bounded string copies, memory for
 * out-of-line arguments, and the record of this machine's data representation.
 *
 * A thread owns one reply port, a receive right made at first use. It is destroyed by
 * mig_dealloc_reply_port or when the thread ends. The child of a fork has an empty name space and
 * one thread, the one that forked: a handler makes it forget the name, without touching the
 * parent's right.
 */
#include <pthread.h>
#include <string.h>

#include <mach/mach.h>

NDR_record_t NDR_record = {
    .mig_vers = NDR_PROTOCOL_2_0,
    .if_vers = NDR_PROTOCOL_2_0,
    .mig_encoding = NDR_PROTOCOL_2_0,
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    .int_rep = NDR_INT_LITTLE_ENDIAN,
#else
    .int_rep = NDR_INT_BIG_ENDIAN,
#endif
    .char_rep = NDR_CHAR_ASCII,
    .float_rep = NDR_FLOAT_IEEE,
};

static _Thread_local mach_port_t reply_port;

/* Its value only makes the destructor run at the end of a thread that made a reply port. */
static pthread_key_t thread_end;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int key_error;

static void reply_port_release(void *unused)
{
    mach_port_t port = reply_port;

    (void)unused;
    reply_port = MACH_PORT_NULL;
    if (port != MACH_PORT_NULL)
        (void)mach_port_mod_refs(mach_task_self(), port, MACH_PORT_RIGHT_RECEIVE, -1);
}

static void reply_port_forget(void)
{
    reply_port = MACH_PORT_NULL;
}

static void prepare(void)
{
    key_error = pthread_key_create(&thread_end, reply_port_release);
    if (key_error == 0)
        key_error = pthread_atfork(NULL, NULL, reply_port_forget);
}

mach_port_t mig_get_reply_port(void)
{
    if (reply_port == MACH_PORT_NULL) {
        (void)pthread_once(&once, prepare);
        /* Without the two hooks a port would outlive its thread, or a name its process. */
        if (key_error == 0 && pthread_setspecific(thread_end, &reply_port) == 0)
            reply_port = mach_reply_port();
    }
    return reply_port;
}

void mig_put_reply_port(mach_port_t port)
{
    (void)port;
}

void mig_dealloc_reply_port(mach_port_t port)
{
    (void)port;
    reply_port_release(NULL);
}

int mig_strncpy(char *dest, const char *src, int len)
{
    size_t length;

    if (len <= 0)
        return 0;
    length = strnlen(src, (size_t)len - 1);
    memcpy(dest, src, length);
    dest[length] = '\0';
    return (int)length + 1;
}

int mig_strncpy_zerofill(char *dest, const char *src, int len)
{
    int used = 0;

    if (len <= 0 || dest == NULL)
        return 0;
    if (src != NULL)
        used = mig_strncpy(dest, src, len);
    memset(dest + used, 0, (size_t)(len - used));
    return used;
}

void mig_allocate(vm_address_t *addr_p, vm_size_t size)
{
    if (vm_allocate(mach_task_self(), addr_p, size, VM_FLAGS_ANYWHERE) != KERN_SUCCESS)
        *addr_p = 0;
}

void mig_deallocate(vm_address_t addr, vm_size_t size)
{
    (void)vm_deallocate(mach_task_self(), addr, size);
}

void mig_reply_setup(mach_msg_header_t *request, mach_msg_header_t *reply)
{
    mig_reply_error_t *error = (mig_reply_error_t *)(void *)reply;

    error->Head.msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_LOCAL(request->msgh_bits), 0);
    error->Head.msgh_size = (mach_msg_size_t)sizeof *error;
    error->Head.msgh_remote_port = request->msgh_local_port;
    error->Head.msgh_local_port = MACH_PORT_NULL;
    error->Head.msgh_id = request->msgh_id + 100;
    error->NDR = NDR_record;
}
