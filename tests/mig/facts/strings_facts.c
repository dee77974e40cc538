#define DEMUX strings_server
#include "strings.h"
#include "stringsS.h"
#include "exchange.h"
#define SAW_STRING(s, n) SAW_BYTES(s, strnlen(s, n))
#define GOT_STRING(s, n) GOT_BYTES(s, strnlen(s, n))
kern_return_t do_strings_fixed(mach_port_t s, label_t a, int n, label_t b, int *m)
{
    MARK(1);
    SAW(s);
    SAW_STRING(a, 10);
    SAW(n);
    strcpy(b, "answer");
    *m = -n;
    return 0;
}
kern_return_t do_strings_post(mach_port_t s, title_t a)
{
    MARK(2);
    SAW(s);
    SAW_STRING(a, 13);
    return MIG_NO_REPLY;
}
kern_return_t do_strings_variable(mach_port_t s, int n, title_t a, uint64_t m, path_t b, label_t k,
                                  path_t c, uint16_t *l, title_t d, label_t e)
{
    MARK(3);
    SAW(s);
    SAW(n);
    SAW_STRING(a, 13);
    SAW(m);
    SAW_STRING(b, 64);
    SAW_STRING(k, 10);
    strcpy(c, "/some/path/of/some/length");
    *l = 7;
    strcpy(d, "abc");
    strcpy(e, "tail");
    return 0;
}
static kern_return_t fixed(void)
{
    label_t a = "question!", b = "";
    int m = 0;
    kern_return_t rc = strings_fixed(0x907, a, 5, b, &m);
    GOT_STRING(b, 10);
    GOT(m);
    return rc;
}
static kern_return_t post_empty(void)
{
    title_t a = "";
    return strings_post(0x907, a);
}
static kern_return_t post_three(void)
{
    title_t a = "abc";
    return strings_post(0x907, a);
}
static kern_return_t post_full(void)
{
    title_t a = "abcdefghijkl";
    return strings_post(0x907, a);
}
static kern_return_t variable(void)
{
    title_t a = "title", d = "";
    path_t b = "/a/path", c = "";
    label_t k = "label", e = "";
    uint16_t l = 0;
    kern_return_t rc = strings_variable(0x907, 3, a, 0x1122334455667788ULL, b, k, c, &l, d, e);
    GOT_STRING(c, 64);
    GOT(l);
    GOT_STRING(d, 13);
    GOT_STRING(e, 10);
    return rc;
}
int main(void)
{
    SZ(__Request__strings_fixed_t);
    SZ(__Reply__strings_fixed_t);
    SZ(__Request__strings_post_t);
    SZ(__Request__strings_variable_t);
    SZ(__Reply__strings_variable_t);
    OFF(__Request__strings_fixed_t, a);
    OFF(__Request__strings_fixed_t, n);
    OFF(__Reply__strings_fixed_t, m);
    OFF(__Request__strings_post_t, aOffset);
    OFF(__Request__strings_post_t, aCnt);
    OFF(__Request__strings_post_t, a);
    OFF(__Request__strings_variable_t, m);
    OFF(__Request__strings_variable_t, bCnt);
    OFF(__Request__strings_variable_t, k);
    OFF(__Reply__strings_variable_t, l);
    OFF(__Reply__strings_variable_t, d);
    OFF(__Reply__strings_variable_t, e);
    table(do_strings_subsystem.start, do_strings_subsystem.end, do_strings_subsystem.maxsize,
          do_strings_subsystem.routine);
    EXCHANGE(fixed);
    EXCHANGE(post_empty);
    EXCHANGE(post_three);
    EXCHANGE(post_full);
    EXCHANGE(variable);
    return 0;
}
