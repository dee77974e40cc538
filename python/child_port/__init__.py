"""Hand Mach port rights from one process to another.

A child gives its parent a send right to its task or to a service of its own, a parent gives its
child a receive right: without root, without task_for_pid, without a launchd plist. See Popen and
check_in_to_parent for processes that this package starts, Handshake for a pipe of your own, Server
and check_in for what they are made of.
"""

from . import bootstrap
from ._child_port import (
    _C_API as _C_API,
)
from ._child_port import (
    PLATFORM,
    AuditToken,
    CancelToken,
    CheckIn,
    DeadName,
    Died,
    Message,
    NoSenders,
    Notification,
    PortDeleted,
    PortDestroyed,
    PortSet,
    ReceiveRight,
    Right,
    SendOnce,
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
from ._keys import key_token
from ._parent import check_in_to_parent, receive_from_parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._handshake import Handshake
    from ._keyed import KeyedServer
    from ._ledger import ledger, trace_rights
    from ._server import Server
    from ._spawn import Popen
    from ._subprocess_async import Process, create_subprocess_exec

__version__: str

__all__ = [
    "PLATFORM",
    "AuditToken",
    "BootstrapError",
    "CancelToken",
    "Cancelled",
    "CheckIn",
    "DeadName",
    "Died",
    "Disposition",
    "Handshake",
    "HandshakeError",
    "InvalidDestination",
    "InvalidRight",
    "KeyedServer",
    "MachError",
    "Message",
    "NoSenders",
    "NotAChild",
    "NotPrivileged",
    "Notification",
    "PeerGone",
    "Popen",
    "PortChanged",
    "PortDeleted",
    "PortDestroyed",
    "PortSet",
    "Process",
    "ReceiveRight",
    "ResourceShortage",
    "Right",
    "RightTypeMismatch",
    "SendOnce",
    "SendOnceRight",
    "SendRight",
    "Server",
    "ServiceActive",
    "TimedOut",
    "UnknownService",
    "bootstrap",
    "check_in",
    "check_in_to_parent",
    "create_subprocess_exec",
    "get_include",
    "key_token",
    "ledger",
    "pid_for_task",
    "receive_from_parent",
    "task_self",
    "trace_rights",
]


def get_include() -> str:
    """The folder of child_port_capi.h, for the compiler of an extension that uses the C API.

    The header is its manual.
    """
    return f"{__path__[0]}/include"


# A child that only checks in is spared the import of these, which takes longer than the check-in.
_IMPORTED_WHEN_USED = {
    "Handshake": "_handshake",
    "KeyedServer": "_keyed",
    "Popen": "_spawn",
    "Process": "_subprocess_async",
    "Server": "_server",
    "create_subprocess_exec": "_subprocess_async",
    "ledger": "_ledger",
    "trace_rights": "_ledger",
}

if not TYPE_CHECKING:  # else type checkers would accept any name

    def __getattr__(name: str) -> object:
        if name in _IMPORTED_WHEN_USED:
            from importlib import import_module

            value = getattr(import_module(f".{_IMPORTED_WHEN_USED[name]}", __name__), name)
        elif name == "__version__":
            # It stands in the metadata alone.
            from importlib.metadata import version

            value = version("child-port")
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted(globals().keys() | _IMPORTED_WHEN_USED.keys() | {"__version__"})
