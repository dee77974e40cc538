#define DEMUX arrays_server
#include "arrays.h"
#include "arraysS.h"
#include "exchange.h"
typedef mach_msg_type_number_t count_t;
kern_return_t do_arrays_post(mach_port_t s, octets_t a, count_t n)
{
    MARK(1);
    SAW(s);
    SAW(n);
    SAW_BYTES(a, n);
    return MIG_NO_REPLY;
}
kern_return_t do_arrays_in(mach_port_t s, uint8_t n, octets_t a, count_t an, uint64_t m, longs_t b,
                           count_t bn, pairs_t c, count_t cn, uint16_t tail)
{
    MARK(2);
    SAW(s);
    SAW(n);
    SAW(an);
    SAW_BYTES(a, an);
    SAW(m);
    SAW(bn);
    SAW_BYTES(b, 8 * bn);
    SAW(cn);
    SAW_BYTES(c, 12 * cn);
    SAW(tail);
    return 0;
}
kern_return_t do_arrays_out(mach_port_t s, int want, words_t a, count_t *n)
{
    MARK(3);
    SAW(s);
    SAW(want);
    if (want < 0 || want > 6)
        return 5;
    for (int i = 0; i < want; i++)
        a[i] = 100u + (unsigned)i;
    *n = (count_t)want;
    return 0;
}
kern_return_t do_arrays_fill(mach_port_t s, int want, words_t a, count_t *n)
{
    MARK(4);
    SAW(s);
    SAW(want);
    SAW(*n);
    if (want < 0)
        return 5;
    if ((count_t)want < *n)
        *n = (count_t)want;
    for (count_t i = 0; i < *n; i++)
        a[i] = 7;
    return 0;
}
kern_return_t do_arrays_many(mach_port_t s, octets_t want, count_t wn, octets_t a, count_t *an,
                             uint64_t *n, longs_t b, count_t *bn, pairs_t c, count_t *cn,
                             uint8_t *tail)
{
    MARK(5);
    SAW(s);
    SAW(wn);
    SAW_BYTES(want, wn);
    SAW(*an);
    SAW(*bn);
    if (*an > 3)
        *an = 3;
    if (*bn > 2)
        *bn = 2;
    *cn = 1;
    *n = 0x0102030405060708ULL;
    *tail = 9;
    memset(a, 1, *an);
    memset(b, 2, 8 * *bn);
    memset(c, 3, 12);
    return 0;
}
static octets_t bytes = {1, 2, 3, 4, 5, 6, 7, 8, 9};
static longs_t wide = {1, 2, 3, 4};
static pairs_t triples = {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}};
static kern_return_t post_0(void)
{
    return arrays_post(0x907, bytes, 0);
}
static kern_return_t post_5(void)
{
    return arrays_post(0x907, bytes, 5);
}
static kern_return_t post_9(void)
{
    return arrays_post(0x907, bytes, 9);
}
static kern_return_t post_10(void)
{
    return arrays_post(0x907, bytes, 10);
}
static kern_return_t in(void)
{
    return arrays_in(0x907, 1, bytes, 5, 0x1122334455667788ULL, wide, 3, triples, 2, 0xabcd);
}
static kern_return_t in_empty(void)
{
    return arrays_in(0x907, 1, bytes, 0, 2, wide, 0, triples, 0, 3);
}
static kern_return_t in_too_many(void)
{
    return arrays_in(0x907, 1, bytes, 5, 2, wide, 3, triples, 4, 3);
}
static kern_return_t out_n(int want)
{
    words_t a;
    count_t n = 6;
    memset(a, 0, sizeof a);
    kern_return_t rc = arrays_out(0x907, want, a, &n);
    GOT(a);
    GOT(n);
    return rc;
}
static kern_return_t out_0(void)
{
    return out_n(0);
}
static kern_return_t out_4(void)
{
    return out_n(4);
}
static kern_return_t fill_n(int want, count_t room)
{
    words_t a;
    memset(a, 0, sizeof a);
    kern_return_t rc = arrays_fill(0x907, want, a, &room);
    GOT(a);
    GOT(room);
    return rc;
}
static kern_return_t fill_2(void)
{
    return fill_n(6, 2);
}
static kern_return_t fill_6(void)
{
    return fill_n(6, 6);
}
static kern_return_t fill_99(void)
{
    return fill_n(6, 99);
}
static kern_return_t many(void)
{
    octets_t a;
    longs_t b;
    pairs_t c;
    uint64_t n = 0;
    uint8_t tail = 0;
    count_t an = 9, bn = 4, cn = 3;
    memset(a, 0, sizeof a);
    memset(b, 0, sizeof b);
    memset(c, 0, sizeof c);
    kern_return_t rc = arrays_many(0x907, bytes, 7, a, &an, &n, b, &bn, c, &cn, &tail);
    GOT(a);
    GOT(b);
    GOT(c);
    GOT(n);
    GOT(tail);
    GOT(an);
    GOT(bn);
    GOT(cn);
    return rc;
}
int main(void)
{
    SZ(__Request__arrays_post_t);
    SZ(__Request__arrays_in_t);
    SZ(__Reply__arrays_in_t);
    SZ(__Request__arrays_out_t);
    SZ(__Reply__arrays_out_t);
    SZ(__Request__arrays_fill_t);
    SZ(__Reply__arrays_fill_t);
    SZ(__Request__arrays_many_t);
    SZ(__Reply__arrays_many_t);
    OFF(__Request__arrays_in_t, aCnt);
    OFF(__Request__arrays_in_t, a);
    OFF(__Request__arrays_in_t, m);
    OFF(__Request__arrays_in_t, b);
    OFF(__Request__arrays_in_t, c);
    OFF(__Request__arrays_in_t, tail);
    OFF(__Request__arrays_fill_t, aCnt);
    OFF(__Reply__arrays_fill_t, aCnt);
    OFF(__Reply__arrays_many_t, n);
    OFF(__Reply__arrays_many_t, bCnt);
    OFF(__Reply__arrays_many_t, c);
    OFF(__Reply__arrays_many_t, tail);
    OFF(__Request__arrays_many_t, aCnt);
    OFF(__Request__arrays_many_t, bCnt);
    table(do_arrays_subsystem.start, do_arrays_subsystem.end, do_arrays_subsystem.maxsize,
          do_arrays_subsystem.routine);
    EXCHANGE(post_0);
    EXCHANGE(post_5);
    EXCHANGE(post_9);
    EXCHANGE(post_10);
    EXCHANGE(in);
    EXCHANGE(in_empty);
    EXCHANGE(in_too_many);
    EXCHANGE(out_0);
    EXCHANGE(out_4);
    EXCHANGE(fill_2);
    EXCHANGE(fill_6);
    EXCHANGE(fill_99);
    EXCHANGE(many);
    return 0;
}
