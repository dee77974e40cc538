"""The user stubs (``-user``).

A stub packs the request, sends it, and for a routine receives the reply into the same memory,
checks it and unpacks it. A message longer than ``-maxonstack`` lives on the heap.
"""

from __future__ import annotations

from mig.emit.common import (
    Names,
    extern_c,
    hook,
    user_parameters,
    write_message_types,
    write_parameter_list,
    write_prototype,
    write_rcs_id,
    write_source_start,
)
from mig.emit.replycheck import write_reply_check
from mig.emit.userpack import write_pack
from mig.emit.userunpack import write_unpack
from mig.emit.writer import Writer
from mig.layout import Message, reply_layout, request_layout
from mig.model import Argument, Interface, Routine
from mig.types import POLYMORPHIC


def user_source(interface: Interface, names: Names, max_on_stack: int | None) -> str:
    """The C file of the user stubs."""
    if interface.max_on_stack is not None:
        max_on_stack = interface.max_on_stack
    w = Writer()
    write_source_start(w, interface, False, names.header, "Send")
    _write_error_macro(w, "__MachMsgErrorWithTimeout")
    _write_error_macro(w, "__MachMsgErrorWithoutTimeout")
    write_rcs_id(w, interface, "user")
    if not names.header:
        for routine in interface.routines:
            write_prototype(w, routine, routine.user_name, user_parameters(routine))
        write_message_types(w, interface, interface.user_subsystem, server=False)
    stubs = [_UserStub(w, interface, routine, max_on_stack) for routine in interface.routines]
    if any(stub.on_heap for stub in stubs):
        with extern_c(w):
            w.line("extern char *mig_user_allocate(vm_size_t);")
            w.line("extern void mig_user_deallocate(char *, vm_size_t);")
    for stub in stubs:
        stub.write()
    return w.text()


def _write_error_macro(w: Writer, name: str) -> None:
    """What becomes of MIG's own reply port when mach_msg fails."""
    w.lines(
        f"#ifndef {name}",
        f"#define {name}(_R_) do {{ \\",
        "\tswitch (_R_) { \\",
        "\tcase MACH_SEND_INVALID_DATA: \\",
        "\tcase MACH_SEND_INVALID_DEST: \\",
        "\tcase MACH_SEND_INVALID_HEADER: \\",
        "\t\tmig_put_reply_port(InP->Head.msgh_local_port); \\",
        "\t\tbreak; \\",
        "\tdefault: \\",
        "\t\tmig_dealloc_reply_port(InP->Head.msgh_local_port); \\",
        "\t\tbreak; \\",
        "\t} \\",
        "} while (0)",
        "#endif",
        "",
    )


