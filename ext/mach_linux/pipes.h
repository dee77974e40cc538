/*
 * The senders' pipes: how a port's receiver knows whether there are send rights, and their holders
 * whether there still is a port.
 *
 * Every send right comes with the read end of a pipe whose write end the receiver has. When the
 * last read end is gone, the write end reports an error to poll(2); when the write end is gone, so
 * is the port. Nothing is ever in the pipe, but for one byte once the port has died. Neither end is
 * told how many others have the same.
 */
#ifndef ML_PIPES_H
#define ML_PIPES_H

#include <stdbool.h>

/* What looking takes is opened once and for all: now, and not when a right comes. */
void ml_pipe_prepare(void);
/* In a forked child, which has a pipe of its own to look with: one that goes on as a daemon closes
 * all it has inherited. */
void ml_pipe_reset_in_child(void);
/* ends[0] for senders, ends[1] for the receiver. 0 or errno. */
int ml_pipe_create(int ends[2]);
/* Is fd, which came from a peer, a sender's end? *over: and the port has died. One system call. */
bool ml_pipe_look(int fd, bool *over);
/* Is fd, which came from a peer, a pipe that can be written to? */
bool ml_pipe_is_write_end(int fd);
/* The port has died. Closing the write end says so as well, but only when the last duplicate is
 * closed, and a child between fork and exec may have one. */
void ml_pipe_end(int write_end);

#endif
