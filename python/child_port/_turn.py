"""Turn: one caller at a time, with a deadline, and whatever a signal's handler raises in between.

A handler runs, and its exception comes out, between any two steps: after a lock was taken and
before anything knows of it, too. So a turn is not a lock but an attribute that says whose it is.
Python looks for signals where a function begins, after a call and in a loop: giving a turn back
takes none of these, nothing comes between that and the `finally` it stands in.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ._child_port import CancelToken
from ._deadline import Deadline, check_cancelled, timed_out

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    _T = TypeVar("_T")

# A wait cannot be for a turn and for a token at once, and a ring may be lost: so look now and then.
_SLICE_S = 0.05


class Bell:
    """Wakes threads that wait for a change. A ring that a handler's exception cuts off is lost."""

    def __init__(self) -> None:
        self._ears: list[threading.Lock] = []

    @contextmanager
    def listening(self) -> Iterator[Callable[[Deadline], object]]:
        """Yields a wait for a ring from now on, for a moment, or until the deadline."""
        ear = threading.Lock()
        ear.acquire()
        self._ears.append(ear)
        try:
            yield lambda deadline: ear.acquire(timeout=deadline.slice(_SLICE_S))
        finally:
            with suppress(ValueError):
                self._ears.remove(ear)

    def ring(self) -> None:
        with suppress(IndexError):
            while True:
                self._ears.pop(0).release()


class Turn:
    """What one caller has at a time.

    taken: {None: who}, or empty. Give it back in a `finally`, without a call before that:
    `if turn.taken == {None: me}: turn.taken = {}`; then ring the bell.
    """

    def __init__(self) -> None:
        self.taken: dict[None, object] = {}
        self.bell = Bell()

    def take(self, me: object) -> bool:
        """It is me's now, if it was nobody's."""
        return self.taken.setdefault(None, me) is me

    def during(
        self, work: Callable[[], _T], deadline: Deadline, cancel: CancelToken | None, what: str
    ) -> _T:
        """What work() returns, which no two threads do at once; this one may do it within it.

        Raises TimedOut, whose text begins with `what`, and Cancelled while another thread has it.
        """
        me = threading.get_ident()
        within = self.taken == {None: me}
        try:
            if not within:
                self._wait(me, deadline, cancel, what)
            return work()
        finally:
            if not within and self.taken == {None: me}:
                self.taken = {}
                self.bell.ring()

    def _wait(self, me: object, deadline: Deadline, cancel: CancelToken | None, what: str) -> None:
        while not self.take(me):
            with self.bell.listening() as wait:
                if self.take(me):
                    return
                check_cancelled(cancel)
                if deadline.passed():
                    raise timed_out(f"{what}, after another thread")
                wait(deadline)
