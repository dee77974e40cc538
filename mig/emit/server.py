"""The server stubs (``-server``): the demux, and for each routine a check and a stub.

Who destroys what is the callout's return code to say, and the caller of the demux to do: after
KERN_SUCCESS (or MIG_NO_REPLY) the callout owns what came in the request; after any other code,
a failed check included, the request is still whole and is to be destroyed.
"""

from __future__ import annotations

from mig.emit.common import (
    Names,
    callout_argument_words,
    hook,
    write_message_types,
    write_rcs_id,
    write_source_start,
)
from mig.emit.requestcheck import write_request_check
from mig.emit.servercall import ServerCall
from mig.emit.sheader import write_server_declarations
from mig.emit.writer import Writer
from mig.layout import reply_layout, request_layout
from mig.model import Interface, Routine


def server_source(interface: Interface, names: Names) -> str:
    """The C file of the server stubs."""
    w = Writer()
    write_source_start(w, interface, True, names.sheader, "Rcv")
    w.default(
        "MIG_RETURN_ERROR",
        "(X, code)",
        "do { \\\n\t((mig_reply_error_t *) (void *) (X))->RetCode = (code); \\\n"
        "\t((mig_reply_error_t *) (void *) (X))->NDR = NDR_record; \\\n\treturn; \\\n} while (0)",
    )
    write_rcs_id(w, interface, "server")
    if not names.sheader:
        write_server_declarations(w, interface)
        write_message_types(w, interface, interface.server_subsystem, server=True)
    for routine in interface.routines:
        _write_stub(w, interface, routine)
    _write_table(w, interface)
    _write_demux(w, interface)
    _write_routine_finder(w, interface)
    return w.text()


def _write_stub(w: Writer, interface: Interface, routine: Routine) -> None:
    request, reply = request_layout(routine), reply_layout(routine)
    write_request_check(w, routine, request)
    w.line(f"/* {routine.kind} {routine.name} */")
    w.line(f"mig_internal void _X{routine.name}")
    w.line("\t(mach_msg_header_t *InHeadP, mach_msg_header_t *OutHeadP)")
    with w.block():
        call = ServerCall(w, routine, request, reply)
        call.declarations()
        w.line(hook(interface, routine, "Declare", "Rcv"))
        w.line(hook(interface, routine, "Before", "Rcv"))
        w.blank()
        call.error_request()
        call.check()
        call.before_call()
        call.call()
        call.after_call()
        w.line(hook(interface, routine, "After", "Rcv"))
    w.blank()


def _write_table(w: Writer, interface: Interface) -> None:
    """Describe the subsystem: which stub serves which message id."""
    name = interface.server_subsystem
    by_number = {routine.number: routine for routine in interface.routines}
    with w.block(f"const struct {name} {name} = {{", "};"):
        w.line(f"{interface.server_demux}_routine,")
        w.line(f"{interface.base},")
        w.line(f"{interface.base + interface.slots},")
        if interface.routines:
            w.line(f"(mach_msg_size_t) sizeof(union __ReplyUnion__{name}),")
        else:
            w.line("0,")
        w.line("0,")
        with w.block():
            for number in range(max(1, interface.slots)):
                routine = by_number.get(number)
                if routine is None:
                    w.line("{ 0, 0, 0, 0, 0, 0 },")
                    continue
                words = sum(callout_argument_words(a) for a in routine.arguments if a.server_arg)
                w.line(f"{{ 0, _X{routine.name}, {words}, 0, 0,")
                w.line(f"\t(mach_msg_size_t) sizeof(__Reply__{routine.name}_t) }},")
    w.blank()


def _write_demux(w: Writer, interface: Interface) -> None:
    w.line("/* Answers a message of this subsystem; false if it is none. */")
    w.line(f"mig_external boolean_t {interface.server_demux}")
    w.line("\t(mach_msg_header_t *InHeadP, mach_msg_header_t *OutHeadP)")
    with w.block():
        w.lines(
            "mig_routine_t routine;",
            "",
            "OutHeadP->msgh_bits = MACH_MSGH_BITS(MACH_MSGH_BITS_REMOTE(InHeadP->msgh_bits), 0);",
            "OutHeadP->msgh_remote_port = InHeadP->msgh_remote_port;",
            "/* The form of an error; a stub that replies with more makes it longer. */",
            "OutHeadP->msgh_size = (mach_msg_size_t) sizeof(mig_reply_error_t);",
            "OutHeadP->msgh_local_port = MACH_PORT_NULL;",
            "OutHeadP->msgh_voucher_port = MACH_PORT_NULL;",
            "OutHeadP->msgh_id = InHeadP->msgh_id + 100;",
            "",
            f"routine = {interface.server_demux}_routine(InHeadP);",
        )
        with w.block("if (routine == 0) {"):
            w.line("((mig_reply_error_t *) (void *) OutHeadP)->NDR = NDR_record;")
            w.line("((mig_reply_error_t *) (void *) OutHeadP)->RetCode = MIG_BAD_ID;")
            w.line("return FALSE;")
        w.line("(*routine)(InHeadP, OutHeadP);")
        w.line("return TRUE;")
    w.blank()


def _write_routine_finder(w: Writer, interface: Interface) -> None:
    name = interface.server_subsystem
    w.line("/* The stub of a message; 0 if this subsystem has none. */")
    w.line(f"mig_external mig_routine_t {interface.server_demux}_routine")
    w.line("\t(mach_msg_header_t *InHeadP)")
    with w.block():
        w.line(
            f"if (InHeadP->msgh_id < {interface.base}"
            f" || InHeadP->msgh_id > {interface.base + interface.slots - 1})"
        )
        w.line("\treturn 0;")
        w.line(f"return {name}.routine[InHeadP->msgh_id - {interface.base}].stub_routine;")
