/*
 * What a peer sent and nobody wants.
 *
 * Closing the last descriptor of somebody else's socket or file can block for as long as its owner
 * likes, and so can closing a Unix socket in whose queue such a descriptor lies. Queues are
 * therefore emptied first, whatever is in them likewise, and anything but pipes and the sockets
 * that ports are made of is closed by a thread of the library's own.
 */
#ifndef ML_REJECT_H
#define ML_REJECT_H

#include <stdbool.h>
#include <stdint.h>

/* Closes fds[0..n) that a peer sent and that were not accepted. Never blocks. */
void ml_close_untrusted(const int *fds, unsigned n);
/* The same of descriptors of which somebody else has duplicates: nothing is done to what they stand
 * for. */
void ml_close_shared(const int *fds, unsigned n);
/* In a forked child: the threads that do it are gone. */
void ml_close_reset_in_child(void);
/* Is fd the sending end of a channel: a connected Unix SEQPACKET socket that is empty and closed to
 * whoever has the other end? A port's is: what lay in it would otherwise be closed by whoever
 * releases the right. Fills *cookie with the kernel's identity of it. `for_good`: it is beyond
 * doubt, which takes longer; a right that is used once has a channel of its own each time. */
bool ml_fd_sends(int fd, uint64_t *cookie, bool for_good);
/* Ends a channel for all who hold it and destroys what is in its queue; the caller closes it. It is
 * `ours` if this end has never been anybody else's, who might have kept a duplicate. */
void ml_channel_end(int fd, bool ours);

#endif
