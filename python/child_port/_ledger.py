"""The ledger: the names of this task, what the kernel counts under each, and who owns it here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import FrameType

from ._child_port import _ledger_names, _ledger_owners, _ledger_trace

_FRAMES = 8
_PACKAGE = os.path.dirname(__file__)


@dataclass(frozen=True)
class Owner:
    """A right object that owns one user reference, the receive right or a port set."""

    kind: str
    """The name of its type: "SendRight", "SendOnceRight", and so on."""
    id: int
    """Its id(): the object itself is not kept alive for the ledger."""
    created: tuple[str, ...] | None
    """Where it was made, the innermost line first; None if trace_rights() was off."""


@dataclass(frozen=True)
class LedgerEntry:
    """One name of this task."""

    name: int
    references: dict[str, int]
    """User references of each kind of right: "send", "receive" (1 if this task has it),
    "send-once", "port-set", "dead-name"."""
    owners: tuple[Owner, ...]
    """The right objects of this interpreter that own some of them."""

    @property
    def not_owned(self) -> int:
        """How many of the references no right object owns: native code's, or detached ones."""
        return max(0, sum(self.references.values()) - len(self.owners))


def ledger() -> list[LedgerEntry]:
    """Every port name of this task, in order, with its user references and their owners here.

    The first is the kernel's account (mach_port_names, mach_port_get_refs); it has names that the
    system or native code made, too. While other threads make and release rights, the two accounts
    may differ a little.

    Raises MachError if the kernel gives no account.
    """
    owners: dict[int, list[Owner]] = {}
    for name, kind, id_, created in _ledger_owners():
        owners.setdefault(name, []).append(Owner(kind, id_, created))
    return [
        LedgerEntry(name, references, tuple(owners.get(name, ())))
        for name, references in sorted(_ledger_names(), key=lambda entry: entry[0])
        if references
    ]


def trace_rights(on: bool = True) -> bool:
    """Note from now on where each right object is made, for ledger(); False stops it.

    Returns whether it was on. It takes a few microseconds for each right while it is on.
    """
    return _ledger_trace(_origin if on else None)


def _origin() -> tuple[str, ...]:
    """The lines that led here, without those of this package that come first."""
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and os.path.dirname(frame.f_code.co_filename) == _PACKAGE:
        frame = frame.f_back
    lines: list[str] = []
    while frame is not None and len(lines) < _FRAMES:
        code = frame.f_code
        lines.append(f"{code.co_filename}:{frame.f_lineno} in {code.co_qualname}")
        frame = frame.f_back
    return tuple(lines)
