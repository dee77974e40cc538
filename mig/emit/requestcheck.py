"""In the server stub: the function that checks a request before anything is taken from it.

The order is migcom's, so that a message wrong in two ways gets the same answer: the complex bit,
the number of descriptors and the size; each descriptor; each variable field's count; each
string's terminator.
"""

from __future__ import annotations

from mig.emit.checks import SERVER, write_content_checks
from mig.emit.writer import Writer
from mig.layout import Field, Message
from mig.model import Routine


def write_request_check(w: Writer, routine: Routine, request: Message) -> None:
    """Write ``__MIG_check__Request__NAME_t``; ``msgh_shrink_N`` as in the check of a reply."""
    name = f"__MIG_check__Request__{routine.name}_t"
    shrinks = "".join(
        f", mach_msg_size_t *msgh_shrink_{i}" for i in range(1, len(request.variables) + 1)
    )
    w.blank()
    w.line(f"#if !defined({name}__defined)")
    w.line(f"#define {name}__defined")
    w.line(f"mig_internal kern_return_t {name}(")
    w.line(f"\t__attribute__((__unused__)) __Request__{routine.name}_t *Request0P{shrinks})")
    with w.block():
        _declarations(w, routine, request)
        _write_form(w, routine, request)
        write_content_checks(w, request, SERVER)
        for field in request.fields:
            if field.argument.type.string:
                _write_terminator_check(w, field)
        w.line("return MACH_MSG_SUCCESS;")
    w.line(f"#endif /* !defined({name}__defined) */")
    w.blank()


def _declarations(w: Writer, routine: Routine, request: Message) -> None:
    if not request.variables:
        w.line("#if __MigTypeCheck")
    w.line(f"typedef __Request__{routine.name}_t Request;")
    w.line("const Request *In0P = (const Request *) Request0P;")
    if not request.variables:
        w.line("#endif /* __MigTypeCheck */")
    else:
        w.line("mach_msg_size_t msgh_size = In0P->Head.msgh_size;")
    w.blank()


def _write_form(w: Writer, routine: Routine, request: Message) -> None:
    full = "(mach_msg_size_t) sizeof(Request)"
    size = "In0P->Head.msgh_size"
    if request.variables:
        wrong = f"{size} < {full} - {request.variable_room}\n\t    || {size} > {full}"
    else:
        wrong = f"{size} != {full}"
    complex_bit = "(In0P->Head.msgh_bits & MACH_MSGH_BITS_COMPLEX)"
    if not request.is_complex:
        condition = f"{complex_bit}\n\t    || {wrong}"
    else:
        condition = (
            f"!{complex_bit}\n"
            f"\t    || In0P->msgh_body.msgh_descriptor_count != {len(request.descriptors)}\n"
            f"\t    || {wrong}"
        )
    w.line("#if __MigTypeCheck")
    with w.block(f"if ({condition}) {{"):
        w.line("return MIG_BAD_ARGUMENTS;")
    w.line("#endif /* __MigTypeCheck */")


def _write_terminator_check(w: Writer, field: Field) -> None:
    """A string must end within its field and within the message."""
    w.line("#if __MigTypeCheck")
    with w.block():
        shrink = f" - *msgh_shrink_{field.position}" if field.position else ""
        w.line(
            f"mach_msg_size_t start = (mach_msg_size_t) offsetof(Request, {field.name}){shrink};"
        )
        w.line("mach_msg_size_t length = In0P->Head.msgh_size - start;")
        w.line(f"if (length > {field.size})")
        w.line(f"\tlength = {field.size};")
        w.line("if (memchr((const char *) In0P + start, '\\0', length) == NULL)")
        w.line("\treturn MIG_BAD_ARGUMENTS;")
    w.line("#endif /* __MigTypeCheck */")
