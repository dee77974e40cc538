"""In the server stub: values out of the request, the callout, and its results into the reply."""

from __future__ import annotations

from mig.emit.descriptors import elements, write_descriptor
from mig.emit.messages import element_type, needs_copy, place
from mig.emit.writer import Writer
from mig.layout import Field, Message
from mig.model import Argument, Role, Routine
from mig.types import POLYMORPHIC, IpcType


def translated(it: IpcType, value: str) -> str:
    """What arrived, as the callout takes it."""
    return f"{it.in_trans}({value})" if it.in_trans else value


class ServerCall:
    """Writes the body of one stub, in parts that the caller puts together."""

    def __init__(self, w: Writer, routine: Routine, request: Message, reply: Message) -> None:
        self._w = w
        self._routine = routine
        self._request = request
        self._reply = reply
        fields = {id(f.argument): f for f in [*request.descriptors, *request.fields]}
        self._in = fields
        self._out = {id(f.argument): f for f in [*reply.descriptors, *reply.fields]}

    # -- the parts, in order --------------------------------------------------------------------

    def declarations(self) -> None:
        """Declare the two messages and every local variable."""
        w, routine = self._w, self._routine
        w.line(f"typedef __Request__{routine.name}_t Request;")
        w.line("Request *In0P = (Request *) (void *) InHeadP;")
        if self._has_results():
            w.line(f"typedef __Reply__{routine.name}_t Reply;")
            w.line("Reply *OutP = (Reply *) (void *) OutHeadP;")
        for i in range(1, len(self._request.variables) + 1):
            w.line(f"mach_msg_size_t msgh_shrink_{i} = 0;")
        if self._reply.variables:
            w.line("mach_msg_size_t msgh_shrink = 0;")
        if routine.server_trailer:
            w.line("mach_msg_max_trailer_t *TrailerP;")
        w.line("kern_return_t RetCode;")
        for argument in routine.arguments:
            if argument.server_arg and self._is_local(argument):
                self._declare(argument)

    def error_request(self) -> None:
        """Pass on a return code that came instead of the request proper."""
        w, routine = self._w, self._routine
        if routine.ret_code_arg is None:
            return
        with w.block(
            "if (!(In0P->Head.msgh_bits & MACH_MSGH_BITS_COMPLEX)\n"
            "\t    && In0P->Head.msgh_size == (mach_msg_size_t) sizeof(mig_reply_error_t)) {"
        ):
            if routine.server_trailer:
                self._trailer()
            for argument in routine.arguments:
                if argument.server_arg and self._is_structure(argument):
                    w.line(f"{argument.type.trans_type} msgh_no_{argument.name};")
            for argument in routine.arguments:
                if argument.server_arg and self._is_structure(argument):
                    zero = f"msgh_no_{argument.name}"
                    w.line(f"(void) memset(&{zero}, 0, sizeof({zero}));")
            values = ",\n\t\t".join(self._error_value(a) for a in routine.arguments if a.server_arg)
            w.line(f"RetCode = {routine.server_name}(\n\t\t{values});")
            w.line("MIG_RETURN_ERROR(OutHeadP, RetCode);")
        w.blank()

    def check(self) -> None:
        """Check the request and find the trailer."""
        w, name = self._w, self._routine.name
        shrinks = "".join(f", &msgh_shrink_{i}" for i in range(1, len(self._request.variables) + 1))
        w.line(f"RetCode = __MIG_check__Request__{name}_t((__Request__{name}_t *) In0P{shrinks});")
        with w.block("if (RetCode != MACH_MSG_SUCCESS) {"):
            w.line("MIG_RETURN_ERROR(OutHeadP, RetCode);")
        if self._routine.server_trailer:
            self._trailer()
        w.blank()

    def before_call(self) -> None:
        """Give every local variable its value."""
        # Counts first: they say how much of an array there is to copy.
        ordered = sorted(self._routine.arguments, key=lambda a: a.role is not Role.COUNT)
        for argument in ordered:
            if argument.server_arg and self._is_local(argument):
                self._initialise(argument)
            elif argument.returned and argument.type.is_array and id(argument) in self._out:
                self._clear_in_place(argument)

    def call(self) -> None:
        """Call the callout, then the destructors."""
        w, routine = self._w, self._routine
        values = [self._value(a) for a in routine.arguments if a.server_arg]
        if values:
            w.line(f"RetCode = {routine.server_name}(")
            for i, value in enumerate(values):
                w.line(f"\t{value}{',' if i + 1 < len(values) else ');'}")
        else:
            w.line(f"RetCode = {routine.server_name}();")
        for argument in reversed(routine.arguments):
            if self._is_destroyed(argument):
                value = argument.name if self._is_local(argument) else self._received(argument)
                w.line(f"{argument.type.destructor}({value});")
            elif "auto" in argument.flags and not argument.type.inline:
                self._free_received(argument)

    def _free_received(self, argument: Argument) -> None:
        """Auto: the memory that came in is the callout's only while it runs, whatever it returns.

        The descriptor is emptied, so that whoever destroys the request does not free it again.
        """
        descriptor = f"In0P->{argument.name}"
        self._w.line(f"mig_deallocate((vm_address_t) {descriptor}.address, {descriptor}.size);")
        self._w.line(f"{descriptor}.address = NULL;")
        self._w.line(f"{descriptor}.size = 0;")

    def _is_destroyed(self, argument: Argument) -> bool:
        """Whether the type's destructor runs after the callout: on what only came in."""
        roles = (Role.NORMAL, Role.REQUEST_PORT, Role.REPLY_PORT)
        wanted = argument.type.destructor and argument.server_arg and argument.role in roles
        return bool(wanted) and not argument.returned

    def after_call(self) -> None:
        """Fill in the reply."""
        w = self._w
        if not self._has_results():
            w.line("((mig_reply_error_t *) (void *) OutHeadP)->RetCode = RetCode;")
            w.line("((mig_reply_error_t *) (void *) OutHeadP)->NDR = NDR_record;")
            return
        with w.block("if (RetCode != KERN_SUCCESS) {"):
            w.line("MIG_RETURN_ERROR(OutHeadP, RetCode);")
        w.blank()
        for descriptor in self._reply.descriptors:
            self._pack_descriptor(descriptor)
        if self._reply.has_ndr:
            w.line("OutP->NDR = NDR_record;")
        if self._reply.has_ret_code:
            w.line("OutP->RetCode = KERN_SUCCESS;")
        for field in self._reply.fields:
            if field.is_variable:
                self._pack_variable(field)
            else:
                self._pack_fixed(field)
        if self._reply.is_complex:
            w.line("OutP->Head.msgh_bits |= MACH_MSGH_BITS_COMPLEX;")
            count = len(self._reply.descriptors)
            w.line(f"OutP->msgh_body.msgh_descriptor_count = {count};")
        shrink = " - msgh_shrink" if self._reply.variables else ""
        w.line(f"OutP->Head.msgh_size = (mach_msg_size_t) sizeof(Reply){shrink};")

    # -- local variables ------------------------------------------------------------------------

    def _has_results(self) -> bool:
        return not self._routine.one_way and any(a.returned for a in self._routine.arguments)

    def _is_local(self, argument: Argument) -> bool:
        """Whether the callout gets a variable of the stub's, not a place in a message."""
        it = argument.type
        if argument.role in (Role.TRAILER, Role.RET_CODE):
            return False
        if argument.by_reference_server:
            return True
        if argument.role is Role.COUNT:
            return self._in[id(argument.parent)].position > 0
        if argument.role is not Role.NORMAL:
            return bool(it.destructor and it.in_trans)
        out, field = self._out.get(id(argument)), self._in.get(id(argument))
        if it.is_array:
            moved = any(f is not None and f.position > 0 for f in (out, field))
            return needs_copy(argument) or moved
        if it.destructor and it.in_trans:
            return True
        return field is not None and field.position > 0

    def _declare(self, argument: Argument) -> None:
        it = argument.type
        if it.is_varying_inline:
            element = element_type(argument, server=True)
            if it.string and not argument.returned:
                self._w.line(f"{element} *{argument.name};")
            else:
                self._w.line(f"{element} {argument.name}[{it.element_count}];")
        else:
            self._w.line(f"{it.trans_type} {argument.name};")

    def _initialise(self, argument: Argument) -> None:
        w, it, name = self._w, argument.type, argument.name
        if argument.role is Role.COUNT:
            self._initialise_count(argument)
            return
        if argument.role is Role.DEALLOC:
            w.line(f"{name} = FALSE;")
            return
        if argument.role is Role.POLY:
            parent = argument.parent
            assert parent is not None
            value = f"In0P->{parent.name}.disposition" if parent.sent else "0"
            w.line(f"{name} = {value};")
            return
        field = self._in.get(id(argument))
        if field is None and argument.role is Role.NORMAL:
            address = name if it.is_array else f"&{name}"
            w.line(f"(void) memset({address}, 0, sizeof({name}));")
            return
        if field is None or it.is_descriptor:
            w.line(f"{name} = {self._received(argument)};")
            return
        source = self._in_address(field, field.name)
        if it.is_varying_inline and it.string:
            w.line(f"{name} = {source};")
        elif it.is_varying_inline:
            count = argument.count
            assert count is not None
            size = field.element_size
            scaled = (
                self._count_value(count)
                if size == 1
                else (f"{size} * (size_t) {self._count_value(count)}")
            )
            w.line(f"(void) memcpy({name}, {source}, {scaled});")
        elif it.is_array:
            w.line(f"(void) memcpy({name}, {source}, {field.size});")
        elif field.position == 0:
            w.line(f"{name} = {self._received(argument)};")
        elif it.in_trans or it.trans_type != it.server_type:
            self._translate_moved(argument, source)
        else:
            w.line(f"(void) memcpy(&{name}, {source}, sizeof({name}));")

    def _translate_moved(self, argument: Argument, source: str) -> None:
        w, it = self._w, argument.type
        with w.block():
            w.line(f"{it.server_type} msgh_cursor;")
            w.line(f"(void) memcpy(&msgh_cursor, {source}, sizeof(msgh_cursor));")
            w.line(f"{argument.name} = {translated(it, 'msgh_cursor')};")

    def _initialise_count(self, count: Argument) -> None:
        """An out array's count starts at what fits; an in array's is in the request."""
        w, parent = self._w, count.parent
        assert parent is not None
        if not parent.returned:
            field = self._in[id(parent)]
            source = self._in_address(field, field.count_name)
            w.line(f"(void) memcpy(&{count.name}, {source}, sizeof({count.name}));")
            return
        if not parent.type.inline:
            given = elements(f"In0P->{parent.name}", parent.type) if parent.sent else "0"
            w.line(f"{count.name} = {given};")
            return
        maximum = parent.type.element_count
        offered = parent.count_in_out
        if offered is None:
            w.line(f"{count.name} = {maximum};")
            return
        field = self._in[id(offered)]
        if field.position == 0:
            w.line(f"{count.name} = In0P->{field.name};")
        else:
            source = self._in_address(field, field.name)
            w.line(f"(void) memcpy(&{count.name}, {source}, sizeof({count.name}));")
        w.line(f"if ({count.name} > {maximum})")
        w.line(f"\t{count.name} = {maximum};")

    def _clear_in_place(self, argument: Argument) -> None:
        """The callout writes an array into the reply itself: leave nothing old in it."""
        field = self._out[id(argument)]
        if argument.sent:
            self._w.line(f"(void) memcpy(OutP->{field.name}, In0P->{field.name}, {field.size});")
        else:
            self._w.line(f"(void) memset(OutP->{field.name}, 0, {field.size});")

    # -- values ---------------------------------------------------------------------------------

    def _in_address(self, field: Field, name: str) -> str:
        if field.position == 0:
            return f"In0P->{name}"
        return place("Request", "In0P", name, f"msgh_shrink_{field.position}")

    def _count_value(self, count: Argument) -> str:
        if self._is_local(count):
            return count.name
        parent = count.parent
        assert parent is not None
        if not parent.type.inline:
            return elements(f"In0P->{parent.name}", parent.type)
        return f"In0P->{self._in[id(parent)].count_name}"

    def _received(self, argument: Argument) -> str:
        """The value that came for an argument, translated."""
        it = argument.type
        if argument.role is Role.REQUEST_PORT:
            value = "In0P->Head.msgh_local_port"
        elif argument.role is Role.REPLY_PORT:
            value = "In0P->Head.msgh_remote_port"
        elif argument.role is Role.TRAILER:
            value = f"TrailerP->{argument.trailer_field}"
        elif it.is_descriptor and it.inline:
            value = f"In0P->{argument.name}.name"
        elif it.is_descriptor:
            value = f"({it.trans_type}) (In0P->{argument.name}.address)"
        else:
            value = f"In0P->{argument.name}"
        return translated(it, value)

    def _value(self, argument: Argument) -> str:
        """What the callout is given."""
        if argument.role is Role.TRAILER:
            reference = "&" if argument.by_reference_server else ""
            return f"{reference}{self._received(argument)}"
        if self._is_local(argument):
            return f"{'&' if argument.by_reference_server else ''}{argument.name}"
        if argument.role is Role.COUNT:
            return self._count_value(argument)
        if argument.role is Role.POLY:
            return self._disposition(argument)
        if argument.role is Role.RET_CODE:
            return "KERN_SUCCESS"
        if argument.returned and argument.type.is_array:
            return f"OutP->{argument.name}"
        return self._received(argument)

    def _disposition(self, poly: Argument) -> str:
        parent = poly.parent
        assert parent is not None
        if parent.role is Role.REQUEST_PORT:
            return "MACH_MSGH_BITS_LOCAL(In0P->Head.msgh_bits)"
        if parent.role is Role.REPLY_PORT:
            return "MACH_MSGH_BITS_REMOTE(In0P->Head.msgh_bits)"
        return f"In0P->{parent.name}.disposition"

    def _is_structure(self, argument: Argument) -> bool:
        """Whether the C type may be a structure, which 0 can't be converted to."""
        it = argument.type
        whole = it.struct and it.number > 1 and not it.is_descriptor
        return whole and argument.role is Role.NORMAL

    def _error_value(self, argument: Argument) -> str:
        """What the callout is given when a return code came alone."""
        if argument.role in (Role.REQUEST_PORT, Role.TRAILER):
            return self._received(argument)
        if argument.role is Role.RET_CODE:
            return "((mig_reply_error_t *) (void *) InHeadP)->RetCode"
        if argument.type.is_array:
            return "NULL"
        if self._is_structure(argument):
            return f"msgh_no_{argument.name}"
        it = argument.type
        # As in Apple's stubs: what is translated on its way to the callout is, though it is 0.
        if it.in_trans and not it.destructor:
            return translated(it, f"({it.server_type}) 0")
        return f"({it.trans_type}) 0"

    def _trailer(self) -> None:
        w = self._w
        w.line("TrailerP = (mach_msg_max_trailer_t *) (void *)")
        w.line("\t((char *) In0P + _WALIGN_(In0P->Head.msgh_size));")
        with w.block("if (TrailerP->msgh_trailer_type != MACH_MSG_TRAILER_FORMAT_0) {"):
            w.line("MIG_RETURN_ERROR(OutHeadP, MIG_TRAILER_ERROR);")
        w.line("#if __MigTypeCheck")
        for argument in self._routine.server_trailer:
            field = argument.trailer_field
            w.line("if (TrailerP->msgh_trailer_size")
            w.line(
                f"    < offsetof(mach_msg_max_trailer_t, {field}) + sizeof(TrailerP->{field})) {{"
            )
            w.line("\tMIG_RETURN_ERROR(OutHeadP, MIG_TRAILER_ERROR);")
            w.line("}")
        w.line("#endif /* __MigTypeCheck */")

    # -- the reply ------------------------------------------------------------------------------

    def _out_address(self, field: Field, name: str) -> str:
        if field.position == 0:
            return f"OutP->{name}"
        return place("Reply", "OutP", name, "msgh_shrink")

    def _translated(self, argument: Argument) -> str:
        it = argument.type
        return f"{it.out_trans}({argument.name})" if it.out_trans else argument.name

    def _pack_descriptor(self, descriptor: Field) -> None:
        argument = descriptor.argument
        disposition = argument.type.sent_name
        if argument.type.sent == POLYMORPHIC:
            assert argument.poly is not None
            disposition = f"{argument.poly.name} & 0xffu"
        count = argument.count.name if argument.count else ""
        name, value = f"OutP->{descriptor.name}", self._translated(argument)
        write_descriptor(self._w, name, argument, value, disposition, count)

    def _pack_fixed(self, field: Field) -> None:
        w, argument = self._w, field.argument
        it, target = argument.type, self._out_address(field, field.name)
        if it.is_array:
            if self._is_local(argument):
                w.line(f"(void) memcpy({target}, {argument.name}, {field.size});")
        elif field.position == 0:
            w.line(f"{target} = {self._translated(argument)};")
        elif it.out_trans or it.trans_type != it.server_type:
            with w.block():
                w.line(f"{it.server_type} msgh_cursor = {self._translated(argument)};")
                w.line(f"(void) memcpy({target}, &msgh_cursor, sizeof(msgh_cursor));")
        else:
            w.line(f"(void) memcpy({target}, &{argument.name}, sizeof({argument.name}));")
        if field.pad:
            w.line(
                f"(void) memset({self._out_address(field, f'{field.name}Pad')}, 0, {field.pad});"
            )

    def _pack_variable(self, field: Field) -> None:
        w, argument = self._w, field.argument
        target = self._out_address(field, field.name)
        local = self._is_local(argument)
        value = argument.name if local else f"OutP->{field.name}"
        count = f"{field.name}Cnt"
        with w.block():
            if field.is_string:
                count = "msgh_count"
                w.line(f"{value}[{field.size - 1}] = '\\0';")
                w.line(
                    "mach_msg_type_number_t msgh_count ="
                    f" (mach_msg_type_number_t) strlen({value}) + 1;"
                )
                zero = self._out_address(field, f"{field.name}Offset")
                w.line(f"{zero} = 0;" if field.position == 0 else f"(void) memset({zero}, 0, 4);")
            else:
                with w.block(f"if ({count} > {field.maximum}) {{"):
                    w.line("MIG_RETURN_ERROR(OutHeadP, MIG_ARRAY_TOO_LARGE);")
            self._pack_count(field, count)
            size = field.element_size
            scaled = count if size == 1 else f"{size} * {count}"
            w.line(f"const mach_msg_size_t msgh_used = {scaled};")
            if local:
                w.line(f"(void) memcpy({target}, {value}, msgh_used);")
            used = "msgh_used"
            if size % 4:
                used = "_WALIGN_(msgh_used)"
                w.line(f"(void) memset((char *) {target} + msgh_used, 0, {used} - msgh_used);")
            w.line(f"msgh_shrink += {field.room} - {used};")

    def _pack_count(self, field: Field, count: str) -> None:
        at = self._out_address(field, field.count_name)
        if field.position == 0:
            self._w.line(f"{at} = {count};")
        else:
            self._w.line(f"(void) memcpy({at}, &{count}, sizeof({count}));")
