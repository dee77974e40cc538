"""What right objects do by means of other messages: a request, a wait for death, and coroutines.

The methods of this name on SendRight and ReceiveRight call these functions; the types are C's.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from contextlib import suppress

from ._aio import readers
from ._child_port import (
    CancelToken,
    Died,
    MachError,
    Message,
    Notification,
    PeerGone,
    PortChanged,
    ReceiveRight,
    Right,
    SendRight,
    TimedOut,
    _reply_port,
)
from ._deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing_extensions import Buffer


class _ReplyPort:
    """One thread's port for answers. Owns it."""

    def __init__(self) -> None:
        self.port = _reply_port()

    def __del__(self) -> None:
        # When its thread ends. Nobody forgot it, so nobody is to be warned.
        if hasattr(self, "port"):
            self.port.close()


class _Replies(threading.local):
    cached: _ReplyPort | None = None


_replies = _Replies()


def _take_reply_port() -> _ReplyPort:
    """This thread's port; a new one if it has none, if that is in use (a request in a signal
    handler), or if it is that of the process from which this one was forked."""
    cached, _replies.cached = _replies.cached, None
    return _ReplyPort() if cached is None or cached.port.closed else cached


def drop_reply_port() -> None:
    """Close the port that this thread keeps for the answers to its requests."""
    _replies.cached = None


def request(
    send: SendRight,
    data: Buffer = b"",
    rights: Iterable[Right | tuple[Right, int]] = (),
    *,
    id: int = 0,
    timeout: float | None = None,
    cancel: CancelToken | None = None,
) -> Message:
    """SendRight.request. A port at which an answer may still arrive is not used again: it is
    closed, and what comes late is destroyed with it."""
    deadline = Deadline(timeout)
    reply = _take_reply_port()
    try:
        send.send(data, rights, id=id, reply_to=reply.port, timeout=deadline.left(), cancel=cancel)
        answer = reply.port.receive(deadline.left(), cancel=cancel)
    except BaseException:
        reply.port.close()
        raise
    _replies.cached = reply  # its one send-once right is used up
    if not isinstance(answer, Message):
        raise PeerGone("the receiver died, or gave the right to answer up, before it answered")
    return answer


async def receive_async(
    port: ReceiveRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> Message | Notification:
    """ReceiveRight.receive_async. Between taking a message from the queue and returning it there is
    no point at which the task could be cancelled."""
    deadline = Deadline(timeout)
    with suppress(TimedOut):
        return port.receive(0, cancel=cancel)
    wake = asyncio.Event()
    fds = [port.fileno()]
    if cancel is not None:
        fds.append(cancel.fileno())
    with readers(fds, wake):
        while not deadline.passed():
            with suppress(TimeoutError):  # the event's; and then the last look
                await asyncio.wait_for(wake.wait(), deadline.left())
            wake.clear()
            if port.closed:
                raise PortChanged("the receive right was closed or moved during the wait")
            with suppress(TimedOut):
                return port.receive(0, cancel=cancel)
    return port.receive(0, cancel=cancel)


async def wait_dead(send: SendRight, timeout: float | None = None) -> None:
    """SendRight.wait_dead."""
    if send.dead:
        return
    with ReceiveRight() as notify:
        send.notify_dead(notify)
        try:
            told = await receive_async(notify, timeout)
        except BaseException:
            _call_off(send, notify)
            raise
        with told:
            _check(told)


def wait_until_dead(
    send: SendRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> None:
    """SendRight.wait_until_dead."""
    if send.dead:
        return
    with ReceiveRight() as notify:
        send.notify_dead(notify)
        try:
            told = notify.receive(timeout, cancel=cancel)
        except BaseException:
            _call_off(send, notify)
            raise
        with told:
            _check(told)


def _call_off(send: SendRight, notify: ReceiveRight) -> None:
    """Leave no request behind, which would give the name one more reference when the port dies, nor
    a notification, which owns one. One message comes in any case: SendOnce, since the request's
    right to notify is given up, or what made calling it off fail, Died or PortDeleted."""
    with suppress(MachError, ValueError):
        send.notify_dead(None)
    with suppress(TimedOut), notify.receive(1):
        pass


def _check(told: Message | Notification) -> None:
    if not isinstance(told, Died):
        raise ValueError("the right was closed, or another request took this one's place")


def reduce(right: Right) -> object:
    """A right's __reduce__."""
    from .sharing import _reduce

    return _reduce(right)
