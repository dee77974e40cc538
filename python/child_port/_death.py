"""Waiting for the death of a port.

The kernel has one request for each name. All who wait for one name share it: each receives at the
port that it notifies, and whoever gets the notification closes that port, which wakes the others.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ._child_port import (
    CancelToken,
    DeadName,
    Died,
    InvalidRight,
    MachError,
    Message,
    Notification,
    PortChanged,
    ReceiveRight,
    SendRight,
    TimedOut,
)
from ._deadline import Deadline


class _Watch:
    """The request for one name, and the port that it notifies.

    Owns that port, and a user reference of the name, which keeps the name what it is while somebody
    waits, whatever becomes of the objects that they wait for. Changes under _lock alone.
    """

    def __init__(self, right: SendRight) -> None:
        """Takes the right over, also if it fails."""
        self.right = right
        self.name = right.name
        self.waiting = 0
        self.over = self.died = False
        try:
            self.port = ReceiveRight()
        except BaseException:
            right.close()
            raise
        try:
            right.notify_dead(self.port)
        except BaseException:
            self.close()
            raise

    def note(self, told: Message | Notification) -> None:
        """What came is all that will come: death, or that another request took this one's place."""
        with told:
            self.died = isinstance(told, Died)
        self._end()

    def look(self) -> None:
        """note() what has come, if nobody has yet."""
        if self.port.closed:
            return
        try:
            told = self.port.receive(0)
        except TimedOut:
            return
        self.note(told)

    def call_off(self) -> None:
        """Leave no request behind, which would give the name one more reference when it dies."""
        self.look()  # what another request has replaced is not there to be called off
        if self.over or self.port.closed:
            return
        try:
            self.right.notify_dead(None)
        except MachError:  # dead: by now the name has the reference, but the notification ...
            self.look()
            if not self.over:  # ... may still be on its way, and owns nothing without a receiver
                DeadName.adopt(self.name).close()
        self._end()

    def close(self) -> None:
        self.port.close()
        self.right.close()

    def _end(self) -> None:
        self.over = True
        if _watches.get(self.name) is self:
            del _watches[self.name]
        self.port.close()


_watches: dict[int, _Watch] = {}
_lock = threading.RLock()  # a signal handler may wait, too


def _forget_in_forked_child() -> None:
    """No right is here, and a thread that is not may hold the lock for ever."""
    global _lock
    _lock = threading.RLock()
    _watches.clear()


os.register_at_fork(after_in_child=_forget_in_forked_child)


def _join(send: SendRight) -> _Watch | None:
    """The watch for this right's name, for one more to wait at; None if it is dead."""
    if send.dead:
        return None
    try:
        right = send.copy()
    except InvalidRight:
        if send.dead:
            return None
        raise
    with _lock:
        watch = _watches.get(right.name)
        if watch is not None:
            watch.look()
        if watch is None or watch.over:
            watch = _watches[right.name] = _Watch(right)
        else:
            right.close()
        watch.waiting += 1
        return watch


def _leave(watch: _Watch) -> None:
    with _lock:
        watch.waiting -= 1
        if watch.waiting == 0:
            watch.call_off()
            watch.close()


@contextmanager
def _waiting(watch: _Watch) -> Iterator[None]:
    """For the wait at the watch's port. ValueError if it did not end with the death."""
    try:
        yield
    except (PortChanged, ValueError):
        if not watch.over:
            raise
    finally:
        _leave(watch)
    if not watch.died:
        raise ValueError("another notify_dead() request took the place of this wait's")


def _note(watch: _Watch, told: Message | Notification) -> None:
    with _lock:
        watch.note(told)


async def wait_dead(send: SendRight, timeout: float | None = None) -> None:
    """SendRight.wait_dead."""
    from ._aio import receive

    deadline = Deadline(timeout)
    watch = _join(send)
    if watch is not None:
        with _waiting(watch):
            _note(watch, await receive(watch.port, deadline.left()))


def wait_until_dead(
    send: SendRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> None:
    """SendRight.wait_until_dead."""
    deadline = Deadline(timeout)
    watch = _join(send)
    if watch is not None:
        with _waiting(watch):
            _note(watch, watch.port.receive(deadline.left(), cancel=cancel))
