/*
 * Memory files: how a packet travels that is longer than a socket takes.
 *
 * The whole packet is written to a file in memory, which is sealed and goes as the last descriptor
 * of a packet that has the two headers alone (ML_WIRE_MEMFD). The receiver checks the file when the
 * packet arrives and maps it when there is a buffer for the message; until then the packet owns it,
 * as `file`, and afterwards the mapping, as `mapped`.
 */
#ifndef ML_MEMFILE_H
#define ML_MEMFILE_H

#include <sys/uio.h>

#include "packet.h"

/* A memory file with these bytes, sealed; the caller's. −1 and errno, EFAULT for memory that cannot
 * be read. */
int ml_packet_file(const struct iovec *pieces, unsigned n);
/* Takes a look at a packet's file, which must be one that cannot change, as long as the headers say
 * and paid for by whoever made it: a hole costs its maker nothing, and its reader memory. 0: it is
 * packet->file; EBADMSG: it is still among the descriptors. */
int ml_packet_open_file(struct ml_packet *packet);
/* Takes a packet out of its file (packet->file). 0; EBADMSG, EMFILE or ENOMEM: to be dropped. */
int ml_packet_load(struct ml_packet *packet);

#endif
