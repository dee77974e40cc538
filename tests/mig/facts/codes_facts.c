#define DEMUX codes_server
#include "codes.h"
#include "codesS.h"
#include "exchange.h"
kern_return_t do_codes_simple(mach_port_t s, kern_return_t code)
{
    MARK(1);
    SAW(s);
    SAW(code);
    return code == 7 ? 44 : 0;
}
static kern_return_t code_0(void)
{
    return call_codes_simple(0x907, 0);
}
static kern_return_t code_3(void)
{
    return call_codes_simple(0x907, 3);
}
static kern_return_t code_7(void)
{
    return call_codes_simple(0x907, 7);
}
int main(void)
{
    SZ(__Request__codes_simple_t);
    OFF(__Request__codes_simple_t, code);
    table(do_codes_subsystem.start, do_codes_subsystem.end, do_codes_subsystem.maxsize,
          do_codes_subsystem.routine);
    EXCHANGE(code_0);
    EXCHANGE(code_3);
    EXCHANGE(code_7);
    return 0;
}
