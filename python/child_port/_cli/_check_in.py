"""The check-ins of `run`, before its program is started."""

from __future__ import annotations

from collections.abc import Sequence

from .._child_port import SendRight, task_self
from .._deadline import Deadline
from .._errors import HandshakeError, NotAChild
from .._parent import check_in_to_parent
from ..bootstrap import look_up
from ._output import print_error


def _right(what: str, deadline: Deadline) -> SendRight | None:
    if what == "task":
        return task_self()
    if what == "none":
        return None
    return look_up(what.partition(":")[2], timeout=deadline.left())


def check_in(rights: Sequence[str], timeout: float) -> bool:
    """Hand over what was asked for, in this order; False, and one line about it, if it fails."""
    deadline = Deadline(timeout)
    try:
        for what in rights:
            right = _right(what, deadline)
            try:
                check_in_to_parent(right, timeout=deadline.left())
            finally:
                if right is not None:
                    right.close()
    # OSError: MachError and PeerGone, and macOS's refusal of a system binary's task port.
    except (OSError, HandshakeError, NotAChild) as error:
        print_error("run", str(error))
        return False
    return True
