"""Rights in multiprocessing: as arguments of a Process, through Queue, Pipe and pools.

Nothing here needs to be called: a right that multiprocessing pickles goes to the process that
unpickles it. A SendRight is copied; a SendOnceRight and a ReceiveRight are moved, so the object
that was pickled is closed. Plain pickle and copy refuse, since bytes cannot carry a right.

How: the process that pickles keeps the right, under a random key that is good once, and a thread
of it answers whoever asks with that key at a service that the pickle names. (multiprocessing does
the same for sockets, in resource_sharer.) Until somebody asks, the right is kept

- if it is an argument of a Process: until that process has ended;
- if it is in a queue or a pipe: for KEEP_S seconds, whatever becomes of those who could have read
  it;
- at most until this process ends, or calls release_unclaimed() or stop().

What was asked for and not taken, because the process died, is released by the system.

Start methods: spawn and forkserver carry rights in all these ways. With fork the arguments of a
Process are not pickled, and rights do not survive a fork: they are closed in the child. Queues,
pipes and pools carry rights with fork as well.
"""

from __future__ import annotations

import atexit
import os
import select
import struct
import sys
import threading
import time
import weakref
from contextlib import suppress
from types import FrameType

from . import bootstrap
from ._child_port import (
    Cancelled,
    CancelToken,
    DeadName,
    InvalidDestination,
    MachError,
    Message,
    Notification,
    PeerGone,
    ReceiveRight,
    Right,
    SendOnceRight,
    SendRight,
    TimedOut,
    UnknownService,
)
from ._disposition import Disposition
from ._secrets import random_service_name, random_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

KEEP_S = 600.0
"""Seconds. For how long a right in a queue or a pipe waits to be asked for."""

ANSWER_S = 60.0
"""Seconds. For how long a process that unpickles waits for the one that pickled."""

_KEY = struct.Struct("=Q")
_TICK_S = 1.0  # how often rights that nobody may ask for any more are looked for

_dispositions: dict[type[Right], Disposition] = {
    SendRight: Disposition.MOVE_SEND,
    SendOnceRight: Disposition.MOVE_SEND_ONCE,
    ReceiveRight: Disposition.MOVE_RECEIVE,
    DeadName: Disposition.MOVE_SEND,
}


class _Held:
    """One right that waits to be asked for. Owns it."""

    def __init__(self, right: Right, process: object | None) -> None:
        self.right = right
        self.since = time.monotonic()
        # multiprocessing's Popen object for the process being started, if it is for one alone.
        self._process = None if process is None else weakref.ref(process)

    def is_over(self, now: float) -> bool:
        if self._process is None:
            return now - self.since > KEEP_S
        process: Any = self._process()
        sentinel = getattr(process, "sentinel", None)  # not there before the process is
        if process is None or sentinel is None:
            return process is None
        # Not process.poll(), which would reap the process behind the back of whoever joins it.
        poll = select.poll()
        poll.register(sentinel, select.POLLIN)
        return bool(poll.poll(0))


class _Sharer:
    """The thread that answers, its port, and the rights that wait. Owns them all."""

    def __init__(self) -> None:
        self.name = random_service_name()
        self.refused = 0
        self._port = bootstrap.check_in(self.name)
        self._held: dict[int, _Held] = {}
        self._lock = threading.Lock()
        self._stop = CancelToken()
        self._thread = threading.Thread(target=self._run, name="child_port.sharing", daemon=True)
        self._thread.start()

    def hold(self, right: Right, process: object | None) -> int:
        """Take the right over; its key."""
        key = random_token()
        with self._lock:
            self._held[key] = _Held(right, process)
        return key

    def stop(self) -> None:
        self._stop.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._port.close()
        self.release(lambda held: True)

    def abandon(self) -> None:
        """In the child of a fork, where thread, port and rights are not: close the objects."""
        self._port.close()
        for held in self._held.values():
            held.right.close()

    def release(self, over: Callable[[_Held], bool]) -> int:
        """Release the rights for which `over` is true; how many there were."""
        with self._lock:
            keys = [key for key, held in self._held.items() if over(held)]
            released = [self._held.pop(key) for key in keys]
        for held in released:
            held.right.close()
        return len(released)

    def _run(self) -> None:
        with suppress(Cancelled):
            while True:
                with suppress(MachError):  # a message that came without its rights, or no message
                    self._answer(self._port.receive(_TICK_S, cancel=self._stop))
                now = time.monotonic()
                self.release(lambda held, now=now: held.is_over(now))  # type: ignore[misc]

    def _answer(self, message: Message | Notification) -> None:
        with message:
            if not isinstance(message, Message):
                return
            reply = message.reply if isinstance(message.reply, SendOnceRight) else None
            held = None if reply is None else self._asked_for(message)
            if held is None:
                self.refused += 1  # before the answer, so that whoever has that finds it counted
                if reply is not None:
                    reply.send(b"no such key", timeout=0)
            elif reply is not None:
                right = held.right
                with right:  # if whoever asked is gone already, it is released
                    reply.send(rights=[(right, _dispositions[type(right)])], timeout=0)

    def _asked_for(self, message: Message) -> _Held | None:
        """What waits under the key in the message. From now on the caller owns it."""
        if len(message.data) != _KEY.size:
            return None
        with self._lock:
            return self._held.pop(_KEY.unpack(message.data)[0], None)


