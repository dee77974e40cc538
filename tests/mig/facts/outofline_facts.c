#define DEMUX outofline_server
#include "outofline.h"
#include "outoflineS.h"
#include "exchange.h"
typedef mach_port_t port_t;
typedef mach_msg_type_number_t count_t;
typedef mach_msg_type_name_t how_t;
static uint8_t bytes[16];
static uint64_t longs[8];
static uint32_t block[6];
static port_t ports[5];
/* Addresses differ from run to run: say which of the buffers one is. Nothing looks inside. */
static int which(const void *p)
{
    const void *known[] = {NULL, bytes, longs, block, ports};
    for (int i = 0; i < 5; i++)
        if (p == known[i])
            return i;
    return -1;
}
#define SAW_WHICH(p)                                                                               \
    do {                                                                                           \
        int buffer = which(p);                                                                     \
        SAW(buffer);                                                                               \
    } while (0)
#define GOT_WHICH(p)                                                                               \
    do {                                                                                           \
        int buffer = which(p);                                                                     \
        GOT(buffer);                                                                               \
    } while (0)
kern_return_t do_outofline_in(port_t s, bytes_t a, count_t an, longs_t b, count_t bn, block_t c,
                              int n)
{
    MARK(1);
    SAW(s);
    SAW_WHICH(a);
    SAW(an);
    SAW_WHICH(b);
    SAW(bn);
    SAW_WHICH(c);
    SAW(n);
    return 0;
}
kern_return_t do_outofline_out(port_t s, bytes_t *a, count_t *an, longs_t *b, count_t *bn,
                               block_t *c, boolean_t *cd, int *n)
{
    MARK(2);
    SAW(s);
    SAW(*an);
    SAW(*bn);
    *a = bytes;
    *an = 7;
    *b = longs;
    *bn = 3;
    *c = block;
    *cd = 1;
    *n = 9;
    return 0;
}
kern_return_t do_outofline_both(port_t s, longs_t *a, count_t *an)
{
    MARK(3);
    SAW(s);
    SAW_WHICH(*a);
    SAW(*an);
    *a = longs;
    *an += 1;
    return *an == 99 ? 5 : 0;
}
kern_return_t do_outofline_ports(port_t s, ports_t a, count_t an, trio_t b, mixed_t c, how_t how,
                                 count_t cn, ports_t *d, count_t *dn, mixed_t *e, how_t *ehow,
                                 count_t *en)
{
    MARK(4);
    SAW(s);
    SAW_WHICH(a);
    SAW(an);
    SAW_WHICH(b);
    SAW_WHICH(c);
    SAW(how);
    SAW(cn);
    *d = ports;
    *dn = 2;
    *e = ports;
    *ehow = 20;
    *en = 4;
    return 0;
}
kern_return_t do_outofline_order(port_t s, port_t p, inline_t x, count_t xn, bytes_t a, count_t an,
                                 uint64_t m)
{
    MARK(5);
    SAW(s);
    SAW(p);
    SAW(xn);
    SAW_BYTES(x, xn);
    SAW_WHICH(a);
    SAW(an);
    SAW(m);
    return MIG_NO_REPLY;
}
kern_return_t do_outofline_only(port_t s, block_t c)
{
    MARK(6);
    SAW(s);
    SAW_WHICH(c);
    return 0;
}
kern_return_t do_outofline_auto(port_t s, longs_t a, count_t an, block_t b, int n)
{
    MARK(7);
    SAW(s);
    SAW_WHICH(a);
    SAW(an);
    SAW_WHICH(b);
    SAW(n);
    return n == 7 ? 44 : 0;
}
static kern_return_t in(void)
{
    return outofline_in(0x907, bytes, 16, longs, 8, block, 5);
}
static kern_return_t in_empty(void)
{
    return outofline_in(0x907, NULL, 0, NULL, 0, NULL, 5);
}
static kern_return_t out(void)
{
    bytes_t a = NULL;
    longs_t b = NULL;
    block_t c = NULL;
    count_t an = 0, bn = 0;
    int n = 0;
    kern_return_t rc = outofline_out(0x907, &a, &an, &b, &bn, &c, &n);
    GOT_WHICH(a);
    GOT(an);
    GOT_WHICH(b);
    GOT(bn);
    GOT_WHICH(c);
    GOT(n);
    return rc;
}
static kern_return_t both(void)
{
    longs_t a = longs;
    count_t an = 8;
    kern_return_t rc = outofline_both(0x907, &a, &an);
    GOT_WHICH(a);
    GOT(an);
    return rc;
}
static kern_return_t with_ports(boolean_t dealloc)
{
    ports_t d = NULL;
    mixed_t e = NULL;
    count_t dn = 0, en = 0;
    how_t ehow = 0;
    kern_return_t rc =
        outofline_ports(0x907, ports, 5, dealloc, ports, ports, 19, 2, &d, &dn, &e, &ehow, &en);
    GOT_WHICH(d);
    GOT(dn);
    GOT_WHICH(e);
    GOT(ehow);
    GOT(en);
    return rc;
}
static kern_return_t ports_kept(void)
{
    return with_ports(0);
}
static kern_return_t ports_freed(void)
{
    return with_ports(1);
}
static kern_return_t order(void)
{
    inline_t x = {1, 2, 3, 4, 5, 6, 7, 8};
    return outofline_order(0x907, 0xa03, x, 3, bytes, 11, 0x0102030405060708ULL);
}
static kern_return_t only(void)
{
    return outofline_only(0x907, block);
}
static kern_return_t auto_freed(void)
{
    return outofline_auto(0x907, longs, 8, block, 5);
}
int main(void)
{
    SZ(__Request__outofline_in_t);
    SZ(__Reply__outofline_in_t);
    SZ(__Request__outofline_out_t);
    SZ(__Reply__outofline_out_t);
    SZ(__Request__outofline_both_t);
    SZ(__Reply__outofline_both_t);
    SZ(__Request__outofline_ports_t);
    SZ(__Reply__outofline_ports_t);
    SZ(__Request__outofline_order_t);
    SZ(__Request__outofline_only_t);
    SZ(__Reply__outofline_only_t);
    SZ(__Request__outofline_auto_t);
    OFF(__Request__outofline_in_t, b);
    OFF(__Request__outofline_in_t, NDR);
    OFF(__Request__outofline_in_t, aCnt);
    OFF(__Request__outofline_in_t, bCnt);
    OFF(__Request__outofline_in_t, n);
    OFF(__Reply__outofline_out_t, c);
    OFF(__Reply__outofline_out_t, aCnt);
    OFF(__Reply__outofline_out_t, n);
    OFF(__Request__outofline_ports_t, c);
    OFF(__Request__outofline_ports_t, cCnt);
    OFF(__Request__outofline_order_t, x);
    OFF(__Request__outofline_order_t, aCnt);
    OFF(__Request__outofline_order_t, m);
    OFF(__Request__outofline_only_t, NDR);
    table(do_outofline_subsystem.start, do_outofline_subsystem.end, do_outofline_subsystem.maxsize,
          do_outofline_subsystem.routine);
    EXCHANGE(in);
    EXCHANGE(in_empty);
    EXCHANGE(out);
    EXCHANGE(both);
    EXCHANGE(ports_kept);
    EXCHANGE(ports_freed);
    EXCHANGE(order);
    EXCHANGE(only);
    EXCHANGE(auto_freed);
    return 0;
}
