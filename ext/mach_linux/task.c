/*
 * Tasks: see task.h. Also the calls of Apple's API that are about tasks alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mach/mach.h>

#include "calls.h"
#include "fds.h"
#include "refusal.h"
#include "space.h"
#include "task.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#define P_PIDFD 3 /* an enumerator, which older C libraries lack */
#define PIDFS_MAGIC 0x50494446

/* Asked of the kernel alone. Whatever asks a file system can block in one that a peer serves. */
static bool is_pidfd(int fd)
{
    siginfo_t info;
    return waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno == ECHILD;
}

bool ml_task_identify(int fd, uint64_t *key)
{
    struct statfs fs;
    struct stat st;
    int64_t pid;

    if (!is_pidfd(fd) || fstatfs(fd, &fs) != 0)
        return false;
    if (fs.f_type == PIDFS_MAGIC) {
        if (fstat(fd, &st) != 0)
            return false;
        *key = st.st_ino;
        return true;
    }
    /* Before Linux 6.9 all pidfds share one inode. The number identifies the process as long as it
     * has one, and no dead task is looked up by it. */
    if (!ml_fd_info(fd, "\nPid:", &pid))
        return false; /* no pidfd, or there is no /proc */
    *key = (uint32_t)pid;
    return true;
}

int ml_task_open_self(uint64_t *key)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0); /* close-on-exec by itself */
    if (fd < 0) {
        ml_refused("pidfd_open", errno);
    } else if (!ml_task_identify(fd, key)) {
        int error = errno;
        ml_refused("/proc/self/fdinfo", error);
        ml_close(fd);
        errno = error;
        fd = -1;
    }
    return fd;
}

bool ml_task_exited(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return ml_poll(&p, 1, 0) == 1;
}

pid_t ml_task_pid(int pidfd)
{
    int64_t pid;
    return ml_fd_info(pidfd, "\nPid:", &pid) && pid > 0 ? (pid_t)pid : -1;
}

/* --- Apple's API ----------------------------------------------------------------------------- */

mach_port_t mach_task_self_ = ML_TASK_SELF_NAME;

mach_port_t(mach_task_self)(void)
{
    return ML_TASK_SELF_NAME;
}

kern_return_t pid_for_task(mach_port_name_t task, int *pid)
{
    ML_GARBAGE(g);
    int fd = -1;

    *pid = -1;
    ml_lock();
    struct ml_entry *e = ml_entry_look(task, &g);
    if (e != NULL && e->kind == ML_SEND_RECEIVE && e->port->kind == ML_TASK)
        fd = fcntl(e->port->tx, F_DUPFD_CLOEXEC, 0);
    ml_unlock();
    ml_garbage_flush(&g);
    if (fd < 0)
        return KERN_FAILURE;
    *pid = ml_task_pid(fd);
    ml_close(fd);
    return *pid > 0 ? KERN_SUCCESS : KERN_FAILURE;
}
