"""The parent's side of what Popen shares with one child. Owns its pipe ends, port and rights."""

from __future__ import annotations

import fcntl
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from ._child_port import (
    Cancelled,
    CancelToken,
    InvalidDestination,
    PeerGone,
    PortChanged,
    ReceiveRight,
    Right,
    SendRight,
    TimedOut,
    UnknownService,
    check_in,
)
from ._deadline import Deadline, check_cancelled, timed_out
from ._environment import variables_for_child
from ._exit_watch import Watch, watch_either, watch_process
from ._invitation import HANDED_OVER, LAST_GASP_S, Invitation, InvitationReader, InvitationWriter
from ._keyed import KeyedServer
from ._registered import registered
from ._secrets import random_token
from ._transport import claim, find_service
from ._turn import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._spawn import Transport

_FIRST_FD = 3
_NO_LONGER = "the child no longer receives"


def _pipe() -> tuple[int, int]:
    """os.pipe, but never among the standard descriptors, where it would be in the child's way."""
    ends = list(os.pipe())
    try:
        for index, fd in enumerate(ends):
            if fd < _FIRST_FD:
                ends[index] = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
                os.close(fd)
    except BaseException:
        for fd in ends:
            os.close(fd)
        raise
    return ends[0], ends[1]


class ChildLink:
    """Two pipes, one in each direction, and the port at which the child checks in.

    The port exists, and the child's invitation is in the pipe, before the child is started: it
    never finds its parent unprepared, and its check-in waits in the queue until it is accepted.

    The child is started within spawning(), with the environment() and the options that this
    yields; then comes started().
    """

    def __init__(self, transport: Transport) -> None:
        self._fds: dict[str, int] = {}
        self._watches: list[Watch] = []
        self._turn = Turn()  # to read the invitation, and to close it
        self._closed = CancelToken()
        self._destination: tuple[SendRight, int] | None = None
        self._reader: InvitationReader | None = None
        self.server: KeyedServer | None = None
        self.process_watch = self.watch_fd = -1
        self._name: str | None = None
        self._token = random_token()
        self._port: ReceiveRight | None = None
        try:
            self._fds["check in: child"], self._fds["check in: parent"] = _pipe()
            self._fds["receive: parent"], self._fds["receive: child"] = _pipe()
            self._reader = InvitationReader(self._fds.pop("receive: parent"))
            self._name, self._port = claim(transport, 'use transport="inherited"')
        except BaseException:
            self.close()
            raise
        _links.add(self)

    @property
    def transport(self) -> Transport:
        """The one that it came to."""
        return "inherited" if self._name is None else "bootstrap"

    @property
    def must_not_fork(self) -> bool:
        """Would a fork take away what the child is to inherit? See _posix_spawn."""
        return self._name is None and sys.platform == "darwin"

    @contextmanager
    def spawning(self, command: Any, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What subprocess starts during the block can check in, with the options that this yields.

        Raises ValueError for options with which a child cannot inherit the right.
        """
        assert self._port is not None
        with ExitStack() as stack:
            fds = (*options.get("pass_fds", ()), *self._child_fds())
            if self._name is not None:
                invitation = Invitation(self._token, self._name)
            else:
                right = stack.enter_context(self._port.make_send())
                lent = stack.enter_context(registered(right))
                invitation = Invitation.to_inherited(self._token, lent.slot)
                fds = (*fds, *lent.descriptors)
            to_use = {**options, "pass_fds": fds}
            if self.must_not_fork:
                from ._posix_spawn import by_posix_spawn

                to_use = stack.enter_context(by_posix_spawn(command, to_use))
            # A new pipe has room for it, so there is nothing to wait for.
            InvitationWriter(self._fds["check in: parent"], invitation).write(Deadline(0), None)
            yield to_use

    def _child_fds(self) -> tuple[int, int]:
        return self._fds["check in: child"], self._fds["receive: child"]

    def environment(self, env: Mapping[Any, Any] | None, pinned: bool) -> dict[Any, Any]:
        return variables_for_child(env, *self._child_fds(), os.getpid() if pinned else None)

    def started(self, pid: int, pinned: bool) -> None:
        """The child runs, and its ends belong to it alone."""
        assert self._port is not None
        for key in self._child_keys():
            self._close_one(key)
        self.server = KeyedServer._checked_in(
            self._port, self._name, self._token, pid if pinned else None
        )
        self.watch_fd = self._fds["check in: parent"]
        # Without a way to watch the process the end of the pipe tells of its death.
        process = watch_process(pid) if pinned else None
        if process is not None:
            self._watches.append(process)
            self.process_watch = process.fileno()
            with suppress(OSError):
                self._watches.append(watch_either(process, self.watch_fd))
                self.watch_fd = self._watches[-1].fileno()

    def send(
        self,
        port: Right | int | None,
        disposition: int | None,
        deadline: Deadline,
        cancel: CancelToken | None,
    ) -> None:
        with self._explaining():
            stop = self._closed if cancel is None else CancelToken(cancel, self._closed)
            server, token = self._turn.during(
                lambda: self._destination or self._look_up(deadline, stop),
                deadline,
                stop,
                "sending to the child",
            )
            check_in(server, token, port, disposition, timeout=deadline.left(), cancel=stop)

    async def send_async(
        self,
        port: Right | int | None,
        disposition: int | None,
        deadline: Deadline,
        cancel: CancelToken | None,
    ) -> None:
        """send() that does not block asyncio's event loop, and takes a thread only to look up the
        child's name."""
        from ._aio import retry
        from ._attempts import CheckInAttempts

        with CheckInAttempts(port, disposition) as attempts, self._explaining():
            server, token = self._destination or await self._look_up_async(deadline, cancel)

            def attempt() -> None:
                check_cancelled(self._closed)
                attempts.make(server, token, cancel)

            await retry(attempt, deadline)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """What goes wrong while sending, in terms of the child."""
        try:
            yield
        except (PeerGone, Cancelled, ValueError):
            if self._closed.cancelled:
                raise PortChanged("this Popen was closed during the wait") from None
            raise
        except InvalidDestination as error:
            raise PeerGone(_NO_LONGER) from error

    def _look_up(self, deadline: Deadline, cancel: CancelToken) -> tuple[SendRight, int]:
        invitation = self._invitation(deadline, cancel)
        try:
            return self._take_up(invitation, deadline, cancel)
        except UnknownService as error:
            if self._open_reader().ended(deadline, cancel):
                raise PeerGone(_NO_LONGER) from error
            raise

    async def _look_up_async(
        self, deadline: Deadline, cancel: CancelToken | None
    ) -> tuple[SendRight, int]:
        """_look_up() without blocking asyncio's event loop. Several tasks may be at it."""
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        from ._aio import retry, until

        assert self.server is not None
        now, stop = Deadline(0), [self._closed.fileno()]
        if cancel is not None:
            stop.append(cancel.fileno())
        fds = [self._open_reader().fileno(), *self._gone_fds(), *stop]
        invitation = await until(lambda: self._invitation(now, cancel), deadline, fds=fds)

        def take_up() -> tuple[SendRight, int]:
            return self._destination or self._take_up(invitation, now, cancel)

        def find() -> tuple[SendRight, int]:
            return self._turn.during(
                lambda: self._destination or self._take_up(invitation, deadline, over),
                deadline,
                over,
                "sending to the child",
            )

        def check_ended() -> None:
            check_cancelled(cancel)
            if not self._open_reader().ended():
                raise timed_out("waiting for the child's end")

        over = CancelToken(cancel, self._closed)
        try:
            if invitation.service_name == HANDED_OVER:
                return await self.server._until(take_up, deadline, [self.watch_fd, *stop])
            # Who serves the name may be stopped, and no descriptor tells that it goes on.
            # In a thread of its own: the loop's executor may be busy, with other children's.
            own = ThreadPoolExecutor(1, "child_port.look_up")
            try:
                return await asyncio.get_running_loop().run_in_executor(own, find)
            finally:
                own.shutdown(wait=False)
        except UnknownService as error:
            with suppress(TimedOut):
                await retry(check_ended, Deadline(deadline.slice(LAST_GASP_S)))
                raise PeerGone(_NO_LONGER) from error
            raise
        finally:
            over.cancel()  # a task that is cancelled leaves no thread waiting

    def _open_reader(self) -> InvitationReader:
        if self._reader is None:
            raise ValueError("this Popen is closed")
        return self._reader

    def _gone_fds(self) -> list[int]:
        return [fd for fd in (self.process_watch, self._closed.fileno()) if fd >= 0]

    def _invitation(self, deadline: Deadline, cancel: CancelToken | None) -> Invitation:
        return self._open_reader().read(deadline, cancel, self._gone_fds())

    def _take_up(
        self, invitation: Invitation, deadline: Deadline, cancel: CancelToken | None
    ) -> tuple[SendRight, int]:
        if invitation.service_name == HANDED_OVER:
            right = self._accept_handed_over(deadline, cancel)
        else:
            right = find_service(invitation.service_name, deadline, cancel)
        self._destination = right, invitation.token
        return self._destination

    def _accept_handed_over(self, deadline: Deadline, cancel: CancelToken | None) -> SendRight:
        """The right to the child's port, which comes with its check-ins."""
        assert self.server is not None
        arrived = self.server._accept_handed_over(deadline, cancel, self.watch_fd)
        if not isinstance(arrived.port, SendRight):  # dead, or the child sent something else
            if arrived.port is not None:
                arrived.port.close()
            raise PeerGone(_NO_LONGER)
        return arrived.port

    def close(self) -> None:
        """Release all of it, twice if need be. The child finds its parent gone.

        Waits in other threads end with PortChanged.
        """
        self._closed.cancel()
        served = self.server or self._port
        if served is not None:
            served.close()
        # Then nobody uses the descriptors any more.
        self._turn.during(self._close_rest, Deadline(None), None, "")

    def __del__(self) -> None:
        with suppress(AttributeError):  # of an __init__ that was cut off early
            self.close()

    def _close_rest(self) -> None:
        if self._destination is not None:
            self._destination[0].close()
        self.close_descriptors()

    def close_descriptors(self) -> None:
        """What a handler's exception cuts off is closed the next time."""
        if self._reader is not None:
            self._reader.close()
        self._reader = None
        self.process_watch = self.watch_fd = -1
        while self._watches:
            with suppress(OSError):  # a forked process on macOS has inherited no kqueue
                self._watches[-1].close()
            del self._watches[-1:]
        for key in list(self._fds):
            self._close_one(key)

    def _close_one(self, key: str) -> None:
        # No call between taking it and closing it, so that nothing is raised there: see _turn.
        if key in self._fds:
            fd = self._fds[key]
            del self._fds[key]
            os.close(fd)

    def _child_keys(self) -> list[str]:
        return [key for key in self._fds if key.endswith(": child")]

    def close_in_forked_child(self) -> None:
        """Close this process's ends in a copy of it. The child's are not for it to close: the copy
        may be the child, about to run its program (with preexec_fn, or started by uvloop)."""
        for key in self._child_keys():
            del self._fds[key]
        self._turn = Turn()  # whose it was may not be here
        self.close_descriptors()


_links: weakref.WeakSet[ChildLink] = weakref.WeakSet()


def _close_in_forked_child() -> None:
    """Copies in a forked process must not keep a child from seeing its parent's end."""
    for link in list(_links):
        link.close_in_forked_child()


os.register_at_fork(after_in_child=_close_in_forked_child)
