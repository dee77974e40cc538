"""Services that are found by name, through the bootstrap server.

On macOS that is launchd's namespace of this login session; on Linux, sockets in a directory that
belongs to this user. Names are of 1 to 127 bytes in UTF-8.
"""

from ._child_port import (
    CancelToken,
    ReceiveRight,
    SendRight,
    bootstrap_check_in,
    bootstrap_look_up,
)

__all__ = ["check_in", "look_up"]


def check_in(name: str) -> ReceiveRight:
    """Claim the service name; the caller owns the receive right that serves it.

    The name is free again once that right is gone. Calls bootstrap_check_in. Raises ServiceActive
    if another port serves the name, NotPrivileged if policy forbids it (a sandbox without the
    mach-register exception), BootstrapError otherwise; ValueError for a name that is empty, too
    long or has a NUL in it.
    """
    return bootstrap_check_in(name)


def look_up(
    name: str, *, timeout: float | None = None, cancel: CancelToken | None = None
) -> SendRight:
    """A send right to the service of that name, owned by the caller.

    Calls bootstrap_look_up. On Linux the process that serves the name answers, which takes no time
    unless it is stopped: timeout, in seconds, is for that (at least a quarter of a second is
    waited). On macOS launchd answers, in a call that neither timeout, cancel nor Ctrl-C ends.

    Raises UnknownService if nobody serves the name (or the one who did is gone), NotPrivileged,
    BootstrapError; TimedOut if the one who serves it does not answer; Cancelled; ValueError as for
    check_in.
    """
    return bootstrap_look_up(name, timeout=timeout, cancel=cancel)
