"""What the tests of the Python layer share."""

from __future__ import annotations

import gc
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

import child_port as cp

DEADLINE = 30.0
"""Seconds. For what should take no time at all."""

SOON = 0.05
"""Seconds. For a timeout that has to pass before the test goes on."""

TOKEN = 0xFEDCBA9876543210

CHILD = "import sys, os, time\nimport child_port as cp\nDEADLINE = 30.0\n"
"""What every child's program begins with."""


def python(program: str) -> list[str]:
    """The command that runs a child's program."""
    return [sys.executable, "-c", CHILD + program]


stand_ins: Callable[[], Iterable[int]] = tuple
"""Descriptors that this system needs for what has none on the system that is tested. Set by
make test-macos-binary."""


def received(port: cp.ReceiveRight | cp.PortSet, timeout: float = DEADLINE) -> cp.Message:
    message = port.receive(timeout)
    assert isinstance(message, cp.Message)
    return message


def descriptors() -> dict[int, str]:
    """This process's open descriptors and what they are, but for the one that lists them."""
    # A link is read, not a descriptor used: another thread may be about to close it, and a thread
    # sanitizer rightly tells of a use. Only macOS has no links.
    folder = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except FileNotFoundError:
            continue
        except OSError:
            with suppress(OSError):
                os.fstat(int(name))
                found[int(name)] = "?"
    for fd in stand_ins():
        found.pop(fd, None)
    return found


@contextmanager
def running(target: Callable[[], object]) -> Iterator[threading.Thread]:
    """A thread that must have come to its end when the block does."""
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(DEADLINE)
        assert not thread.is_alive()


@contextmanager
def interrupted() -> Iterator[None]:
    """Ctrl-C for the main thread while the block waits."""
    left = threading.Event()
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        time.sleep(SOON)
        if not left.is_set():
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


@contextmanager
def cancelled_soon() -> Iterator[cp.CancelToken]:
    """A token that another thread cancels while the block waits."""
    token = cp.CancelToken()
    timer = threading.Timer(SOON, token.cancel)
    timer.start()
    try:
        yield token
    finally:
        timer.join()


def wait_until_stopped(pid: int) -> None:
    """Until the child, which is being stopped, is."""
    os.waitid(os.P_PID, pid, os.WSTOPPED)


def right_of(check_in: cp.CheckIn) -> cp.Right:
    """The check-in's port, which must be there."""
    assert check_in.port is not None
    return check_in.port


INVITATION_HEAD = struct.Struct("=QI")
"""What comes before the service name in a handshake's pipe: the token, the name's length."""


def read_invitation(fd: int) -> tuple[int, str]:
    """What a server wrote into the pipe, read as Crashpad's client reads it."""

    def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += os.read(fd, size - len(data))
        return data

    token, length = INVITATION_HEAD.unpack(read(INVITATION_HEAD.size))
    return token, read(length).decode()


@contextmanager
def client_process(handshake: cp.Handshake, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process with the client's end, whose number the program knows as `fd`."""
    fd = handshake.client_read_fd
    command = python(f"fd = {fd}\n{program}")
    with subprocess.Popen(command, pass_fds=[fd], stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def fill(fd: int) -> int:
    """Write into a pipe until it is full; how much it took."""
    os.set_blocking(fd, False)
    filled = 0
    while True:
        try:
            filled += os.write(fd, b"x" * 512)
        except BlockingIOError:
            return filled


def fill_queue(server: cp.SendRight) -> None:
    """Check in, with no port and the token 0, until the queue is full."""
    with suppress(cp.TimedOut):
        while True:
            cp.check_in(server, 0, None, timeout=0)


def resident() -> int:
    """Bytes of memory that this process has now."""
    gc.collect()
    if sys.platform != "linux":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
