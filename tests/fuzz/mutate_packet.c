/*
 * How libFuzzer changes an input of target_packet.c: as it always does, and then, every other time,
 * what a packet says of itself is made true again. Without that nearly every input fails at the
 * first sum that is checked, and what is behind the checks is seldom reached.
 */
#include <string.h>

#include "packet.h"
#include "target_packet.h"
#include "world.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

enum { HEADERS = sizeof(struct ml_wire) + sizeof(mach_msg_header_t), FDS_ROOM = 64 };

/* A packet that is mended. */
struct mending {
    uint8_t *bytes;
    uint32_t size;
    uint32_t behind; /* bytes at its end that descriptors have claimed */
    unsigned n_fds;
    uint8_t kinds[FDS_ROOM]; /* for the descriptors, as the target reads them */
};

/* A disposition for a right of this kind; what was there where any will do. */
static mach_msg_type_name_t disposition_for(uint32_t carry, mach_msg_type_name_t before)
{
    switch (carry) {
    case ML_CARRY_NULL:
    case ML_CARRY_DEAD:
        return MACH_MSG_TYPE_PORT_RECEIVE + before % 3;
    case ML_CARRY_SEND:
    case ML_CARRY_TASK:
        return MACH_MSG_TYPE_PORT_SEND;
    case ML_CARRY_SEND_ONCE:
        return MACH_MSG_TYPE_PORT_SEND_ONCE;
    default:
        return MACH_MSG_TYPE_PORT_RECEIVE;
    }
}

/* The descriptors that an honest peer would send for it. Several rights are of the same port. */
static void add_fds(struct mending *m, uint32_t carry)
{
    static const uint8_t kinds[ML_CARRY_KINDS][3] = {
        [ML_CARRY_SEND] = {KIND_TX_A, KIND_PIPE_READ},
        [ML_CARRY_TASK] = {KIND_TASK},
        [ML_CARRY_SEND_ONCE] = {KIND_TX_B},
        [ML_CARRY_RECEIVE] = {KIND_RX_A, KIND_TX_A},
        [ML_CARRY_RECEIVE_STATE] = {KIND_RX_A, KIND_TX_A, KIND_STATE},
    };
    for (unsigned i = 0; i < ml_carry_fds(carry); i++, m->n_fds++)
        if (m->n_fds < FDS_ROOM)
            m->kinds[m->n_fds] = kinds[carry][i];
}

/* Takes `n` bytes of what follows the message; as many as there are. */
static uint32_t claim(struct mending *m, uint32_t message_end, uint32_t n)
{
    uint32_t left = (m->size - message_end - m->behind) & ~3u;
    n = ml_padded(n) <= left ? n : left;
    m->behind += (uint32_t)ml_padded(n);
    return n;
}

static void mend_port(struct mending *m, uint8_t *at)
{
    mach_msg_port_descriptor_t d;
    memcpy(&d, at, sizeof d);
    d.name %= ML_CARRY_KINDS;
    d.disposition = (uint8_t)disposition_for(d.name, d.disposition);
    add_fds(m, d.name);
    memcpy(at, &d, sizeof d);
}

static void mend_memory(struct mending *m, uint8_t *at, uint32_t message_end)
{
    mach_msg_ool_descriptor_t d;
    memcpy(&d, at, sizeof d);
    d.copy %= 2;
    d.size = claim(m, message_end, d.size % 64);
    memcpy(at, &d, sizeof d);
}

/* The kinds of its rights are mended when it is known where they stand. */
static void mend_array(struct mending *m, uint8_t *at, uint32_t message_end)
{
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    d.disposition = MACH_MSG_TYPE_PORT_RECEIVE + d.disposition % 3;
    d.count = claim(m, message_end, d.count % 16);
    memcpy(at, &d, sizeof d);
}

static void mend_kinds(struct mending *m, const uint8_t *at, uint8_t *kinds)
{
    static const uint8_t fitting[3][3] = {
        {ML_CARRY_RECEIVE, ML_CARRY_RECEIVE_STATE, ML_CARRY_NULL},
        {ML_CARRY_SEND, ML_CARRY_TASK, ML_CARRY_NULL},
        {ML_CARRY_SEND_ONCE, ML_CARRY_DEAD, ML_CARRY_NULL},
    };
    mach_msg_ool_ports_descriptor_t d;
    memcpy(&d, at, sizeof d);
    for (uint32_t i = 0; i < d.count; i++) {
        kinds[i] = fitting[d.disposition - MACH_MSG_TYPE_PORT_RECEIVE][kinds[i] % 3];
        add_fds(m, kinds[i]);
    }
}

