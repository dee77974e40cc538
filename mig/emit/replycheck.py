"""In the user stub: the function that checks a reply before anything is taken from it."""

from __future__ import annotations

from mig.emit.checks import CLIENT, write_content_checks
from mig.emit.writer import Writer
from mig.layout import Message
from mig.model import Interface, Routine


def write_reply_check(w: Writer, interface: Interface, routine: Routine, reply: Message) -> None:
    """Write ``__MIG_check__Reply__NAME_t``.

    It returns the server's own error if the reply is one. ``msgh_shrink_N`` receives by how much
    the fields after the Nth variable field have moved up.
    """
    name = f"__MIG_check__Reply__{routine.name}_t"
    shrinks = "".join(
        f", mach_msg_size_t *msgh_shrink_{i}" for i in range(1, len(reply.variables) + 1)
    )
    w.blank()
    w.line(f"#if !defined({name}__defined)")
    w.line(f"#define {name}__defined")
    w.line(f"mig_internal kern_return_t {name}(__Reply__{routine.name}_t *Reply0P{shrinks})")
    with w.block():
        w.line(f"typedef __Reply__{routine.name}_t Reply;")
        w.line("const Reply *Out0P = (const Reply *) Reply0P;")
        if reply.variables:
            w.line("mach_msg_size_t msgh_size = Out0P->Head.msgh_size;")
        w.blank()
        _write_identity(w, interface.message_id(routine) + 100)
        _write_form(w, reply, no_arguments=not any(a.returned for a in routine.arguments))
        write_content_checks(w, reply, CLIENT)
        w.line("return MACH_MSG_SUCCESS;")
    w.line(f"#endif /* !defined({name}__defined) */")
    w.blank()


def _write_identity(w: Writer, reply_id: int) -> None:
    with w.block(f"if (Out0P->Head.msgh_id != {reply_id}) {{"):
        w.line("return Out0P->Head.msgh_id == MACH_NOTIFY_SEND_ONCE")
        w.line("\t? MIG_SERVER_DIED : MIG_REPLY_MISMATCH;")


def _write_form(w: Writer, reply: Message, no_arguments: bool) -> None:
    """Check simple or complex and the size, and return the server's error if that is what came."""
    simple = "!(Out0P->Head.msgh_bits & MACH_MSGH_BITS_COMPLEX)"
    error = "((const mig_reply_error_t *) (const void *) Out0P)->RetCode"
    size = "Out0P->Head.msgh_size"
    full = "(mach_msg_size_t) sizeof(Reply)"
    if reply.variables:
        low = f"{full} - {reply.variable_room}"
        wrong = f"({size} < {low} || {size} > {full})"
    else:
        wrong = f"{size} != {full}"
    is_error = f"{size} == (mach_msg_size_t) sizeof(mig_reply_error_t)"
    w.line("#if __MigTypeCheck")
    error_reply = f"{is_error}\n\t\t&& {error} != KERN_SUCCESS"
    if no_arguments:
        condition = f"!({simple})\n\t    || {wrong}"
    elif reply.is_complex:
        count = len(reply.descriptors)
        condition = (
            f"({simple}\n\t\t|| Out0P->msgh_body.msgh_descriptor_count != {count}"
            f"\n\t\t|| {wrong})\n\t    && !({simple}\n\t\t&& {error_reply})"
        )
    else:
        condition = f"!({simple})\n\t    || ({wrong}\n\t\t&& !({error_reply}))"
    with w.block(f"if ({condition}) {{"):
        w.line("return MIG_TYPE_ERROR;")
    w.line("#endif /* __MigTypeCheck */")
    if reply.is_complex:
        with w.block(f"if ({simple}) {{"):
            w.line(f"return {error};")
    else:
        with w.block("if (Out0P->RetCode != KERN_SUCCESS) {"):
            w.line("return Out0P->RetCode;")
