"""How the client finds the server's port: by a service name, or because it inherits a right to it.

"bootstrap": the server claims a random name with the bootstrap server, and the invitation says it.
"inherited": the right is one of the registered ports that the client inherits, and the invitation
says which. For a server that may not register names; the client must be started by it.
"auto": the first, and the second where the first is refused.

The token, and who may know it, is the same for both.
"""

from __future__ import annotations

import errno

from . import bootstrap
from ._child_port import (
    BootstrapError,
    CancelToken,
    InvalidDestination,
    NotPrivileged,
    ReceiveRight,
    SendRight,
)
from ._deadline import Deadline
from ._errors import HandshakeError
from ._invitation import Invitation
from ._registered import take
from ._secrets import SERVICE_NAMES, random_service_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._spawn import Transport

# The App Sandbox takes a pattern for names to register, but none for names to look up
# (https://developer.apple.com/forums/thread/808940).
GRANT_REGISTER = (
    "this process may not register a service name. A sandbox profile grants it with "
    f'(allow mach-register (global-name-prefix "{SERVICE_NAMES}")), the App Sandbox with '
    f'"{SERVICE_NAMES}*" in the entitlement '
    "com.apple.security.temporary-exception.mach-register.global-name"
)
GRANT_LOOK_UP = (
    "this process may not look a service name up. A sandbox profile grants it with "
    f'(allow mach-lookup (global-name-prefix "{SERVICE_NAMES}")); or let whoever starts it '
    'choose transport="inherited", which needs no name'
)


def check_transport(transport: str) -> None:
    if transport not in ("auto", "bootstrap", "inherited"):
        raise ValueError(f'transport must be "auto", "bootstrap" or "inherited", not {transport!r}')


def not_privileged(error: BootstrapError | InvalidDestination, advice: str) -> NotPrivileged:
    """The same error, and what to do about it."""
    told = NotPrivileged(f"{error.call}: {error.symbol} ({error.code}): {advice}")
    told.errno, told.code, told.symbol, told.call = (
        errno.EPERM,
        error.code,
        error.symbol,
        error.call,
    )
    return told


def claim(transport: Transport, instead: str) -> tuple[str | None, ReceiveRight]:
    """A new port and the service name that it has, None if it is to be inherited.

    instead: what to do when names are refused, for the error.
    """
    if transport == "inherited":
        return None, ReceiveRight()
    name = random_service_name()
    try:
        return name, bootstrap.check_in(name)
    except NotPrivileged as error:
        if transport == "bootstrap":
            raise not_privileged(error, f"{GRANT_REGISTER}; or {instead}") from None
    except InvalidDestination:  # there is no bootstrap server to ask
        if transport == "bootstrap":
            raise
    return None, ReceiveRight()


def find_service(name: str, deadline: Deadline, cancel: CancelToken | None) -> SendRight:
    """bootstrap.look_up(), which says what to do when policy forbids it."""
    try:
        return bootstrap.look_up(name, timeout=deadline.left(), cancel=cancel)
    except NotPrivileged as error:
        raise not_privileged(error, GRANT_LOOK_UP) from None


def find(invitation: Invitation, deadline: Deadline, cancel: CancelToken | None) -> SendRight:
    """The right to the port that the invitation is to; the caller owns it.

    Raises HandshakeError if it should have been inherited, and was not; what bootstrap.look_up()
    does. Only for an invitation from the process that started this one: it may name a right that
    this process inherited.
    """
    if invitation.slot is None:
        return find_service(invitation.service_name, deadline, cancel)
    right = take(invitation.slot)
    if right is None:
        raise HandshakeError(
            f"this process has not inherited the right to its server (registered port "
            f"{invitation.slot}): it was started outside Handshake.inheriting(), a process in "
            "between closed its descriptors, or the server is gone"
        )
    return right
