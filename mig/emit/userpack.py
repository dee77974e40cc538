"""In the user stub: arguments into the request."""

from __future__ import annotations

from collections.abc import Callable

from mig.emit.descriptors import write_descriptor
from mig.emit.messages import place, rounded
from mig.emit.writer import Writer
from mig.layout import Field, Message
from mig.model import Argument, Role, Routine
from mig.types import POLYMORPHIC

Fail = Callable[[str], None]


def write_pack(w: Writer, routine: Routine, request: Message, fail: Fail) -> None:
    """Fill in the request's descriptors and fields."""
    ret_code = routine.ret_code_arg
    if ret_code is None:
        _write_all(w, request, fail)
        return
    # A return code other than success goes alone, in the form of an error reply.
    with w.block(f"if ({ret_code.name}) {{", "} else {"):
        w.line("((mig_reply_error_t *) InP)->NDR = NDR_record;")
        w.line(f"((mig_reply_error_t *) InP)->RetCode = {ret_code.name};")
        w.line("msgh_size = (mach_msg_size_t) sizeof(mig_reply_error_t);")
    with w.block(""):
        _write_all(w, request, fail)
        shrink = " - msgh_shrink" if request.variables else ""
        w.line(f"msgh_size = (mach_msg_size_t) sizeof(Request){shrink};")
    w.blank()


def _write_all(w: Writer, request: Message, fail: Fail) -> None:
    if request.is_complex:
        w.line(f"InP->msgh_body.msgh_descriptor_count = {len(request.descriptors)};")
    for descriptor in request.descriptors:
        _write_descriptor(w, descriptor)
    if request.has_ndr:
        w.line("InP->NDR = NDR_record;")
    for field in request.fields:
        if field.is_variable:
            _write_variable(w, field, fail)
        else:
            _write_fixed(w, field)
    w.blank()


def _value(argument: Argument) -> str:
    return f"{'*' if argument.by_reference_user else ''}{argument.name}"


def _write_descriptor(w: Writer, descriptor: Field) -> None:
    argument = descriptor.argument
    disposition = argument.type.sent_name
    if argument.type.sent == POLYMORPHIC:
        assert argument.poly is not None
        disposition = f"{_value(argument.poly)} & 0xffu"
    count = _value(argument.count) if argument.count else ""
    name = f"InP->{descriptor.name}"
    write_descriptor(w, name, argument, _value(argument), disposition, count)


def _address(field: Field, name: str) -> str:
    """Where a field lies in the request: in place, or moved up."""
    if field.position == 0:
        return f"InP->{name}"
    return place("Request", "InP", name, "msgh_shrink")


def _write_fixed(w: Writer, field: Field) -> None:
    argument = field.argument
    it = argument.type
    target = _address(field, field.name)
    if argument.role is Role.COUNT_IN_OUT:
        _write_offered_count(w, field, target)
    elif it.string:
        w.line(f"(void) memset({target}, 0, {field.size});")
        w.line(f"(void) mig_strncpy({target}, {argument.name}, {field.size});")
    elif it.is_array:
        w.line(f"(void) memcpy({target}, {argument.name}, {field.size});")
    elif field.position == 0:
        w.line(f"{target} = {_value(argument)};")
    else:
        address = argument.name if argument.by_reference_user else f"&{argument.name}"
        w.line(f"(void) memcpy({target}, {address}, sizeof({_value(argument)}));")
    if field.pad:
        w.line(f"(void) memset({_address(field, f'{field.name}Pad')}, 0, {field.pad});")


def _write_offered_count(w: Writer, field: Field, target: str) -> None:
    """Offer as many elements as the caller has room for, but no more than the type allows."""
    parent = field.argument.parent
    assert parent is not None
    name, maximum = field.name, parent.type.element_count
    with w.block():
        w.line(f"mach_msg_type_number_t msgh_offered = *{name} < {maximum} ? *{name} : {maximum};")
        if field.position == 0:
            w.line(f"{target} = msgh_offered;")
        else:
            w.line(f"(void) memcpy({target}, &msgh_offered, sizeof(msgh_offered));")


def _write_variable(w: Writer, field: Field, fail: Fail) -> None:
    argument = field.argument
    target = _address(field, field.name)
    if field.is_string:
        _write_string(w, field, target)
        return
    count = f"{field.count_name}"
    with w.block(f"if ({count} > {field.maximum}) {{"):
        fail("MIG_ARRAY_TOO_LARGE")
    if field.position == 0:
        w.line(f"InP->{field.count_name} = {count};")
    else:
        w.line(f"(void) memcpy({_address(field, field.count_name)}, &{count}, sizeof({count}));")
    with w.block():
        size = field.element_size
        scaled = f"(mach_msg_size_t) {count}" if size == 1 else f"{size} * {count}"
        used = "msgh_used" if size % 4 == 0 else "_WALIGN_(msgh_used)"
        w.line(f"const mach_msg_size_t msgh_used = {scaled};")
        w.line(f"(void) memcpy({target}, {argument.name}, msgh_used);")
        if size % 4:
            w.line(f"(void) memset((char *) {target} + msgh_used, 0, {used} - msgh_used);")
        w.line(f"msgh_shrink += {field.room} - {used};")


def _write_string(w: Writer, field: Field, target: str) -> None:
    with w.block():
        w.line("mach_msg_type_number_t msgh_used;")
        if field.position == 0:
            w.line(f"InP->{field.name}Offset = 0;")
        else:
            w.line(f"(void) memset({_address(field, f'{field.name}Offset')}, 0, 4);")
        w.line(
            "msgh_used = (mach_msg_type_number_t)"
            f" mig_strncpy({target}, {field.argument.name}, {field.size});"
        )
        rest = f"{rounded('msgh_used', 1)} - msgh_used"
        w.line(f"(void) memset((char *) {target} + msgh_used, 0, {rest});")
        if field.position == 0:
            w.line(f"InP->{field.count_name} = msgh_used;")
        else:
            w.line(
                f"(void) memcpy({_address(field, field.count_name)}, &msgh_used,"
                " sizeof(msgh_used));"
            )
        w.line(f"msgh_shrink += {field.room} - {rounded('msgh_used', 1)};")
