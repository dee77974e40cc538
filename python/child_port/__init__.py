"""Hand Mach port rights from one process to another.

A child gives its parent a send right to its task or to a service of its own, a parent gives its
child a receive right: without root, without task_for_pid, without a launchd plist. See Popen and
check_in_to_parent for processes that this package starts, Handshake for a pipe of your own, Server
and check_in for what they are made of.
"""

from typing import TYPE_CHECKING

from . import bootstrap
from ._child_port import (
    PLATFORM,
    AuditToken,
    CancelToken,
    CheckIn,
    DeadName,
    ReceiveRight,
    Right,
    SendOnceRight,
    SendRight,
    check_in,
    pid_for_task,
    task_self,
)
from ._disposition import Disposition
from ._errors import (
    BootstrapError,
    Cancelled,
    HandshakeError,
    InvalidDestination,
    InvalidRight,
    MachError,
    NotAChild,
    NotPrivileged,
    PeerGone,
    PortChanged,
    ResourceShortage,
    RightTypeMismatch,
    ServiceActive,
    TimedOut,
    UnknownService,
)
from ._handshake import Handshake
from ._parent import check_in_to_parent, receive_from_parent
from ._server import Server
from ._spawn import Popen

__version__: str

__all__ = [
    "PLATFORM",
    "AuditToken",
    "BootstrapError",
    "CancelToken",
    "Cancelled",
    "CheckIn",
    "DeadName",
    "Disposition",
    "Handshake",
    "HandshakeError",
    "InvalidDestination",
    "InvalidRight",
    "MachError",
    "NotAChild",
    "NotPrivileged",
    "PeerGone",
    "Popen",
    "PortChanged",
    "ReceiveRight",
    "ResourceShortage",
    "Right",
    "RightTypeMismatch",
    "SendOnceRight",
    "SendRight",
    "Server",
    "ServiceActive",
    "TimedOut",
    "UnknownService",
    "bootstrap",
    "check_in",
    "check_in_to_parent",
    "pid_for_task",
    "receive_from_parent",
    "task_self",
]


if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> str:
        # The version stands in the metadata alone, and to read that takes as long as a handshake.
        if name == "__version__":
            from importlib.metadata import version

            return version("child-port")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
