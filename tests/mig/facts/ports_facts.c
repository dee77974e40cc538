#define DEMUX ports_server
#include "ports.h"
#include "portsS.h"
#include "exchange.h"
typedef mach_msg_type_name_t how_t;
typedef mach_port_t port_t;
kern_return_t do_ports_in(port_t s, port_t a, port_t b, port_t c, port_t d, port_t e, port_t f,
                          int n, port_t g)
{
    MARK(1);
    SAW(s);
    SAW(a);
    SAW(b);
    SAW(c);
    SAW(d);
    SAW(e);
    SAW(f);
    SAW(n);
    SAW(g);
    return 0;
}
kern_return_t do_ports_out(port_t s, port_t *a, port_t *b, port_t *c, port_t *d)
{
    MARK(2);
    SAW(s);
    *a = 1;
    *b = 2;
    *c = 3;
    *d = 4;
    return 0;
}
kern_return_t do_ports_both(port_t s, port_t *a, int *n)
{
    MARK(3);
    SAW(s);
    SAW(*a);
    SAW(*n);
    *a += 0x100;
    *n += 1;
    return *n == 8 ? 3 : 0;
}
kern_return_t do_ports_poly(port_t s, how_t sp, port_t a, how_t ap, port_t b, port_t c, port_t d,
                            how_t dp, port_t *e, how_t *ep)
{
    MARK(4);
    SAW(s);
    SAW(sp);
    SAW(a);
    SAW(ap);
    SAW(b);
    SAW(c);
    SAW(d);
    SAW(dp);
    *e = 0x77;
    *ep = 20;
    return 0;
}
kern_return_t do_ports_poly_both(port_t s, port_t *a, how_t *ap)
{
    MARK(5);
    SAW(s);
    SAW(*a);
    SAW(*ap);
    *a ^= 1;
    *ap = 18;
    return 0;
}
kern_return_t do_ports_reply_named(port_t s, port_t answer, int n)
{
    MARK(6);
    SAW(s);
    SAW(answer);
    SAW(n);
    return MIG_NO_REPLY;
}
kern_return_t do_ports_reply_user(port_t s, int *n)
{
    MARK(7);
    SAW(s);
    *n = 5;
    return 0;
}
kern_return_t do_ports_reply_server(int n, port_t s, port_t answer)
{
    MARK(8);
    SAW(n);
    SAW(s);
    SAW(answer);
    return 0;
}
kern_return_t do_ports_reply_poly(port_t s, port_t answer, how_t how)
{
    MARK(9);
    SAW(s);
    SAW(answer);
    SAW(how);
    return 0;
}
kern_return_t do_ports_plain(port_t s, port_t a, port_t b, port_t c, port_t d, how_t dp, port_t *e,
                             how_t *ep, port_t *f, how_t *fp)
{
    MARK(10);
    SAW(s);
    SAW(a);
    SAW(b);
    SAW(c);
    SAW(d);
    SAW(dp);
    SAW(*f);
    *e = 0x77;
    *ep = 20;
    *f ^= 1;
    *fp = 19;
    return 0;
}
static kern_return_t in(void)
{
    return ports_in(0x907, 0xa03, 0xb03, 0xc03, 0xd03, 0xe03, 0xf03, 5, 0x1003);
}
static kern_return_t in_null(void)
{
    return ports_in(0x907, 0, 0xffffffff, 0, 0, 0, 0, 5, 0);
}
static kern_return_t out(void)
{
    port_t a = 0, b = 0, c = 0, d = 0;
    kern_return_t rc = ports_out(0x907, &a, &b, &c, &d);
    GOT(a);
    GOT(b);
    GOT(c);
    GOT(d);
    return rc;
}
static kern_return_t both(void)
{
    port_t a = 0xa03;
    int n = 3;
    kern_return_t rc = ports_both(0x907, &a, &n);
    GOT(a);
    GOT(n);
    return rc;
}
static kern_return_t poly_of(how_t server, how_t a, how_t b, how_t c)
{
    port_t e = 0;
    how_t ep = 0;
    kern_return_t rc = ports_poly(0x907, server, 0xa03, a, 0xb03, b, 0xc03, c, 0xd03, &e, &ep);
    GOT(e);
    GOT(ep);
    return rc;
}
static kern_return_t poly(void)
{
    return poly_of(19, 20, 17, 18);
}
static kern_return_t poly_receive(void)
{
    return poly_of(20, 16, 19, 21);
}
static kern_return_t poly_wrong(void)
{
    return poly_of(18, 21, 21, 19);
}
static kern_return_t poly_both(void)
{
    port_t a = 0xa03;
    how_t how = 19;
    kern_return_t rc = ports_poly_both(0x907, &a, &how);
    GOT(a);
    GOT(how);
    return rc;
}
static kern_return_t reply_named(void)
{
    return ports_reply_named(0x907, 0x1903, 4);
}
static kern_return_t reply_user(void)
{
    int n = 0;
    kern_return_t rc = ports_reply_user(0x907, 0x1903, &n);
    GOT(n);
    return rc;
}
static kern_return_t reply_server(void)
{
    return ports_reply_server(4, 0x907);
}
static kern_return_t reply_poly(void)
{
    return ports_reply_poly(0x907, 0x1903, 21);
}
static kern_return_t plain(void)
{
    port_t e = 0, f = 0xf03;
    kern_return_t rc = ports_plain(0x907, 19, 0xa03, 20, 0xb03, 18, 0xc03, 16, 0xd03, 17, &e, &f, 19);
    GOT(e);
    GOT(f);
    return rc;
}
int main(void)
{
    SZ(__Request__ports_in_t);
    SZ(__Reply__ports_in_t);
    SZ(__Request__ports_out_t);
    SZ(__Reply__ports_out_t);
    SZ(__Request__ports_both_t);
    SZ(__Reply__ports_both_t);
    SZ(__Request__ports_poly_t);
    SZ(__Reply__ports_poly_t);
    SZ(__Request__ports_poly_both_t);
    SZ(__Reply__ports_poly_both_t);
    SZ(__Request__ports_reply_named_t);
    SZ(__Request__ports_reply_user_t);
    SZ(__Reply__ports_reply_user_t);
    SZ(__Request__ports_reply_server_t);
    SZ(__Request__ports_reply_poly_t);
    SZ(__Request__ports_plain_t);
    SZ(__Reply__ports_plain_t);
    OFF(__Request__ports_in_t, a);
    OFF(__Request__ports_in_t, f);
    OFF(__Request__ports_in_t, NDR);
    OFF(__Request__ports_in_t, n);
    OFF(__Request__ports_in_t, g);
    OFF(__Reply__ports_out_t, d);
    OFF(__Reply__ports_both_t, NDR);
    OFF(__Reply__ports_both_t, n);
    table(do_ports_subsystem.start, do_ports_subsystem.end, do_ports_subsystem.maxsize,
          do_ports_subsystem.routine);
    EXCHANGE(in);
    EXCHANGE(in_null);
    EXCHANGE(out);
    EXCHANGE(both);
    EXCHANGE(poly);
    EXCHANGE(poly_receive);
    EXCHANGE(poly_wrong);
    EXCHANGE(poly_both);
    EXCHANGE(reply_named);
    EXCHANGE(reply_user);
    EXCHANGE(reply_server);
    EXCHANGE(reply_poly);
    EXCHANGE(plain);
    return 0;
}
