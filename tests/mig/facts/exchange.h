/* The whole exchange: a user stub's request, mutated and answered by the server stub, and the
 * server stub's reply, mutated and taken by the user stub. The fuller companion of harness.h, and
 * like it built without any Mach library: everything that the stubs call is defined here.
 *
 * A program defines DEMUX, its callouts (each says MARK(n) and SAW(value) of what it was given) and
 * one function for each routine that calls the user stub and says GOT(value) of what came back;
 * then EXCHANGE(function) prints what happened for the message whole and for each mutation. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <mach/mach.h>

typedef union {
    unsigned char b[16384];
    mach_msg_header_t h;
    mig_reply_error_t e;
} buffer_t;

static buffer_t request, reply, taken;
static unsigned request_size;
static int called, calls, mutation, mutations_done, quiet;
static unsigned saw, got;

/* What was seen is summed (FNV-1a) so that a line says it in one number. */
static unsigned sum(unsigned s, const void *p, size_t n)
{
    const unsigned char *c = (const unsigned char *)p;
    for (size_t i = 0; i < n; i++)
        s = (s ^ c[i]) * 16777619u;
    return s;
}
#define MARK(n) (called = (n), saw = 2166136261u)
#define SAW(x) (saw = sum(saw, &(x), sizeof(x)))
#define SAW_BYTES(p, n) (saw = sum(saw, (p), (n)))
#define GOT(x) (got = sum(got, &(x), sizeof(x)))
#define GOT_BYTES(p, n) (got = sum(got, (p), (n)))

boolean_t DEMUX(mach_msg_header_t *, mach_msg_header_t *);
mach_msg_return_t fake_mach_msg(mach_msg_header_t *, mach_msg_option_t, mach_msg_size_t,
                                mach_msg_size_t, mach_port_name_t, mach_msg_timeout_t,
                                mach_port_name_t);
mach_port_t mig_get_reply_port(void)
{
    return 0x1703;
}
void mig_put_reply_port(mach_port_t p)
{
    if (!quiet)
        printf(" put reply port %x\n", p);
}
void mig_dealloc_reply_port(mach_port_t p)
{
    if (!quiet)
        printf(" dealloc reply port %x\n", p);
}
void mach_msg_destroy(mach_msg_header_t *m)
{
    (void)m;
    got = sum(got, "destroyed", 9);
}

/* As in libsyscall: the length counts the terminator. */
int mig_strncpy(char *to, const char *from, int length)
{
    for (int i = 1; i < length; i++)
        if (!(*to++ = *from++))
            return i;
    if (length > 0)
        *to = 0;
    return length;
}
int mig_strncpy_zerofill(char *to, const char *from, int length)
{
    memset(to, 0, (size_t)length);
    return mig_strncpy(to, from, length);
}
static char heap[16384];
mach_port_t mach_task_self_ = 0x203;
kern_return_t vm_deallocate(mach_port_t task, vm_address_t address, vm_size_t size)
{
    (void)task;
    (void)address;
    if (!quiet)
        printf(" deallocate %u\n", (unsigned)size);
    return KERN_SUCCESS;
}
void mig_deallocate(vm_address_t address, vm_size_t size)
{
    SAW(size); /* by a server stub: the callout's arguments came before */
    (void)vm_deallocate(mach_task_self_, address, size);
}
static int heap_live;
char *mig_user_allocate(vm_size_t size)
{
    heap_live++;
    return size <= sizeof heap ? heap : NULL;
}
void mig_user_deallocate(char *p, vm_size_t size)
{
    (void)size;
    heap_live -= p == heap;
}

/* A disposition as the receiver sees it. */
static unsigned arrives(unsigned d)
{
    return d == 19 || d == 20 ? 17 : d == 21 ? 18 : d;
}

