"""Where each value lies in a routine's request and reply.

A message is a header, the descriptors of ports if it has any (with their count before them), the
NDR record if data follows, in a simple reply the return code, and then the data: every field
starts at a multiple of four. Offsets count every variable field at its longest; on the wire the
fields after a shorter one move up. ``Field.position`` says how many variable fields come before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mig.model import Argument, Role, Routine
from mig.types import STRING_C

HEADER = 24
BODY = 4
DESCRIPTORS = {"port": 12, "ool": 16, "ool_ports": 16}  # with 64-bit addresses
NDR = 8
RET_CODE = 4
COUNT = 4
# A size that a mach_msg_size_t, and every sum that a stub makes of it, can hold with room to spare.
MAX_MESSAGE = 0x7FFFFF00


@dataclass(frozen=True)
class Field:
    """One value's place. ``count`` and ``string_offset`` lie just before a variable value."""

    argument: Argument
    name: str
    offset: int
    size: int
    pad: int
    position: int = 0
    is_variable: bool = False
    is_string: bool = False

    @property
    def count_name(self) -> str:
        """The field that holds the number of elements of a variable field."""
        return f"{self.name}Cnt"

    @property
    def maximum(self) -> int:
        """The most elements that a variable field can hold."""
        return self.argument.type.element_count

    @property
    def element_size(self) -> int:
        """Bytes of an element of a variable field."""
        return self.argument.type.element_size

    @property
    def room(self) -> int:
        """Bytes of a variable field at its longest, pad included."""
        return self.size + self.pad


@dataclass
class Message:
    """The layout of a request or a reply."""

    descriptors: list[Field] = field(default_factory=list)
    has_ndr: bool = False
    has_ret_code: bool = False
    fields: list[Field] = field(default_factory=list)
    size: int = HEADER

    @property
    def is_complex(self) -> bool:
        """Whether the message carries descriptors."""
        return bool(self.descriptors)

    @property
    def variables(self) -> list[Field]:
        """The fields whose length varies, in order."""
        return [f for f in self.fields if f.is_variable]

    @property
    def variable_room(self) -> int:
        """By how much the longest message exceeds the shortest."""
        return sum(f.room for f in self.variables)

    def field_of(self, argument: Argument) -> Field:
        """The field in the body that holds an argument."""
        return next(f for f in self.fields if f.argument is argument)

    @property
    def minimum(self) -> int:
        """The size with every variable field empty."""
        return self.size - self.variable_room


def request_layout(routine: Routine) -> Message:
    """Lay out a routine's request."""
    arguments = [a for a in routine.arguments if a.sent]
    return _lay_out(
        arguments, _has_data(arguments) or routine.ret_code_arg is not None, has_ret_code=False
    )


def reply_layout(routine: Routine) -> Message:
    """Lay out a routine's reply. A one-way routine has the form of one that is never sent."""
    arguments = [a for a in routine.arguments if a.returned]
    has_ret_code = not any(a.is_descriptor for a in arguments)
    return _lay_out(arguments, has_ret_code or _has_data(arguments), has_ret_code)


def _has_data(arguments: list[Argument]) -> bool:
    """Whether a message says how data in it is represented: data out of line counts too."""
    return any(_is_data(a) or (a.is_descriptor and not a.type.port) for a in arguments)


def _is_data(argument: Argument) -> bool:
    """Whether an argument puts bytes into the body."""
    if argument.role in (Role.COUNT, Role.COUNT_IN_OUT):
        return True
    return argument.role is Role.NORMAL and not argument.type.is_descriptor


def _lay_out(arguments: list[Argument], has_ndr: bool, has_ret_code: bool) -> Message:
    message = Message(has_ndr=has_ndr, has_ret_code=has_ret_code)
    offset = HEADER
    descriptors = [a for a in arguments if a.is_descriptor]
    if descriptors:
        offset += BODY
    for argument in descriptors:
        size = DESCRIPTORS[argument.type.descriptor_kind]
        message.descriptors.append(Field(argument, argument.name, offset, size, 0))
        offset += size
    offset += NDR * has_ndr + RET_CODE * has_ret_code
    position = 0
    for argument in arguments:
        if not _is_data(argument):
            continue
        it = argument.type
        variable = it.is_varying_inline
        string = it.received == STRING_C and it.string
        if variable:
            offset += COUNT * (1 + string)
        message.fields.append(
            Field(argument, argument.name, offset, it.size, it.pad, position, variable, string)
        )
        offset += it.size + it.pad
        position += variable
    message.size = offset
    return message
