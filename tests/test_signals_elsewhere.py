"""A signal ends a wait though another thread takes it, or it comes just before."""

from __future__ import annotations

import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import child_port as cp
import pytest
from child_port._deadline import Deadline, wait_for
from support import DEADLINE, SOON, fill_queue, python, running


@contextmanager
def interrupted_elsewhere() -> Iterator[None]:
    """Ctrl-C while this thread waits, which is not told: as if it came in between."""

    def interrupt() -> None:
        time.sleep(SOON)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), running(interrupt):
        yield
    assert time.monotonic() - started < DEADLINE


def token_if(wanted: bool) -> cp.CancelToken | None:
    return cp.CancelToken() if wanted else None


either = pytest.mark.parametrize("token", [False, True], ids=["alone", "with a token"])


@either
def test_accept(token: bool) -> None:
    with cp.Server() as server, interrupted_elsewhere():
        server.accept(2 * DEADLINE, cancel=token_if(token))


def test_accept_from_a_peer_that_lives(pipe: tuple[int, int]) -> None:
    with cp.Server() as server, interrupted_elsewhere():
        server.accept(2 * DEADLINE, watch_fd=pipe[0])


@either
def test_receive(port: cp.ReceiveRight, token: bool) -> None:
    with interrupted_elsewhere():
        port.receive(2 * DEADLINE, cancel=token_if(token))


def test_receive_from_a_set(port: cp.ReceiveRight) -> None:
    with cp.PortSet() as ports:
        ports.add(port)
        with interrupted_elsewhere():
            ports.receive(2 * DEADLINE)


@either
def test_check_in_at_a_full_queue(send: cp.SendRight, token: bool) -> None:
    fill_queue(send)
    with interrupted_elsewhere():
        cp.check_in(send, 0, None, timeout=2 * DEADLINE, cancel=token_if(token))


def test_send_to_a_full_queue(send: cp.SendRight) -> None:
    with suppress(cp.TimedOut):
        while True:
            send.send(timeout=0)
    with interrupted_elsewhere():
        send.send(timeout=2 * DEADLINE)


def test_waiting_for_a_descriptor(pipe: tuple[int, int]) -> None:
    with interrupted_elsewhere():
        wait_for({pipe[0]: select.POLLIN}, Deadline(2 * DEADLINE), None, "nothing comes")


@pytest.mark.skipif(cp.PLATFORM == "darwin", reason="there launchd answers")
def test_look_up_of_a_server_that_is_stopped(service_name: str) -> None:
    program = python("cp.Server(service_name=sys.argv[1]); print(flush=True); sys.stdin.read()")
    with subprocess.Popen(
        [*program, service_name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            with interrupted_elsewhere():
                cp.bootstrap.look_up(service_name, timeout=2 * DEADLINE)
        finally:
            process.kill()
