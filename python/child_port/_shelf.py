"""Shelf: check-ins that arrived while somebody waited for others.

A port has one queue, and who wants the check-in with one key may receive one with another. That is
put on the shelf, from where who wants it takes it. One thread receives at a time; the others wait
for what it puts there, or for their turn.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ._child_port import CancelToken, CheckIn, PortChanged, ResourceShortage
from ._deadline import Deadline, check_cancelled, timed_out

_SLICE_S = 0.05
# Of what nobody has asked for. A port's queue has no more room than this at the most.
LARGEST = 1024

Receive = Callable[[float | None], CheckIn]


class Shelf:
    """Owns the check-ins on it, until they are taken or it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._found: dict[int, deque[CheckIn]] = {}
        self._receiving = False
        self._closed = False
        self._pid = os.getpid()
        self._listeners: list[Callable[[], object]] = []

    def take(
        self, token: int, receive: Receive, deadline: Deadline, cancel: CancelToken | None
    ) -> CheckIn:
        """The next check-in with that token: from the shelf, or by receive(timeout).

        Raises what receive() does, and TimedOut and Cancelled likewise while another thread
        receives; ResourceShortage if the shelf is full of others.
        """
        while (check_in := self._take_or_turn(token, deadline, cancel)) is None:
            received: CheckIn | None = None
            try:
                received = receive(deadline.left())
            finally:
                self._end_turn(received if received and received.token != token else None)
            if received.token == token:
                return received
        return check_in

    def put_back(self, check_in: CheckIn) -> None:
        """The check-in is the next of its key again."""
        with self._changed:
            if not self._closed:
                self._found.setdefault(check_in.token, deque()).appendleft(check_in)
                self._tell_of_new()
                return
        _release(check_in)

    def count(self, token: int) -> int:
        """How many check-ins with that token there are."""
        with self._changed:
            return len(self._found.get(token, ()))

    def total(self) -> int:
        with self._changed:
            return sum(map(len, self._found.values()))

    @contextmanager
    def listening(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call the listener, in any thread, whenever something was put here."""
        with self._changed:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._changed:
                self._listeners.remove(listener)

    def close(self) -> None:
        """Release all that is here, and what is put here later."""
        if os.getpid() != self._pid:
            return  # forked: no right is here, and a thread that is not may hold the lock for ever
        with self._changed:
            self._closed = True
            found, self._found = self._found, {}
            self._changed.notify_all()
        for check_ins in found.values():
            for check_in in check_ins:
                _release(check_in)

    def _take_or_turn(
        self, token: int, deadline: Deadline, cancel: CancelToken | None
    ) -> CheckIn | None:
        """A check-in, or None: then it is the caller's turn to receive."""
        waited = False
        with self._changed:
            while True:
                if check_ins := self._found.get(token):
                    check_in = check_ins.popleft()
                    if not check_ins:
                        del self._found[token]
                    return check_in
                if self._closed and waited:
                    raise PortChanged("the receive right was closed or moved during the wait")
                if not self._receiving:
                    self._check_room()
                    self._receiving = True
                    return None
                check_cancelled(cancel)
                if deadline.passed():
                    raise timed_out("accepting, while another thread does")
                self._changed.wait(deadline.slice(_SLICE_S))
                waited = True

    def _end_turn(self, received: CheckIn | None) -> None:
        """received: what is for others, or None."""
        with self._changed:
            self._receiving = False
            if received is not None and not self._closed:
                self._found.setdefault(received.token, deque()).append(received)
                received = None
                self._tell_of_new()
            self._changed.notify_all()
        if received is not None:
            _release(received)

    def _check_room(self) -> None:
        if sum(map(len, self._found.values())) >= LARGEST:
            raise ResourceShortage(
                f"{LARGEST} check-ins with other keys wait to be accepted; accept some of them"
            )

    def _tell_of_new(self) -> None:
        self._changed.notify_all()
        for listener in self._listeners:
            listener()


def _release(check_in: CheckIn) -> None:
    if check_in.port is not None:
        check_in.port.close()