/* Descriptor number i. Their sizes differ, but the type and the disposition lie in one place. */
static mach_msg_port_descriptor_t *descriptor(buffer_t *m, unsigned i)
{
    unsigned char *at = m->b + sizeof m->h + sizeof(mach_msg_body_t);
    while (i--)
        at += ((mach_msg_port_descriptor_t *)(void *)at)->type == MACH_MSG_PORT_DESCRIPTOR
                  ? sizeof(mach_msg_port_descriptor_t)
                  : sizeof(mach_msg_ool_descriptor_t);
    return (mach_msg_port_descriptor_t *)(void *)at;
}

static unsigned descriptor_count(buffer_t *m)
{
    mach_msg_body_t *body = (mach_msg_body_t *)(void *)(m->b + sizeof m->h);
    return m->h.msgh_bits & MACH_MSGH_BITS_COMPLEX ? body->msgh_descriptor_count : 0;
}

/* Clears what a message does not define (a port's pads) or what differs from run to run. */
static void clear_descriptors(buffer_t *m)
{
    for (unsigned i = 0; i < descriptor_count(m); i++) {
        mach_msg_port_descriptor_t *d = descriptor(m, i);
        if (d->type == MACH_MSG_PORT_DESCRIPTOR) {
            d->pad1 = 0;
            d->pad2 = 0;
        } else {
            memset(d, 0, sizeof(void *));
        }
    }
}

static void carry(buffer_t *m) /* what the kernel does to a message on its way */
{
    unsigned remote = MACH_MSGH_BITS_REMOTE(m->h.msgh_bits),
             local = MACH_MSGH_BITS_LOCAL(m->h.msgh_bits);
    mach_port_t port = m->h.msgh_remote_port;
    for (unsigned i = 0; i < descriptor_count(m); i++) {
        mach_msg_port_descriptor_t *d = descriptor(m, i);
        if (d->type != MACH_MSG_OOL_DESCRIPTOR)
            d->disposition = arrives(d->disposition) & 0xffu;
        if (d->type == MACH_MSG_PORT_DESCRIPTOR) {
            d->pad1 = 0;
            d->pad2 = 0;
        }
    }
    m->h.msgh_bits =
        (m->h.msgh_bits & MACH_MSGH_BITS_COMPLEX) | MACH_MSGH_BITS(arrives(local), arrives(remote));
    m->h.msgh_remote_port = m->h.msgh_local_port;
    m->h.msgh_local_port = port;
    m->h.msgh_voucher_port = 0;
}

static void add_trailer(buffer_t *m, unsigned size)
{
    mach_msg_max_trailer_t t;
    memset(&t, 0, sizeof t);
    t.msgh_trailer_type = MACH_MSG_TRAILER_FORMAT_0;
    t.msgh_trailer_size =
        (mach_msg_trailer_size_t)offsetof(mach_msg_max_trailer_t, msgh_context) + 8;
    t.msgh_seqno = 77;
    t.msgh_sender.val[0] = 0x11;
    t.msgh_audit.val[5] = 0x5555;
    t.msgh_context = 0x123456789abcdefULL;
    memcpy(m->b + ((size + 3) & ~3u), &t, sizeof t);
}

/* The mutations, numbered from 0 (none). Applies number k to a message of the given size; returns
 * its name, or NULL when there are no more. Fields are wrong one at a time. */
