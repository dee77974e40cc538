"""The user header (``-header``)."""

from __future__ import annotations

from mig.emit.common import (
    extern_c,
    guard,
    user_parameters,
    write_heading,
    write_includes,
    write_message_types,
    write_name_map,
    write_prototype,
)
from mig.emit.writer import Writer
from mig.model import Interface


def user_header(interface: Interface) -> str:
    """What a client includes: the user stubs' prototypes and the messages' types."""
    w = Writer()
    write_heading(w, interface, "The client's side")
    with guard(w, f"_{interface.name}_user_"):
        write_includes(w, interface, ("import", "uimport", "dimport"))
        w.default(f"{interface.name}_MSG_COUNT", "", str(interface.slots))
        w.lines("#ifdef __BeforeMigUserHeader", "__BeforeMigUserHeader", "#endif", "")
        with extern_c(w):
            for routine in interface.routines:
                write_prototype(w, routine, routine.user_name, user_parameters(routine))
        w.line("/* The messages at their longest: for sizes, not for reading variable fields. */")
        w.blank()
        write_message_types(w, interface, interface.user_subsystem, server=False)
        write_name_map(w, interface)
        w.lines("#ifdef __AfterMigUserHeader", "__AfterMigUserHeader", "#endif")
    return w.text()
