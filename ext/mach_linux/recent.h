/*
 * The sending end that has come several times in a row, and how it is known again.
 *
 * Which socket a descriptor stands for takes the kernel long to say. Whether two descriptors are
 * one and the same it says in half the time (F_DUPFD_QUERY, Linux 6.10). So a duplicate of the
 * sending end that came last and often is kept, one in a process, and the next that comes is held
 * against it first. It belongs to the receive right through which the rights came, and is closed
 * when a receive finds that one's queue empty. Who waits in another way, for a set or a descriptor,
 * may never find it so: then none is kept.
 *
 * The duplicate is no send right: those are counted by their pipes (pipes.h). But a peer can pass
 * off a send-once right's end as one, which has no pipe. That is why it does not stay.
 */
#ifndef ML_RECENT_H
#define ML_RECENT_H

#include <fcntl.h>
#include <stdint.h>

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY (1024 + 3) /* F_LINUX_SPECIFIC_BASE + 3 */
#endif

struct ml_garbage;
struct ml_receiver;

/* So many times in a row: then it may well come again. */
#define ML_RECENT_FEW 16u

/* The key of fd, which came with a send right, if it is the one that is expected; else 0. */
uint64_t ml_recent_key(int fd);
/* It was not known, and the kernel was asked: this is its key. It is a port's sending end, and came
 * through `by`, of which the caller has a reference. */
void ml_recent_note(int fd, uint64_t key, const struct ml_receiver *by);
/* Nothing is kept for `by` any more, which is gone or about to be waited for. The space's lock is
 * held, so that no fork comes between. */
void ml_recent_end(const struct ml_receiver *by, struct ml_garbage *g);
/* Its queue is empty: the same, without the lock. */
void ml_recent_idle(const struct ml_receiver *by);
/* In a forked child, before anything ends there. */
void ml_recent_reset_in_child(void);

/* The duplicate, −1 if there is none. */
int ml_recent_kept(void);

#endif
