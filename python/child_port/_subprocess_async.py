"""create_subprocess_exec: asyncio's, with the handshake of Popen."""

from __future__ import annotations

import asyncio
import functools
import types
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar

from ._child_link import ChildLink
from ._child_port import CancelToken, CheckIn, PeerGone, Right
from ._deadline import Deadline
from ._expect import Expect
from ._invitation import LAST_GASP_S
from ._keyed import KeyedServer
from ._spawn import Transport, how_it_ended
from ._transport import check_transport

Result = TypeVar("Result")


class Process:
    """A child process of an event loop: asyncio.subprocess.Process, and what Popen adds to it.

    Made by create_subprocess_exec(). Leaving an `async with` block closes the port, so that a child
    that still waits for this process gets PeerGone, and then waits for the child to end.
    """

    def __init__(self, process: asyncio.subprocess.Process, link: ChildLink) -> None:
        self._process = process
        self._link: ChildLink | None = link

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The child's status once it has ended and was waited for; negative for a signal."""
        return self._process.returncode

    @property
    def stdin(self) -> asyncio.StreamWriter | None:
        """The child's standard input, if it is a pipe."""
        return self._process.stdin

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """The child's standard output, if it is a pipe."""
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """The child's standard error, if it is a pipe."""
        return self._process.stderr

    async def wait(self) -> int:
        """Wait for the child to end; its status."""
        return await self._process.wait()

    async def communicate(self, input: bytes | None = None) -> tuple[bytes | None, bytes | None]:
        """Write to standard input, read the others to their ends, and wait for the child to end."""
        return await self._process.communicate(input)

    def send_signal(self, signal: int) -> None:
        """Send the child a signal."""
        self._process.send_signal(signal)

    def terminate(self) -> None:
        """Send the child SIGTERM."""
        self._process.terminate()

    def kill(self) -> None:
        """Send the child SIGKILL."""
        self._process.kill()

    @property
    def transport(self) -> Transport:
        """How the child finds this process: "bootstrap" or "inherited". ValueError if closed."""
        return self._open_link().transport

    @property
    def server(self) -> KeyedServer:
        """Where the child checks in: for its stats. ValueError if closed."""
        server = self._open_link().server
        assert server is not None
        return server

    async def accept(
        self,
        timeout: float | None = None,
        *,
        key: str | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckIn:
        """The child's next check-in, with that key or without one. As Popen.accept().

        A task that is cancelled loses no check-in.
        """
        link, deadline = self._open_link(), Deadline(timeout)
        try:
            return await self.server.accept_async(
                timeout, key=key, cancel=cancel, watch_fd=link.watch_fd
            )
        except PeerGone:
            raise await self._gone("no check-in from it is left", deadline) from None

    async def collect(
        self,
        expect: Mapping[str, Expect[Right]],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any]:
        """The rights that the child hands over with keys. As Popen.collect()."""
        link, deadline = self._open_link(), Deadline(timeout)
        try:
            return await self.server.collect_async(
                expect, timeout, cancel=cancel, watch_fd=link.watch_fd
            )
        except PeerGone as error:
            raise await self._gone(str(error), deadline) from None

    async def send_right(
        self,
        right: Right | int | None,
        disposition: int | None = None,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Hand a right to the child, which takes it with receive_from_parent().

        As Popen.send_right(). If the task is cancelled, the right is still the caller's.
        """
        link, deadline = self._open_link(), Deadline(timeout)
        try:
            await link.send_async(right, disposition, deadline, cancel)
        except PeerGone:
            raise await self._gone("it takes no more rights", deadline) from None

    def close(self) -> None:
        """Release the port and the pipes. The process goes on; twice is fine."""
        link = self._link
        if link is not None:
            link.close()
        self._link = None  # and no earlier: what cuts that off leaves it to be closed again

    async def __aenter__(self) -> Process:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        await self.wait()

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<child_port.Process {self.pid}>"

    def _open_link(self) -> ChildLink:
        if self._link is None:
            raise ValueError("this Process is closed")
        return self._link

    async def _gone(self, so: str, deadline: Deadline) -> PeerGone:
        # A process that ends closes its pipes a little before its status can be had, and here that
        # comes by way of a thread, or when the loop comes round.
        with suppress(TimeoutError):
            async with asyncio.timeout(deadline.slice(LAST_GASP_S)):
                await self.wait()
        return PeerGone(f"the child (pid {self.pid}) {how_it_ended(self.returncode)}; {so}")


@types.coroutine
def _start_within(
    link: ChildLink,
    command: Any,
    options: Mapping[str, Any],
    start: Callable[..., Coroutine[Any, Any, Result]],
) -> Generator[Any, Any, Result]:
    """Await what `start` makes of the options, with its first step inside link.spawning().

    That step starts the process: event loops do so before they wait for anything. The block must
    not last longer, for it holds up everybody in this process who starts a child.
    """
    with link.spawning(command, options) as to_use:
        steps = start(**to_use)
        try:
            awaited = steps.send(None)
        except StopIteration as over:
            result: Result = over.value
            return result
    while True:
        try:
            try:
                sent = yield awaited
            except BaseException as error:
                awaited = steps.throw(error)
            else:
                awaited = steps.send(sent)
        except StopIteration as over:
            result = over.value
            return result


def _check_loop(link: ChildLink) -> None:
    """Another loop's own way of starting programs is none that _posix_spawn could change."""
    loop = asyncio.get_running_loop()
    if link.must_not_fork and not isinstance(loop, asyncio.SelectorEventLoop):
        raise ValueError(
            f"on macOS {type(loop).__module__} cannot start a child that inherits the right to its "
            "parent's port: it forks, which takes the right away, or passes no descriptors on; use "
            'transport="bootstrap", or asyncio\'s own event loop'
        )


async def create_subprocess_exec(
    program: Any,
    *args: Any,
    pinned: bool = True,
    transport: Transport = "auto",
    env: Mapping[Any, Any] | None = None,
    pass_fds: Iterable[int] = (),
    **options: Any,
) -> Process:
    """Start a child that calls check_in_to_parent() or receive_from_parent(), in asyncio.

    Takes what asyncio.create_subprocess_exec takes, and pinned and transport as Popen does; raises
    what these two raise. A child that inherits its right on macOS cannot be started by uvloop:
    ValueError.
    """
    check_transport(transport)
    link = ChildLink(transport)
    try:
        _check_loop(link)
        options |= {"env": link.environment(env, pinned), "pass_fds": pass_fds}
        start = functools.partial(asyncio.create_subprocess_exec, program, *args)
        process: asyncio.subprocess.Process = await _start_within(link, program, options, start)
        link.started(process.pid, pinned)
    except BaseException:
        link.close()
        raise
    return Process(process, link)
