"""Deadlines, and waiting for descriptors with one, a cancel token, and Ctrl-C."""

from __future__ import annotations

import errno
import math
import select
import time

from ._child_port import Cancelled, CancelToken, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import SupportsFloat, SupportsIndex

# A signal just before poll() does not end it. So a wait is made of several, each twice as long as
# the one before; the extension's waits are, too (ext/deadline.h).
_FIRST_SLICE_S = 0.01
_LONGEST_SLICE_S = 1.0


class Deadline:
    """The moment by which a call must be through, from a timeout in seconds.

    None and infinity never come. Raises ValueError for a negative timeout or NaN, TypeError for
    what is no number, OverflowError for an integer that no float can hold.
    """

    __slots__ = ("_at",)

    def __init__(self, timeout: SupportsFloat | SupportsIndex | None) -> None:
        self._at = math.inf
        if timeout is None:
            return
        seconds = math.ldexp(timeout, 0)  # as float(), which would take text as well
        if not seconds >= 0:
            raise ValueError("timeout must be None or a number of seconds, 0 or more")
        self._at = time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until then, 0 once it has passed; None if it never comes."""
        return None if self._at == math.inf else max(0.0, self._at - time.monotonic())

    def passed(self) -> bool:
        return self.left() == 0

    def slice(self, longest: float) -> float:
        """Seconds until then, but no more than the longest."""
        left = self.left()
        return longest if left is None else min(left, longest)


def timed_out(what: str) -> TimedOut:
    """The error of a wait that is none of Mach's, with the same errno."""
    error = TimedOut(f"{what}: the deadline has passed")
    error.errno = errno.ETIMEDOUT
    return error


def check_cancelled(cancel: CancelToken | None) -> None:
    if cancel is None:
        return
    if not isinstance(cancel, CancelToken):
        raise TypeError(f"cancel must be a CancelToken or None, not {type(cancel)!r}")
    cancel.fileno()  # ValueError for one of before a fork
    if cancel.cancelled:
        raise Cancelled("the wait was cancelled")


def wait_for(
    interests: dict[int, int], deadline: Deadline, cancel: CancelToken | None, what: str
) -> set[int]:
    """Wait until descriptors have one of their events (poll's) or are at their end; which.

    Raises Cancelled, KeyboardInterrupt, and TimedOut, whose text begins with `what`.
    """
    check_cancelled(cancel)
    poller = select.poll()
    for fd, events in interests.items():
        poller.register(fd, events)
    if cancel is not None:
        poller.register(cancel.fileno(), select.POLLIN)
    pause = _FIRST_SLICE_S
    while True:
        last = deadline.passed()
        ready = poller.poll(math.ceil(deadline.slice(pause) * 1000))
        pause = min(2 * pause, _LONGEST_SLICE_S)
        check_cancelled(cancel)
        if ready:
            return {fd for fd, _ in ready}
        if last:
            raise timed_out(what)
