"""Waiting in an asyncio event loop: for check-ins, for messages, for room in a queue.

A wait registers descriptors of its own with the loop, since a loop has room for one reader a
descriptor, and several tasks may wait at one port or with one token.

Each wait is an attempt that does not block, made again when something has happened. Between an
attempt that succeeds and the return of its result there is no point at which the task could be
cancelled: nothing that was received is lost, and nothing is sent by a task that was cancelled.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Protocol, TypeVar

from ._child_port import (
    CancelToken,
    CheckIn,
    Message,
    Notification,
    PortChanged,
    ReceiveRight,
    TimedOut,
)
from ._deadline import Deadline

_SHORTEST_PAUSE_S = 0.001
_LONGEST_PAUSE_S = 0.05

Result = TypeVar("Result")


class Acceptor(Protocol):
    """A ServerCore, or what looks like one."""

    @property
    def port(self) -> ReceiveRight: ...
    def accept(
        self,
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
    ) -> CheckIn: ...


Listening = Callable[[Callable[[], object]], AbstractContextManager[None]]


def _no_listening(_: Callable[[], object]) -> AbstractContextManager[None]:
    """There is nothing that another thread could do."""
    return nullcontext()


@contextmanager
def _changed_if_closed(port: ReceiveRight | None) -> Iterator[None]:
    """What is a ValueError before a wait is PortChanged during it."""
    try:
        yield
    except ValueError:
        if port is not None and port.closed:
            raise PortChanged("the receive right was closed or moved during the wait") from None
        raise


@contextmanager
def _readers(port: ReceiveRight | None, fds: Iterable[int], wake: asyncio.Event) -> Iterator[None]:
    """Set the event whenever the port has a message or one of the descriptors is readable."""
    loop = asyncio.get_running_loop()
    own: list[int] = []
    try:
        if port is not None:
            with _changed_if_closed(port):
                # Not a duplicate of fileno()'s, which another thread may close before that.
                own.append(port._new_descriptor())
        for fd in fds:
            own.append(os.dup(fd))
        for fd in own:
            loop.add_reader(fd, wake.set)
        yield
    finally:
        for fd in own:
            loop.remove_reader(fd)
            os.close(fd)


def _waker(wake: asyncio.Event) -> Callable[[], None]:
    """What sets the event from any thread."""
    loop = asyncio.get_running_loop()

    def set_soon() -> None:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(wake.set)

    return set_soon


async def until(
    attempt: Callable[[], Result],
    deadline: Deadline,
    *,
    port: ReceiveRight | None = None,
    fds: Iterable[int] = (),
    listening: Listening = _no_listening,
) -> Result:
    """Make the attempt now, and whenever the port or a descriptor is readable, until it raises no
    TimedOut; that comes out of the last one, after the deadline.

    listening: within what that returns its argument is called whenever another thread may have
    made an attempt worth while.
    """
    wake = asyncio.Event()
    with _readers(port, fds, wake), listening(_waker(wake)):
        while True:
            try:
                with _changed_if_closed(port):
                    return attempt()
            except TimedOut:
                if deadline.passed():
                    raise
            # Not wait_for: Python 3.11's returns as if nothing were if the event is set when the
            # task is cancelled, and goes on if somebody else took what there was.
            with suppress(TimeoutError):  # the event's; and then the last attempt
                async with asyncio.timeout(deadline.left()):
                    await wake.wait()
            wake.clear()


async def retry(attempt: Callable[[], None], deadline: Deadline) -> None:
    """Make the attempt now, and now and then, until it raises no TimedOut; that comes out of the
    last one, after the deadline.

    For what no descriptor tells of: room in a queue.
    """
    pause = _SHORTEST_PAUSE_S
    while True:
        try:
            return attempt()
        except TimedOut:
            if deadline.passed():
                raise
        await asyncio.sleep(deadline.slice(pause))
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _descriptors(cancel: CancelToken | None, watch_fd: int = -1) -> list[int]:
    fds = [] if cancel is None else [cancel.fileno()]
    return fds if watch_fd < 0 else [*fds, watch_fd]


async def receive(
    port: ReceiveRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> Message | Notification:
    """ReceiveRight.receive_async."""
    deadline = Deadline(timeout)

    def attempt() -> Message | Notification:
        return port.receive(0, cancel=cancel)

    try:
        return attempt()
    except TimedOut:
        if deadline.passed():
            raise
    return await until(attempt, deadline, port=port, fds=_descriptors(cancel))


async def accept(
    core: Acceptor,
    timeout: float | None = None,
    *,
    cancel: CancelToken | None = None,
    watch_fd: int = -1,
    listening: Listening = _no_listening,
) -> CheckIn:
    """ServerCore.accept without blocking the loop; the same exceptions, and CancelledError.

    watch_fd must not have data that nobody reads. listening: see until().
    """
    deadline, port = Deadline(timeout), core.port
    if port.closed:
        raise ValueError("the server's port is closed")

    def attempt() -> CheckIn:
        return core.accept(0, cancel=cancel, watch_fd=watch_fd)

    try:
        with _changed_if_closed(port):
            return attempt()
    except TimedOut:
        if deadline.passed():
            raise
    fds = _descriptors(cancel, watch_fd)
    return await until(attempt, deadline, port=port, fds=fds, listening=listening)