static const char *mutate(buffer_t *m, unsigned size, int k)
{
    static char name[64];
    static const int sizes[] = {-24, -8, -4, -1, 1, 4, 8, 400};
    static const unsigned bits[] = {0, 0x1f, 0x1f00, 0x1112, 0x40000000};
    unsigned n = descriptor_count(m), body = sizeof m->h;
#define CASE(count, ...)                                                                           \
    if (k < (int)(count)) {                                                                        \
        __VA_ARGS__                                                                                \
    }                                                                                              \
    k -= (int)(count);
    CASE(1, return "whole";)
    CASE(1, m->h.msgh_bits ^= MACH_MSGH_BITS_COMPLEX; return "complex^";)
    CASE(5, m->h.msgh_bits ^= bits[k]; sprintf(name, "bits^%x", bits[k]); return name;)
    CASE(8, m->h.msgh_size = (mach_msg_size_t)((int)m->h.msgh_size + sizes[k]);
         sprintf(name, "size%+d", sizes[k]); return name;)
    CASE(1, m->h.msgh_remote_port = 0; return "remote=0";)
    CASE(1, m->h.msgh_local_port = 0; return "local=0";)
    CASE(1, m->h.msgh_voucher_port = 0x99; return "voucher";)
    CASE(4, static const int ids[] = {1000, -1000, 50, 100}; m->h.msgh_id += ids[k];
         sprintf(name, "id%+d", ids[k]); return name;)
    CASE(1, m->h.msgh_id = MACH_NOTIFY_SEND_ONCE; return "id=71";)
    CASE(1, mach_msg_max_trailer_t t; memset(&t, 0, sizeof t); t.msgh_trailer_type = 1;
         memcpy(m->b + ((size + 3) & ~3u), &t, sizeof t); return "trailer type";)
    CASE(1, mach_msg_trailer_size_t z = 8; memcpy(m->b + ((size + 3) & ~3u) + 4, &z, 4);
         return "trailer size";)
    CASE(2, { /* an error reply in place of the message */
              mig_reply_error_t e;
              memcpy(&e, m, sizeof m->h);
              e.Head.msgh_bits &= ~MACH_MSGH_BITS_COMPLEX;
              e.Head.msgh_size = sizeof e;
              e.NDR = NDR_record;
              e.RetCode = k ? 0 : 17;
              memcpy(m, &e, sizeof e);
              add_trailer(m, sizeof e);
              return k ? "error 0" : "error 17";
    })
    if (m->h.msgh_bits & MACH_MSGH_BITS_COMPLEX) {
        mach_msg_body_t *mb = (mach_msg_body_t *)(void *)(m->b + sizeof m->h);
        static const unsigned kinds[] = {0, 1, 2, 3, 255};
        body = (unsigned)((unsigned char *)descriptor(m, n) - m->b);
        CASE(1, mb->msgh_descriptor_count = 0; return "count=0";)
        CASE(1, mb->msgh_descriptor_count++; return "count+1";)
        CASE(5 * n, descriptor(m, (unsigned)k / 5)->type = kinds[k % 5] & 0xffu;
             sprintf(name, "d%d.type=%u", k / 5, kinds[k % 5]); return name;)
        CASE(10 * n, descriptor(m, (unsigned)k / 10)->disposition = (14 + (unsigned)k % 10) & 0xffu;
             sprintf(name, "d%d.disp=%d", k / 10, 14 + k % 10); return name;)
        CASE(n, memset(descriptor(m, (unsigned)k), 0,
                       descriptor(m, (unsigned)k)->type == MACH_MSG_PORT_DESCRIPTOR ? 4 : 8);
             sprintf(name, "d%d.name=0", k); return name;)
        for (unsigned i = 0; i < n; i++) { /* the size or count of what is out of line */
            mach_msg_ool_descriptor_t *d = (mach_msg_ool_descriptor_t *)(void *)descriptor(m, i);
            unsigned steps = d->type == MACH_MSG_PORT_DESCRIPTOR ? 0 : 3;
            CASE(steps, d->size += (unsigned)k * 7 - 7; sprintf(name, "d%u.size%+d", i, k * 7 - 7);
                 return name;)
        }
    }
    if (body + 4u * (unsigned)(k / 5) + 4 > size)
        return NULL;
    static const unsigned words[] = {0xffffffffu, 0, 1, 7, 0x01010101u};
    memcpy(m->b + body + 4 * (k / 5), &words[k % 5], 4);
    sprintf(name, "w%u=%x", body + 4u * (unsigned)(k / 5), words[k % 5]);
    return name;
}

