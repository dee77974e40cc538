"""select.kqueue and select.kevent for child_port's Python half, on the shim's kernel queues.

The standard library has them on macOS. Here it must not see them, or asyncio would run on them too:
they come into the module after `selectors` has chosen what it uses.
"""

from __future__ import annotations

import ctypes
import operator
import os
import posix
import select
from collections.abc import Callable, Iterable
from typing import Any

CONSTANTS = {
    "KQ_FILTER_READ": -1,
    "KQ_FILTER_PROC": -5,
    "KQ_EV_ADD": 0x1,
    "KQ_EV_DELETE": 0x2,
    "KQ_EV_ONESHOT": 0x10,
    "KQ_EV_CLEAR": 0x20,
    "KQ_EV_EOF": 0x8000,
    "KQ_EV_ERROR": 0x4000,
    "KQ_NOTE_EXIT": 0x80000000,
}


class Event(ctypes.Structure):
    """Darwin's struct kevent, and with it select.kevent."""

    _fields_ = (
        ("ident", ctypes.c_size_t),
        ("filter", ctypes.c_int16),
        ("flags", ctypes.c_uint16),
        ("fflags", ctypes.c_uint32),
        ("data", ctypes.c_ssize_t),
        ("udata", ctypes.c_size_t),
    )

    def __init__(
        self,
        ident: Any,
        filter: int = CONSTANTS["KQ_FILTER_READ"],
        flags: int = CONSTANTS["KQ_EV_ADD"],
        fflags: int = 0,
        data: int = 0,
        udata: int = 0,
    ) -> None:
        number = ident if isinstance(ident, int) else ident.fileno()
        super().__init__(number, filter, flags, fflags, data, udata)


class Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Queue:
    """select.kqueue. Owns its descriptor."""

    shim: Callable[[], ctypes.CDLL]

    def __init__(self) -> None:
        self._fd = -1
        self._fd = self._checked(self.shim().darwin_kqueue())

    def fileno(self) -> int:
        if self._fd < 0:
            raise ValueError("I/O operation on closed kqueue object")
        return self._fd

    @property
    def closed(self) -> bool:
        return self._fd < 0

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self._checked(self.shim().darwin_close(fd))

    def __del__(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            self.shim().darwin_close(fd)

    def control(
        self,
        changes: Iterable[Event] | None,
        max_events: int,
        timeout: float | None = None,
        /,
    ) -> list[Event]:
        given = list(changes or ())
        events = (Event * max_events)()
        limit = None
        if timeout is not None:
            nanoseconds = round(timeout * 1e9)
            limit = ctypes.byref(Time(*divmod(nanoseconds, 1_000_000_000)))
        changed = (Event * len(given))(*given)
        count = self._checked(
            self.shim().darwin_kevent(self.fileno(), changed, len(given), events, max_events, limit)
        )
        return list(events[:count])

    def _checked(self, result: int) -> int:
        if result < 0:
            number = self.shim().machorun_errno()
            raise OSError(number, os.strerror(number))
        return result


def install(shim: Callable[[], ctypes.CDLL], in_use: Callable[[], bool]) -> None:
    import selectors  # noqa: F401 (first, so that it does not choose these)

    Queue.shim = staticmethod(shim)
    if os.close is posix.close:
        vars(os)["close"] = _closing_queues(shim, in_use)
    for name, value in {"kqueue": Queue, "kevent": Event, **CONSTANTS}.items():
        setattr(select, name, value)


def _closing_queues(
    shim: Callable[[], ctypes.CDLL], in_use: Callable[[], bool]
) -> Callable[[int], None]:
    """os.close, with which a kernel queue ends on a Mac: here the shim's has more to close."""

    def close(fd: int) -> None:
        if not in_use() or not shim().kernel_queue_close(operator.index(fd)):
            posix.close(fd)

    return close
