"""Shelf: check-ins that arrived while somebody waited for others.

A port has one queue, and who wants the check-in with one key may receive one with another. That is
put on the shelf, from where who wants it takes it. One thread receives at a time; the others wait
for what it puts there, or for their turn.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ._child_port import CancelToken, CheckIn, PeerGone, PortChanged, ResourceShortage
from ._deadline import Deadline, check_cancelled, timed_out
from ._turn import Turn

# Of what nobody has asked for. A port's queue has no more room than this at the most.
LARGEST = 1024

Receive = Callable[[float | None], CheckIn]


class Shelf:
    """Owns the check-ins on it, until they are taken or it is closed.

    No lock, for the reason that _turn gives: each change of what is found is one step of a
    list's, and so is a copy of it, without a GIL too. (A deque's copy is not.)
    """

    def __init__(self) -> None:
        self._found: list[CheckIn] = []
        self._turn = Turn()
        self._closed = False
        self._pid = os.getpid()
        self._listeners: list[Callable[[], object]] = []

    def take(
        self,
        token: int,
        receive: Receive,
        deadline: Deadline,
        cancel: CancelToken | None,
        is_over: Callable[[], bool],
    ) -> CheckIn:
        """The next check-in with that token: from the shelf, or by receive(timeout).

        Raises what receive() does, and TimedOut, Cancelled and, when is_over(), PeerGone likewise
        while another thread receives; ResourceShortage if the shelf is full of others.
        """
        me = object()
        while True:
            try:
                check_in = self._take_or_turn(me, token, deadline, cancel, is_over)
                if check_in is not None:
                    return check_in
                check_in = receive(deadline.left())
                if check_in.token == token:
                    return check_in
                self._put(check_in)
            finally:
                if self._turn.taken == {None: me}:
                    self._turn.taken = {}
                    self._turn.bell.ring()

    def put_back(self, check_in: CheckIn) -> None:
        """The check-in is the next of its key again."""
        self._found.insert(0, check_in)
        self._tell_of_new()

    def count(self, token: int) -> int:
        """How many check-ins with that token there are."""
        return sum(check_in.token == token for check_in in self._found.copy())

    def total(self) -> int:
        return len(self._found)

    @contextmanager
    def listening(self, listener: Callable[[], object]) -> Iterator[None]:
        """Call the listener, in any thread, whenever something was put here."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def close(self) -> None:
        """Release all that is here, and what is put here later."""
        if os.getpid() != self._pid:
            return  # forked: no right is here
        self._closed = True
        self._release_all()
        self._turn.bell.ring()

    def _take_or_turn(
        self,
        me: object,
        token: int,
        deadline: Deadline,
        cancel: CancelToken | None,
        is_over: Callable[[], bool],
    ) -> CheckIn | None:
        """A check-in, or None: then it is me's turn to receive."""
        check_in = self._take_found(token)
        if check_in is not None or self._take_turn(me):
            return check_in or self._take_found(token)
        over = False
        while True:
            with self._turn.bell.listening() as wait:
                check_in = self._take_found(token)
                if check_in is not None:
                    return check_in
                if self._closed:
                    raise PortChanged("the receive right was closed or moved during the wait")
                if self._take_turn(me):
                    return self._take_found(token)
                check_cancelled(cancel)
                # Twice, if there is time: the other thread may have something in its hands.
                was_over, over = over, is_over()
                if over and (was_over or deadline.passed()):
                    raise PeerGone("the peer has ended, and has not checked in")
                if deadline.passed():
                    raise timed_out("accepting, while another thread does")
                wait(deadline)

    def _take_found(self, token: int) -> CheckIn | None:
        for check_in in self._found.copy():
            if check_in.token == token:
                with suppress(ValueError):  # another thread took it
                    self._found.remove(check_in)
                    return check_in
        return None

    def _take_turn(self, me: object) -> bool:
        if self._turn.taken:
            return False
        if len(self._found) >= LARGEST:
            raise ResourceShortage(
                f"{LARGEST} check-ins with other keys wait to be accepted; accept some of them"
            )
        return self._turn.take(me)

    def _put(self, check_in: CheckIn) -> None:
        self._found.append(check_in)
        self._tell_of_new()

    def _tell_of_new(self) -> None:
        if self._closed:
            self._release_all()
        self._turn.bell.ring()
        for listener in self._listeners.copy():
            listener()

    def _release_all(self) -> None:
        with suppress(IndexError):
            while True:
                _release(self._found.pop(0))


def _release(check_in: CheckIn) -> None:
    if check_in.port is not None:
        check_in.port.close()
