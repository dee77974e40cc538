"""Names that an argument or a routine must not have, because the generated C needs them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mig.model import Argument, Role, Routine


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


C_KEYWORDS = _words("""
    auto break case char const continue default do double else enum extern float for goto if inline
    int long register restrict return short signed sizeof static struct switch typedef union
    unsigned void volatile while _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary
    _Noreturn _Static_assert _Thread_local asm
""")
# Variables, fields and types of the stubs, and what the stubs call.
_USED = _words("""
    Mess InP Out0P In0P OutP InHeadP OutHeadP TrailerP Request Reply __Request __Reply RetCode NDR
    Head msgh_body msg_result msgh_size msgh_shrink check_result trailer_size msgh_cursor msgh_count
    msgh_received msgh_offered msgh_used msgh_simple NDR_record mach_msg mach_msg_destroy
    mach_task_self memcpy memset memchr strlen offsetof mig_strncpy mig_get_reply_port
    mig_put_reply_port mig_dealloc_reply_port mig_user_allocate mig_user_deallocate mig_deallocate
    vm_deallocate kern_return_t boolean_t mig_reply_error_t mach_msg_return_t mach_msg_size_t
    mach_msg_type_number_t mach_msg_type_name_t mach_msg_header_t mach_msg_max_trailer_t
    mach_msg_trailer_t vm_address_t vm_size_t size_t NULL TRUE FALSE
""")
_NUMBERED = re.compile(r"msgh_shrink_\d+\Z|msgh_no_")


def is_reserved(name: str) -> bool:
    """Whether every stub may have a use for this name."""
    return name in _USED or name in C_KEYWORDS or _NUMBERED.match(name) is not None


def field_names(argument: Argument) -> Iterator[str]:
    """The fields that go with an argument's own in a message."""
    it = argument.type
    if argument.role is not Role.NORMAL or it.is_descriptor:
        return
    if it.pad:
        yield f"{argument.name}Pad"
    if it.string and it.varying:
        yield f"{argument.name}Offset"


def needed_names(routine: Routine) -> dict[str, list[Argument | None]]:
    """C names that this routine's stubs use where its arguments are in scope, and for what.

    A parameter may have the name of its own type, but nothing after it can be of that type: None
    stands for a use that is not the declaration of one parameter.
    """
    needed: dict[str, list[Argument | None]] = {routine.server_name: [None]}
    for argument in routine.arguments:
        it = argument.type
        for name in (it.in_trans, it.out_trans, it.destructor):
            needed.setdefault(name, []).append(None)
        for name in {it.user_type, it.server_type, it.trans_type}:
            needed.setdefault(name, []).append(argument if it.inline else None)
        if it.element is not None and it.varying:
            for name in (it.element.user_type, it.element.server_type):
                needed.setdefault(name, []).append(None)
    return needed
