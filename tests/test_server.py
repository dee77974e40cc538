"""Server: what it accepts, who owns what, and how its loops and waits end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import child_port as cp
import pytest
from support import (
    DEADLINE,
    SOON,
    TOKEN,
    cancelled_soon,
    interrupted,
    python,
    right_of,
    running,
)


@pytest.fixture
def server() -> Iterator[cp.Server]:
    with cp.Server() as server:
        yield server


@pytest.fixture
def client(server: cp.Server) -> Iterator[cp.SendRight]:
    with server.make_send() as right:
        yield right


def check_in_to(server: cp.Server, client: cp.SendRight) -> None:
    """A check-in that the server accepts, with a send right to its own port."""
    cp.check_in(client, server.token, client, timeout=DEADLINE)


def test_tokens_are_random_and_64_bits_wide() -> None:
    tokens = set()
    for _ in range(64):
        with cp.Server() as server:
            tokens.add(server.token)
    assert len(tokens) == 64
    assert max(tokens).bit_length() > 56


def test_the_token_and_the_pid_given_are_used() -> None:
    with cp.Server(token=TOKEN, expected_pid=os.getpid()) as server:
        assert server.token == TOKEN
        assert server.expected_pid == os.getpid()
        assert server.service_name is None


def test_its_text_does_not_give_the_token_away(server: cp.Server) -> None:
    assert str(server.token) not in repr(server)
    assert f"{server.token:x}" not in repr(server)


def test_a_check_in_brings_the_right_and_the_sender(
    server: cp.Server, client: cp.SendRight
) -> None:
    with cp.ReceiveRight() as port:
        cp.check_in(client, server.token, port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
        with server.accept(DEADLINE) as check_in:
            assert right_of(check_in).name == port.name
            assert check_in.disposition == cp.Disposition.MOVE_SEND
            assert check_in.token == server.token
            assert check_in.sender.pid == os.getpid()
            assert check_in.sender.ruid == os.getuid()


def test_a_wrong_token_then_the_right_one(server: cp.Server, client: cp.SendRight) -> None:
    for wrong in (server.token ^ 1, server.token ^ 1 << 63, 0, 2**64 - 1):
        cp.check_in(client, wrong, client, timeout=DEADLINE)
    check_in_to(server, client)
    right_of(server.accept(DEADLINE)).close()
    assert server.stats["bad_token"] == 4
    assert server.stats["accepted"] == 1


def test_another_process_than_the_expected_one_is_rejected(
    service_name: str,
) -> None:
    with cp.Server(service_name=service_name, expected_pid=os.getpid()) as server:
        subprocess.run(
            python(
                f"with cp.bootstrap.look_up({service_name!r}) as right:\n"
                f"    cp.check_in(right, {server.token}, cp.task_self(), timeout=DEADLINE)\n"
            ),
            check=True,
            timeout=DEADLINE,
        )
        with pytest.raises(cp.TimedOut):
            server.accept(0)
        assert server.stats["wrong_sender"] == 1


def test_a_service_name_can_be_looked_up_until_the_server_is_closed(service_name: str) -> None:
    with cp.Server(service_name=service_name) as server:
        assert server.service_name == service_name
        with cp.bootstrap.look_up(service_name) as right:
            check_in_to(server, right)
        right_of(server.accept(DEADLINE)).close()
        with pytest.raises(cp.ServiceActive):
            cp.Server(service_name=service_name)
    with pytest.raises(cp.UnknownService):
        cp.bootstrap.look_up(service_name)


def test_closing_the_server_closes_the_port_it_was_given() -> None:
    port = cp.ReceiveRight()
    with cp.Server(port) as server:
        assert server.port is port
    assert port.closed
    server.close()


def test_a_port_that_the_server_refused_is_still_the_callers(service_name: str) -> None:
    with cp.ReceiveRight() as port:
        with pytest.raises(OverflowError):
            cp.Server(port, token=2**64)
        with pytest.raises(ValueError, match="not both"):
            cp.Server(port, service_name=service_name)
        assert not port.closed
        port.make_send().close()


def test_a_name_is_free_again_if_the_server_could_not_be_made(service_name: str) -> None:
    with pytest.raises(OverflowError):
        cp.Server(service_name=service_name, token=-1)
    cp.bootstrap.check_in(service_name).close()


def test_fileno_is_readable_while_a_check_in_waits(server: cp.Server, client: cp.SendRight) -> None:
    assert select.select([server], [], [], 0)[0] == []
    check_in_to(server, client)
    assert select.select([server], [], [], DEADLINE)[0] == [server]
    right_of(server.accept(0)).close()
    assert select.select([server], [], [], 0)[0] == []


def test_a_burst_is_drained_to_the_last(server: cp.Server, client: cp.SendRight) -> None:
    for _ in range(5):  # the queue limit of a new port on macOS
        check_in_to(server, client)
    count = 0
    while select.select([server], [], [], 0)[0]:
        right_of(server.accept(0)).close()
        count += 1
    assert count == 5


def test_handle_request_says_whether_there_was_one(server: cp.Server, client: cp.SendRight) -> None:
    seen: list[cp.CheckIn] = []
    assert not server.handle_request(seen.append, 0)
    assert not server.handle_request(seen.append, SOON)
    check_in_to(server, client)
    assert server.handle_request(seen.append, DEADLINE)
    assert [right_of(check_in).name for check_in in seen] == [client.name]
    right_of(seen[0]).close()


def test_a_handler_that_fails_keeps_no_right(server: cp.Server, client: cp.SendRight) -> None:
    seen: list[cp.CheckIn] = []

    def fail(check_in: cp.CheckIn) -> None:
        seen.append(check_in)
        raise LookupError("handler")

    check_in_to(server, client)
    with pytest.raises(LookupError, match="handler"):
        server.serve_forever(fail)
    assert right_of(seen[0]).closed


def test_a_timeout_inside_a_handler_is_not_taken_for_the_servers(
    server: cp.Server, client: cp.SendRight
) -> None:
    def fail(_: cp.CheckIn) -> None:
        raise cp.TimedOut("inside")

    check_in_to(server, client)
    with pytest.raises(cp.TimedOut, match="inside"):
        server.handle_request(fail, DEADLINE)


def test_the_handler_can_shut_the_server_down(server: cp.Server, client: cp.SendRight) -> None:
    def handle(check_in: cp.CheckIn) -> None:
        right_of(check_in).close()
        if server.stats["accepted"] == 3:
            server.shutdown()

    for _ in range(4):
        check_in_to(server, client)
    server.serve_forever(handle)
    assert server.stats["accepted"] == 3
    right_of(server.accept(0)).close()


def test_another_thread_can_shut_every_loop_down(server: cp.Server) -> None:
    def iterate() -> None:
        for check_in in server:
            right_of(check_in).close()

    def serve() -> None:
        server.serve_forever(lambda check_in: right_of(check_in).close())

    with running(serve), running(iterate), running(serve):
        time.sleep(SOON)
        server.shutdown()


def test_a_signal_handler_can_shut_the_server_down(server: cp.Server) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: server.shutdown())
    main = threading.main_thread().ident
    assert main is not None
    timer = threading.Timer(SOON, signal.pthread_kill, [main, signal.SIGUSR1])
    timer.start()
    try:
        server.serve_forever(lambda check_in: None, DEADLINE)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_shutdown_that_comes_first_is_not_lost(server: cp.Server, client: cp.SendRight) -> None:
    server.shutdown()
    server.shutdown()
    check_in_to(server, client)
    server.serve_forever(lambda check_in: pytest.fail("handled"))
    assert list(server) == []
    right_of(server.accept(DEADLINE)).close()


def test_closing_the_server_ends_its_loop(client: cp.SendRight, server: cp.Server) -> None:
    def serve() -> None:
        server.serve_forever(lambda check_in: right_of(check_in).close())

    with running(serve):
        time.sleep(SOON)
        server.close()
    assert list(server) == []


def test_a_forked_copy_does_not_stop_the_server(server: cp.Server, client: cp.SendRight) -> None:
    handled = threading.Event()

    def handle(check_in: cp.CheckIn) -> None:
        right_of(check_in).close()
        handled.set()

    with running(lambda: server.serve_forever(handle)):
        check_in_to(server, client)
        assert handled.wait(DEADLINE)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                server.shutdown()
                server.close()
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        handled.clear()
        check_in_to(server, client)
        still_served = handled.wait(DEADLINE)
        server.shutdown()
    assert still_served


def test_iteration_hands_out_one_check_in_after_another(
    server: cp.Server, client: cp.SendRight
) -> None:
    for _ in range(3):
        check_in_to(server, client)
    for check_in in server:
        right_of(check_in).close()
        if server.stats["accepted"] == 3:
            break
    assert server.stats["accepted"] == 3


def test_several_threads_share_the_check_ins(server: cp.Server, client: cp.SendRight) -> None:
    seen: list[int] = []
    enough = threading.Event()

    def handle(check_in: cp.CheckIn) -> None:
        right_of(check_in).close()
        seen.append(threading.get_ident())
        if len(seen) == 200:
            enough.set()

    def serve() -> None:
        server.serve_forever(handle)

    with running(serve), running(serve), running(serve):
        for _ in range(200):
            check_in_to(server, client)
        assert enough.wait(DEADLINE)
        server.shutdown()
    assert len(seen) == 200


def test_accept_times_out(server: cp.Server) -> None:
    before = time.monotonic()
    with pytest.raises(cp.TimedOut):
        server.accept(SOON)
    assert time.monotonic() - before >= SOON * 0.9
    with pytest.raises(TimeoutError):
        server.serve_forever(lambda check_in: None, SOON)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_a_timeout_that_is_none_is_refused(server: cp.Server, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        server.accept(timeout)


def test_a_wait_can_be_cancelled_from_another_thread(server: cp.Server) -> None:
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        server.accept(DEADLINE, cancel=cancel)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        server.serve_forever(lambda check_in: None, cancel=cancel)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        server.handle_request(lambda check_in: None, DEADLINE, cancel=cancel)


def test_ctrl_c_ends_a_wait(server: cp.Server) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted():
        server.accept(DEADLINE)
    with pytest.raises(KeyboardInterrupt), interrupted():
        server.serve_forever(lambda check_in: None)


def test_a_signal_that_raises_nothing_does_not_end_a_wait(
    server: cp.Server, client: cp.SendRight
) -> None:
    handled = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: handled.set())
    main = threading.main_thread().ident
    assert main is not None

    def disturb() -> None:
        for _ in range(5):
            signal.pthread_kill(main, signal.SIGUSR1)
            time.sleep(SOON / 5)
        check_in_to(server, client)

    try:
        with running(disturb):
            right_of(server.accept(DEADLINE)).close()
        assert handled.is_set()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_closing_the_port_during_a_wait_is_its_own_error(server: cp.Server) -> None:
    timer = threading.Timer(SOON, server.port.close)
    timer.start()
    with pytest.raises(cp.PortChanged):
        server.accept(DEADLINE)
    timer.join()
    with pytest.raises(ValueError, match="closed"):
        server.accept(0)


def test_a_stranger_who_floods_neither_stops_the_deadline_nor_the_child(
    service_name: str,
) -> None:
    flood = python(
        f"with cp.bootstrap.look_up({service_name!r}) as right:\n"
        "    print('ready', flush=True)\n"
        "    while True:\n"
        "        cp.check_in(right, 1, cp.task_self())\n"
    )
    with (
        cp.Server(service_name=service_name) as server,
        server.make_send() as client,
        subprocess.Popen(flood, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as stranger,
    ):
        try:
            assert stranger.stdout is not None
            assert stranger.stdout.readline()
            with pytest.raises(cp.TimedOut):
                server.accept(SOON)
            with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
                server.accept(DEADLINE, cancel=cancel)
            with pytest.raises(KeyboardInterrupt), interrupted():
                server.accept(DEADLINE)

            def check_in() -> None:
                check_in_to(server, client)

            with running(check_in):
                right_of(server.accept(DEADLINE)).close()
            assert server.stats["bad_token"] > 0
        finally:
            stranger.kill()
