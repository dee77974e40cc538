"""A process that serves a name and is stopped does not hold up who looks the name up."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import child_port as cp
import pytest
from support import (
    DEADLINE,
    INVITATION_HEAD,
    SOON,
    TOKEN,
    cancelled_soon,
    interrupted,
    python,
    running,
    wait_until_stopped,
)

if TYPE_CHECKING:
    from conftest import StartChild

pytestmark = pytest.mark.skipif(cp.PLATFORM == "darwin", reason="there launchd answers")


@pytest.fixture
def invited(pipe: tuple[int, int], stopped: object, service_name: str) -> int:
    """The pipe of a handshake with it."""
    os.write(pipe[1], INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode())
    return pipe[0]


with_stopped = pytest.mark.usefixtures("stopped")


@with_stopped
@pytest.mark.parametrize("timeout", [0, SOON])
def test_a_look_up_has_a_deadline_and_says_that_there_is_somebody(
    service_name: str, timeout: float
) -> None:
    with pytest.raises(cp.TimedOut, match="has checked this name in, but does not") as caught:
        cp.bootstrap.look_up(service_name, timeout=timeout)
    error = caught.value
    assert (error.call, error.symbol, error.errno) == (
        "bootstrap_look_up",
        "MACH_RCV_TIMED_OUT",
        errno.ETIMEDOUT,
    )


@with_stopped
def test_a_look_up_ends_with_ctrl_c_and_with_its_token(service_name: str) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted():
        cp.bootstrap.look_up(service_name)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        cp.bootstrap.look_up(service_name, cancel=cancel)
    with pytest.raises(cp.Cancelled):
        cp.bootstrap.look_up(service_name, cancel=cancel)


def test_a_look_up_goes_on_after_a_signal_that_is_handled(
    service_name: str, stopped: subprocess.Popen[bytes]
) -> None:
    def handle(number: int, frame: object) -> None:
        stopped.send_signal(signal.SIGCONT)

    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, SOON)
        cp.bootstrap.look_up(service_name, timeout=DEADLINE).close()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_look_up_ends_when_the_server_does(
    service_name: str, stopped: subprocess.Popen[bytes]
) -> None:
    timer = threading.Timer(SOON, stopped.kill)
    timer.start()
    with pytest.raises(cp.UnknownService):
        cp.bootstrap.look_up(service_name)
    timer.join()


def test_a_handshake_with_it_is_called_off(invited: int) -> None:
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        cp.Handshake.run_client_for_fd(invited, None, cancel=cancel)


def test_a_handshake_with_it_has_a_deadline(invited: int) -> None:
    with pytest.raises(cp.TimedOut, match="does not answer"):
        cp.Handshake.run_client_for_fd(invited, None, timeout=SOON)


def test_the_command_line_says_so(service_name: str, stopped: object) -> None:
    command = [sys.executable, "-m", "child_port", "look-up", service_name, "--timeout", "0.1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert result.returncode == 1
    assert "does not answer" in result.stderr


@with_stopped
@pytest.mark.parametrize("command", ["look-up {}", "run --right service:{} -c pass"])
def test_ctrl_c_ends_a_command_without_a_traceback(service_name: str, command: str) -> None:
    given = command.format(service_name).split()
    program = (
        "import signal\n"
        "from child_port._cli import main\n"
        "look_up = cp.bootstrap.look_up\n"
        "def look_up_interrupted(*args, **options):\n"
        "    signal.setitimer(signal.ITIMER_REAL, 0.05)\n"
        "    return look_up(*args, **options)\n"
        "cp.bootstrap.look_up = look_up_interrupted\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))\n"
        f"sys.exit(main({given!r}))\n"
    )
    result = subprocess.run(python(program), capture_output=True, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (-signal.SIGINT, "")


STOPS = (
    "import signal, threading\n"
    "from child_port import _parent\n"
    "threading.Thread(target=cp.receive_from_parent, daemon=True).start()\n"
    "link = _parent._the_link()\n"
    "while link._writer is None or link._writer._rest: time.sleep(0.01)\n"
    "os.kill(os.getpid(), signal.SIGSTOP)\n"
)


@pytest.fixture
def stopped_child(start: StartChild) -> cp.Popen[Any]:
    """It has invited its parent to send."""
    child = start(STOPS, transport="bootstrap")
    wait_until_stopped(child.pid)
    return child


def test_sending_to_a_child_that_is_stopped_has_a_deadline(stopped_child: cp.Popen[Any]) -> None:
    with pytest.raises(cp.TimedOut, match="does not answer"):
        stopped_child.send_right(None, timeout=SOON)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        stopped_child.send_right(None, cancel=cancel)


@pytest.mark.parametrize("with_token", [False, True])
def test_closing_ends_the_look_up_of_a_child_that_is_stopped(
    stopped_child: cp.Popen[Any], with_token: bool
) -> None:
    def send() -> None:
        with pytest.raises(cp.PortChanged):
            stopped_child.send_right(None, cancel=cp.CancelToken() if with_token else None)

    with running(send):
        time.sleep(SOON)
        stopped_child.close()


@asynccontextmanager
async def stopped_process(program: str = STOPS) -> AsyncIterator[cp.Process]:
    """The same in asyncio, killed in the end."""
    async with await cp.create_subprocess_exec(*python(program), transport="bootstrap") as child:
        try:
            wait_until_stopped(child.pid)
            yield child
        finally:
            with suppress(ProcessLookupError):
                child.kill()


@pytest.mark.parametrize("before", ["", "cp.check_in_to_parent(None)\n"])
def test_a_task_sends_to_a_child_that_was_stopped_once_it_goes_on(before: str) -> None:
    """Whether or not there is a check-in of the child's that nobody has accepted."""

    async def main() -> None:
        async with stopped_process(before + STOPS + "time.sleep(60)\n") as child:
            sending = asyncio.create_task(child.send_right(None, timeout=DEADLINE))
            resume = time.monotonic() + 10 * SOON
            turns = 0
            while time.monotonic() < resume:
                await asyncio.sleep(0.001)
                turns += 1
            assert turns > 20  # while a look-up that does not wait takes half of that time
            assert not sending.done()
            child.send_signal(signal.SIGCONT)
            await asyncio.wait_for(sending, DEADLINE / 3)

    asyncio.run(main())


