"""What right objects do by means of other messages: a request, a wait for death, and coroutines.

The methods of this name on SendRight and ReceiveRight call these functions; the types are C's.
"""

from __future__ import annotations

import threading

from ._child_port import (
    CancelToken,
    Message,
    Notification,
    PeerGone,
    ReceiveRight,
    Right,
    SendRight,
    _reply_port,
)
from ._deadline import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeGuard

    from typing_extensions import Buffer

    from ._child_port import SendOnceRight

    _Rights = Iterable[Right | tuple[Right, int]]


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


def _answered(reply: _ReplyPort, answer: Message | Notification) -> Message:
    """What came at the port, which is kept for the next request. PeerGone if it is no answer."""
    _replies.cached = reply  # its one send-once right is used up
    if not isinstance(answer, Message):
        raise PeerGone("the receiver died, or gave the right to answer up, before it answered")
    return answer


def request(
    send: SendRight,
    data: Buffer = b"",
    rights: _Rights = (),
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
    return _answered(reply, answer)


async def request_async(
    send: SendRight,
    data: Buffer = b"",
    rights: _Rights = (),
    *,
    id: int = 0,
    timeout: float | None = None,
    cancel: CancelToken | None = None,
) -> Message:
    """SendRight.request_async."""
    from ._aio import receive

    deadline = Deadline(timeout)
    reply = _take_reply_port()
    try:
        await send_async(
            send, data, rights, id=id, reply_to=reply.port, timeout=deadline.left(), cancel=cancel
        )
        answer = await receive(reply.port, deadline.left(), cancel=cancel)
    except BaseException:
        reply.port.close()
        raise
    return _answered(reply, answer)


def _is_pair(given: Right | tuple[Right, int]) -> TypeGuard[tuple[Right, int]]:
    # What is neither this nor a right is for the send to refuse.
    return isinstance(given, tuple) and len(given) == 2


async def send_async(
    send: SendRight,
    data: Buffer = b"",
    rights: _Rights = (),
    *,
    id: int = 0,
    reply_to: SendRight | SendOnceRight | ReceiveRight | None = None,
    timeout: float | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """SendRight.send_async."""
    from contextlib import ExitStack

    from ._aio import retry
    from ._attempts import made

    deadline = Deadline(timeout)
    with ExitStack() as stack:
        if isinstance(reply_to, ReceiveRight):
            reply_to = stack.enter_context(reply_to.make_send_once())
        cargo = [made(stack, *each) if _is_pair(each) else each for each in rights]

        def attempt() -> None:
            send.send(data, cargo, id=id, reply_to=reply_to, timeout=0, cancel=cancel)

        await retry(attempt, deadline)


async def receive_async(
    port: ReceiveRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> Message | Notification:
    """ReceiveRight.receive_async."""
    from ._aio import receive

    return await receive(port, timeout, cancel=cancel)


async def wait_dead(send: SendRight, timeout: float | None = None) -> None:
    """SendRight.wait_dead."""
    from ._death import wait_dead

    await wait_dead(send, timeout)


def wait_until_dead(
    send: SendRight, timeout: float | None = None, *, cancel: CancelToken | None = None
) -> None:
    """SendRight.wait_until_dead."""
    from ._death import wait_until_dead

    wait_until_dead(send, timeout, cancel=cancel)


def reduce(right: Right) -> object:
    """A right's __reduce__."""
    from .sharing import _reduce

    return _reduce(right)
