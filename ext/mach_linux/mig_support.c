/*
 * What stubs made by mig call: reply ports, bounded string copies, the local number representation.
 *
 * Each thread owns one reply port, a receive right under a name in thread-specific data; it is destroyed
 * when the thread ends. In the child of a fork all names are gone, so a name is kept with the process
 * that it belongs to.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mach/mach.h>

NDR_record_t NDR_record = {
    .int_rep = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? NDR_INT_LITTLE_ENDIAN
                                                         : NDR_INT_BIG_ENDIAN,
    .char_rep = NDR_CHAR_ASCII,
    .float_rep = NDR_FLOAT_IEEE,
};

struct reply_port {
    mach_port_t name;
    pid_t process;
};

static pthread_key_t reply_key;
static pthread_once_t reply_once = PTHREAD_ONCE_INIT;
static int reply_key_error;

static void reply_port_release(void *value)
{
    struct reply_port *reply = value;
    if (reply->name != MACH_PORT_NULL && reply->process == getpid())
        (void)mach_port_mod_refs(mach_task_self(), reply->name, MACH_PORT_RIGHT_RECEIVE, -1);
    free(reply);
}

static void reply_key_create(void)
{
    reply_key_error = pthread_key_create(&reply_key, reply_port_release);
}

static struct reply_port *reply_port_get(void)
{
    (void)pthread_once(&reply_once, reply_key_create);
    if (reply_key_error != 0)
        return NULL;
    struct reply_port *reply = pthread_getspecific(reply_key);
    if (reply == NULL) {
        reply = calloc(1, sizeof *reply);
        if (reply != NULL && pthread_setspecific(reply_key, reply) != 0) {
            free(reply);
            reply = NULL;
        }
    }
    return reply;
}

mach_port_t mig_get_reply_port(void)
{
    struct reply_port *reply = reply_port_get();
    if (reply == NULL)
        return MACH_PORT_NULL;
    if (reply->name == MACH_PORT_NULL || reply->process != getpid()) {
        reply->name = mach_reply_port();
        reply->process = getpid();
    }
    return reply->name;
}

void mig_put_reply_port(mach_port_t reply_port)
{
    (void)reply_port;
}

void mig_dealloc_reply_port(mach_port_t reply_port)
{
    struct reply_port *reply = reply_port_get();
    (void)reply_port; /* the cached one goes, whatever the argument */
    if (reply == NULL || reply->name == MACH_PORT_NULL)
        return;
    mach_port_t name = reply->name;
    reply->name = MACH_PORT_NULL;
    if (reply->process == getpid())
        (void)mach_port_mod_refs(mach_task_self(), name, MACH_PORT_RIGHT_RECEIVE, -1);
}

int mig_strncpy(char *dest, const char *src, int len)
{
    int i = 0;
    if (len <= 0 || dest == NULL || src == NULL)
        return 0;
    for (; i < len - 1; i++) {
        dest[i] = src[i];
        if (src[i] == '\0')
            return i + 1;
    }
    dest[i] = '\0';
    return i + 1;
}

int mig_strncpy_zerofill(char *dest, const char *src, int len)
{
    int n = mig_strncpy(dest, src, len);
    if (n > 0 && n < len)
        memset(dest + n, 0, (size_t)(len - n));
    return n;
}
