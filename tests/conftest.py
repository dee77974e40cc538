"""Fixtures for all tests: nothing leaks, children end with their test."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import child_port as cp
import pytest
from child_port._leaks import RightLeaks
from child_port._messages import drop_reply_port
from support import DEADLINE, descriptors, python, wait_until_stopped

# A shell starts with SIGINT ignored what it runs in the background, and Python leaves it so.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _what_is_made_once() -> None:
    """What the first use makes for good (on Linux the thread that answers look-ups)."""
    with cp.Server(service_name=f"child_port.test.{uuid.uuid4()}") as server:
        assert server.service_name
        with cp.bootstrap.look_up(server.service_name) as right:
            cp.check_in(right, server.token, right, timeout=DEADLINE)
        with server.make_send() as send, cp.ReceiveRight() as notify:
            send.notify_dead(notify)
        cp.pid_for_task(cp.task_self())
    gc.collect()
    gc.freeze()  # the collections around each test need not go through what was there before them


_raised = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    before = call.when != "setup" and item.stash.get(_raised, False)
    item.stash[_raised] = before or call.excinfo is not None


@pytest.fixture(autouse=True)
def no_right_leaks(_what_is_made_once: None, request: pytest.FixtureRequest) -> Iterator[None]:
    """After the test this task has no right, and no descriptor is open, that was not there before.

    The ledger also counts user references beyond the first, which take no descriptor. A test that
    failed is not asked: its traceback keeps what was in its variables.
    """
    rights = RightLeaks()
    before = descriptors()
    yield
    if request.node.stash.get(_raised, False):
        return
    drop_reply_port()
    give_up = time.monotonic() + 5
    while True:
        gc.collect()
        left = {fd: what for fd, what in descriptors().items() if before.get(fd) != what}
        if not left:
            break
        if time.monotonic() > give_up:
            pytest.fail(f"left open: {left}")
        time.sleep(0.01)
    kept = rights.settled()
    if kept:
        pytest.fail("rights are left that were not there before:\n" + "\n".join(kept))


@pytest.fixture
def service_name() -> str:
    """A service name of this test's own."""
    return f"child_port.test.{uuid.uuid4()}"


@pytest.fixture
def stopped(service_name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has checked the service name in, and does nothing any more."""
    program = "with cp.Server(service_name=sys.argv[1]): print(flush=True); sys.stdin.read()\n"
    with subprocess.Popen(
        [*python(program), service_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            wait_until_stopped(process.pid)
            yield process
        finally:
            process.kill()


@pytest.fixture
def port() -> Iterator[cp.ReceiveRight]:
    """A receive right of this test's own."""
    with cp.ReceiveRight() as port:
        yield port


@pytest.fixture
def send(port: cp.ReceiveRight) -> Iterator[cp.SendRight]:
    """A send right to `port`."""
    with port.make_send() as send:
        yield send


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends; the test or what it calls may close either."""
    ends = os.pipe()
    identity = [os.fstat(end).st_ino for end in ends]
    yield ends
    for end, inode in zip(ends, identity, strict=True):
        if end in descriptors() and os.fstat(end).st_ino == inode:
            os.close(end)


StartChild = Callable[..., "cp.Popen[Any]"]


@pytest.fixture
def start(no_right_leaks: None) -> Iterator[StartChild]:
    """Start a Python program (or, with a list, a command) by child_port.Popen.

    It is killed when the test ends, if it still runs.
    """
    children: list[cp.Popen[Any]] = []

    def start_child(program: str | list[str], **options: Any) -> cp.Popen[Any]:
        command = python(program) if isinstance(program, str) else program
        children.append(cp.Popen(command, **options))
        return children[-1]

    yield start_child
    for child in children:
        child.kill()
        with child:
            child.wait(DEADLINE)
    children.clear()
