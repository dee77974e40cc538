#define DEMUX options_demux
#include "options.h"
#include "optionsS.h"
#include "exchange.h"
typedef mach_port_t port_t;
struct object {
    port_t port;
};
static struct object objects[8];
static int live;
object_t object_from_port(port_t port)
{
    struct object *o = &objects[live++ & 7];
    o->port = port;
    return o;
}
port_t port_from_object(object_t object)
{
    return object->port + 0x1000;
}
void object_release(object_t object)
{
    SAW(object->port);
    live--;
}
kelvin_t kelvin_from_celsius(int celsius)
{
    return celsius + 273.0;
}
int celsius_from_kelvin(kelvin_t kelvin)
{
    return (int)(kelvin - 273.0);
}
#define PLAIN(name, mark)                                                                          \
    kern_return_t do_##name(port_t s, int n)                                                       \
    {                                                                                              \
        MARK(mark);                                                                                \
        SAW(s);                                                                                    \
        SAW(n);                                                                                    \
        return n == 7 ? 44 : 0;                                                                    \
    }
PLAIN(options_plain, 1)
PLAIN(options_wait, 2)
PLAIN(options_wait_post, 3)
PLAIN(options_send, 4) PLAIN(options_send_post, 5) PLAIN(options_option, 6)
    PLAIN(options_option_post, 7) kern_return_t do_options_arguments(port_t s, int n, int *m)
{
    MARK(8);
    SAW(s);
    SAW(n);
    *m = n + 1;
    return 0;
}
PLAIN(options_send_argument, 9)
kern_return_t do_options_complex_code(port_t s, kern_return_t code, port_t a,
                                      mach_msg_type_name_t how, bytes_t b,
                                      mach_msg_type_number_t bn, uint64_t n, audit_token_t who)
{
    MARK(11);
    SAW(s);
    SAW(code);
    SAW(a);
    SAW(how);
    SAW(bn);
    SAW_BYTES(b ? b : (uint8_t *)"", bn);
    SAW(n);
    SAW(who);
    return MIG_NO_REPLY;
}
kern_return_t do_options_trailer(port_t s, int n, natural_t seq, security_token_t sender,
                                 audit_token_t who, mach_port_context_t context, int *m)
{
    MARK(12);
    SAW(s);
    SAW(n);
    SAW(seq);
    SAW(sender);
    SAW(who);
    SAW(context);
    *m = n;
    return 0;
}
kern_return_t do_options_reply_trailer(port_t s, int *m)
{
    MARK(13);
    SAW(s);
    *m = 6;
    return 0;
}
kern_return_t do_options_reply_sender(port_t s)
{
    MARK(14);
    SAW(s);
    return 0;
}
kern_return_t do_options_both_tokens(port_t s, audit_token_t *who, bytes_t b,
                                     mach_msg_type_number_t bn)
{
    MARK(15);
    SAW(s);
    SAW(*who);
    SAW(bn);
    SAW_BYTES(b, bn);
    return 0;
}
kern_return_t do_options_translate(object_t s, object_t a, kelvin_t t, bytes_t b,
                                   mach_msg_type_number_t bn, kelvin_t after, object_t *out,
                                   kelvin_t *u, kelvin_t *v)
{
    MARK(16);
    SAW(s->port);
    SAW(a->port);
    SAW(t);
    SAW(bn);
    SAW_BYTES(b, bn);
    SAW(after);
    SAW(*v);
    *out = a;
    *u = t + 1;
    *v += 2;
    return 0;
}
static bytes_t bytes = {1, 2, 3, 4, 5, 6, 7, 8};
static kern_return_t plain(void)
{
    return call_options_plain(0x907, 3);
}
static kern_return_t wait_rpc(void)
{
    return call_options_wait(0x907, 3);
}
static kern_return_t wait_post(void)
{
    return call_options_wait_post(0x907, 3);
}
static kern_return_t send_rpc(void)
{
    return call_options_send(0x907, 3);
}
static kern_return_t send_post(void)
{
    return call_options_send_post(0x907, 3);
}
static kern_return_t option_rpc(void)
{
    return call_options_option(0x907, 3);
}
static kern_return_t option_post(void)
{
    return call_options_option_post(0x907, 3);
}
static kern_return_t arguments(void)
{
    int m = 0;
    kern_return_t rc = call_options_arguments(0x907, 3, 0x800, 99, &m);
    GOT(m);
    return rc;
}
static kern_return_t send_argument(void)
{
    return call_options_send_argument(0x907, 88, 3);
}
static kern_return_t complex_code_0(void)
{
    return call_options_complex_code(0x907, 0, 0xa03, 20, bytes, 5, 0x0102030405060708ULL);
}
static kern_return_t complex_code_9(void)
{
    return call_options_complex_code(0x907, 9, 0xa03, 20, bytes, 5, 0x0102030405060708ULL);
}
static kern_return_t trailer(void)
{
    int m = 0;
    kern_return_t rc = call_options_trailer(0x907, 3, &m);
    GOT(m);
    return rc;
}
static kern_return_t reply_trailer(void)
{
    int m = 0;
    audit_token_t who;
    memset(&who, 0, sizeof who);
    kern_return_t rc = call_options_reply_trailer(0x907, &who, &m);
    GOT(who);
    GOT(m);
    return rc;
}
static kern_return_t reply_sender(void)
{
    security_token_t who;
    memset(&who, 0, sizeof who);
    kern_return_t rc = call_options_reply_sender(0x907, &who);
    GOT(who);
    return rc;
}
static kern_return_t both_tokens(void)
{
    audit_token_t who;
    memset(&who, 0, sizeof who);
    kern_return_t rc = call_options_both_tokens(0x907, &who, bytes, 3);
    GOT(who);
    return rc;
}
static kern_return_t translate(void)
{
    handle_t b = 0;
    int u = 0, v = 30;
    live = 0;
    kern_return_t rc = call_options_translate(0x907, 0xa03, 10, bytes, 5, 20, &b, &u, &v);
    GOT(b);
    GOT(u);
    GOT(v);
    return rc;
}
int main(void)
{
    SZ(__Request__options_plain_t);
    SZ(__Reply__options_plain_t);
    SZ(__Request__options_complex_code_t);
    SZ(__Request__options_trailer_t);
    SZ(__Reply__options_reply_trailer_t);
    SZ(__Reply__options_reply_sender_t);
    SZ(__Request__options_translate_t);
    SZ(__Reply__options_translate_t);
    SZ(union __RequestUnion__call_options_subsystem);
    SZ(union __ReplyUnion__do_options_subsystem);
    OFF(__Request__options_complex_code_t, n);
    OFF(__Request__options_translate_t, after);
    OFF(__Reply__options_translate_t, v);
    table(do_options_subsystem.start, do_options_subsystem.end, do_options_subsystem.maxsize,
          do_options_subsystem.routine);
    EXCHANGE(plain);
    EXCHANGE(wait_rpc);
    EXCHANGE(wait_post);
    EXCHANGE(send_rpc);
    EXCHANGE(send_post);
    EXCHANGE(option_rpc);
    EXCHANGE(option_post);
    EXCHANGE(arguments);
    EXCHANGE(send_argument);
    EXCHANGE(complex_code_0);
    EXCHANGE(complex_code_9);
    EXCHANGE(trailer);
    EXCHANGE(reply_trailer);
    EXCHANGE(reply_sender);
    EXCHANGE(both_tokens);
    EXCHANGE(translate);
    return 0;
}
