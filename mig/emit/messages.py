"""C structures for messages, and expressions for the places in them."""

from __future__ import annotations

from mig.emit.descriptors import C_TYPES
from mig.emit.writer import Writer
from mig.layout import Field, Message
from mig.model import Argument


def field_type(argument: Argument, server: bool) -> str:
    """The C type of an argument's field, as the user or the server side names it."""
    return argument.type.server_type if server else argument.type.user_type


def element_type(argument: Argument, server: bool) -> str:
    """The C type of an element of a variable array."""
    element = argument.type.element
    assert element is not None
    return element.server_type if server else element.user_type


def write_struct_body(w: Writer, message: Message, server: bool, trailer: str = "") -> None:
    """Write the members of a message's structure."""
    w.line("mach_msg_header_t Head;")
    if message.is_complex:
        w.line("/* start of the kernel processed data */")
        w.line("mach_msg_body_t msgh_body;")
        for descriptor in message.descriptors:
            ctype = C_TYPES[descriptor.argument.type.descriptor_kind]
            w.line(f"{ctype} {descriptor.name};")
        w.line("/* end of the kernel processed data */")
    if message.has_ndr:
        w.line("NDR_record_t NDR;")
    if message.has_ret_code:
        w.line("kern_return_t RetCode;")
    for field in message.fields:
        _write_field(w, field, server)
    if trailer:
        w.line(f"{trailer} trailer;")


def _write_field(w: Writer, field: Field, server: bool) -> None:
    argument = field.argument
    if not field.is_variable:
        w.line(f"{field_type(argument, server)} {field.name};")
    else:
        if field.is_string:
            w.line(f"mach_msg_type_number_t {field.name}Offset; /* always 0 */")
        w.line(f"mach_msg_type_number_t {field.count_name};")
        w.line(f"{element_type(argument, server)} {field.name}[{field.maximum}];")
    if field.pad:
        w.line(f"char {field.name}Pad[{field.pad}];")


def has_pad(field: Field) -> bool:
    """Whether a fixed field is followed by pad bytes that must be cleared."""
    return field.pad > 0 and not field.is_variable


def needs_copy(argument: Argument) -> bool:
    """Whether an array must not be used in place, because its C type may need more than 4 bytes.

    The message is aligned to four bytes. Elements of at most four bytes that are not structures
    can be read and written where they lie; anything else is copied to or from a variable.
    """
    it = argument.type
    if it.string:
        return False
    element = it.element
    # Walk down to the element that C sees: an array of a named struct hides what is inside.
    while element is not None and not element.struct and element.element is not None:
        element = element.element
    if element is None:
        return it.bits > 32
    if element.struct and element.number > 1:
        return True
    return element.bits > 32


def place(message_struct: str, base: str, field_name: str, shrink: str) -> str:
    """The address of a field that may have moved up because of a shorter variable field."""
    return f"(char *) {base} + (offsetof({message_struct}, {field_name}) - {shrink})"


def rounded(expression: str, element_size: int) -> str:
    """Bytes that ``expression`` elements take in a message: rounded up to a multiple of four."""
    scaled = expression if element_size == 1 else f"{element_size} * {expression}"
    return f"({scaled})" if element_size % 4 == 0 else f"_WALIGN_({scaled})"
