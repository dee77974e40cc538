"""Handshake: a right handed over between two processes that share a pipe.

It is Crashpad's ChildPortHandshake, and either side works with Crashpad's C++ at the other end:

1. The server, who wants a right, claims a random service name with the bootstrap server and writes
   that name and a random token into the pipe.
2. The client reads them, looks the name up, and checks in there: token and right in one message,
   the child_port_check_in of child_port.defs.
3. The server takes the right, if the token is the same, and gives up the name.

The pipe is what makes it safe: only who can read it knows the token. And it tells each side of the
other's end, because its own copy of the other's end is closed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import Self, TypeVar, overload

from . import bootstrap
from ._child_port import (
    CancelToken,
    CheckIn,
    InvalidDestination,
    PeerGone,
    Right,
    SendRight,
    UnknownService,
    check_in,
)
from ._deadline import Deadline
from ._errors import RightTypeMismatch
from ._invitation import Invitation, InvitationReader, InvitationWriter
from ._secrets import random_service_name
from ._server import Server

_R = TypeVar("_R", bound=Right)
Expect = type[_R] | tuple[type[_R], ...]


def expected_right(arrived: CheckIn, expect: tuple[type[_R], ...]) -> _R:
    """The check-in's right. RightTypeMismatch if it is of another type; then it is released."""
    right = arrived.port
    if isinstance(right, expect):
        return right
    if right is not None:
        right.close()
    raise RightTypeMismatch(expect, None if right is None else type(right), arrived.disposition)


class Handshake:
    """Both ends of a handshake's pipe, until one side is run.

    One of two ways:

    - Start the other process with the descriptor that it needs, run one's own side here:
      `subprocess.Popen(..., pass_fds=[handshake.client_read_fd])`, then `handshake.run_server()`.
      The other process, which knows the number, calls `Handshake.run_client_for_fd(number, ...)`.
    - Fork; then one process calls run_server() and the other run_client().

    Running a side closes this process's copy of the other end first, and its own in the end,
    whatever the outcome: a handshake is made once. The right, on the other hand, is still the
    client's own if its side failed.
    """

    def __init__(self) -> None:
        self._client_read_fd = self._server_write_fd = -1
        self._client_read_fd, self._server_write_fd = os.pipe()

    @property
    def client_read_fd(self) -> int:
        """The client's end, for pass_fds; it is not inherited otherwise. ValueError once closed."""
        return _open(self._client_read_fd)

    @property
    def server_write_fd(self) -> int:
        """The server's end, for pass_fds; it is not inherited otherwise. ValueError once closed."""
        return _open(self._server_write_fd)

    @overload
    def run_server(
        self,
        expect: type[SendRight] = SendRight,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> SendRight: ...
    @overload
    def run_server(
        self,
        expect: Expect[_R],
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> _R: ...
    def run_server(
        self,
        expect: Expect[Right] = SendRight,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> Right:
        """The right that the client hands over; see run_server_for_fd()."""
        kinds, deadline = _kinds(expect), Deadline(timeout)
        fd = self._take("_server_write_fd", "_client_read_fd")
        return _run_server(fd, kinds, deadline, cancel, expected_pid)

    def run_client(
        self,
        port: Right | int | None,
        disposition: int | None = None,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Hand the right over; see run_client_for_fd()."""
        deadline = Deadline(timeout)
        fd = self._take("_client_read_fd", "_server_write_fd")
        _run_client(fd, port, disposition, deadline, cancel)

    @overload
    @staticmethod
    def run_server_for_fd(
        fd: int,
        expect: type[SendRight] = SendRight,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> SendRight: ...
    @overload
    @staticmethod
    def run_server_for_fd(
        fd: int,
        expect: Expect[_R],
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> _R: ...
    @staticmethod
    def run_server_for_fd(
        fd: int,
        expect: Expect[Right] = SendRight,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
        expected_pid: int | None = None,
    ) -> Right:
        """Run the server's side over the pipe's end for writing, and close it, whatever happens.

        Returns the right, which the caller owns, if it is of an expected type (or one of several);
        expected_pid takes it from that process alone. timeout, in seconds, is for all of it.

        Raises PeerGone when the client dies or closes its end before it has checked in;
        RightTypeMismatch when it checks in with another type, which is then released; TimedOut,
        Cancelled; BootstrapError and its subclasses when the service name is refused
        (bootstrap_check_in); OSError when fd is no pipe.
        """
        kinds = _kinds(expect)
        return _run_server(fd, kinds, Deadline(timeout), cancel, expected_pid)

    @staticmethod
    def run_client_for_fd(
        fd: int,
        port: Right | int | None,
        disposition: int | None = None,
        *,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Run the client's side over the pipe's end for reading, and close it, whatever happens.

        port and disposition are those of check_in(), and so is their ownership: whatever fails, the
        caller owns what it owned. timeout, in seconds, is for all of it.

        Raises PeerGone when the server closes its end, or dies, before it has the right;
        HandshakeError when what is in the pipe is no invitation; UnknownService when nobody serves
        the name in it although the pipe is open (another bootstrap context); TimedOut, Cancelled;
        and what check_in() raises.
        """
        _run_client(fd, port, disposition, Deadline(timeout), cancel)

    def close(self) -> None:
        """Close the ends that are still here. Twice is fine."""
        for end in ("_client_read_fd", "_server_write_fd"):
            fd = getattr(self, end)
            setattr(self, end, -1)
            if fd >= 0:
                os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def _take(self, ours: str, theirs: str) -> int:
        """Our end, which the caller now owns; the other is closed."""
        fd = _open(getattr(self, ours))
        setattr(self, ours, -1)
        self.close()
        return fd


def _open(fd: int) -> int:
    if fd < 0:
        raise ValueError("this end of the handshake is closed, or its side was run already")
    return fd


def _kinds(expect: Expect[Right]) -> tuple[type[Right], ...]:
    kinds = expect if isinstance(expect, tuple) else (expect,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, Right) for kind in kinds):
        raise TypeError(f"expect must be a type of right or a tuple of them, not {expect!r}")
    return kinds


@contextmanager
def _owned(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _run_server(
    fd: int,
    expect: tuple[type[_R], ...],
    deadline: Deadline,
    cancel: CancelToken | None,
    expected_pid: int | None,
) -> _R:
    with (
        _owned(fd),
        Server(service_name=random_service_name(), expected_pid=expected_pid) as server,
    ):
        invitation = Invitation(server.token, server.service_name or "")
        InvitationWriter(fd, invitation).write(deadline, cancel)
        arrived = server.accept(deadline.left(), cancel=cancel, watch_fd=fd)
    return expected_right(arrived, expect)


def _run_client(
    fd: int,
    port: Right | int | None,
    disposition: int | None,
    deadline: Deadline,
    cancel: CancelToken | None,
) -> None:
    # The pipe is closed last: until then the server knows that the client is there.
    with closing(InvitationReader(fd)) as reader:
        invitation = reader.read(deadline, cancel)
        token = invitation.token
        try:
            with bootstrap.look_up(invitation.service_name) as server:
                check_in(server, token, port, disposition, timeout=deadline.left(), cancel=cancel)
        except InvalidDestination as error:
            raise PeerGone("the server ended before it took the right") from error
        except UnknownService as error:
            if reader.ended():
                raise PeerGone("the server ended before the client could look it up") from error
            raise
