"""Rights in multiprocessing: as arguments of a Process, through Queue, Pipe and pools.

Nothing here needs to be called: a right that multiprocessing pickles goes to the process that
unpickles it. A SendRight is copied; a SendOnceRight and a ReceiveRight are moved, so the object
that was pickled is closed. A pickling that fails moves nothing. What is dead arrives as a DeadName.
Plain pickle and copy refuse, since bytes cannot carry a right.

How: the process that pickles keeps the right, under a random key that is good once, and a thread
of it answers whoever asks with that key at a service that the pickle names. (multiprocessing does
the same for sockets, in resource_sharer.) Until somebody asks, the right is kept

- if it is an argument of a Process: until that process has ended. Until it has asked, the object
  that was pickled can neither be used nor is it closed; if it cannot be started, the right is the
  object's again;
- if it is in a queue or a pipe: for KEEP_S seconds, whatever becomes of those who could have read
  it;
- at most until this process ends and multiprocessing has joined those that it started, or until
  release_unclaimed(), take_back() or stop().

What was asked for and not taken, because the process died, is released by the system.

Where no service name can be had, as in a sandbox that forbids it, pickling raises NotPrivileged.
The receive right of a bootstrap service stays where it is: PermissionError.

Start methods: spawn and forkserver carry rights in all these ways. With fork the arguments of a
Process are not pickled, and rights do not survive a fork: they are closed in the child. Queues,
pipes and pools carry rights with fork as well.
"""

from __future__ import annotations

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
    InvalidRight,
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
    _PickleEnd,
    _sharing_begin,
    _sharing_check,
    _sharing_give_back,
    _sharing_take,
)
from ._disposition import Disposition
from ._secrets import random_service_name, random_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _R = TypeVar("_R", bound=Right)

KEEP_S = 600.0
"""Seconds. For how long a right in a queue or a pipe waits to be asked for; then it is released.
The port of a receive right dies so, with the messages in it, although a slow reader may yet come.
It may be set at any time, and holds for what waits already; math.inf is for ever."""

ANSWER_S = 60.0
"""Seconds. For how long a process that unpickles waits for the one that pickled."""

_KEY = struct.Struct("=Q")
_MACH_PORT_DEAD = 0xFFFFFFFF
_TICK_S = 1.0  # how often rights that nobody may ask for any more are looked for

_dispositions: dict[type[Right], Disposition] = {
    SendRight: Disposition.MOVE_SEND,
    SendOnceRight: Disposition.MOVE_SEND_ONCE,
    ReceiveRight: Disposition.MOVE_RECEIVE,
    DeadName: Disposition.MOVE_SEND,
}


class _Held:
    """One right that waits to be asked for. Owns it, or the move that has been begun of it."""

    def __init__(self, source: Right, right: Right, gone: Callable[[object], object]) -> None:
        """For `source`, which somebody pickles: `right` is a copy of it, or itself, in a move."""
        from multiprocessing.context import get_spawning_popen

        self._begun = right
        self._owned = [] if right is source else [right]
        self._to_end = [right] if right is source else []  # whoever pops it ends the move
        self.since = time.monotonic()
        self._source = weakref.ref(source)
        # multiprocessing's Popen object for the process being started, if it is for one alone. It
        # has a sentinel as soon as it has a process; its attributes still tell once it is gone.
        process = get_spawning_popen()
        self.process = None if process is None else weakref.ref(process, gone)
        self._attributes: dict[str, Any] = {} if process is None else vars(process)

    @property
    def right(self) -> Right:
        return self._owned[0] if self._owned else self._begun

    @property
    def moving(self) -> bool:
        return not self._owned

    def is_of(self, sources: tuple[Right, ...]) -> bool:
        return self._source() in sources

    def take(self) -> Right:
        """The right. The caller owns it."""
        if self.moving:
            self._end_move()
        return self._owned[0]

    def settle(self) -> None:
        """The move is over: the object that was pickled is closed."""
        if self.moving:
            with suppress(IndexError, ValueError):  # another thread has given the right back
                self._end_move()

    def _end_move(self) -> None:
        try:
            # One step: no signal's handler comes between the move's end and its being known here.
            self._owned.extend(map(_sharing_take, map(self._to_end.pop, (0,))))
        except IndexError:
            if self.moving:
                raise
            # else another thread was faster

    def give_back(self) -> None:
        try:
            list(map(_sharing_give_back, map(self._to_end.pop, (0,))))  # one step, as above
        except ValueError:  # an interrupt came before the move had begun
            pass
        except IndexError:  # the move is over, or another thread is just ending it
            self.take().close()

    def release(self) -> None:
        """Nobody will ask for it. If there is nobody yet who could have, it is given back."""
        if self.moving and "sentinel" not in self._attributes:
            self.give_back()
        else:
            self.take().close()

    def is_over(self, now: float) -> bool:
        if self.process is None:
            return not self.moving and now - self.since > KEEP_S
        if "sentinel" not in self._attributes:
            return False  # not started yet; should that fail, `gone` is called
        # Not process.poll(), which would reap the process behind the back of whoever joins it.
        poll = select.poll()
        poll.register(self._attributes["sentinel"], select.POLLIN)
        return bool(poll.poll(0))