/* Send nothing, show what would be sent; with a mutation number, go through with it. */
static int phase; /* 0: show the request; 1: mutate it; 2: mutate the reply */
static char line[128];
mach_msg_return_t fake_mach_msg(mach_msg_header_t *m, mach_msg_option_t o, mach_msg_size_t ss,
                                mach_msg_size_t rs, mach_port_name_t rn, mach_msg_timeout_t t,
                                mach_port_name_t n)
{
    calls++;
    memset(&request, 0, sizeof request);
    memcpy(&request, m, ss);
    request.h.msgh_size = 0;
    request.h.msgh_voucher_port = 0;
    request_size = ss;
    if (phase == 0) {
        clear_descriptors(&request);
        printf(" send opt=%x size=%u rcv=%u name=%x timeout=%u notify=%x\n ", (unsigned)o, ss, rs,
               rn, t, n);
        for (unsigned i = 0; i < ss; i++)
            printf("%02x", request.b[i]);
        printf("\n");
        return 0x10000004; /* MACH_SEND_TIMED_OUT */
    }
    carry(&request);
    request.h.msgh_size = ss;
    add_trailer(&request, ss);
    if (phase == 1) {
        const char *what = mutate(&request, ss, mutation);
        if (!what) {
            mutations_done = 1;
            return 0x10000004;
        }
        sprintf(line, "%-14s", what);
    }
    called = 0;
    saw = 0;
    memset(&reply, 0, sizeof reply);
    boolean_t ok = DEMUX(&request.h, &reply.h);
    if (phase == 1) {
        int rc = reply.h.msgh_bits & MACH_MSGH_BITS_COMPLEX ? 0 : reply.e.RetCode;
        printf("  %s ret=%d called=%d saw=%08x bits=%x remote=%x local=%x size=%u id=%d rc=%d\n",
               line, ok, called, saw, reply.h.msgh_bits, reply.h.msgh_remote_port,
               reply.h.msgh_local_port, reply.h.msgh_size, reply.h.msgh_id, rc);
        return 0x10000004;
    }
    if (!(o & MACH_RCV_MSG)) {
        mutations_done = 1;
        return MACH_MSG_SUCCESS;
    }
    unsigned size = reply.h.msgh_size;
    carry(&reply);
    memcpy(&taken, &reply, sizeof taken);
    add_trailer(&taken, size);
    const char *what = mutate(&taken, size, mutation);
    if (!what) {
        mutations_done = 1;
        return 0x10004003;
    } /* MACH_RCV_TIMED_OUT */
    sprintf(line, "%-14s", what);
    memcpy(m, &taken, rs < sizeof taken ? rs : sizeof taken);
    return MACH_MSG_SUCCESS;
}

#define SZ(T) printf("sizeof %s %zu\n", #T, sizeof(T))
#define OFF(T, f) printf("offset %s.%s %zu\n", #T, #f, offsetof(T, f))
#define EXCHANGE(f) exchange(f, #f)
static void exchange(kern_return_t (*f)(void), const char *name)
{
    printf("%s\n", name);
    quiet = 0;
    phase = 0;
    calls = 0;
    printf(" returns %x\n", (unsigned)f());
    quiet = 1;
    if (heap_live)
        printf(" left allocated\n");
    heap_live = 0;
    if (calls == 0) {
        printf("  nothing was sent\n");
        return;
    }
    for (phase = 1, mutation = 0, mutations_done = 0; !mutations_done; mutation++)
        f();
    for (phase = 2, mutation = 0, mutations_done = 0;; mutation++) {
        got = 2166136261u;
        kern_return_t rc = f();
        if (heap_live) {
            printf("  %d messages left allocated\n", heap_live);
            heap_live = 0;
        }
        if (mutations_done)
            break;
        printf("  reply %s rc=%d got=%08x\n", line, rc, got);
    }
}
static inline void table(mach_msg_id_t start, mach_msg_id_t end, unsigned maxsize,
                         const struct routine_descriptor *r)
{
    printf("subsystem %d %d %u\n", start, end, maxsize);
    for (int i = 0; i < end - start; i++)
        printf("routine %d stub=%d argc=%u max=%u\n", i, r[i].stub_routine != 0, r[i].argc,
               r[i].max_reply_msg);
}
