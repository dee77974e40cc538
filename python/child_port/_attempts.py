"""Rights in a message that is tried again and again until there is room for it."""

from __future__ import annotations

from contextlib import ExitStack

from ._child_port import CancelToken, MachError, ReceiveRight, Right, SendRight, check_in
from ._disposition import Disposition

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TypeVar

    _Given = TypeVar("_Given")
    _How = TypeVar("_How")


def made(stack: ExitStack, given: _Given, how: _How) -> tuple[_Given | Right, _How | Disposition]:
    """The same right with the same disposition; if that would make a right from a ReceiveRight, one
    that is made now, to be moved. The stack closes it if it was not.

    A send that fails destroys what it made. Its port would be told of each attempt: that a
    send-once right was given up, or that there are no senders, while the caller still sends.
    """
    if isinstance(given, ReceiveRight):
        if how == Disposition.MAKE_SEND:
            return stack.enter_context(given.make_send()), Disposition.MOVE_SEND
        if how == Disposition.MAKE_SEND_ONCE:
            return stack.enter_context(given.make_send_once()), Disposition.MOVE_SEND_ONCE
    return given, how


class CheckInAttempts:
    """check_in() of one right, without a wait, any number of times.

    A port that is given by a name, to be moved, may come back under another name. The last one is
    the `name` of the exception that leaves the block, whatever it is.
    """

    def __init__(self, port: Right | int | None, disposition: int | None) -> None:
        self._given = self._port = port
        self._disposition = disposition
        self._stack = ExitStack()

    def make(self, server: SendRight, token: int, cancel: CancelToken | None) -> None:
        try:
            check_in(server, token, self._port, self._disposition, timeout=0, cancel=cancel)
        except MachError as error:
            if not isinstance(self._port, Right) and error.name is not None:
                self._port = error.name
            raise

    def __enter__(self) -> Self:
        self._port, self._disposition = made(self._stack, self._port, self._disposition)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
        if error is not None and isinstance(self._port, int) and self._port != self._given:
            error.name = self._port  # type: ignore[attr-defined]
