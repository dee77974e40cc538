"""The internal header (``-iheader``) and the defines header (``-dheader``)."""

from __future__ import annotations

from mig.emit.common import (
    extern_c,
    guard,
    user_parameters,
    write_heading,
    write_includes,
    write_prototype,
)
from mig.emit.writer import Writer
from mig.model import Interface


def internal_header(interface: Interface) -> str:
    """The user stubs' prototypes, for the side that implements them."""
    w = Writer()
    write_heading(w, interface, "The client's stubs, for their own implementation,")
    with guard(w, f"_{interface.name}_internal_"):
        write_includes(w, interface, ("import", "iimport", "dimport"))
        with extern_c(w):
            for routine in interface.routines:
                write_prototype(w, routine, routine.user_name, user_parameters(routine))
    return w.text()


def defines_header(interface: Interface) -> str:
    """The message ids as macros."""
    w = Writer()
    write_heading(w, interface, "The message ids")
    with guard(w, f"_{interface.name}_defines_"):
        for routine in interface.routines:
            name, number = routine.name, interface.message_id(routine)
            w.line(f"#define MACH_ID_{name.upper()} {number} /* {name}() */")
            if not routine.one_way:
                w.line(f"#define MACH_ID_{name.upper()}_REPLY {number + 100} /* {name}() */")
            w.blank()
    return w.text()
