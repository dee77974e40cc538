"""Descriptors: ports, and data and arrays of ports that travel out of line.

A descriptor is filled in and checked in the same way on either side, so both sides use this.
"""

from __future__ import annotations

from mig.emit.writer import Writer
from mig.model import Argument
from mig.types import MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE, IpcType

C_TYPES = {
    "port": "mach_msg_port_descriptor_t",
    "ool": "mach_msg_ool_descriptor_t",
    "ool_ports": "mach_msg_ool_ports_descriptor_t",
}
_KINDS = {
    "port": "MACH_MSG_PORT_DESCRIPTOR",
    "ool": "MACH_MSG_OOL_DESCRIPTOR",
    "ool_ports": "MACH_MSG_OOL_PORTS_DESCRIPTOR",
}
# A port whose disposition is an argument on the sending side only: what may arrive at a server.
_ACCEPTED = {
    MOVE_RECEIVE: ("MACH_MSG_TYPE_MOVE_RECEIVE",),
    MOVE_SEND_ONCE: ("MACH_MSG_TYPE_MOVE_SEND_ONCE", "MACH_MSG_TYPE_MAKE_SEND_ONCE"),
    MOVE_SEND: (
        "MACH_MSG_TYPE_MOVE_SEND",
        "MACH_MSG_TYPE_MAKE_SEND",
        "MACH_MSG_TYPE_COPY_SEND",
    ),
}


def ool_bytes(it: IpcType) -> int:
    """Bytes of out-of-line data of a fixed size."""
    return (it.number * it.bits + 7) // 8


def write_descriptor(
    w: Writer, name: str, argument: Argument, value: str, disposition: str, count: str
) -> None:
    """Fill in the descriptor at ``name``; ``count`` is a variable array's number of elements."""
    it = argument.type
    kind = it.descriptor_kind
    if kind == "port":
        w.lines(f"{name}.name = {value};", f"{name}.pad1 = 0;", f"{name}.pad2 = 0;")
    else:
        w.line(f"{name}.address = (void *) ({value});")
        dealloc = argument.dealloc_arg
        frees = f"{dealloc.name} != 0" if dealloc else str(argument.dealloc == "yes").upper()
        w.line(f"{name}.deallocate = {frees};")
    if kind == "ool":
        size = f"{it.element_size} * {count}" if it.varying else str(ool_bytes(it))
        copy = "PHYSICAL" if "physicalcopy" in argument.flags else "VIRTUAL"
        w.line(f"{name}.size = {size};")
        w.line(f"{name}.copy = MACH_MSG_{copy}_COPY;")
        w.line(f"{name}.pad1 = 0;")
    elif kind == "ool_ports":
        w.line(f"{name}.count = {count if it.varying else it.number};")
        w.line(f"{name}.copy = MACH_MSG_PHYSICAL_COPY;")
    if kind != "ool":
        w.line(f"{name}.disposition = {disposition};")
    w.line(f"{name}.type = {_KINDS[kind]};")


def wrong_descriptor(name: str, it: IpcType, server: bool) -> str:
    """The condition under which a received descriptor is not what the interface says."""
    kind = it.descriptor_kind
    tests = [f"{name}.type != {_KINDS[kind]}"]
    if kind == "ool" and not it.varying:
        tests.append(f"{name}.size != {ool_bytes(it)}")
    if kind == "ool_ports" and not it.varying:
        tests.append(f"{name}.count != {it.number}")
    if kind != "ool" and not it.is_polymorphic:
        tests.append(f"{name}.disposition != {it.received_name}")
    elif kind == "port" and server and it.received in _ACCEPTED:
        each = (f"{name}.disposition != {d}" for d in _ACCEPTED[it.received])
        tests.append(f"({' && '.join(each)})")
    return "\n\t    || ".join(tests)


def elements(name: str, it: IpcType) -> str:
    """How many elements a received out-of-line array has, by its descriptor."""
    if it.descriptor_kind == "ool_ports":
        return f"{name}.count"
    return f"{name}.size" if it.element_size == 1 else f"{name}.size / {it.element_size}"
