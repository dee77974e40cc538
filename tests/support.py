"""What the tests of the Python layer share."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


def descriptors() -> dict[int, str]:
    """This process's open descriptors and what they are, but for the one that lists them."""
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    found = {}
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:
            continue
        try:
            found[int(name)] = os.readlink(f"{folder}/{name}")
        except OSError:
            found[int(name)] = "?"
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


def right_of(check_in: cp.CheckIn) -> cp.Right:
    """The check-in's port, which must be there."""
    assert check_in.port is not None
    return check_in.port