def test_a_task_that_sends_to_a_child_that_is_stopped_can_be_called_off() -> None:
    async def main() -> None:
        async with stopped_process() as child:
            with pytest.raises(cp.TimedOut, match="does not answer"):
                await child.send_right(None, timeout=SOON)
            with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
                await child.send_right(None, cancel=cancel)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(child.send_right(None), SOON)
            sending = asyncio.create_task(child.send_right(None))
            await asyncio.sleep(SOON)
            child.kill()
            with pytest.raises(cp.PeerGone, match="SIGKILL"):
                await asyncio.wait_for(sending, DEADLINE)

    asyncio.run(main())  # and waits for the threads


def test_a_task_that_sends_needs_none_of_the_loops_threads() -> None:
    """They may all be busy, with looking up other children that are stopped for instance."""

    async def main() -> None:
        loop, over = asyncio.get_running_loop(), threading.Event()
        loop.set_default_executor(ThreadPoolExecutor(1))
        busy = loop.run_in_executor(None, over.wait)
        try:
            async with stopped_process() as child:
                with pytest.raises(cp.TimedOut, match="does not answer"):
                    await asyncio.wait_for(child.send_right(None, timeout=SOON), DEADLINE / 3)
        finally:
            over.set()
            await busy

    asyncio.run(main())


@pytest.mark.parametrize("with_token", [False, True])
def test_closing_ends_the_look_up_of_a_task(with_token: bool) -> None:
    async def main() -> None:
        async with stopped_process() as child:
            cancel = cp.CancelToken() if with_token else None
            sending = asyncio.create_task(child.send_right(None, cancel=cancel))
            await asyncio.sleep(SOON)
            child.close()
            with pytest.raises(cp.PortChanged):
                await asyncio.wait_for(sending, DEADLINE)

    asyncio.run(main())


def test_the_child_of_a_parent_that_is_stopped_has_a_deadline() -> None:
    child = (
        "print('here', flush=True)\n"
        "sys.stdin.readline()\n"
        "try: cp.check_in_to_parent(None, timeout=0.1)\n"
        "except cp.TimedOut as error: print('does not answer' in str(error), flush=True)\n"
    )
    program = (
        "import subprocess\n"
        f"command = {python(child)!r}\n"
        "with cp.Popen(command, stdin=0, stdout=1, transport='bootstrap'):\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        python(program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == b"here\n"
            parent.send_signal(signal.SIGSTOP)
            wait_until_stopped(parent.pid)
            parent.stdin.write(b"\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == b"True\n"
        finally:
            os.killpg(parent.pid, signal.SIGKILL)