/* Counts the descriptors that there is room for, up to eight; gives where the last one ends. */
static uint32_t mend_count(struct mending *m)
{
    uint32_t at = HEADERS + sizeof(mach_msg_body_t), wanted, count = 0;
    memcpy(&wanted, m->bytes + HEADERS, sizeof wanted);
    while (count < wanted % 8) {
        if (m->size - at < sizeof(mach_msg_ool_descriptor_t))
            break;
        m->bytes[at + 11] %= 3; /* its type */
        at += ml_descriptor_size(m->bytes + at);
        count++;
    }
    memcpy(m->bytes + HEADERS, &count, sizeof count);
    return at;
}

/* The message's descriptors, and what is behind the message for them. */
static void mend_body(struct mending *m)
{
    uint32_t end = mend_count(m), from = 0;
    uint8_t *descriptors = m->bytes + HEADERS + sizeof(mach_msg_body_t);
    for (uint8_t *at = descriptors; at < m->bytes + end; at += ml_descriptor_size(at))
        if (ml_descriptor_type(at) == MACH_MSG_OOL_DESCRIPTOR)
            mend_memory(m, at, end);
        else if (ml_descriptor_type(at) == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            mend_array(m, at, end);
    for (uint8_t *at = descriptors; at < m->bytes + end; at += ml_descriptor_size(at)) {
        mach_msg_ool_descriptor_t d; /* an array has its count where this has its size */
        memcpy(&d, at, sizeof d);
        if (d.type == MACH_MSG_PORT_DESCRIPTOR) {
            mend_port(m, at);
            continue;
        }
        if (d.type == MACH_MSG_OOL_PORTS_DESCRIPTOR)
            mend_kinds(m, at, m->bytes + m->size - m->behind + from);
        from += (uint32_t)ml_padded(d.size);
    }
}

static void mend_packet(struct mending *m, bool chained)
{
    struct ml_wire wire;
    mach_msg_header_t header;
    memcpy(&wire, m->bytes, sizeof wire);
    memcpy(&header, m->bytes + sizeof wire, sizeof header);
    wire.magic = ML_WIRE_MAGIC;
    wire.flags = (uint8_t)((wire.flags & ML_WIRE_KERNEL) | (chained ? ML_WIRE_CHAIN : 0));
    wire.reserved = 0;
    wire.reply %= ML_CARRY_RECEIVE;
    header.msgh_remote_port = header.msgh_local_port = 0;
    header.msgh_bits = (header.msgh_bits & MACH_MSGH_BITS_COMPLEX) |
                       disposition_for(wire.reply, MACH_MSGH_BITS_REMOTE(header.msgh_bits));
    add_fds(m, wire.reply);
    if ((header.msgh_bits & MACH_MSGH_BITS_COMPLEX) != 0 &&
        m->size >= HEADERS + sizeof(mach_msg_body_t))
        mend_body(m);
    wire.extra = m->behind;
    wire.n_fds = (uint16_t)m->n_fds;
    header.msgh_size = m->size - (uint32_t)sizeof wire - m->behind;
    memcpy(m->bytes, &wire, sizeof wire);
    memcpy(m->bytes + sizeof wire, &header, sizeof header);
}

/* Another number of descriptors is another list of them; one that has the right number is left as
 * the fuzzer made it. */
static size_t mend_list(uint8_t *data, size_t size, size_t max_size, const struct mending *m)
{
    size_t n = data[1], packet = size - 2 - n;
    if (m->n_fds == n || m->n_fds > FDS_ROOM || 2 + m->n_fds + packet > max_size)
        return size;
    memmove(data + 2 + m->n_fds, data + 2 + n, packet);
    memcpy(data + 2, m->kinds, m->n_fds);
    data[1] = (uint8_t)m->n_fds;
    return 2 + m->n_fds + packet;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size = LLVMFuzzerMutate(data, size, max_size);
    if (seed % 2 != 0 || size < 2 || size < 2u + data[1] + HEADERS)
        return size;
    struct mending m = {.bytes = data + 2 + data[1]};
    m.size = (uint32_t)(size - 2 - data[1]) & ~3u;
    mend_packet(&m, (data[0] & OPTION_CHAIN) != 0);
    return mend_list(data, 2u + data[1] + m.size, max_size, &m);
}
