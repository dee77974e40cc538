#define DEMUX scalars_server
#include "scalars.h"
#include "scalarsS.h"
#include "exchange.h"
kern_return_t do_scalars_in(mach_port_t s, uint8_t a, uint16_t b, uint32_t c, uint64_t d,
                            boolean_t e, char f, double g, number_t h)
{
    MARK(1);
    SAW(s);
    SAW(a);
    SAW(b);
    SAW(c);
    SAW(d);
    SAW(e);
    SAW(f);
    SAW(g);
    SAW(h);
    return h == 7 ? 42 : 0;
}
kern_return_t do_scalars_out(mach_port_t s, uint8_t *a, uint16_t *b, uint32_t *c, uint64_t *d,
                             double *g)
{
    MARK(2);
    SAW(s);
    *a = 1;
    *b = 2;
    *c = 3;
    *d = 0x0405060708090a0bULL;
    *g = 2.5;
    return 0;
}
kern_return_t do_scalars_both(mach_port_t s, uint8_t *a, uint16_t *b, int *c, uint64_t *d,
                              wide_t *w, odd_t *o)
{
    MARK(3);
    SAW(s);
    SAW(*a);
    SAW(*b);
    SAW(*c);
    SAW(*d);
    SAW(*w);
    SAW(*o);
    *a += 1;
    *b += 1;
    *c ^= 5;
    *d ^= 1;
    w->a ^= 1;
    o->c[4] ^= 1;
    return *c == 2 ? 9 : 0;
}
kern_return_t do_scalars_post(mach_port_t s, wide_t w, odd_t o, wide_half_t l)
{
    MARK(4);
    SAW(s);
    SAW(w);
    SAW(o);
    SAW(l);
    return MIG_NO_REPLY;
}
kern_return_t do_scalars_nothing(mach_port_t s)
{
    MARK(5);
    SAW(s);
    return 0;
}
kern_return_t do_scalars_ping(mach_port_t s)
{
    MARK(6);
    SAW(s);
    return MIG_NO_REPLY;
}
kern_return_t do_scalars_arrays(mach_port_t s, octets_t a, halves_t h, longs_t l, grid_t g,
                                octets_t os, longs_t ol, grid_t og, octets_t is, longs_t il)
{
    MARK(7);
    SAW(s);
    SAW_BYTES(a, 7);
    SAW_BYTES(h, 6);
    SAW_BYTES(l, 16);
    SAW_BYTES(g, 24);
    SAW_BYTES(is, 7);
    SAW_BYTES(il, 16);
    memcpy(os, a, 7);
    memcpy(ol, l, 16);
    memcpy(og, g, 24);
    is[0] ^= 1;
    il[1] ^= 1;
    return 0;
}
static kern_return_t in(void)
{
    return scalars_in(0x907, 200, 60000, 4000000000u, 0x0102030405060708ULL, 1, 'x', 1.5, -3);
}
static kern_return_t out(void)
{
    uint8_t a = 0;
    uint16_t b = 0;
    uint32_t c = 0;
    uint64_t d = 0;
    double g = 0;
    kern_return_t rc = scalars_out(0x907, &a, &b, &c, &d, &g);
    GOT(a);
    GOT(b);
    GOT(c);
    GOT(d);
    GOT(g);
    return rc;
}
static kern_return_t both(void)
{
    uint8_t a = 9;
    uint16_t b = 10;
    int c = -11;
    uint64_t d = 12;
    wide_t w = {13, 14, 15};
    odd_t o = {{1, 2, 3, 4, 5}};
    kern_return_t rc = scalars_both(0x907, &a, &b, &c, &d, &w, &o);
    GOT(a);
    GOT(b);
    GOT(c);
    GOT(d);
    GOT(w);
    GOT(o);
    return rc;
}
static kern_return_t post(void)
{
    wide_t w = {1, 2, 3};
    odd_t o = {{5, 4, 3, 2, 1}};
    wide_half_t l = {6, 7};
    return scalars_post(0x907, w, o, l);
}
static kern_return_t nothing(void)
{
    return scalars_nothing(0x907);
}
static kern_return_t ping(void)
{
    return scalars_ping(0x907);
}
static kern_return_t arrays(void)
{
    octets_t s = {1, 2, 3, 4, 5, 6, 7}, os, is = {7, 6, 5, 4, 3, 2, 1};
    halves_t h = {1, 2, 3};
    longs_t l = {1, 2}, ol, il = {3, 4};
    grid_t g = {1, 2, 3, 4, 5, 6}, og;
    memset(os, 0, 7);
    memset(ol, 0, 16);
    memset(og, 0, 24);
    kern_return_t rc = scalars_arrays(0x907, s, h, l, g, os, ol, og, is, il);
    GOT_BYTES(os, 7);
    GOT_BYTES(ol, 16);
    GOT_BYTES(og, 24);
    GOT_BYTES(is, 7);
    GOT_BYTES(il, 16);
    return rc;
}
int main(void)
{
    SZ(__Request__scalars_in_t);
    SZ(__Reply__scalars_in_t);
    SZ(__Request__scalars_out_t);
    SZ(__Reply__scalars_out_t);
    SZ(__Request__scalars_both_t);
    SZ(__Reply__scalars_both_t);
    SZ(__Request__scalars_post_t);
    SZ(__Reply__scalars_post_t);
    SZ(__Request__scalars_nothing_t);
    SZ(__Reply__scalars_nothing_t);
    SZ(__Request__scalars_ping_t);
    SZ(__Reply__scalars_ping_t);
    SZ(__Request__scalars_arrays_t);
    SZ(__Reply__scalars_arrays_t);
    SZ(union __RequestUnion__do_scalars_subsystem);
    SZ(union __ReplyUnion__do_scalars_subsystem);
    SZ(union __RequestUnion__scalars_subsystem);
    OFF(__Request__scalars_in_t, b);
    OFF(__Request__scalars_in_t, c);
    OFF(__Request__scalars_in_t, d);
    OFF(__Request__scalars_in_t, f);
    OFF(__Request__scalars_in_t, g);
    OFF(__Request__scalars_in_t, h);
    OFF(__Reply__scalars_out_t, a);
    OFF(__Reply__scalars_out_t, d);
    OFF(__Reply__scalars_out_t, g);
    OFF(__Request__scalars_both_t, w);
    OFF(__Request__scalars_both_t, o);
    OFF(__Reply__scalars_both_t, o);
    OFF(__Request__scalars_post_t, local);
    OFF(__Request__scalars_arrays_t, h);
    OFF(__Request__scalars_arrays_t, l);
    OFF(__Request__scalars_arrays_t, g);
    OFF(__Request__scalars_arrays_t, il);
    OFF(__Reply__scalars_arrays_t, os);
    OFF(__Reply__scalars_arrays_t, ol);
    OFF(__Reply__scalars_arrays_t, og);
    OFF(__Reply__scalars_arrays_t, il);
    table(do_scalars_subsystem.start, do_scalars_subsystem.end, do_scalars_subsystem.maxsize,
          do_scalars_subsystem.routine);
    EXCHANGE(in);
    EXCHANGE(out);
    EXCHANGE(both);
    EXCHANGE(post);
    EXCHANGE(nothing);
    EXCHANGE(ping);
    EXCHANGE(arrays);
    return 0;
}
