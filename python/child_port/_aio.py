"""Accepting check-ins in an asyncio event loop.

A wait registers duplicates of the descriptors with the loop, since a loop has room for one reader a
descriptor, and several tasks may wait at one server or with one token.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Protocol

from ._child_port import CancelToken, CheckIn, PortChanged, ReceiveRight, TimedOut
from ._deadline import Deadline


class Acceptor(Protocol):
    """A ServerCore, or what looks like one."""

    @property
    def port(self) -> ReceiveRight: ...
    def fileno(self) -> int: ...
    def accept(
        self,
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
    ) -> CheckIn: ...


Listening = Callable[[Callable[[], object]], AbstractContextManager[None]]


@contextmanager
def readers(fds: list[int], wake: asyncio.Event) -> Iterator[None]:
    """Set the event whenever one of the descriptors is readable."""
    loop = asyncio.get_running_loop()
    copies: list[int] = []
    try:
        for fd in fds:
            copies.append(os.dup(fd))
            loop.add_reader(copies[-1], wake.set)
        yield
    finally:
        for copy in copies:
            loop.remove_reader(copy)
            os.close(copy)


def _waker(wake: asyncio.Event) -> Callable[[], None]:
    """What sets the event from any thread."""
    loop = asyncio.get_running_loop()

    def set_soon() -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(wake.set)

    return set_soon


def _poll(core: Acceptor, cancel: CancelToken | None, watch_fd: int) -> CheckIn:
    """The check-in that is there already. TimedOut if there is none."""
    if core.port.closed:
        raise PortChanged("the receive right was closed or moved during the wait")
    return core.accept(0, cancel=cancel, watch_fd=watch_fd)


async def accept(
    core: Acceptor,
    timeout: float | None = None,
    *,
    cancel: CancelToken | None = None,
    watch_fd: int = -1,
    listening: Listening = lambda _: nullcontext(),
) -> CheckIn:
    """ServerCore.accept without blocking the loop; the same exceptions, and CancelledError.

    A cancelled task loses no check-in: between taking one from the queue and returning it there is
    no point at which the task could be cancelled. watch_fd must not have data that nobody reads.
    listening: within what that returns its argument is called whenever another thread may have
    received the check-in.
    """
    deadline = Deadline(timeout)
    if core.port.closed:
        raise ValueError("the server's port is closed")
    with suppress(TimedOut):
        return _poll(core, cancel, watch_fd)
    wake = asyncio.Event()
    fds = [core.fileno()]
    if cancel is not None:
        fds.append(cancel.fileno())
    if watch_fd >= 0:
        fds.append(watch_fd)
    with readers(fds, wake), listening(_waker(wake)):
        while not deadline.passed():
            with suppress(TimeoutError):  # the event's; and then the last look
                await asyncio.wait_for(wake.wait(), deadline.left())
            wake.clear()
            with suppress(TimedOut):
                return _poll(core, cancel, watch_fd)
    return _poll(core, cancel, watch_fd)