_sharer: _Sharer | None = None
_lock = threading.Lock()


def _the_sharer() -> _Sharer:
    global _sharer
    with _lock:
        if _sharer is None:
            _sharer = _Sharer()
        return _sharer


def stop() -> None:
    """End the thread and release what nobody asked for. The next right that is pickled starts it
    again. Called at the process's end."""
    global _sharer
    with _lock:
        sharer, _sharer = _sharer, None
    if sharer is not None:
        sharer.stop()


def release_unclaimed() -> int:
    """Release the rights that nobody has asked for so far; how many there were.

    For whoever knows that the readers of a queue are gone.
    """
    with _lock:
        sharer = _sharer
    return 0 if sharer is None else sharer.release(lambda held: True)


def refused() -> int:
    """How often somebody asked with a wrong key, or with none, since the thread was started."""
    with _lock:
        return 0 if _sharer is None else _sharer.refused


def _forget_in_forked_child() -> None:
    global _sharer, _lock
    _lock = threading.Lock()
    sharer, _sharer = _sharer, None
    if sharer is not None:
        sharer.abandon()


atexit.register(stop)
os.register_at_fork(after_in_child=_forget_in_forked_child)


# --- pickling -------------------------------------------------------------------------------------


def _is_pickled_by_multiprocessing() -> bool:
    """Whether the call came through multiprocessing's pickler, which is C but for its callers."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "multiprocessing.reduction":
            return True
        frame = frame.f_back
    return False


def _reduce(right: Right) -> tuple[object, ...]:
    """The right's __reduce__: moved or copied to where it can be asked for."""
    if not _is_pickled_by_multiprocessing():
        raise TypeError(
            f"cannot pickle {type(right).__name__!r} object: bytes cannot carry a port right; "
            "multiprocessing hands it over, and so do check_in() and send()"
        )
    from multiprocessing.context import get_spawning_popen

    if type(right) not in _dispositions:
        raise TypeError(f"a {type(right).__name__} cannot be handed over")
    sharer = _the_sharer()
    if isinstance(right, SendRight):
        taken: Right = right.copy()
    elif right.name == 0xFFFFFFFF:
        taken = type(right).adopt(right.name)
    else:
        taken = type(right).adopt(right.detach())
    key = sharer.hold(taken, get_spawning_popen())
    return _rebuild, (sharer.name, key)


def _rebuild(name: str, key: int) -> Right:
    """In the process that unpickles: ask for the right. The caller owns it.

    Raises PeerGone if the process that pickled it has ended or stopped sharing; LookupError if the
    right was taken before, or released; TimedOut.
    """
    try:
        with (
            bootstrap.look_up(name, timeout=ANSWER_S) as sharer,
            sharer.request(_KEY.pack(key), timeout=ANSWER_S) as answer,
        ):
            if not answer.rights:
                raise LookupError("the right in this pickle was taken before, or was released")
            right = answer.rights[0]
            if right is None:
                raise LookupError("the right in this pickle is gone")
            if isinstance(right, DeadName):
                return DeadName.adopt(right.detach())
            return type(right).adopt(right.detach())
    except TimedOut:
        raise
    except (UnknownService, InvalidDestination, PeerGone) as error:
        raise PeerGone(
            "the process that pickled this right has ended, or shares it no more"
        ) from error
