/*
 * Packets in memory files: see memfile.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "calls.h"
#include "chain.h"
#include "memfile.h"
#include "refusal.h"

/* --- reading --------------------------------------------------------------------------------- */

int ml_packet_open_file(struct ml_packet *packet)
{
    int file = packet->fds[packet->n_fds - 1], seals = fcntl(file, F_GET_SEALS);
    struct stat st;

    if (packet->size != sizeof(struct ml_wire) + sizeof(mach_msg_header_t) || seals < 0 ||
        (seals & ML_SEALS) != ML_SEALS || fstat(file, &st) != 0 || st.st_size == 0 ||
        (uint64_t)st.st_size != ml_packet_length_said(packet) ||
        lseek(file, 0, SEEK_HOLE) != st.st_size)
        return EBADMSG;
    packet->file = file;
    packet->n_fds--;
    return 0;
}

int ml_packet_load(struct ml_packet *packet)
{
    struct ml_wire wire = *ml_packet_wire(packet);
    const mach_msg_header_t header = *ml_packet_header(packet);
    size_t size = (size_t)ml_packet_length_said(packet);
    int error = 0;

    /* Not read: one that is then refused costs the sender more than us. It cannot shrink, so what
     * is mapped stays; and what is written to it, names, is this process's alone. */
    void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, packet->file, 0);
    if (bytes == MAP_FAILED) {
        int failed = errno;
        ml_refused("mmap", failed);
        return failed == EACCES || failed == ENODEV || failed == EPERM ? EBADMSG : ENOMEM;
    }
    ml_close(packet->file); /* which is sealed, and therefore the kernel's own */
    packet->file = -1;
    packet->bytes = packet->mapped = bytes;
    packet->size = (uint32_t)size;
    wire.flags &= (uint8_t)~ML_WIRE_MEMFD;
    if (memcmp(packet->bytes, &wire, sizeof wire) != 0 ||
        memcmp(packet->bytes + sizeof wire, &header, sizeof header) != 0)
        return EBADMSG;
    if (ml_packet_has_chain(packet))
        error = ml_chain_open(packet);
    return error == 0 && !ml_packet_check(packet) ? EBADMSG : error;
}

/* --- writing --------------------------------------------------------------------------------- */

static bool write_all(int file, const uint8_t *from, size_t size)
{
    ML_UNCANCELLED;
    while (size != 0) {
        ssize_t n = write(file, from, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += n;
        size -= (size_t)n;
    }
    return true;
}

int ml_packet_file(const struct iovec *pieces, unsigned n)
{
    const char *call = "memfd_create";
    int file = memfd_create("mach-message", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool good = file >= 0;

    for (unsigned i = 0; good && i < n; i++) {
        call = "write to a memory file";
        good = write_all(file, pieces[i].iov_base, pieces[i].iov_len);
    }
    if (good) {
        call = "fcntl(F_ADD_SEALS)";
        good = fcntl(file, F_ADD_SEALS, ML_SEALS) == 0;
    }
    if (good)
        return file;
    int error = errno;
    ml_refused(call, error);
    if (file >= 0)
        ml_close(file);
    errno = error;
    return -1;
}
