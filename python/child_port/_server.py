"""Server: a port, a token, and the loop that accepts check-ins at it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Self

from . import bootstrap
from ._child_port import (
    CancelToken,
    CheckIn,
    ReceiveRight,
    SendRight,
    ServerCore,
    TimedOut,
)
from ._secrets import random_token


def rejections(stats: Mapping[str, int]) -> str:
    """What a server has rejected, to follow a text about what did not come; it may be why."""
    came = []
    if stats["wrong_sender"]:
        came.append(
            f"{stats['wrong_sender']} from another process than the expected one (with Popen, pass "
            "pinned=False if the command starts the real child)"
        )
    if stats["bad_token"]:
        came.append(f"{stats['bad_token']} with a wrong token")
    return f"; rejected: {', '.join(came)}" if came and not stats["accepted"] else ""


class _Stop:
    """Ends waits that watch its descriptor, from any thread; final.

    A pair of sockets, because shutdown reaches all who share it: the end is seen at once even if a
    forked process holds copies. Owns both.
    """

    def __init__(self) -> None:
        self._ends = socket.socketpair()
        self._pid = os.getpid()

    def fileno(self) -> int:
        return self._ends[0].fileno()

    def set(self) -> None:
        # A forked copy of the server must not stop the original.
        if os.getpid() == self._pid:
            self._ends[1].shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def __del__(self) -> None:
        # A server that was forgotten warns of its port; it does not of these.
        self.close()


class Server(ServerCore):
    """Accepts check-ins, in a blocking loop, by polling, or in asyncio.

    port: the receive right to serve at. The server takes it over: closing the server closes it.
        Without one the server makes a port of its own.
    token: what every check-in must carry, 0 to 2**64-1. Without one it is random, 64 bits from the
        operating system.
    service_name: claim this name with the bootstrap server instead of giving a port, so that
        clients can look it up (bootstrap_check_in and its errors).
    expected_pid: accept check-ins from this process alone, by the kernel's word (audit trailer).

    Messages with another token, from another sender, malformed ones and stray notifications are
    destroyed with all rights in them and counted in stats; waits go on as if they had not come.

    Iterating waits for one check-in after another until shutdown(). Methods may be called from any
    thread, also several at once: each check-in goes to one caller, who owns its port.
    """

    _KEYED = False

    def __init__(
        self,
        port: ReceiveRight | None = None,
        *,
        token: int | None = None,
        service_name: str | None = None,
        expected_pid: int | None = None,
    ) -> None:
        self._service_name = service_name
        self._stopped = False
        self._stop: _Stop | None = None
        self._stop_lock = threading.RLock()  # shutdown() may come from a signal handler
        if port is not None and service_name is not None:
            raise ValueError("give a port or a service name, not both")
        if token is None:
            token = random_token()
        if port is not None:
            super().__init__(port, token, expected_pid, self._KEYED)
            if port.closed:
                raise ValueError("the port is closed")
            return
        made = ReceiveRight() if service_name is None else bootstrap.check_in(service_name)
        try:
            super().__init__(made, token, expected_pid, self._KEYED)
        except BaseException:
            made.close()
            raise

    @classmethod
    def _checked_in(
        cls, port: ReceiveRight, service_name: str | None, token: int, expected_pid: int | None
    ) -> Self:
        """A server at a port that serves the name already, if it has one."""
        server = cls(port, token=token, expected_pid=expected_pid)
        server._service_name = service_name
        return server

    @property
    def service_name(self) -> str | None:
        """The name that clients can look up, if the server claimed one."""
        return self._service_name

    def __repr__(self) -> str:
        # Without the token, which is a secret.
        name = f" {self._service_name!r}" if self._service_name is not None else ""
        return f"<child_port.Server{name} at {self.port!r}>"

    def make_send(self) -> SendRight:
        """A new send right to the port, owned by the caller (MACH_MSG_TYPE_MAKE_SEND)."""
        return self.port.make_send()

    async def accept_async(
        self, timeout: float | None = None, *, cancel: CancelToken | None = None
    ) -> CheckIn:
        """accept() without blocking asyncio's event loop; the same exceptions.

        A task that is cancelled loses no check-in: it stays in the queue.
        """
        from . import _aio

        return await _aio.accept(self, timeout, cancel=cancel)

    def handle_request(
        self,
        handler: Callable[[CheckIn], object],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> bool:
        """Accept one check-in and hand it to the handler; False if none came within the timeout.

        The handler owns the check-in's port. If it raises, the port is closed and the exception
        comes out of this call. Otherwise raises what accept() does, save TimedOut.
        """
        try:
            check_in = self.accept(timeout, cancel=cancel)
        except TimedOut:
            return False
        _handle(handler, check_in)
        return True

    def serve_forever(
        self,
        handler: Callable[[CheckIn], object],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> None:
        """Hand one check-in after another to the handler, as handle_request() does.

        Returns after shutdown() or close(), also if that came before this call. timeout is the
        longest wait for one check-in (TimedOut); cancel raises Cancelled.
        """
        while (check_in := self._next(timeout, cancel)) is not None:
            _handle(handler, check_in)

    def shutdown(self) -> None:
        """End serve_forever() and the iterations, in every thread and task, for good.

        May be called from any thread, from the handler, from a signal handler, and more than once;
        does not wait for their end. accept() and handle_request() are not affected.
        """
        with self._stop_lock:
            self._stopped = True
            if self._stop is not None:
                self._stop.set()

    def close(self) -> None:
        """shutdown(), and release the port with all that is queued on it, and the descriptors."""
        self.shutdown()
        self.port.close()
        super().close()
        with self._stop_lock:
            stop, self._stop = self._stop, None
        if stop is not None:
            stop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
        /,
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> CheckIn:
        check_in = self._next(None, None)
        if check_in is None:
            raise StopIteration
        return check_in

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> CheckIn:
        from . import _aio

        stop_fd = self._watch_stop()
        if stop_fd is None:
            raise StopAsyncIteration
        try:
            return await _aio.accept(self, watch_fd=stop_fd, listening=self._listening)
        except (OSError, ValueError):
            if self._stopped:
                raise StopAsyncIteration from None
            raise

    def _listening(self, _: Callable[[], object]) -> AbstractContextManager[None]:
        """Within it the argument is called when another thread has put a check-in aside."""
        return nullcontext()

    def _watch_stop(self) -> int | None:
        """A descriptor that is at its end after shutdown; None if that has been."""
        with self._stop_lock:
            if self._stopped:
                return None
            if self._stop is None:
                self._stop = _Stop()
            # From here on shutdown() is seen at the descriptor; not so what a signal did before.
            return None if self._stopped else self._stop.fileno()

    def _next(self, timeout: float | None, cancel: CancelToken | None) -> CheckIn | None:
        """The next check-in, None after shutdown."""
        stop_fd = self._watch_stop()
        if stop_fd is None:
            return None
        try:
            return self.accept(timeout, cancel=cancel, watch_fd=stop_fd)
        except (OSError, ValueError):
            # PeerGone: the pair of sockets is at its end. PortChanged, or ValueError if just
            # before the wait: close().
            if self._stopped:
                return None
            raise


def _handle(handler: Callable[[CheckIn], object], check_in: CheckIn) -> None:
    try:
        handler(check_in)
    except BaseException:
        if check_in.port is not None:
            check_in.port.close()
        raise
