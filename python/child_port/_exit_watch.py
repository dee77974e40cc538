"""Descriptors that become readable when a child is gone.

On Linux a pidfd, on macOS a kqueue with EVFILT_PROC; and a second descriptor (epoll, kqueue) that
combines it with the end of the child's pipe.
"""

import os
import select
import sys
from contextlib import suppress
from typing import Protocol


class Watch(Protocol):
    """A descriptor with an owner."""

    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Descriptor:
    """A plain descriptor: a pidfd, or the end of a pipe. Owns it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _readable_at_once() -> Watch:
    read_end, write_end = os.pipe()
    os.close(write_end)
    return Descriptor(read_end)


if sys.platform == "darwin":

    def watch_process(pid: int) -> Watch | None:
        """Readable once the child has ended. None if that cannot be watched."""
        ends = select.kevent(
            pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD, fflags=select.KQ_NOTE_EXIT
        )
        with suppress(OSError):
            queue = select.kqueue()
            try:
                queue.control([ends], 0)
            except ProcessLookupError:
                # XNU's proc_find, by which EVFILT_PROC attaches, does not find a process that has
                # ended, though it is not reaped yet (filt_procattach; libuv's #3451).
                queue.close()
                return _readable_at_once()
            return queue
        return None

    def watch_either(process: Watch, write_end: int) -> Watch:
        """Readable once the process has ended or the pipe has no reader left. OSError if not."""
        # EVFILT_READ at a write end has no data to tell of: it fires when the reader is gone, with
        # EV_EOF (pipe_kqfilter in XNU's bsd/kern/sys_pipe.c). EVFILT_WRITE would fire at once.
        queue = select.kqueue()
        fds = (process.fileno(), write_end)
        queue.control([select.kevent(fd, select.KQ_FILTER_READ, select.KQ_EV_ADD) for fd in fds], 0)
        return queue

else:

    def watch_process(pid: int) -> Watch | None:
        """Readable once the child has ended. None if that cannot be watched."""
        with suppress(OSError):
            try:
                return Descriptor(os.pidfd_open(pid))
            except ProcessLookupError:
                # It has ended, and whoever started it was told: asyncio waits for its children in
                # a thread, or when the loop comes round.
                return _readable_at_once()
        return None

    def watch_either(process: Watch, write_end: int) -> Watch:
        """Readable once the process has ended or the pipe has no reader left. OSError if not."""
        queue = select.epoll()
        queue.register(process.fileno(), select.EPOLLIN)
        queue.register(write_end, 0)
        return queue
