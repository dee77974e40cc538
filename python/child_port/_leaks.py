"""Finds rights that a piece of code leaves behind: the ledger before it, and after it."""

from __future__ import annotations

import gc
import sys
import time

from ._ledger import LedgerEntry, ledger

_SETTLE_S = 5.0
_POLL_S = 0.01


def _forget_what_is_cached() -> None:
    """What the package itself keeps for the next call is no leak."""
    messages = sys.modules.get(f"{__package__}._messages")
    if messages is not None:
        messages.drop_reply_port()


class RightLeaks:
    """The names of this task at one moment, to compare later ones with."""

    def __init__(self) -> None:
        _forget_what_is_cached()
        gc.collect()
        self._before = {entry.name: entry for entry in ledger()}

    def now(self) -> list[str]:
        """What is there that was not: a line or more for each name that has more references."""
        return [
            _describe(entry, self._before.get(entry.name))
            for entry in ledger()
            if _has_more(entry, self._before.get(entry.name))
        ]

    def settled(self, timeout: float = _SETTLE_S) -> list[str]:
        """now(), once nothing is left or the time is up: other threads may be about to release."""
        give_up = time.monotonic() + timeout
        while True:
            _forget_what_is_cached()
            left = self.now()
            if left:  # only then: it goes through all objects that there are
                gc.collect()
                left = self.now()
            if not left or time.monotonic() > give_up:
                return left
            time.sleep(_POLL_S)


def _has_more(entry: LedgerEntry, before: LedgerEntry | None) -> bool:
    """In all, or of one kind: then the name was given up, and another right has it now."""
    had = before.references if before is not None else {}
    if sum(entry.references.values()) > sum(had.values()):
        return True
    # A port that died meanwhile has turned its send rights into as many dead names.
    return any(
        count > had.get(kind, 0) for kind, count in entry.references.items() if kind != "dead-name"
    )


def _describe(entry: LedgerEntry, before: LedgerEntry | None) -> str:
    known = {owner.id for owner in before.owners} if before is not None else set()
    counts = ", ".join(f"{count} {kind}" for kind, count in entry.references.items())
    lines = [f"name 0x{entry.name:x}: {counts}"]
    for owner in entry.owners:
        if owner.id in known:
            continue
        lines.append(f"  owned by a {owner.kind}")
        lines += [f"    {line}" for line in owner.created or ()]
    if entry.not_owned:
        lines.append(f"  {entry.not_owned} owned by no right object (native code, or detached)")
    return "\n".join(lines)
