# ruff: noqa: N818 (an exception is named for what happened)
"""Every exception of child_port. Those of the Mach calls are made in C; these come on top."""

from collections.abc import Sequence

from ._child_port import (
    BootstrapError,
    Cancelled,
    InvalidDestination,
    InvalidRight,
    MachError,
    NotPrivileged,
    PeerGone,
    PortChanged,
    ResourceShortage,
    Right,
    ServiceActive,
    TimedOut,
    UnknownService,
)
from ._disposition import Disposition

__all__ = [
    "BootstrapError",
    "Cancelled",
    "HandshakeError",
    "InvalidDestination",
    "InvalidRight",
    "MachError",
    "NotAChild",
    "NotPrivileged",
    "PeerGone",
    "PortChanged",
    "ResourceShortage",
    "RightTypeMismatch",
    "ServiceActive",
    "TimedOut",
    "UnknownService",
]


class HandshakeError(Exception):
    """The other side is there, but what it said is no part of a handshake."""


class RightTypeMismatch(HandshakeError):
    """The peer checked in with another type of right than was expected; it has been released.

    expected: the types that were.
    received: the type that came, DeadName if the port died on the way, None for no port at all.
    disposition: how it came (a plain int if it is none of Mach's).
    key: the key that it came with, if there was one.
    """

    def __init__(
        self,
        expected: Sequence[type[Right]],
        received: type[Right] | None,
        disposition: int,
        key: str | None = None,
    ) -> None:
        self.key = key
        self.expected = tuple(expected)
        self.received = received
        known = disposition in set(Disposition)
        self.disposition = Disposition(disposition) if known else disposition
        wanted = " or ".join(kind.__name__ for kind in self.expected)
        came = "no port" if received is None else received.__name__
        what = "" if key is None else f" for {key!r}"
        super().__init__(f"expected {wanted}{what}, received {came} ({self.disposition!r})")


class NotAChild(RuntimeError):
    """This process has no parent to check in with: child_port.Popen did not start it."""