class _UserStub:
    """Writes one stub."""

    def __init__(
        self, w: Writer, interface: Interface, routine: Routine, max_on_stack: int | None
    ) -> None:
        self._w = w
        self._interface = interface
        self._routine = routine
        self._request: Message = request_layout(routine)
        self._reply: Message = reply_layout(routine)
        longest = max(self._request.size, self._reply.size)
        self.on_heap = max_on_stack is not None and longest > max_on_stack

    def write(self) -> None:
        w, routine = self._w, self._routine
        if not routine.one_way:
            write_reply_check(w, self._interface, routine, self._reply)
        w.blank()
        w.line(f"/* {routine.kind} {routine.name} */")
        w.line(f"mig_external kern_return_t {routine.user_name}")
        write_parameter_list(w, user_parameters(routine))
        with w.block():
            self._declarations()
            write_pack(w, routine, self._request, self.fail)
            self._header()
            w.line(hook(self._interface, routine, "Before", "Send"))
            if routine.one_way:
                self._send()
            else:
                self._call()
                write_unpack(w, routine, self._reply, self.fail)
                self._finish("KERN_SUCCESS")

    def fail(self, code: str) -> None:
        """Return an error from inside a block."""
        self._finish(code)

    def _finish(self, code: str) -> None:
        if self.on_heap:
            self._w.line("mig_user_deallocate((char *) Mess, sizeof(*Mess));")
        self._w.line(f"return {code};")

    def _declarations(self) -> None:
        w, routine = self._w, self._routine
        w.line(f"typedef __Request__{routine.name}_t Request;")
        if not routine.one_way:
            w.line(f"typedef __Reply__{routine.name}_t Reply;")
        trailer = "mach_msg_max_trailer_t" if routine.user_trailer else "mach_msg_trailer_t"
        name = f"{routine.name}MessU"
        pointer = "*" if self.on_heap else ""
        with w.block(f"union {name} {{", "};"):
            w.line("Request In;")
            if not routine.one_way:
                w.line(f"struct {{ Reply Body; {trailer} Trailer; }} Out;")
        if self.on_heap:
            w.line(f"union {name} *Mess = (union {name} *) mig_user_allocate(sizeof(*Mess));")
        else:
            w.line(f"union {name} Mess;")
        access = "Mess->" if pointer else "Mess."
        w.line(f"Request *InP = &{access}In;")
        if not routine.one_way:
            w.line(f"Reply *Out0P = &{access}Out.Body;")
        w.line("mach_msg_return_t msg_result;")
        if self._request.variables:
            w.line("mach_msg_size_t msgh_shrink = 0;")
        if routine.ret_code_arg:
            w.line("mach_msg_size_t msgh_size;")
        if not routine.one_way:
            w.line("kern_return_t check_result;")
            for i in range(1, len(self._reply.variables) + 1):
                w.line(f"mach_msg_size_t msgh_shrink_{i} = 0;")
        if routine.user_trailer:
            w.line("mach_msg_max_trailer_t *TrailerP;")
        w.line(hook(self._interface, routine, "Declare", "Send"))
        w.blank()
        for argument in routine.unused:
            w.line(f"(void) {argument.name};")
        if self.on_heap:
            with w.block("if (Mess == NULL) {"):
                w.line("return KERN_RESOURCE_SHORTAGE;")

    # -- sending --------------------------------------------------------------------------------

    def _header(self) -> None:
        w, routine = self._w, self._routine
        bits = (
            f"MACH_MSGH_BITS({self._disposition(routine.request_port)},"
            f"\n\t\t{self._disposition(routine.reply_port)})"
        )
        ret_code = routine.ret_code_arg
        if ret_code:
            complex_bit = f"({ret_code.name} ? 0 : MACH_MSGH_BITS_COMPLEX) | "
        else:
            complex_bit = "MACH_MSGH_BITS_COMPLEX | " if self._request.is_complex else ""
        w.line(f"InP->Head.msgh_bits = {complex_bit}{bits};")
        w.line(f"InP->Head.msgh_remote_port = {routine.request_port.name};")
        if routine.reply_port.user_arg:
            reply_port = routine.reply_port.name
        else:
            reply_port = "MACH_PORT_NULL" if routine.one_way else "mig_get_reply_port()"
        w.line(f"InP->Head.msgh_local_port = {reply_port};")
        w.line("InP->Head.msgh_voucher_port = MACH_PORT_NULL;")
        w.line(f"InP->Head.msgh_id = {self._interface.message_id(routine)};")
        w.line(f"InP->Head.msgh_size = {self._send_size()};")
        w.blank()

    def _disposition(self, port: Argument) -> str:
        if port.type.sent == POLYMORPHIC:
            assert port.poly is not None
            return port.poly.name
        return port.type.sent_name

    def _send_size(self) -> str:
        if self._routine.ret_code_arg:
            return "msgh_size"
        if self._request.variables:
            return "(mach_msg_size_t) sizeof(Request) - msgh_shrink"
        return "(mach_msg_size_t) sizeof(Request)"

    def _send(self) -> None:
        w, routine = self._w, self._routine
        timeout = routine.timeout
        options = f"MACH_SEND_MSG|{'MACH_SEND_TIMEOUT|' if timeout else ''}"
        w.line(
            f"msg_result = mach_msg(&InP->Head, {options}{routine.message_option},"
            f"\n\t\t{self._send_size()}, 0, MACH_PORT_NULL,"
            f"\n\t\t{timeout.expression if timeout else 'MACH_MSG_TIMEOUT_NONE'}, MACH_PORT_NULL);"
        )
        w.line(hook(self._interface, routine, "After", "Send"))
        self._free_relocated()
        self._finish("msg_result")

    def _call(self) -> None:
        w, routine = self._w, self._routine
        timeout = routine.timeout
        options = "MACH_SEND_MSG|MACH_RCV_MSG|"
        if routine.user_trailer:
            options += "MACH_RCV_TRAILER_TYPE(MACH_MSG_TRAILER_FORMAT_0)|"
        if timeout:
            options += "MACH_SEND_TIMEOUT|"
            options += "" if timeout.send_only else "MACH_RCV_TIMEOUT|"
        options += routine.message_option + self._trailer_elements()
        w.line(
            f"msg_result = mach_msg(&InP->Head,\n\t\t{options},\n\t\t{self._send_size()},"
            f" (mach_msg_size_t) sizeof(Mess{'->' if self.on_heap else '.'}Out),"
            f"\n\t\tInP->Head.msgh_local_port,"
            f" {timeout.expression if timeout else 'MACH_MSG_TIMEOUT_NONE'}, MACH_PORT_NULL);"
        )
        w.line(hook(self._interface, routine, "After", "Send"))
        self._free_relocated()
        with w.block("if (msg_result != MACH_MSG_SUCCESS) {"):
            if not routine.reply_port.user_arg:
                suffix = "WithTimeout" if timeout else "WithoutTimeout"
                w.line(f"__MachMsgError{suffix}(msg_result);")
            self._finish("msg_result")
        w.blank()
        shrinks = "".join(f", &msgh_shrink_{i}" for i in range(1, len(self._reply.variables) + 1))
        w.line(
            f"check_result = __MIG_check__Reply__{routine.name}_t"
            f"((__Reply__{routine.name}_t *) Out0P{shrinks});"
        )
        with w.block("if (check_result != MACH_MSG_SUCCESS) {"):
            w.line("mach_msg_destroy(&Out0P->Head);")
            self._finish("check_result")
        w.blank()

    def _free_relocated(self) -> None:
        """A send that timed out comes back with copies of the out-of-line data: free them."""
        w, routine = self._w, self._routine
        moved = [
            d.argument
            for d in self._request.descriptors
            if d.argument.type.descriptor_kind == "ool"
        ]
        if routine.timeout is None or not moved:
            return
        with w.block("if (msg_result == MACH_SEND_TIMED_OUT) {"):
            for argument in moved:
                value = f"{'*' if argument.by_reference_user else ''}{argument.name}"
                w.line(f"if (InP->{argument.name}.address != (void *) ({value}))")
                w.line(f"\tmig_deallocate((vm_address_t) InP->{argument.name}.address,")
                w.line(f"\t\t(vm_size_t) InP->{argument.name}.size);")

    def _trailer_elements(self) -> str:
        fields = {a.trailer_field for a in self._routine.user_trailer}
        for field, element in (("msgh_audit", "AUDIT"), ("msgh_sender", "SENDER")):
            if field in fields:
                return f"|MACH_RCV_TRAILER_ELEMENTS(MACH_RCV_TRAILER_{element})"
        return ""
