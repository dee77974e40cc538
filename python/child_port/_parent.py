"""The child's side of Popen: checking in with the parent, and receiving from it."""

from __future__ import annotations

import os
import threading

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
from ._disposition import Disposition
from ._environment import forget_variables, read_variables
from ._errors import HandshakeError, NotAChild
from ._invitation import HANDED_OVER, Invitation, InvitationReader, InvitationWriter
from ._keys import PARENT_TO_CHILD, check_key, derive
from ._secrets import random_token
from ._transport import claim, find
from ._turn import Turn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._server import Server


class _Link:
    """This process's pipes with the parent, and what came of them. Owns them all.

    The pipes stay open for as long as the process lives, so that each side sees the other's end.
    """

    def __init__(self, check_in_fd: int, receive_fd: int, parent_pid: int | None) -> None:
        self._reader = InvitationReader(check_in_fd)
        self._receive_fd = receive_fd
        self._parent_pid = parent_pid
        self._turn = Turn()
        self._destination: tuple[SendRight, int] | None = None
        self._writer: InvitationWriter | None = None
        self._server: Server | None = None

    def check_in(
        self,
        port: Right | int | None,
        disposition: int | None,
        key: str | None,
        deadline: Deadline,
        cancel: CancelToken | None,
    ) -> None:
        server, token = self._turn.during(
            lambda: self._destination or self._look_up(deadline, cancel),
            deadline,
            cancel,
            "checking in with the parent",
        )
        if key is not None:
            token = derive(token, key)
        try:
            check_in(server, token, port, disposition, timeout=deadline.left(), cancel=cancel)
        except InvalidDestination as error:
            raise PeerGone("the parent is gone, or has closed its Popen") from error

    def receive(self, deadline: Deadline, cancel: CancelToken | None) -> CheckIn:
        server = self._turn.during(
            lambda: self._invite(deadline, cancel), deadline, cancel, "receiving from the parent"
        )
        return server.accept(deadline.left(), cancel=cancel, watch_fd=self._receive_fd)

    def _invite(self, deadline: Deadline, cancel: CancelToken | None) -> Server:
        """The server at which the parent hands over, once the parent can know of it."""
        server = self._server or self._serve(deadline, cancel)
        if self._writer is None:
            if server.service_name is None:
                # The parent takes it from among the check-ins when it has a right to send.
                self.check_in(server.port, Disposition.MAKE_SEND, PARENT_TO_CHILD, deadline, cancel)
            invitation = Invitation(server.token, server.service_name or HANDED_OVER)
            self._writer = InvitationWriter(self._receive_fd, invitation)
        self._writer.write(deadline, cancel)
        return server

    def _serve(self, deadline: Deadline, cancel: CancelToken | None) -> Server:
        """Make the port at which the parent hands over: with a name if there can be one."""
        from ._server import Server

        by_name = self._reader.read(deadline, cancel).slot is None
        name, port = claim("auto" if by_name else "inherited", "")
        self._server = Server._checked_in(port, name, random_token(), self._parent_pid)
        return self._server

    def _look_up(self, deadline: Deadline, cancel: CancelToken | None) -> tuple[SendRight, int]:
        invitation = self._reader.read(deadline, cancel)
        try:
            right = find(invitation, deadline, cancel)
        except (UnknownService, HandshakeError) as error:
            if self._reader.ended(deadline, cancel):
                raise PeerGone("the parent is gone, or has closed its Popen") from error
            raise
        self._destination = right, invitation.token
        return self._destination

    def close(self) -> None:
        """Close the pipes, and release the rights (those of a process before a fork are closed)."""
        self._reader.close()
        fd, self._receive_fd = self._receive_fd, -1
        if fd >= 0:
            os.close(fd)
        if self._destination is not None:
            self._destination[0].close()
        if self._server is not None:
            self._server.close()


_link: _Link | None = None
_link_lock = threading.RLock()  # a signal handler may check in


def _the_link() -> _Link:
    global _link
    with _link_lock:
        if _link is None:
            try:
                made = _Link(*read_variables())
                # A signal handler may have been here meanwhile. From here on none comes in between.
                _link = _link or made
            except NotAChild:
                if _link is None:
                    forget_variables()
                    raise
            # Last, for what a handler raises before is not to make this process nobody's child.
            forget_variables()
        return _link


def _forget_in_forked_child() -> None:
    """A process forked from the child is not the parent's child; nor must its copies of the pipes
    make the parent believe that the child is still there."""
    global _link, _link_lock
    _link_lock = threading.RLock()
    link, _link = _link, None
    if link is not None:
        link.close()


os.register_at_fork(after_in_child=_forget_in_forked_child)


def check_in_to_parent(
    port: Right | int | None,
    disposition: int | None = None,
    *,
    key: str | None = None,
    timeout: float | None = None,
    cancel: CancelToken | None = None,
) -> None:
    """Hand a right to the parent, who takes it with Popen.accept(). As often as there are rights.

    key says which right it is: the parent takes it with Popen.collect({key: ...}) or
    accept(key=...), in whatever order the rights come.

    port and disposition are those of check_in(), and so is their ownership: whatever fails, the
    caller owns what it owned. timeout is in seconds, for all of it.

    Raises NotAChild if child_port.Popen did not start this process; PeerGone if the parent is gone
    or has closed its Popen; TimedOut, Cancelled; and what check_in() and bootstrap.look_up() raise.
    """
    deadline = Deadline(timeout)
    if key is not None:
        check_key(key)
    _the_link().check_in(port, disposition, key, deadline, cancel)


def receive_from_parent(
    timeout: float | None = None, *, cancel: CancelToken | None = None
) -> CheckIn:
    """The next right that the parent hands over with Popen.send_right(); the caller owns its port.

    Raises NotAChild if child_port.Popen did not start this process; PeerGone if the parent is gone
    or has closed its Popen and has sent nothing more; TimedOut, Cancelled; and what
    bootstrap.check_in() and Server.accept() raise.
    """
    deadline = Deadline(timeout)
    return _the_link().receive(deadline, cancel)
