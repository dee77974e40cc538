"""A signal ends a wait though another thread takes it, or it comes just before."""

from __future__ import annotations

import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import child_port as cp
import pytest
from child_port._deadline import Deadline, wait_for
from support import DEADLINE, SOON, fill_queue, running

TIMEOUT_S = 1.0


@contextmanager
def signalled(number: int) -> Iterator[None]:
    """The signal comes while the block waits, which is not told: as if it came in between."""

    def take() -> None:
        time.sleep(SOON)
        signal.pthread_kill(threading.get_ident(), number)

    with running(take):
        yield


def interrupt(wait: Callable[[float], object]) -> None:
    """Ctrl-C ends the wait long before its deadline."""
    returned: list[object] = []
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), signalled(signal.SIGINT):
        returned.append(wait(2 * DEADLINE))
    assert not returned
    assert time.monotonic() - started < DEADLINE


def token_if(wanted: bool) -> cp.CancelToken | None:
    return cp.CancelToken() if wanted else None


def fill_by_messages(send: cp.SendRight) -> None:
    with suppress(cp.TimedOut):
        while True:
            send.send(timeout=0)


launchd_answers = pytest.mark.skipif(cp.PLATFORM == "darwin", reason="there launchd answers")
either = pytest.mark.parametrize("token", [False, True], ids=["alone", "with a token"])


@either
def test_accept(token: bool) -> None:
    with cp.Server() as server:
        interrupt(lambda timeout: server.accept(timeout, cancel=token_if(token)))


def test_accept_from_a_peer_that_lives(pipe: tuple[int, int]) -> None:
    with cp.Server() as server:
        interrupt(lambda timeout: server.accept(timeout, watch_fd=pipe[0]))


@either
def test_receive(port: cp.ReceiveRight, token: bool) -> None:
    interrupt(lambda timeout: port.receive(timeout, cancel=token_if(token)))


def test_receive_from_a_set(port: cp.ReceiveRight) -> None:
    with cp.PortSet() as ports:
        ports.add(port)
        interrupt(ports.receive)


@either
def test_check_in_at_a_full_queue(send: cp.SendRight, token: bool) -> None:
    fill_queue(send)
    interrupt(lambda timeout: cp.check_in(send, 0, None, timeout=timeout, cancel=token_if(token)))


def test_send_to_a_full_queue(send: cp.SendRight) -> None:
    fill_by_messages(send)
    interrupt(lambda timeout: send.send(timeout=timeout))


def test_waiting_for_a_descriptor(pipe: tuple[int, int]) -> None:
    readable = {pipe[0]: select.POLLIN}
    interrupt(lambda timeout: wait_for(readable, Deadline(timeout), None, "nothing comes"))


@launchd_answers
def test_look_up_of_a_server_that_is_stopped(stopped: object, service_name: str) -> None:
    interrupt(lambda timeout: cp.bootstrap.look_up(service_name, timeout=timeout))


# --- a handler that takes longer than there is time -----------------------------------------------


@contextmanager
def late_after(bring: Callable[[], object]) -> Iterator[None]:
    """While the block waits a handler brings what it waits for, and goes on for TIMEOUT_S."""

    def handle(number: int, frame: object) -> None:
        bring()
        time.sleep(TIMEOUT_S)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with signalled(signal.SIGUSR1):
            yield
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_came_in_time_is_accepted_late() -> None:
    with cp.Server() as server, server.make_send() as send:

        def check_in() -> None:
            cp.check_in(send, server.token, None, timeout=0)

        with late_after(check_in):
            check_in_late = server.accept(TIMEOUT_S)
    assert check_in_late.port is None


def test_what_came_in_time_is_received_late(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    with late_after(lambda: send.send(b"in time", timeout=0)):
        message = port.receive(TIMEOUT_S)
    assert isinstance(message, cp.Message) and message.data == b"in time"


def test_where_there_was_room_in_time_is_sent_late(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    fill_by_messages(send)

    def drain() -> None:
        with suppress(cp.TimedOut):
            while True:
                port.receive(0)

    with late_after(drain):
        send.send(b"late", timeout=TIMEOUT_S)
    message = port.receive(0)
    assert isinstance(message, cp.Message) and message.data == b"late"


@launchd_answers
def test_what_was_answered_in_time_is_found_late(
    stopped: subprocess.Popen[bytes], service_name: str
) -> None:
    with late_after(lambda: stopped.send_signal(signal.SIGCONT)):
        cp.bootstrap.look_up(service_name, timeout=TIMEOUT_S).close()
