"""How a right travels: Mach's MACH_MSG_TYPE_* values for port descriptors."""

from enum import IntEnum, unique

from . import _child_port as _ext


@unique
class Disposition(IntEnum):
    """What a sender does with a right to hand it over. Without the prefix MACH_MSG_TYPE_.

    The receiver sees the outcome, which has three of the same numbers: MOVE_RECEIVE for a receive
    right, MOVE_SEND for a send right (copied and made ones too), MOVE_SEND_ONCE for a send-once
    right.
    """

    MOVE_RECEIVE = _ext.MACH_MSG_TYPE_MOVE_RECEIVE
    """Give the receive right away, and with it all that is queued on the port."""
    MOVE_SEND = _ext.MACH_MSG_TYPE_MOVE_SEND
    """Give one user reference of a send right away."""
    MOVE_SEND_ONCE = _ext.MACH_MSG_TYPE_MOVE_SEND_ONCE
    """Give a send-once right away."""
    COPY_SEND = _ext.MACH_MSG_TYPE_COPY_SEND
    """Hand over a send right and keep one's own."""
    MAKE_SEND = _ext.MACH_MSG_TYPE_MAKE_SEND
    """Make a send right from one's receive right and hand it over."""
    MAKE_SEND_ONCE = _ext.MACH_MSG_TYPE_MAKE_SEND_ONCE
    """Make a send-once right from one's receive right and hand it over."""
