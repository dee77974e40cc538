"""What both sides check in a received message beyond its form: descriptors and counts.

A server checks requests and a client replies in the same way; ``Side`` holds what differs. The
message's size has been found between its bounds before, so what is read here is there.
"""

from __future__ import annotations

from dataclasses import dataclass

from mig.emit.descriptors import elements, wrong_descriptor
from mig.emit.messages import place, rounded
from mig.emit.writer import Writer
from mig.layout import Field, Message


@dataclass(frozen=True)
class Side:
    """One side's words: the message's structure, the pointers to it, the error of a wrong size."""

    server: bool
    struct: str
    pointer: str
    raw: str
    wrong_size: str


SERVER = Side(True, "Request", "In0P", "Request0P", "MIG_BAD_ARGUMENTS")
CLIENT = Side(False, "Reply", "Out0P", "Reply0P", "MIG_TYPE_ERROR")


def write_content_checks(w: Writer, message: Message, side: Side) -> None:
    """Check each descriptor, each variable field's count, each out-of-line array's count."""
    for descriptor in message.descriptors:
        _write_descriptor_check(w, descriptor, side)
    for i, field in enumerate(message.variables, 1):
        _write_variable_check(w, message, field, i, side)
    for descriptor in message.descriptors:
        if descriptor.argument.count is not None:
            _write_count_check(w, message, descriptor, side)


def _write_descriptor_check(w: Writer, descriptor: Field, side: Side) -> None:
    name = f"{side.pointer}->{descriptor.name}"
    wrong = wrong_descriptor(name, descriptor.argument.type, side.server)
    w.line("#if __MigTypeCheck")
    with w.block(f"if ({wrong}) {{"):
        w.line("return MIG_TYPE_ERROR;")
    w.line("#endif /* __MigTypeCheck */")


def _write_read_count(w: Writer, name: str, position: int, side: Side) -> None:
    """Read a count, which has moved up if there are variable fields before it."""
    w.line("mach_msg_type_number_t count;")
    if position == 0:
        w.line(f"count = {side.pointer}->{name};")
    else:
        at = place(side.struct, side.raw, name, f"*msgh_shrink_{position}")
        w.line(f"(void) memcpy(&count, {at}, sizeof(count));")


def _write_variable_check(
    w: Writer, message: Message, field: Field, number: int, side: Side
) -> None:
    """Check a count against its type and the message's size; say how far what follows moves up."""
    last = number == len(message.variables)
    low = f"(mach_msg_size_t) sizeof({side.struct}) - {message.variable_room}"
    used = rounded("count", field.element_size)
    with w.block():
        _write_read_count(w, field.count_name, field.position, side)
        w.line("#if __MigTypeCheck")
        w.line(f"if (count > {field.maximum} || msgh_size - ({low}) < {used}")
        w.line(f"    || msgh_size {'!=' if last else '<'} {low} + {used})")
        w.line(f"\treturn {side.wrong_size};")
        w.line("#endif /* __MigTypeCheck */")
        earlier = f"*msgh_shrink_{number - 1} + " if number > 1 else ""
        w.line(f"*msgh_shrink_{number} = {earlier}{field.room} - {used};")
        w.line("(void) msgh_size;" if last else f"msgh_size -= {used};")


def _write_count_check(w: Writer, message: Message, descriptor: Field, side: Side) -> None:
    """The count in the body must be that of the descriptor."""
    argument = descriptor.argument
    assert argument.count is not None
    field = message.field_of(argument.count)
    given = elements(f"{side.pointer}->{descriptor.name}", argument.type)
    w.line("#if __MigTypeCheck")
    with w.block():
        _write_read_count(w, field.name, field.position, side)
        w.line(f"if ({given} != count)")
        w.line("\treturn MIG_TYPE_ERROR;")
    w.line("#endif /* __MigTypeCheck */")
