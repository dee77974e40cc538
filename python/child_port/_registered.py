"""Rights that a child inherits: the task's registered ports, three that the system passes on.

They need no service name, and so no leave to register one. What is registered is the process's own
matter, and anything in it may rely on that: each use here takes one slot for the time of one spawn
and puts back what was there, and the two others stay as they are.

Slot 0 is never used. On macOS it is libxpc's: before a fork libxpc puts the process's way to
launchd there, and the forked process takes what it finds there for that. The other slots are empty
then, so who starts the child has to see to it that there is no fork: _posix_spawn.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

from ._child_port import (
    SendRight,
    registered_descriptors,
    registered_lookup,
    registered_replace,
)

SLOTS = (1, 2)

# Whatever is started meanwhile inherits the right as well, so one at a time. Without the token it
# is of no use.
_lock = threading.RLock()

# The blocks that are open, all of the thread that has the lock, the innermost last; and the one
# around the code that asks: that one, unless it is another task's. (Signal handlers may have some.)
_open: list[Lent] = []
_around: ContextVar[Lent | None] = ContextVar("child_port._registered", default=None)


def _begin_anew_in_forked_child() -> None:
    """Who held the lock is not in the child."""
    global _lock, _open
    _lock, _open = threading.RLock(), []


os.register_at_fork(after_in_child=_begin_anew_in_forked_child)


def _slot_to_use() -> int:
    """The first of ours that is free, or else the last."""
    with ExitStack() as rights:
        found = registered_lookup()
        for right in found:
            if right is not None:
                rights.enter_context(right)
        return next((slot for slot in SLOTS if found[slot] is None), SLOTS[-1])


def _keep_free(spare: ExitStack) -> None:
    """Take the descriptors that putting back needs: on Linux two for each right, to look it up and
    again to register it. No files, for there may be no /dev in a sandbox."""
    if sys.platform != "darwin":
        for _ in range(8):
            spare.enter_context(select.epoll())


def _put(slot: int, right: SendRight | None) -> None:
    """Register the right, and drop what was there."""
    dropped = registered_replace(slot, right)
    if dropped is not None:
        dropped.close()


class Lent:
    """The slot that has a right during a block, and the descriptors to pass on for it."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.descriptors: tuple[int, ...] = ()
        self.lost = False
        """After the block: the right was no longer there. What was started may be without it."""


def _put_back(slot: int, ours: int, previous: SendRight | None) -> bool:
    """Register what was there before, unless somebody has registered something else meanwhile.

    Was our own right still there?
    """
    with ExitStack() as rights:
        if previous is not None:
            rights.enter_context(previous)
        found = registered_lookup()
        for right in found:
            if right is not None:
                rights.enter_context(right)
        now = found[slot]
        if now is None or now.name == ours:
            _put(slot, previous)
        return now is not None and now.name == ours


@contextmanager
def registered(right: SendRight) -> Iterator[Lent]:
    """What is started during the block inherits the right, which must stay open for so long.

    Other threads' blocks wait for this one's end. Another task of the same thread cannot wait, and
    what it started could not rely on what it inherits if this block ended first: RuntimeError.
    """
    pid, ours = os.getpid(), right.name
    previous: list[SendRight | None] = []
    with _lock, ExitStack() as spare:
        outer = _around.get()
        if _open and outer is not _open[-1]:
            raise RuntimeError(
                "another task of this thread is starting a client that is to inherit its right: "
                "one at a time, by an asyncio.Lock, say"
            )
        _keep_free(spare)
        lent = Lent(_slot_to_use())
        try:
            _open.append(lent)
            _around.set(lent)
            # One step: no signal's handler comes between the exchange and its being known here.
            previous.extend(map(registered_replace, (lent.slot,), (right,)))
            lent.descriptors = registered_descriptors()
            yield lent
        finally:
            # Not always the last: a task that was made in the block may be in one of its own still.
            _open[:] = [each for each in _open if each is not lent]
            _around.set(outer)
            spare.close()
            # A process forked in the block has inherited the right and is here to use it. What was
            # there before has no name in it.
            if previous and os.getpid() == pid:
                lent.lost = not _put_back(lent.slot, ours, previous[0])


def take(slot: int) -> SendRight | None:
    """The right that this process inherited there, which the caller owns. It is inherited no more.

    None if there is none: another process in between has not passed it on.
    """
    with _lock:
        return registered_replace(slot, None)
