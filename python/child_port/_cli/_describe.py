"""A right, in words and for a machine."""

from __future__ import annotations

from typing import TypedDict

from .._child_port import MachError, Right, SendRight, pid_for_task


class Described(TypedDict):
    kind: str
    name: int
    pid: int | None
    """Of the process whose task port this is."""


def describe(right: Right) -> Described:
    pid = None
    if isinstance(right, SendRight):
        try:
            pid = pid_for_task(right)
        except MachError:  # any port but a task's
            pid = None
    return {"kind": type(right).__name__, "name": right.name, "pid": pid}
