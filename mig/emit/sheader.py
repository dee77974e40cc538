"""The server header (``-sheader``)."""

from __future__ import annotations

from mig.emit.common import (
    extern_c,
    guard,
    server_parameters,
    write_external,
    write_heading,
    write_includes,
    write_message_types,
    write_name_map,
    write_prototype,
)
from mig.emit.writer import Writer
from mig.model import Interface


def server_header(interface: Interface) -> str:
    """What a server includes: its callouts' prototypes, the demux, the messages' types."""
    w = Writer()
    write_heading(w, interface, "The server's side")
    with guard(w, f"_{interface.name}_server_"):
        write_includes(w, interface, ("import", "simport", "dimport"))
        w.default(f"{interface.name}_MSG_COUNT", "", str(interface.slots))
        w.lines("#ifdef __BeforeMigServerHeader", "__BeforeMigServerHeader", "#endif", "")
        write_server_declarations(w, interface)
        write_message_types(w, interface, interface.server_subsystem, server=True)
        write_name_map(w, interface)
        w.lines("#ifdef __AfterMigServerHeader", "__AfterMigServerHeader", "#endif")
    return w.text()


def write_server_declarations(w: Writer, interface: Interface) -> None:
    """Declare the callouts, the demux functions and the subsystem's description."""
    with extern_c(w):
        for routine in interface.routines:
            write_prototype(w, routine, routine.server_name, server_parameters(routine))
        write_external(w)
        w.line(f"boolean_t {interface.server_demux}(")
        w.lines("\tmach_msg_header_t *InHeadP,", "\tmach_msg_header_t *OutHeadP);", "")
        write_external(w)
        w.line(f"mig_routine_t {interface.server_demux}_routine(")
        w.lines("\tmach_msg_header_t *InHeadP);", "")
        write_subsystem_type(w, interface)


def write_subsystem_type(w: Writer, interface: Interface) -> None:
    """Declare the table that describes the subsystem."""
    name = interface.server_subsystem
    with w.block(f"extern const struct {name} {{", f"}} {name};"):
        w.line("mig_server_routine_t server; /* finds the stub of a message */")
        w.line("mach_msg_id_t start; /* the first message id */")
        w.line("mach_msg_id_t end; /* the last message id + 1 */")
        w.line("unsigned int maxsize; /* of the longest reply */")
        w.line("vm_address_t reserved;")
        w.line(f"struct routine_descriptor routine[{max(1, interface.slots)}];")
