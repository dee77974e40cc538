/*
 * The queue of a receive right: what a receive can come from.
 *
 * Besides the channel a receiver listens on its sources: each send-once right made for the port has
 * a channel of its own, from which one message, or the news that there will be none, arrives. As
 * soon as somebody waits or a source exists, an epoll descriptor covers all of them.
 *
 * Messages that were read and put back, the stash, come before both; the kernel does not see them,
 * so a descriptor that is always readable stands for them in the epoll.
 *
 * Who owns what: all of it is a part of `struct ml_receiver`, which owns the descriptors and the
 * stash, and goes to another when the right moves. Whoever reads from rx or a source holds the
 * receiver's lock, so that a move or a destroy, which take it too, know that nobody is inside a
 * receive.
 */
#ifndef ML_QUEUE_H
#define ML_QUEUE_H

#include "packet.h"
#include "receiver.h"

/* A message read from the channel but not yet delivered; the packet's bytes follow the structure.
 */
struct ml_stash {
    struct ml_stash *next;
    struct ml_packet packet;
};

enum ml_source_kind { ML_SOURCE_FREE, ML_SOURCE_SEND_ONCE };

struct ml_source {
    enum ml_source_kind kind;
    bool foreign; /* its receiving end was somebody else's before */
    int fd;
    uint32_t generation;
    uint32_t next_free;
};

/* Can there be queues? Without a descriptor for waking there can be none. */
bool ml_queue_possible(void);
/* Makes `epoll` always ready, so that everybody who waits on it looks again. */
void ml_wake_forever(int epoll);

/* The space's lock is held, r->lock is taken. */

/* Makes a send-once right: an unnamed ML_SEND_ONCE port with one reference. *source is which of r's
 * sources it sends to. */
kern_return_t ml_receiver_make_send_once(struct ml_receiver *r, struct ml_port **out,
                                         uint64_t *source, struct ml_garbage *g);
/* The right was not given to anybody: its end is no news. The reference stays the caller's. */
void ml_receiver_unmake_send_once(struct ml_receiver *r, const struct ml_port *once,
                                  uint64_t source);
/* Does the send-once right lead to r? */
bool ml_receiver_hears(struct ml_receiver *r, const struct ml_port *once);
/* Listens on one more send-once channel, which moved here with the receive right; takes fd. */
bool ml_receiver_add_source(struct ml_receiver *r, int fd, struct ml_garbage *g);
/* Ends the waits and closes the queue; what it is made of is shut down for all who have duplicates,
 * unless it is `handed_on`. */
void ml_queue_close(struct ml_receiver *r, bool handed_on, struct ml_garbage *g);
/* Ends the sources that moved here with a receive right that is closed though it lives on, and
 * drops what was put back: what is in them is nobody's. */
void ml_queue_end_foreign(struct ml_receiver *r);
/* Ends the waits in `from` and gives its queue to `to`, which has none. */
void ml_queue_move(struct ml_receiver *from, struct ml_receiver *to);

/* In a forked child, where nobody else is. Rights in messages that were put back are the parent's:
 * closed here, and nothing else. */
void ml_queue_abandon_stash(struct ml_receiver *r, struct ml_garbage *g);

/* r->lock is held. */

/* The descriptor that polls readable while something may be waiting; made at the first use. −1:
 * errno. */
int ml_receiver_epoll(struct ml_receiver *r);
/* What a set has to watch: the channel alone, as long as that is all there is to wait for. −1:
 * errno. */
int ml_receiver_watched(struct ml_receiver *r);
/* Somebody shut the sending end down for all: sets are not to be told of it for ever. */
void ml_receiver_severed(struct ml_receiver *r);
/* Reads the next packet without waiting, as ml_packet_read() does. An unused send-once right that
 * went away counts as its notification. */
int ml_receiver_next(struct ml_receiver *r, struct ml_packet *packet);
/* How many messages wait, each asked for one by one. */
uint32_t ml_receiver_count(struct ml_receiver *r);
/* Does a message wait that came through a send right? */
bool ml_receiver_has_queued(struct ml_receiver *r);
/* Puts a packet back in front of the queue, copying it. ENOMEM: it is destroyed. */
int ml_receiver_stash(struct ml_receiver *r, struct ml_packet *packet);
/* The same behind those that were put back before. */
int ml_receiver_stash_last(struct ml_receiver *r, struct ml_packet *packet);

#endif