class _Sharer:
    """The thread that answers, its port, and the rights that wait. Owns them all.

    No lock guards the dictionary of what waits: whoever pops a key owns what it held. (The end of a
    pickling and of a Popen object is told in whatever thread drops the last reference, which may
    be in the middle of anything.) The end of a pickling pops nothing and ends the move all the
    same; of those who would end one, whoever pops `_to_end` does.
    """

    def __init__(self) -> None:
        from multiprocessing.util import Finalize

        self.name = random_service_name()
        self.refused = 0
        self._held: dict[int, _Held] = {}
        self._stop = CancelToken()
        self._port = bootstrap.check_in(self.name)
        self._thread = threading.Thread(target=self._run, name="child_port.sharing", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # CPython 3.12 and later starts none once the main program has ended
            self._port.close()
            raise
        # Not atexit, which would come before multiprocessing waits for the processes that it has
        # started. Then it runs these, from high priorities to low ones: queues are written out at
        # -5, and those who write them may still pickle rights.
        self._at_exit = Finalize(None, stop, exitpriority=-100)

    def hold(self, source: Right) -> _PickleEnd:
        """Copy or move the right to where it waits. In a pickle the result stands for the key."""
        key = random_token()
        end = _PickleEnd(key, self._pickled)
        right = source.copy() if isinstance(source, SendRight) else source
        held = _Held(source, right, lambda process: self._drop(key))
        try:
            self._held[key] = held
            if held.moving:
                _sharing_begin(source)
            return end
        except ValueError:  # closed, or in use: no move has begun
            del self._held[key]
            raise
        except BaseException:  # an interrupt, whose traceback may keep `end` for long
            self._pickled(key, failed=True)
            raise

    def _pickled(self, key: int, failed: bool) -> None:
        """The pickling for which this key was made is over."""
        if failed:
            held = self._held.pop(key, None)
            if held is not None:
                held.give_back()
            return
        # It stays there meanwhile, whatever a signal's handler raises in between.
        held = self._held.get(key)
        if held is not None and held.process is None:  # else it moves when the process has started
            held.settle()

    def _drop(self, key: int) -> bool:
        held = self._held.pop(key, None)
        if held is not None:
            held.release()
        return held is not None

    def release(self, over: Callable[[_Held], bool]) -> int:
        """Release the rights for which `over` is true; how many there were."""
        keys = [key for key, held in list(self._held.items()) if over(held)]
        return sum(self._drop(key) for key in keys)

    def take_back(self, source: Right) -> Right | None:
        for key, held in list(self._held.items()):
            if held.is_of((source,)) and self._held.pop(key, None) is not None:
                return held.take()
        return None

    def stop(self) -> None:
        self._at_exit.cancel()
        self._stop.cancel()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._port.close()
        self.release(lambda held: True)

    def abandon(self) -> None:
        """In the child of a fork, where thread, port and rights are not: close the objects."""
        self._port.close()
        while self._held:
            self._held.popitem()[1].right.close()

    def _run(self) -> None:
        with suppress(Cancelled):
            while True:
                message = None
                with suppress(MachError):  # a message that came without its rights, or no message
                    message = self._port.receive(_TICK_S, cancel=self._stop)
                try:
                    if message is not None:
                        self._answer(message)
                    now = time.monotonic()
                    self.release(lambda held, now=now: held.is_over(now))  # type: ignore[misc]
                except Exception:
                    # Whoever asked is told by the loss of the reply. Others still want an answer.
                    told = (*sys.exc_info(), self._thread)
                    threading.excepthook(threading.ExceptHookArgs(told))

    def _answer(self, message: Message | Notification) -> None:
        with message:
            if not isinstance(message, Message):
                return
            reply = message.reply if isinstance(message.reply, SendOnceRight) else None
            held = None if reply is None else self._asked_for(message)
            if held is None:
                self.refused += 1  # before the answer, so that whoever has that finds it counted
                if reply is not None:
                    with suppress(MachError):
                        reply.send(b"no such key", timeout=0)
            elif reply is not None:
                right = held.take()
                with right, suppress(MachError):  # if whoever asked is gone already, it is released
                    reply.send(rights=[(right, _dispositions[type(right)])], timeout=0)

    def _asked_for(self, message: Message) -> _Held | None:
        """What waits under the key in the message. From now on the caller owns it."""
        if len(message.data) != _KEY.size:
            return None
        return self._held.pop(_KEY.unpack(message.data)[0], None)


_sharer: _Sharer | None = None
_lock = threading.RLock()  # pickling may run the collector, and that anything


def _the_sharer() -> _Sharer:
    """The first right that is pickled starts it. The lock is held."""
    global _sharer
    if _sharer is None:
        made = _Sharer()
        if _sharer is None:
            _sharer = made
        else:  # a signal handler has pickled a right meanwhile
            made.stop()
    return _sharer


def stop() -> None:
    """End the thread and release what nobody asked for. The next right that is pickled starts it
    again. Called at the process's end, once multiprocessing has joined the processes that it
    started."""
    global _sharer
    with _lock:
        sharer, _sharer = _sharer, None
    if sharer is not None:
        sharer.stop()


def release_unclaimed(*rights: Right) -> int:
    """Release the rights that nobody has asked for so far; how many there were.

    With arguments: only what was pickled from these objects (a moved right's object is closed, but
    still tells which right it was). For whoever knows that the readers of a queue are gone.
    """
    with _lock:
        sharer = _sharer
    if sharer is None:
        return 0
    return sharer.release(lambda held: not rights or held.is_of(rights))


def take_back(right: _R) -> _R:
    """What was pickled from this object, if nobody has asked for it so far. The caller owns it.

    LookupError if somebody has, or if it was released. For a right in a queue whose readers are
    gone, or whose writing failed after it was pickled (BrokenPipeError).
    """
    with _lock:
        sharer = _sharer
    taken = None if sharer is None else sharer.take_back(right)
    if taken is None:
        raise LookupError("the right was asked for, or released, or never pickled")
    return taken  # type: ignore[return-value]


def refused() -> int:
    """How often somebody asked with a wrong key, or with none, since the thread was started."""
    with _lock:
        return 0 if _sharer is None else _sharer.refused


def _forget_in_forked_child() -> None:
    global _sharer, _lock
    _lock = threading.RLock()
    sharer, _sharer = _sharer, None
    if sharer is not None:
        sharer.abandon()


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
    """The right's __reduce__: moved or copied to where it can be asked for.

    Raises what keeps it from being handed over, with the right where it was.
    """
    if not _is_pickled_by_multiprocessing():
        raise TypeError(
            f"cannot pickle {type(right).__name__!r} object: bytes cannot carry a port right; "
            "multiprocessing hands it over, and so do check_in() and send()"
        )
    if type(right) not in _dispositions:
        raise TypeError(f"a {type(right).__name__} cannot be handed over")
    _sharing_check(right)
    if isinstance(right, DeadName) or (isinstance(right, SendRight) and right.dead):
        return _rebuild_dead, ()
    with _lock:
        sharer = _the_sharer()
        try:
            return _rebuild, (sharer.name, sharer.hold(right))
        except InvalidRight:  # it died just now
            return _rebuild_dead, ()


def _rebuild_dead() -> DeadName:
    """In the process that unpickles: a right whose port was dead when it was pickled."""
    return DeadName.adopt(_MACH_PORT_DEAD)


def _rebuild(name: str, key: int) -> Right:
    """In the process that unpickles: ask for the right. The caller owns it.

    Raises PeerGone if the process that pickled it has ended or stopped sharing; LookupError if the
    right was taken before, or released; TimedOut if there is no answer within ANSWER_S.
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
            _sharing_begin(right)
            return _sharing_take(right)  # the answer's own object is closed with it
    except TimedOut:
        raise
    except (UnknownService, InvalidDestination, PeerGone) as error:
        raise PeerGone(
            "the process that pickled this right has ended, or shares it no more"
        ) from error
