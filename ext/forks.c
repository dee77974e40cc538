/* What becomes of the modules' accounts in the child of a fork.
 *
 * The names that the parent's objects have mean nothing there, or something else. So the child may
 * run no Python before they are stale: not the hooks that were registered before ours, nor the ends
 * of what other threads had. This is done by a handler of pthread_atfork, therefore, and not by one
 * of os.register_at_fork. It reaches every module there is, one to an interpreter, by a list whose
 * lock the forking thread holds. */
#include "requests.h"
#include "state.h"

#include <errno.h>
#include <pthread.h>

static pthread_mutex_t states_lock = PTHREAD_MUTEX_INITIALIZER;
static struct module_state *states;

static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_error;

static void before_fork(void)
{
    pthread_mutex_lock(&states_lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&states_lock);
}

static void after_fork_in_child(void)
{
    for (struct module_state *state = states; state; state = state->forks_next) {
        atomic_fetch_add(&state->generation, 1);
        ledger_forget(state);
        requests_forget_all(state);
    }
    pthread_mutex_unlock(&states_lock);
}

static void handlers_add(void)
{
    handlers_error = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int forks_add(PyObject *module, struct module_state *state)
{
    (void)module;
    pthread_once(&handlers_once, handlers_add);
    if (handlers_error != 0) {
        errno = handlers_error;
        PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    pthread_mutex_lock(&states_lock);
    state->forks_next = states;
    states = state;
    pthread_mutex_unlock(&states_lock);
    return 0;
}

void forks_remove(struct module_state *state)
{
    pthread_mutex_lock(&states_lock);
    struct module_state **link = &states;
    while (*link && *link != state)
        link = &(*link)->forks_next;
    if (*link)
        *link = state->forks_next;
    pthread_mutex_unlock(&states_lock);
}
