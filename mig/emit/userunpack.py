"""In the user stub: the reply's values into the caller's variables."""

from __future__ import annotations

from collections.abc import Callable

from mig.emit.messages import place
from mig.emit.writer import Writer
from mig.layout import Field, Message
from mig.model import Role, Routine
from mig.types import POLYMORPHIC

Fail = Callable[[str], None]


def write_unpack(w: Writer, routine: Routine, reply: Message, fail: Fail) -> None:
    """Hand out what the reply carries, and what its trailer says."""
    if routine.user_trailer:
        _write_trailer(w, routine, fail)
    for descriptor in reply.descriptors:
        argument = descriptor.argument
        if argument.type.inline:
            w.line(f"*{argument.name} = Out0P->{descriptor.name}.name;")
        else:
            address = f"Out0P->{descriptor.name}.address"
            w.line(f"*{argument.name} = ({argument.type.user_type}) ({address});")
        if argument.type.received == POLYMORPHIC:
            assert argument.poly is not None
            w.line(f"*{argument.poly.name} = Out0P->{descriptor.name}.disposition;")
    for field in reply.fields:
        if field.is_variable:
            _write_variable(w, field, fail)
        else:
            _write_fixed(w, field)
    w.blank()


def _address(field: Field, name: str) -> str:
    if field.position == 0:
        return f"Out0P->{name}"
    return place("Reply", "Out0P", name, f"msgh_shrink_{field.position}")


def _write_fixed(w: Writer, field: Field) -> None:
    argument = field.argument
    it = argument.type
    source = _address(field, field.name)
    if it.string:
        w.line(f"(void) mig_strncpy({argument.name}, {source}, {field.size});")
    elif it.is_array:
        w.line(f"(void) memcpy({argument.name}, {source}, {field.size});")
    elif field.position == 0:
        w.line(f"*{argument.name} = {source};")
    else:
        w.line(f"(void) memcpy({argument.name}, {source}, sizeof(*{argument.name}));")


def _write_variable(w: Writer, field: Field, fail: Fail) -> None:
    argument = field.argument
    source = _address(field, field.name)
    if field.is_string:
        w.line(f"(void) mig_strncpy({argument.name}, {source}, {field.size});")
        return
    size = field.element_size
    scaled = "msgh_count" if size == 1 else f"{size} * (size_t) msgh_count"
    limit = f"*{field.count_name}" if argument.count_in_out else f"{field.maximum}"
    with w.block():
        w.line("mach_msg_type_number_t msgh_received, msgh_count;")
        if field.position == 0:
            w.line(f"msgh_received = Out0P->{field.count_name};")
        else:
            w.line(f"(void) memcpy(&msgh_received, {_address(field, field.count_name)},")
            w.line("\tsizeof(msgh_received));")
        w.line(f"msgh_count = msgh_received < {limit} ? msgh_received : {limit};")
        w.line(f"(void) memcpy({argument.name}, {source}, {scaled});")
        w.line(f"*{field.count_name} = msgh_received;")
        with w.block("if (msgh_received > msgh_count) {"):
            fail("MIG_ARRAY_TOO_LARGE")


def _write_trailer(w: Writer, routine: Routine, fail: Fail) -> None:
    w.line("TrailerP = (mach_msg_max_trailer_t *) (void *)")
    w.line("\t((char *) Out0P + _WALIGN_(Out0P->Head.msgh_size));")
    with w.block("if (TrailerP->msgh_trailer_type != MACH_MSG_TRAILER_FORMAT_0) {"):
        fail("MIG_TRAILER_ERROR")
    for argument in routine.user_trailer:
        assert argument.role is Role.TRAILER
        field = argument.trailer_field
        w.line("#if __MigTypeCheck")
        w.line("if (TrailerP->msgh_trailer_size")
        w.line(f"    < offsetof(mach_msg_max_trailer_t, {field}) + sizeof(TrailerP->{field})) {{")
        with w.block("", "}"):
            fail("MIG_TRAILER_ERROR")
        w.line("#endif /* __MigTypeCheck */")
        w.line(f"*{argument.name} = TrailerP->{field};")
