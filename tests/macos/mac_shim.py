"""The shim: Darwin's numbers, and kqueue as XNU's sources have it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import child_port as cp
import pytest
from machorun.kqueue import CONSTANTS, Event, Queue
from machorun.startup import FINDER
from support import DEADLINE, SOON, TOKEN, descriptors

SHIM = FINDER.symbols().shim
MACHPORT = -8
READ, PROC = CONSTANTS["KQ_FILTER_READ"], CONSTANTS["KQ_FILTER_PROC"]
ADD, DELETE = CONSTANTS["KQ_EV_ADD"], CONSTANTS["KQ_EV_DELETE"]
CLEAR, EOF = CONSTANTS["KQ_EV_CLEAR"], CONSTANTS["KQ_EV_EOF"]
F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, O_NONBLOCK = 3, 4, 67, 4
FIONREAD = ctypes.c_ulong(0x4004667F)

SHIM.darwin___error.restype = ctypes.POINTER(ctypes.c_int)


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue()
    yield made
    made.close()


def darwin_errno() -> int:
    number: int = SHIM.darwin___error()[0]
    return number


def readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


# --- errno, fcntl, ioctl --------------------------------------------------------------------------


def test_errors_have_darwins_numbers(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    while SHIM.darwin_write(pipe[1], b"x" * 4096, ctypes.c_size_t(4096)) > 0:
        pass
    assert darwin_errno() == 35  # EAGAIN
    assert SHIM.machorun_errno() == errno.EAGAIN == 11
    assert SHIM.darwin_close(-1) == -1
    assert darwin_errno() == SHIM.machorun_errno() == errno.EBADF


def test_a_success_leaves_errno_alone(pipe: tuple[int, int]) -> None:
    assert SHIM.darwin_close(-1) == -1
    assert SHIM.darwin_fcntl(pipe[0], F_GETFL) >= 0
    assert darwin_errno() == errno.EBADF


def test_status_flags_have_darwins_numbers(pipe: tuple[int, int]) -> None:
    assert SHIM.darwin_fcntl(pipe[1], F_GETFL) == os.O_WRONLY
    assert SHIM.darwin_fcntl(pipe[1], F_SETFL, O_NONBLOCK) == 0
    assert not os.get_blocking(pipe[1])
    assert SHIM.darwin_fcntl(pipe[1], F_GETFL) == os.O_WRONLY | O_NONBLOCK
    copy = SHIM.darwin_fcntl(pipe[1], F_DUPFD_CLOEXEC, 50)
    assert copy >= 50 and not os.get_inheritable(copy)
    os.close(copy)


def test_what_is_there_to_read_is_counted(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], b"four")
    unread = ctypes.c_int()
    assert SHIM.darwin_ioctl(pipe[0], FIONREAD, ctypes.byref(unread)) == 0
    assert unread.value == 4


@pytest.mark.parametrize("call", ["darwin_ioctl(0, 1, 0)", "darwin_fcntl(0, 99, 0)"])
def test_what_the_shim_does_not_know_ends_the_process(call: str) -> None:
    program = f"from machorun.startup import FINDER\nFINDER.symbols().shim.{call}"
    result = subprocess.run(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        timeout=DEADLINE,
    )
    assert result.returncode == -signal.SIGABRT
    assert b"the Darwin shim has no" in result.stderr


# --- kqueue ---------------------------------------------------------------------------------------


def test_a_port_is_ready_while_it_has_a_message(queue: Queue) -> None:
    with cp.Server(token=TOKEN) as server, server.make_send() as right:
        queue.control([Event(server.port.name, MACHPORT)], 0)
        assert queue.control(None, 4, 0) == []
        assert not readable(queue.fileno())
        cp.check_in(right, TOKEN, None, timeout=DEADLINE)
        for _ in range(2):  # level-triggered
            (event,) = queue.control(None, 4, DEADLINE)
            assert (event.ident, event.filter, event.flags & EOF) == (server.port.name, MACHPORT, 0)
        assert readable(queue.fileno())
        server.accept(DEADLINE)
        assert queue.control(None, 4, SOON) == []


def test_a_port_that_is_gone_is_an_end(queue: Queue) -> None:
    port = cp.ReceiveRight()
    queue.control([Event(port.name, MACHPORT)], 0)
    port.close()
    (event,) = queue.control(None, 4, DEADLINE)
    assert event.flags & EOF
    assert queue.control(None, 4, 0) == []


def test_only_receive_rights_can_be_watched(queue: Queue) -> None:
    with pytest.raises(FileNotFoundError):
        queue.control([Event(0x7FFFFF03, MACHPORT)], 0)
    with cp.task_self() as task, pytest.raises(OSError, match="not supported"):
        queue.control([Event(task.name, MACHPORT)], 0)


def test_data_and_end_of_a_pipe_are_told_apart(queue: Queue, pipe: tuple[int, int]) -> None:
    queue.control([Event(pipe[0], READ)], 0)
    os.write(pipe[1], b"abc")
    (event,) = queue.control(None, 4, DEADLINE)
    assert (event.data, event.flags & EOF) == (3, 0)
    os.close(pipe[1])
    (event,) = queue.control(None, 4, DEADLINE)
    assert (event.data, event.flags & EOF) == (3, EOF)


def test_data_that_nobody_reads_is_told_once_with_clear(
    queue: Queue, pipe: tuple[int, int]
) -> None:
    queue.control([Event(pipe[0], READ, ADD | CLEAR)], 0)
    os.write(pipe[1], b"abc")
    assert len(queue.control(None, 4, DEADLINE)) == 1
    assert queue.control(None, 4, SOON) == []
    os.close(pipe[1])
    (event,) = queue.control(None, 4, DEADLINE)
    assert event.flags & EOF


def test_at_a_pipes_write_end_reading_tells_of_the_end_alone(
    queue: Queue, pipe: tuple[int, int]
) -> None:
    queue.control([Event(pipe[1], READ)], 0)
    os.write(pipe[1], b"abc")
    assert queue.control(None, 4, SOON) == []
    os.close(pipe[0])
    (event,) = queue.control(None, 4, DEADLINE)
    assert event.flags & EOF


def test_a_sockets_end_is_told(queue: Queue) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        queue.control([Event(ours, READ)], 0)
        theirs.close()
        (event,) = queue.control(None, 4, DEADLINE)
        assert event.flags & EOF


def test_a_process_that_ends_is_told_once(queue: Queue) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        queue.control([Event(process.pid, PROC, fflags=CONSTANTS["KQ_NOTE_EXIT"])], 0)
        assert queue.control(None, 4, 0) == []
        process.kill()
        (event,) = queue.control(None, 4, DEADLINE)
        assert (event.ident, event.fflags) == (process.pid, CONSTANTS["KQ_NOTE_EXIT"])
        assert queue.control(None, 4, 0) == []


def test_a_process_that_has_ended_is_not_found(queue: Queue) -> None:
    with subprocess.Popen(["true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        with pytest.raises(ProcessLookupError):
            queue.control([Event(process.pid, PROC, fflags=CONSTANTS["KQ_NOTE_EXIT"])], 0)


def test_a_queue_can_be_watched_by_a_queue(queue: Queue, pipe: tuple[int, int]) -> None:
    inner = Queue()
    inner.control([Event(pipe[0], READ)], 0)
    queue.control([Event(inner, READ)], 0)
    assert queue.control(None, 4, 0) == []
    os.write(pipe[1], b"x")
    (event,) = queue.control(None, 4, DEADLINE)
    assert event.ident == inner.fileno()
    inner.close()


def test_what_is_deleted_is_told_no_more(queue: Queue, pipe: tuple[int, int]) -> None:
    queue.control([Event(pipe[0], READ)], 0)
    queue.control([Event(pipe[0], READ, DELETE)], 0)
    os.write(pipe[1], b"x")
    assert queue.control(None, 4, SOON) == []
    with pytest.raises(FileNotFoundError):
        queue.control([Event(pipe[0], READ, DELETE)], 0)


def test_a_forked_process_has_no_queue() -> None:
    with cp.ReceiveRight() as port, contextlib.closing(Queue()) as queue:
        queue.control([Event(port.name, MACHPORT)], 0)
        pid = os.fork()
        if pid == 0:
            found = 0
            try:
                queue.control([Event(0, READ, DELETE)], 0)
            except OSError as error:
                found = error.errno or 0
            finally:
                os._exit(found)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EBADF
        assert queue.fileno() in descriptors()


def test_closing_a_queue_leaves_nothing_open(pipe: tuple[int, int]) -> None:
    before = descriptors()
    with cp.ReceiveRight() as port:
        queue = Queue()
        queue.control([Event(port.name, MACHPORT), Event(pipe[0], READ)], 0)
        queue.close()
        assert queue.closed
        with pytest.raises(ValueError, match="closed"):
            queue.fileno()
    assert descriptors() == before
