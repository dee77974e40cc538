/*
 * The senders' pipes: see pipes.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "fds.h"
#include "pipes.h"
#include "refusal.h"

int ml_pipe_create(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0)
        return 0;
    ml_refused("pipe2", errno);
    return errno;
}

/* --- looking --------------------------------------------------------------------------------- */

/* Where tee(2) puts what it finds: nothing, unless the port has died. */
static int aside[2] = {-1, -1};
static pthread_once_t aside_once = PTHREAD_ONCE_INIT;
static atomic_bool aside_made;
static ino_t aside_inode; /* a program that closes all there is may have given its number away */

static void aside_make(void)
{
    struct stat st;
    if (pipe2(aside, O_CLOEXEC | O_NONBLOCK) != 0)
        aside[0] = aside[1] = -1;
    else if (fstat(aside[0], &st) == 0)
        aside_inode = st.st_ino;
    aside_made = true;
}

static bool aside_is_ours(int end)
{
    struct stat st;
    return ml_fd_is_pipe(end) && fstat(end, &st) == 0 && st.st_ino == aside_inode;
}

static void aside_empty(void)
{
    ML_UNCANCELLED;
    char bytes[64];
    while (aside_is_ours(aside[0]) && read(aside[0], bytes, sizeof bytes) > 0)
        continue;
}

void ml_pipe_reset_in_child(void)
{
    for (int i = 0; i < 2; i++)
        if (aside_is_ours(aside[i]))
            ml_close(aside[i]);
    aside[0] = aside[1] = -1;
    aside_once = (pthread_once_t)PTHREAD_ONCE_INIT;
    aside_made = false;
}

/* With more questions: where tee(2) is forbidden, where there was no descriptor for it, or none is
 * left because a daemon has closed all that it inherited. */
static bool look_closely(int fd, bool *over)
{
    /* In this order: a file that a peer serves may let poll(2) wait. */
    if (!ml_fd_is_pipe(fd) || (fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
        return false;
    *over = ml_fd_hung_up(fd);
    return true;
}

bool ml_pipe_is_write_end(int fd)
{
    return ml_fd_is_pipe(fd) && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
}

void ml_pipe_prepare(void)
{
    if (!aside_made)
        pthread_once(&aside_once, aside_make);
}

bool ml_pipe_look(int fd, bool *over)
{
    ssize_t n;
    ml_pipe_prepare();
    do
        n = ml_tee(fd, aside[1], 1, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    *over = n >= 0; /* no write end is left, or there is the byte */
    if (n > 0)
        aside_empty();
    return n >= 0 || errno == EAGAIN || look_closely(fd, over);
}

/* --- the end --------------------------------------------------------------------------------- */

/* vmsplice(2) and not write(2): it does not wait, however the pipe has been set up by whoever moved
 * the receive right here. */
void ml_pipe_end(int write_end)
{
    ML_UNCANCELLED;
    static char byte;
    const struct iovec iov = {&byte, 1};
    const struct timespec now = {0};
    sigset_t sigpipe, before, pending;
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    /* Without senders the kernel has a signal for who writes, which is not for the program. */
    if (pthread_sigmask(SIG_BLOCK, &sigpipe, &before) != 0)
        return;
    bool had = sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
    if (vmsplice(write_end, &iov, 1, SPLICE_F_NONBLOCK) < 0 && errno == EPIPE && !had)
        (void)sigtimedwait(&sigpipe, NULL, &now);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}
