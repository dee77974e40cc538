"""Popen: a child process, and a way for rights in both directions."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, AnyStr, Literal, overload

from ._child_link import ChildLink
from ._child_port import CancelToken, CheckIn, PeerGone, Right, TimedOut
from ._deadline import Deadline, timed_out
from ._expect import Expect
from ._keyed import KeyedServer
from ._server import rejections
from ._transport import check_transport

_LAST_GASP_S = 0.1

# Each in its own, because mypy.stubtest sees it as a union of them.
Transport = Literal["auto"] | Literal["bootstrap"] | Literal["inherited"]


class Popen(subprocess.Popen[AnyStr]):
    """subprocess.Popen for a child that calls check_in_to_parent() or receive_from_parent().

    Takes what subprocess.Popen takes, everything but the command by keyword, and:

    pinned: accept check-ins from the very process that was started, by the kernel's word, and from
        no other; so it is unless the command is a shell's. Pass False for a wrapper that starts the
        real child (env, nice, sudo, a container). Then the secret that the child alone receives
        tells it from others, and the parent does not say who it is either.

    transport: how the child finds this process. "bootstrap": by a random service name, which is
        claimed before the child is started. "inherited": it inherits a right, as one of the task's
        registered ports (mach_ports_register), which are put back once it runs; no name is needed,
        but processes in between must not replace those ports, nor, on Linux, close descriptors.
        "auto": by a name, and by inheritance where policy refuses the name (in a sandbox).

    On macOS every fork empties the registered ports, so a child that inherits its right is started
    by posix_spawn. That has no cwd, preexec_fn, start_new_session, process_group, user, group,
    extra_groups and umask: ValueError. close_fds does not count there: what is inheritable, which
    Python's descriptors are not by themselves, goes to the child. A fork elsewhere in this process
    at that moment, in a process in between, or in the child before it checks in takes the right
    away; the child then gets HandshakeError.

    Raises what bootstrap.check_in raises (NotPrivileged for "bootstrap" in a sandbox, which says
    how to grant it) besides what subprocess.Popen does; RuntimeError for a child that would inherit
    its right, while another task of this thread is within Handshake.inheriting().

    Leaving a `with` block closes the port, so that a child that still waits for this process gets
    PeerGone, and then waits for the child to end as subprocess.Popen does.
    """

    _link: ChildLink | None = None

    @overload
    def __init__(
        self: Popen[str],
        args: Any,
        *,
        text: Literal[True],
        encoding: str | None = None,
        pinned: bool | None = None,
        transport: Transport = "auto",
        env: Mapping[Any, Any] | None = None,
        pass_fds: Iterable[int] = (),
        shell: bool = False,
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[str],
        args: Any,
        *,
        text: bool | None = None,
        encoding: str,
        pinned: bool | None = None,
        transport: Transport = "auto",
        env: Mapping[Any, Any] | None = None,
        pass_fds: Iterable[int] = (),
        shell: bool = False,
        **options: Any,
    ) -> None: ...
    @overload
    def __init__(
        self: Popen[bytes],
        args: Any,
        *,
        text: Literal[False] | None = None,
        encoding: None = None,
        pinned: bool | None = None,
        transport: Transport = "auto",
        env: Mapping[Any, Any] | None = None,
        pass_fds: Iterable[int] = (),
        shell: bool = False,
        **options: Any,
    ) -> None: ...
    def __init__(
        self,
        args: Any,
        *,
        text: bool | None = None,
        encoding: str | None = None,
        pinned: bool | None = None,
        transport: Transport = "auto",
        env: Mapping[Any, Any] | None = None,
        pass_fds: Iterable[int] = (),
        shell: bool = False,
        **options: Any,
    ) -> None:
        if pinned is None:
            pinned = not shell
        check_transport(transport)
        link = self._link = ChildLink(transport)
        try:
            child_env = link.environment(env, pinned)
            options = {**options, "env": child_env, "pass_fds": pass_fds, "shell": shell}
            with link.spawning(args, options) as options:
                super().__init__(args, text=text, encoding=encoding, **options)
            link.started(self.pid, pinned)
        except BaseException:
            self.close()
            raise

    @property
    def transport(self) -> Transport:
        """How the child finds this process: "bootstrap" or "inherited". ValueError if closed."""
        return self._open_link().transport

    @property
    def server(self) -> KeyedServer:
        """Where the child checks in: for select (fileno) and for its stats. ValueError if closed.

        To wait, call accept() or collect() of this object, or their async variants, which see the
        child's end.
        """
        server = self._open_link().server
        assert server is not None
        return server

    def accept(
        self,
        timeout: float | None = None,
        *,
        key: str | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckIn:
        """The child's next check-in with that key, or without one; the caller owns its port.

        Those with other keys stay there for whoever asks for them. A check-in that the child sent
        before it ended is still accepted. timeout is in seconds.

        Raises PeerGone as soon as the child has ended, or closed its end of the pipe, and has sent
        no more; and what Server.accept() raises. ValueError if this object is closed.
        """
        link, server, deadline = self._open_link(), self.server, Deadline(timeout)
        try:
            return server.accept(timeout, key=key, cancel=cancel, watch_fd=link.watch_fd)
        except PeerGone:
            raise self._gone(_no_check_in(server), deadline) from None

    async def accept_async(
        self,
        timeout: float | None = None,
        *,
        key: str | None = None,
        cancel: CancelToken | None = None,
    ) -> CheckIn:
        """accept() without blocking asyncio's event loop; the same exceptions."""
        link, server, deadline = self._open_link(), self.server, Deadline(timeout)
        try:
            return await server.accept_async(
                timeout, key=key, cancel=cancel, watch_fd=link.watch_fd
            )
        except PeerGone:
            raise await self._gone_async(_no_check_in(server), deadline) from None

    def collect(
        self,
        expect: Mapping[str, Expect[Right]],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any]:
        """The rights that the child hands over with keys, in whatever order they come.

        expect says for each key the type of its right, or several; the result has the right, which
        the caller owns, for each key. timeout, in seconds, is for all of them.

        ```
        rights = child.collect({"task": SendRight, "service": ReceiveRight}, timeout=10)
        ```

        Raises TimedOut, or PeerGone as soon as the child has ended, and says which keys are
        missing; RightTypeMismatch for a right of another type, which is released; otherwise what
        accept() does. What came by then is not lost: the next collect() or accept(key=...) takes
        it, and close() releases it.
        """
        link, deadline = self._open_link(), Deadline(timeout)
        try:
            return self.server.collect(expect, timeout, cancel=cancel, watch_fd=link.watch_fd)
        except PeerGone as error:
            raise self._gone(str(error), deadline) from None

    async def collect_async(
        self,
        expect: Mapping[str, Expect[Right]],
        timeout: float | None = None,
        *,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any]:
        """collect() without blocking asyncio's event loop; the same exceptions."""
        link, deadline = self._open_link(), Deadline(timeout)
        try:
            return await self.server.collect_async(
                expect, timeout, cancel=cancel, watch_fd=link.watch_fd
            )
        except PeerGone as error:
            raise await self._gone_async(str(error), deadline) from None

    def send_right(
        self,
        right: Right | int | None,
        disposition: int | None = None,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Hand a right to the child, which takes it with receive_from_parent().

        Waits for the child's first call of that, and while its queue is full. right and disposition
        are the port and disposition of check_in(), and so is their ownership: whatever fails, the
        caller owns what it owned. timeout is in seconds, for all of it. By Mach's rule a right that
        waits for room in the queue when the child dies counts as sent.

        Raises PeerGone if the child has ended or closed its end of the pipe; HandshakeError if it
        wrote something else into it; TimedOut, Cancelled; PortChanged if this object is closed
        meanwhile; and what check_in() and bootstrap.look_up() raise. ValueError if it is closed.
        """
        deadline = Deadline(timeout)
        try:
            self._open_link().send(right, disposition, deadline, cancel)
        except PeerGone as error:
            raise self._gone("it takes no more rights", deadline) from error

    def close(self) -> None:
        """Release the port and the pipes. The process goes on; twice is fine."""
        link = self._link
        if link is not None:
            link.close()
        self._link = None  # and no earlier: what cuts that off leaves it to be closed again

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except BaseException:  # Ctrl-C, say, which is then as if it had come within the block
            try:
                self.close()  # again: the child, which is waited for next, may wait for that
            finally:
                super().__exit__(*sys.exc_info())
            raise
        super().__exit__(kind, error, traceback)

    def __del__(self, *args: Any, **options: Any) -> None:
        try:
            self.close()
        finally:
            super().__del__(*args, **options)

    def _open_link(self) -> ChildLink:
        if self._link is None:
            raise ValueError("this Popen is closed")
        return self._link

    # A process that ends closes its pipes a little before its status can be had.

    def _gone(self, so: str, deadline: Deadline) -> PeerGone:
        with suppress(subprocess.TimeoutExpired):
            self.wait(deadline.slice(_LAST_GASP_S))
        return self._peer_gone(so)

    async def _gone_async(self, so: str, deadline: Deadline) -> PeerGone:
        from ._aio import retry

        def poll() -> None:
            if self.poll() is None:
                raise timed_out("waiting for the child's status")

        with suppress(TimedOut):
            await retry(poll, Deadline(deadline.slice(_LAST_GASP_S)))
        return self._peer_gone(so)

    def _peer_gone(self, so: str) -> PeerGone:
        return PeerGone(f"the child (pid {self.pid}) {how_it_ended(self.returncode)}; {so}")


def _no_check_in(server: KeyedServer) -> str:
    return f"no check-in from it is left{rejections(server.stats)}"


def how_it_ended(status: int | None) -> str:
    """What became of a child that is gone, by its status."""
    if status is None:
        return "closed its end of the pipe"
    if status < 0:
        return f"was killed by {_signal_name(-status)}"
    return f"exited with status {status}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
