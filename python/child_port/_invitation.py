"""The pipe of a handshake: where the client is to check in, and with what token.

The server writes, in native byte order and without padding: the token (8 bytes), the length of the
service name (4 bytes), the name. This is the format of Crashpad's ChildPortHandshake. Neither side
trusts the other to deliver it in one piece, in time, or at all.

Where the client inherits the right, or is handed it, there is no service; what stands for its name
says so. Nobody serves these names, so that a client that does not know them finds nothing.
"""

from __future__ import annotations

import math
import os
import select
import signal
import struct

from ._child_port import CancelToken, PeerGone
from ._deadline import Deadline, check_cancelled, wait_for
from ._errors import HandshakeError
from ._registered import SLOTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# BOOTSTRAP_MAX_NAME_LEN is 128, the terminating NUL included.
LONGEST_NAME = 127
HANDED_OVER = "org.child-port.handed-over"
INHERITED_NAMES = "org.child-port.inherited."
LAST_GASP_S = 1.0
_HEAD = struct.Struct("=QI")


class Invitation:
    """What goes through the pipe. Its text does not give the token away."""

    __slots__ = ("service_name", "token")

    def __init__(self, token: int, service_name: str) -> None:
        self.token = token
        self.service_name = service_name

    @classmethod
    def to_inherited(cls, token: int, slot: int) -> Invitation:
        """To a port whose right the client inherits as the registered port of that number."""
        return cls(token, f"{INHERITED_NAMES}{slot}")

    @property
    def slot(self) -> int | None:
        """Which registered port it is to, None if it is to a service."""
        for slot in SLOTS:
            if self.service_name == f"{INHERITED_NAMES}{slot}":
                return slot
        return None

    def __repr__(self) -> str:
        return f"<Invitation to {self.service_name!r}>"

    def encode(self) -> bytes:
        name = self.service_name.encode()
        return _HEAD.pack(self.token, len(name)) + name


class InvitationWriter:
    """Writes an invitation into a pipe that belongs to the caller.

    A write that did not get through in time can be taken up again where it ended.
    """

    def __init__(self, fd: int, invitation: Invitation) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._rest = invitation.encode()

    def write(self, deadline: Deadline, cancel: CancelToken | None) -> None:
        """Raises PeerGone if nobody can read it any more; TimedOut, Cancelled."""
        while self._rest:
            wait_for({self._fd: select.POLLOUT}, deadline, cancel, "writing the handshake pipe")
            try:
                written = _write_without_sigpipe(self._fd, self._rest)
            except BlockingIOError:
                continue
            except ConnectionError as error:
                raise PeerGone("the client closed its end of the handshake pipe") from error
            self._rest = self._rest[written:]


class InvitationReader:
    """Reads an invitation from a pipe, which it owns until close().

    A read that ran into its deadline can be taken up again: what came so far is kept.
    """

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._came = b""

    def fileno(self) -> int:
        """Readable when more of the invitation can be read, and at the end."""
        return self._fd

    def read(
        self, deadline: Deadline, cancel: CancelToken | None, gone_fds: Iterable[int] = ()
    ) -> Invitation:
        """The invitation; the same again if asked again.

        Raises PeerGone when the pipe ends before it is complete, or one of gone_fds is readable and
        no more comes; HandshakeError when it cannot be one; TimedOut, Cancelled.
        """
        interests = dict.fromkeys([self._fd, *gone_fds], select.POLLIN)
        while (missing := self._missing()) > 0:
            ready = wait_for(interests, deadline, cancel, "reading the handshake pipe")
            if self._fd not in ready:
                # The peer is gone, but not another holder of the pipe. What it wrote comes first.
                if readable_now(self._fd):
                    continue
                raise self._peer_gone()
            try:
                piece = os.read(self._fd, missing)
            except BlockingIOError:
                continue
            except ConnectionError:
                piece = b""
            if not piece:
                raise self._peer_gone()
            self._came += piece
        return self._decode()

    def ended(self, deadline: Deadline | None = None, cancel: CancelToken | None = None) -> bool:
        """Whether all writers have closed the pipe, or, with a deadline, do within a moment.

        Raises Cancelled if it is not so when the token is.

        The system closes what a process that dies had open one after the other, so that its service
        may be gone a little before its end of the pipe.
        """
        wait = 0 if deadline is None else deadline.slice(LAST_GASP_S)
        poller = select.poll()
        # Elsewhere the hang-up is always told; XNU's poll watches a descriptor without events for
        # nothing at all (poll_nocancel in bsd/kern/sys_generic.c).
        poller.register(self._fd, select.POLLHUP)
        if cancel is not None:
            poller.register(cancel.fileno(), select.POLLIN)
        ready = dict(poller.poll(math.ceil(wait * 1000)))
        if self._fd not in ready:
            check_cancelled(cancel)
        return self._fd in ready

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _missing(self) -> int:
        if len(self._came) < _HEAD.size:
            return _HEAD.size - len(self._came)
        _, length = _HEAD.unpack_from(self._came)
        if not 1 <= length <= LONGEST_NAME:
            raise HandshakeError(
                f"the handshake pipe announces a service name of {length} bytes; "
                f"1 to {LONGEST_NAME} are possible, so its writer is no handshake server"
            )
        return _HEAD.size + int(length) - len(self._came)

    def _decode(self) -> Invitation:
        token, _ = _HEAD.unpack_from(self._came)
        name = self._came[_HEAD.size :]
        if b"\0" in name:
            raise HandshakeError(f"the service name in the handshake pipe has a NUL: {name!r}")
        try:
            return Invitation(token, name.decode())
        except UnicodeDecodeError as error:
            raise HandshakeError(
                f"the service name in the handshake pipe is not UTF-8: {name!r}"
            ) from error

    def _peer_gone(self) -> PeerGone:
        return PeerGone(
            "the server closed the handshake pipe, or died, "
            f"after {len(self._came)} bytes of its invitation"
        )


def readable_now(fd: int) -> bool:
    """Whether there is something to read, or the end, without a wait."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(0))


def _write_without_sigpipe(fd: int, data: bytes) -> int:
    """os.write, which fails with EPIPE even where SIGPIPE has its default, to kill the process.

    The signal goes to the thread that wrote, so it is enough to block it here and to take it back.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # A handler may raise out of this, with the signal blocked already.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGPIPE})
        return os.write(fd, data)
    except BrokenPipeError:
        if signal.SIGPIPE not in before and signal.SIGPIPE in signal.sigpending():
            signal.sigwait({signal.SIGPIPE})
        raise
    finally:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        except BaseException:  # a handler's, and perhaps before anything was done
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            raise
