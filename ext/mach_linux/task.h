/*
 * Tasks: a task's port is a pidfd.
 *
 * It proves which process is meant, also after the number was reused, but carries no authority:
 * anybody may open anybody's.
 */
#ifndef ML_TASK_H
#define ML_TASK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A pidfd of this process and its identity; the caller owns it. −1 and errno. */
int ml_task_open_self(uint64_t *key);
/* Is fd a pidfd? Fills the identity of its process, equal for every pidfd of it. */
bool ml_task_identify(int fd, uint64_t *key);
bool ml_task_exited(int pidfd);
/* Its number in this process's namespace; −1 when it was reaped or cannot be seen from here. */
pid_t ml_task_pid(int pidfd);

#endif
