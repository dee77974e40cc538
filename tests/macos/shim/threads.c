/* Locks and what is done once, which Darwin lays out otherwise: a word that says what it is, and
 * behind that room, zero at first, in which Linux's own find a place, which are zero at first, too.
 * The words are from libpthread's pthread_impl.h. */
#include "darwin.h"

#include <pthread.h>

#define DARWIN_MUTEX_STATIC 0x32AAABA7
#define DARWIN_ONCE_STATIC 0x30B1BCBA

struct darwin_mutex {
    long signature;
    char room[56];
};

struct darwin_once {
    long signature;
    char room[8];
};

_Static_assert(sizeof(pthread_mutex_t) <= sizeof((struct darwin_mutex *)0)->room, "mutex");
_Static_assert(sizeof(pthread_once_t) <= sizeof((struct darwin_once *)0)->room, "once");

static pthread_mutex_t *mutex_in(struct darwin_mutex *mutex)
{
    if (mutex->signature != DARWIN_MUTEX_STATIC)
        unsupported("mutex with the signature", mutex->signature);
    return (pthread_mutex_t *)(void *)mutex->room;
}

EXPORTED int darwin_pthread_mutex_lock(struct darwin_mutex *mutex)
{
    return pthread_mutex_lock(mutex_in(mutex));
}

EXPORTED int darwin_pthread_mutex_unlock(struct darwin_mutex *mutex)
{
    return pthread_mutex_unlock(mutex_in(mutex));
}

EXPORTED int darwin_pthread_once(struct darwin_once *once, void (*function)(void))
{
    if (once->signature != DARWIN_ONCE_STATIC)
        unsupported("pthread_once_t with the signature", once->signature);
    return pthread_once((pthread_once_t *)(void *)once->room, function);
}

/* Its failures have the same numbers: the only one is ENOMEM. */
EXPORTED int darwin_pthread_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
    return pthread_atfork(prepare, parent, child);
}
