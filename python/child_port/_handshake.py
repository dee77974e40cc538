"""Handshake: a right handed over between two processes that share a pipe.

It is Crashpad's ChildPortHandshake, and either side works with Crashpad's C++ at the other end:

1. The server, who wants a right, claims a random service name with the bootstrap server and writes
   that name and a random token into the pipe.
2. The client reads them, looks the name up, and checks in there: token and right in one message,
   the child_port_check_in of child_port.defs.
3. The server takes the right, if the token is the same, and gives up the name.

The pipe is what makes it safe: only who can read it knows the token. And it tells each side of the
other's end, because its own copy of the other's end is closed.

Where the server may not claim a name, its client inherits the right to check in, and the pipe says
so in place of the name (see Handshake.inheriting). Crashpad knows nothing of that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar, overload

from ._child_port import (
    CancelToken,
    InvalidDestination,
    PeerGone,
    ReceiveRight,
    Right,
    SendRight,
    UnknownService,
    check_in,
)
from ._deadline import Deadline
from ._errors import HandshakeError
from ._expect import Expect, expected_right, kinds_of
from ._invitation import Invitation, InvitationReader, InvitationWriter
from ._registered import registered
from ._secrets import random_token
from ._server import Server
from ._transport import check_transport, claim, find, find_service

if TYPE_CHECKING:
    from ._spawn import Transport

_R = TypeVar("_R", bound=Right)

_LOST = (
    "the client may not have inherited the right to its server: within Handshake.inheriting() "
    "something replaced this process's registered ports. On macOS every fork does, in any thread; "
    "start the client by posix_spawn (subprocess.Popen with close_fds=False, without pass_fds)"
)


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

    transport: how the client finds the server. "bootstrap": by a random service name, as Crashpad
    does. "inherited": the client inherits the right; the server must start it, within inheriting().
    "auto": by a name, and where policy refuses it (in a sandbox), by inheritance if the client was
    started within inheriting().
    """

    # Each is in the instance's dictionary while the handshake owns it. Whoever pops it owns it
    # then: one caller alone, since another thread that pops finds nothing.
    _client_read_fd = _server_write_fd = -1
    _offer: tuple[ReceiveRight, Invitation] | None = None

    def __init__(self, *, transport: Transport = "auto") -> None:
        check_transport(transport)
        self._transport: Transport = transport
        self._pid = os.getpid()
        self._client_read_fd, self._server_write_fd = os.pipe()

    @property
    def client_read_fd(self) -> int:
        """The client's end, for pass_fds; it is not inherited otherwise. ValueError once closed."""
        return _open(self._client_read_fd)

    @property
    def server_write_fd(self) -> int:
        """The server's end, for pass_fds; it is not inherited otherwise. ValueError once closed."""
        return _open(self._server_write_fd)

    @contextmanager
    def inheriting(self) -> Iterator[tuple[int, ...]]:
        """Start the client during this block, and it inherits the right to check in, if need be.

        Yields the descriptors to pass on to it besides client_read_fd (none on macOS, nor where the
        client will go by a name). Once, for one client; only the server may be the one who starts
        the other.

        ```
        with handshake.inheriting() as descriptors:
            for fd in (handshake.client_read_fd, *descriptors):
                os.set_inheritable(fd, True)
            child = subprocess.Popen(command, close_fds=False)
        right = handshake.run_server(timeout=10)
        ```

        On macOS the client must not be started by fork, which empties the registered ports: by
        os.posix_spawn, or by a subprocess.Popen that uses it, as this one does. That takes a
        program's whole path, close_fds=False, and neither pass_fds, nor cwd, nor anything else that
        posix_spawn cannot do. On Linux pass_fds and fork are as good.

        The right is registered with mach_ports_register for the time of the block, in a slot that
        is free, or else in the last; then what was there is put back. Whatever else is started
        meanwhile inherits it too, without the token. Other threads' blocks wait for this one's end;
        another task of this thread cannot, and gets RuntimeError. Raises what claiming a name does,
        and HandshakeError after the block if by then something, a fork on macOS, has replaced the
        right: the client may not have inherited it.
        """
        _open(self._server_write_fd)
        if self._offer is not None:
            raise ValueError("inheriting() is for one client, and was used already")
        name, port = claim(self._transport, 'use transport="inherited"')
        try:
            if name is not None:
                self._offer = port, Invitation(random_token(), name)
                yield ()
            else:
                with port.make_send() as right, registered(right) as lent:
                    self._offer = port, Invitation.to_inherited(random_token(), lent.slot)
                    yield lent.descriptors
                if lent.lost:
                    raise HandshakeError(_LOST)
        except BaseException:
            self._offer = None
            port.close()
            raise

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
        kinds, deadline = kinds_of(expect), Deadline(timeout)
        _open(self._server_write_fd)
        if self._offer is None and self._transport == "inherited":
            raise ValueError("the client must be started within inheriting()")
        fd = self._take("_server_write_fd")
        offer = self.__dict__.pop("_offer", None)
        self.close()
        return _run_server(fd, offer, kinds, deadline, cancel, expected_pid)

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
        fd = self._take("_client_read_fd")
        self.close()
        # Who made the handshake has inherited nothing for it; a process forked from that one may.
        may_inherit = os.getpid() != self._pid
        _run_client(fd, port, disposition, deadline, cancel, may_inherit)

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
        with _closed_on_error(fd):
            kinds, deadline = kinds_of(expect), Deadline(timeout)
        return _run_server(fd, None, kinds, deadline, cancel, expected_pid)

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
        HandshakeError when what is in the pipe is no invitation, or this process should have
        inherited the right and did not; UnknownService when nobody serves the name in it although
        the pipe is open (another bootstrap context); TimedOut, Cancelled; and what check_in()
        raises.
        """
        with _closed_on_error(fd):
            deadline = Deadline(timeout)
        _run_client(fd, port, disposition, deadline, cancel, True)

    def close(self) -> None:
        """Close the ends that are still here, and the port if it was not used. Twice is fine."""
        offer = self.__dict__.pop("_offer", None)
        if offer is not None:
            offer[0].close()
        for end in ("_client_read_fd", "_server_write_fd"):
            fd = self.__dict__.pop(end, -1)
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

    def _take(self, ours: str) -> int:
        """Our end, which the caller now owns and has to close."""
        return _open(self.__dict__.pop(ours, -1))


def _open(fd: int) -> int:
    if fd < 0:
        raise ValueError("this end of the handshake is closed, or its side was run already")
    return fd


@contextmanager
def _owned(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _closed_on_error(fd: int) -> Iterator[None]:
    try:
        yield
    except BaseException:
        os.close(fd)
        raise


def _named_offer() -> tuple[ReceiveRight, Invitation]:
    name, port = claim("bootstrap", "start the client within Handshake.inheriting()")
    assert name is not None
    return port, Invitation(random_token(), name)


def _run_server(
    fd: int,
    offer: tuple[ReceiveRight, Invitation] | None,
    expect: tuple[type[_R], ...],
    deadline: Deadline,
    cancel: CancelToken | None,
    expected_pid: int | None,
) -> _R:
    """Takes over the descriptor and the offer's port."""
    with _owned(fd):
        port, invitation = offer or _named_offer()
        try:
            server = Server(port, token=invitation.token, expected_pid=expected_pid)
        except BaseException:
            port.close()
            raise
        with server:
            InvitationWriter(fd, invitation).write(deadline, cancel)
            arrived = server.accept(deadline.left(), cancel=cancel, watch_fd=fd)
    return expected_right(arrived, expect)


def _run_client(
    fd: int,
    port: Right | int | None,
    disposition: int | None,
    deadline: Deadline,
    cancel: CancelToken | None,
    may_inherit: bool,
) -> None:
    # The pipe is closed last: until then the server knows that the client is there.
    with closing(InvitationReader(fd)) as reader:
        invitation = reader.read(deadline, cancel)
        token, name = invitation.token, invitation.service_name
        try:
            if may_inherit:
                server = find(invitation, deadline, cancel)
            else:
                server = find_service(name, deadline, cancel)
            with server:
                check_in(server, token, port, disposition, timeout=deadline.left(), cancel=cancel)
        except InvalidDestination as error:
            raise PeerGone("the server ended before it took the right") from error
        except (UnknownService, HandshakeError) as error:
            if reader.ended(deadline, cancel):
                raise PeerGone("the server ended before the client could look it up") from error
            raise
