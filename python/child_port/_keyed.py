"""KeyedServer: a Server whose check-ins may say by a key which right they hand over."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self, SupportsFloat, SupportsIndex, TypeVar

from ._child_port import CancelToken, CheckIn, PeerGone, ReceiveRight, Right, TimedOut
from ._deadline import Deadline, timed_out
from ._expect import Expect, expected_right, kinds_of
from ._invitation import readable_now
from ._keys import PARENT_TO_CHILD, check_key, derive
from ._server import Server, rejections
from ._shelf import Shelf

Result = TypeVar("Result")


class KeyedServer(Server):
    """A Server that takes check-ins with keys besides those without.

    A client checks in with key_token(token, key) in place of the token; a child of Popen by
    check_in_to_parent(right, key=...). accept(key=...) and collect() take the check-ins with those
    keys, and accept() those without; each leaves the others for whoever asks for them. Check-ins
    with one key are taken in the order in which they came. What nobody asks for is released when
    the server is closed.
    """

    _KEYED = True

    def __init__(
        self,
        port: ReceiveRight | None = None,
        *,
        token: int | None = None,
        service_name: str | None = None,
        expected_pid: int | None = None,
    ) -> None:
        self._shelf = Shelf()
        super().__init__(port, token=token, service_name=service_name, expected_pid=expected_pid)

    def accept(
        self,
        timeout: SupportsFloat | SupportsIndex | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: SupportsIndex = -1,
        key: str | None = None,
    ) -> CheckIn:
        """The next check-in with that key, or with none; otherwise as Server.accept().

        Raises ResourceShortage if there are very many with other keys that nobody accepts.
        """
        token = self.token if key is None else derive(self.token, check_key(key))
        return self._accept_token(token, Deadline(timeout), cancel, watch_fd)

    async def accept_async(
        self,
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
        key: str | None = None,
    ) -> CheckIn:
        """accept() without blocking asyncio's event loop; the same exceptions.

        A task that is cancelled loses no check-in: it stays in the queue.
        """
        from . import _aio

        view = _View(self, key)
        return await _aio.accept(
            view, timeout, cancel=cancel, watch_fd=watch_fd, listening=self._listening
        )

    def collect(
        self,
        expect: Mapping[str, Expect[Right]],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
    ) -> dict[str, Any]:
        """One right for each key, of the type (or one of the types) that `expect` says.

        The caller owns the rights. timeout, in seconds, is for all of them.

        Raises TimedOut or PeerGone, which name the keys that are missing, and RightTypeMismatch for
        a right of another type, which is released; otherwise what accept() does. What came by then
        is not lost: the next collect() or accept() takes it.
        """
        deadline = Deadline(timeout)
        with _Collection(self, expect) as collection:
            for key in collection:
                token = derive(self.token, key)
                collection.add(key, self._accept_token(token, deadline, cancel, watch_fd))
            return collection.rights()

    async def collect_async(
        self,
        expect: Mapping[str, Expect[Right]],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
    ) -> dict[str, Any]:
        """collect() without blocking asyncio's event loop; the same exceptions.

        A task that is cancelled loses no check-in.
        """
        deadline = Deadline(timeout)
        with _Collection(self, expect) as collection:
            for key in collection:
                check_in = await self.accept_async(
                    deadline.left(), cancel=cancel, watch_fd=watch_fd, key=key
                )
                collection.add(key, check_in)
            return collection.rights()

    def close(self) -> None:
        """Server.close(), and release the check-ins that nobody asked for."""
        # The shelf first: who waits for a turn must not get one at a port that is closed.
        self._shelf.close()
        super().close()

    async def _until(
        self, attempt: Callable[[], Result], deadline: Deadline, fds: Iterable[int]
    ) -> Result:
        """What the attempt, which accepts without a wait, gives once it raises no TimedOut."""
        from . import _aio

        return await _aio.until(
            attempt, deadline, port=self.port, fds=fds, listening=self._listening
        )

    def _listening(self, listener: Callable[[], object]) -> AbstractContextManager[None]:
        return self._shelf.listening(listener)

    def _accept_handed_over(
        self, deadline: Deadline, cancel: CancelToken | None, watch_fd: int
    ) -> CheckIn:
        """The check-in with which a child hands over its own port."""
        return self._accept_token(derive(self.token, PARENT_TO_CHILD), deadline, cancel, watch_fd)

    def _accept_token(
        self, token: int, deadline: Deadline, cancel: CancelToken | None, watch_fd: SupportsIndex
    ) -> CheckIn:
        if self.port.closed:
            raise ValueError("the server's port is closed")

        def receive(timeout: float | None) -> CheckIn:
            return super(KeyedServer, self).accept(timeout, cancel=cancel, watch_fd=watch_fd)

        def is_over() -> bool:
            """The peer has ended, and nothing is queued that another thread is about to take."""
            fd = operator.index(watch_fd)
            return fd >= 0 and readable_now(fd) and not self._has_queued()

        return self._shelf.take(token, receive, deadline, cancel, is_over)

    def _has_queued(self) -> bool:
        try:
            fd = self.port._new_descriptor()
        except ValueError:  # closed: who receives is told
            return True
        try:
            return readable_now(fd)
        finally:
            os.close(fd)


class _View:
    """A KeyedServer as one that knows but one key."""

    def __init__(self, server: KeyedServer, key: str | None) -> None:
        self._server = server
        self._key = key if key is None else check_key(key)

    @property
    def port(self) -> ReceiveRight:
        return self._server.port

    def accept(
        self,
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
        watch_fd: int = -1,
    ) -> CheckIn:
        return self._server.accept(timeout, cancel=cancel, watch_fd=watch_fd, key=self._key)


class _Collection:
    """What one collect() has received; if it fails, back that goes."""

    def __init__(self, server: KeyedServer, expect: Mapping[str, Expect[Right]]) -> None:
        if not isinstance(expect, Mapping):
            raise TypeError(f"expect must say for each key a type of right, not {expect!r}")
        self._server = server
        self._kinds = {check_key(key): kinds_of(kind) for key, kind in expect.items()}
        self._came: dict[str, CheckIn] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def add(self, key: str, check_in: CheckIn) -> None:
        self._came[key] = check_in

    def rights(self) -> dict[str, Any]:
        """All of them, which are the caller's now. RightTypeMismatch."""
        for key, kinds in self._kinds.items():
            if not isinstance(self._came[key].port, kinds):
                expected_right(self._came.pop(key), kinds, key)
        came, self._came = self._came, {}
        return {key: expected_right(check_in, self._kinds[key]) for key, check_in in came.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for check_in in self._came.values():
            self._server._shelf.put_back(check_in)
        if isinstance(error, TimedOut):
            raise timed_out(self._what_is_missing()) from None
        if isinstance(error, PeerGone):
            raise PeerGone(self._what_is_missing()) from None

    def _what_is_missing(self) -> str:
        shelf, token = self._server._shelf, self._server.token
        missing = [key for key in self._kinds if not shelf.count(derive(token, key))]
        came = [key for key in self._kinds if key not in missing]
        others = shelf.total() - sum(shelf.count(derive(token, key)) for key in self._kinds)
        text = f"no check-in for {', '.join(map(repr, missing))}"
        if came:
            text += f" (but for {', '.join(map(repr, came))})"
        if others:
            text += f"; {others} came with keys that were not asked for, or with none"
        return text + rejections(self._server.stats)
