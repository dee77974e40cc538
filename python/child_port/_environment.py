"""How a process that Popen starts learns of its pipes: three environment variables.

CHILD_PORT_CHECK_IN and CHILD_PORT_RECEIVE are descriptor numbers, each with the device and inode of
the pipe behind it, "5:14:81234": a process further down may inherit the variable without the
descriptor, and must not take another file for it. CHILD_PORT_PARENT_PID is there if the parent
says who it is.
"""

from __future__ import annotations

import os
import stat

from ._errors import NotAChild

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

CHECK_IN = "CHILD_PORT_CHECK_IN"
RECEIVE = "CHILD_PORT_RECEIVE"
PARENT_PID = "CHILD_PORT_PARENT_PID"

_NO_PARENT = (
    "this process has no parent to check in with: it inherited the variables of child_port.Popen"
)
_LARGEST_PID = 2**31 - 1


def variables_for_child(
    env: Mapping[Any, Any] | None, check_in_fd: int, receive_fd: int, parent_pid: int | None
) -> dict[Any, Any]:
    """The child's environment: env, or this process's, and the variables."""
    variables = dict(os.environ if env is None else env)
    for variable in (CHECK_IN, RECEIVE, PARENT_PID):
        variables.pop(os.fsencode(variable), None)  # as in os.environb
    variables[CHECK_IN] = _describe(check_in_fd)
    variables[RECEIVE] = _describe(receive_fd)
    variables.pop(PARENT_PID, None)
    if parent_pid is not None:
        variables[PARENT_PID] = str(parent_pid)
    return variables


def read_variables() -> tuple[int, int, int | None]:
    """The descriptors to check in and to receive with, and the parent's pid, if it is given.

    The descriptors are no longer inherited: what this process starts is not that parent's child.
    Raises NotAChild if the variables are not there, or not what Popen has set.
    """
    check_in, receive, parent = map(os.environ.get, (CHECK_IN, RECEIVE, PARENT_PID))
    if check_in is None or receive is None:
        raise NotAChild(
            "this process has no parent to check in with: it was not started by child_port.Popen, "
            "or whatever started it in between did not hand the environment on"
        )
    return _pipe(check_in), _pipe(receive), None if parent is None else _pid(parent)


def forget_variables() -> None:
    for variable in (CHECK_IN, RECEIVE, PARENT_PID):
        os.environ.pop(variable, None)


def _describe(fd: int) -> str:
    status = os.fstat(fd)
    return f"{fd}:{status.st_dev}:{status.st_ino}"


def _pid(text: str) -> int:
    try:
        pid = int(text)
    except ValueError:
        pid = 0
    if not 0 < pid <= _LARGEST_PID:
        raise NotAChild(f"{_NO_PARENT}, but {PARENT_PID} is no process's number: {text!r}")
    return pid


def _pipe(description: str) -> int:
    """The descriptor, no longer inherited."""
    number = description.partition(":")[0]
    try:
        fd = int(number)
        is_it = stat.S_ISFIFO(os.fstat(fd).st_mode) and _describe(fd) == description
    except (OSError, ValueError, OverflowError):
        is_it = False
    if not is_it:
        raise NotAChild(
            f"{_NO_PARENT}, but not descriptor {number}; a process in between closed it"
        )
    os.set_inheritable(fd, False)
    return fd
