/* The MIG reply port (part I of the rest), and mach_reply_port. */
#include "peers.h"

#include <unistd.h>

/* Not every SDK declares it; the types are the same. */
extern mach_port_name_t mach_reply_port(void);

CASE(mach_reply_port_gives_a_new_receive_right_each_time)
{
    mach_port_t one = mach_reply_port(), two = mach_reply_port();
    IS_TRUE(one != two);
    IS(type_of(one), MACH_PORT_TYPE_RECEIVE);
    IS(type_of(two), MACH_PORT_TYPE_RECEIVE);
}

CASE(get_reply_port_is_cached)
{
    mach_port_t port = mig_get_reply_port();
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
    IS(mig_get_reply_port(), port);
}

CASE(put_reply_port_does_nothing)
{
    mach_port_t port = mig_get_reply_port();
    mig_put_reply_port(port);
    IS(mig_get_reply_port(), port);
    IS(type_of(port), MACH_PORT_TYPE_RECEIVE);
}

CASE(dealloc_reply_port_destroys_the_cached_one_whatever_its_argument)
{
    mach_port_t port = mig_get_reply_port();
    mig_dealloc_reply_port(MACH_PORT_NULL);
    IS_TRUE(is_gone(port));
    mach_port_t next = mig_get_reply_port();
    IS_TRUE(next != port);
    IS(type_of(next), MACH_PORT_TYPE_RECEIVE);
}

static void *get_reply_port(void *result)
{
    *(mach_port_t *)result = mig_get_reply_port();
    return NULL;
}

CASE(each_thread_has_its_own)
{
    mach_port_t mine = mig_get_reply_port(), other = MACH_PORT_NULL;
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, get_reply_port, &other) == 0);
    NEED(pthread_join(thread, NULL) == 0);
    IS_TRUE(other != mine && MACH_PORT_VALID(other));
    IS(mig_get_reply_port(), mine);
}

static void use_the_reply_port(mach_port_t home)
{
    mach_port_t mine = mig_get_reply_port();
    IS(type_of(mine), MACH_PORT_TYPE_RECEIVE);
    IS_OK(post(mine, MAKE_SEND, 5));
    IS(take_id(mine), 5);
    IS_OK(post(home, COPY_SEND, 6));
}

CASE(two_process_the_child_of_a_fork_has_its_own)
{
    mach_port_t home = make_port(), mine = mig_get_reply_port();
    peer_join(peer_start(home, use_the_reply_port));
    IS(take_id(home), 6);
    IS_TRUE(is_empty(mine));
    IS(mig_get_reply_port(), mine);
}
