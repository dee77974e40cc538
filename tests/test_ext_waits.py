"""ServerCore: how a wait ends, and the descriptor to wait with."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from child_port import _child_port as ext
from ext_support import (
    GENEROUS,
    MAKE_SEND,
    MOVE_RECEIVE,
    TOKEN,
    Service,
    open_descriptors,
    port_of,
    signal_main_thread,
)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


# --- how a wait ends ----------------------------------------------------------------------------


def after(seconds: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


def test_an_empty_queue_times_out(service: Service) -> None:
    started = time.monotonic()
    with pytest.raises(ext.TimedOut) as caught:
        service.core.accept(0.1)
    assert time.monotonic() - started >= 0.1
    assert caught.value.symbol == "MACH_RCV_TIMED_OUT"
    with pytest.raises(TimeoutError):
        service.core.accept(timeout=0, cancel=ext.CancelToken())


@pytest.mark.parametrize("watch", [False, True], ids=["alone", "watching"])
def test_a_message_ends_a_wait(service: Service, watch: bool) -> None:
    timer = after(0.05, lambda: ext.check_in(service.tx, TOKEN, None))
    token = ext.CancelToken() if watch else None
    assert service.core.accept(GENEROUS, cancel=token).port is None
    timer.join()


def test_cancel_ends_every_wait_now_and_later(service: Service) -> None:
    token = ext.CancelToken()
    ended: list[type[BaseException]] = []

    def wait() -> None:
        try:
            service.core.accept(GENEROUS, cancel=token)
        except ext.Cancelled as error:
            ended.append(type(error))

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    assert not token.cancelled
    assert select.select([token], [], [], 0)[0] == []
    token.cancel()
    token.cancel()
    for thread in threads:
        thread.join()
    assert ended == [ext.Cancelled] * 3
    assert token.cancelled
    assert select.select([token], [], [], 0)[0] == [token]
    ext.check_in(service.tx, TOKEN, None)
    with pytest.raises(ext.Cancelled):
        service.core.accept(0, cancel=token)
    assert service.core.accept(0).port is None


def test_a_closed_port_is_told_before_a_closed_descriptor(service: Service) -> None:
    fd = os.dup(0)
    os.close(fd)
    with pytest.raises(OSError, match="descriptor"):
        service.core.accept(0, watch_fd=fd)
    service.rx.close()
    with pytest.raises(ValueError, match="closed"):
        service.core.accept(0, watch_fd=fd)


def test_a_name_that_is_gone_is_told_as_a_port_that_was_closed() -> None:
    with ext.ReceiveRight() as rx:
        core = ext.ServerCore(rx, TOKEN)
        ext.ReceiveRight.adopt(rx.name).close()
        for wait in (core.accept, rx.receive):
            with pytest.raises(ext.PortChanged, match="closed or moved during the wait"):
                wait(0)
        rx.detach()


def test_a_token_made_of_others_is_cancelled_with_any_of_them(service: Service) -> None:
    def either() -> tuple[ext.CancelToken, ...]:
        first, second = ext.CancelToken(), ext.CancelToken()
        return first, second, ext.CancelToken(first, None, first, ext.CancelToken(second))

    for which in range(3):
        tokens = either()
        assert select.select([tokens[2]], [], [], 0)[0] == []
        timer = after(0.05, tokens[which].cancel)
        with pytest.raises(ext.Cancelled):
            service.core.accept(GENEROUS, cancel=tokens[2])
        timer.join()
        assert tokens[2].cancelled
        assert select.select([tokens[2]], [], [], 0)[0] == [tokens[2]]
        assert [token.cancelled for token in tokens[:2]] == [which == 0, which == 1]


def test_a_token_is_made_of_tokens_alone() -> None:
    for wrong in (0, "token", object()):
        with pytest.raises(TypeError, match="CancelToken"):
            ext.CancelToken(ext.CancelToken(), wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="keyword"):
        ext.CancelToken(cancel=ext.CancelToken())  # type: ignore[call-arg]


@pytest.mark.parametrize("watch", [False, True], ids=["alone", "watching"])
def test_ctrl_c_ends_a_wait(service: Service, watch: bool) -> None:
    timer = after(0.05, lambda: signal_main_thread(signal.SIGINT))
    token = ext.CancelToken() if watch else None
    with pytest.raises(KeyboardInterrupt):
        service.core.accept(GENEROUS, cancel=token)
    timer.join()


def test_cancel_from_a_signal_handler(service: Service) -> None:
    token = ext.CancelToken()
    old = signal.signal(signal.SIGUSR1, lambda number, frame: token.cancel())
    timer = after(0.05, lambda: signal_main_thread(signal.SIGUSR1))
    try:
        with pytest.raises(ext.Cancelled):
            service.core.accept(GENEROUS, cancel=token)
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, old)


@pytest.mark.parametrize("watch", [False, True], ids=["alone", "watching"])
def test_closing_the_port_ends_a_wait(watch: bool) -> None:
    rx = ext.ReceiveRight()
    core = ext.ServerCore(rx, TOKEN)
    timer = after(0.05, rx.close)
    with pytest.raises(ext.PortChanged):
        core.accept(GENEROUS, cancel=ext.CancelToken() if watch else None)
    timer.join()
    with pytest.raises(ValueError, match="closed"):
        core.accept(0)
    with pytest.raises(ValueError, match="closed"):
        core.fileno()


@pytest.mark.parametrize("watch", [False, True], ids=["alone", "watching"])
def test_moving_the_port_ends_a_wait(service: Service, watch: bool) -> None:
    rx = ext.ReceiveRight()
    core = ext.ServerCore(rx, TOKEN)
    timer = after(0.05, lambda: ext.check_in(service.tx, TOKEN, rx, MOVE_RECEIVE))
    with pytest.raises(ext.PortChanged):
        core.accept(GENEROUS, cancel=ext.CancelToken() if watch else None)
    timer.join()
    port_of(service.core.accept(GENEROUS), ext.ReceiveRight).close()


def test_a_pipe_at_its_end_means_that_the_peer_is_gone(service: Service) -> None:
    reader, writer = os.pipe()
    timer = after(0.05, lambda: os.close(writer))
    with pytest.raises(ext.PeerGone):
        service.core.accept(GENEROUS, watch_fd=reader)
    timer.join()
    with pytest.raises(ConnectionError):
        service.core.accept(GENEROUS, watch_fd=reader)
    os.close(reader)


def test_data_in_the_watched_pipe_does_not_end_a_wait_but_its_end_does(service: Service) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"hello")
    started = time.process_time()
    with pytest.raises(ext.TimedOut):
        service.core.accept(0.3, watch_fd=reader)
    assert time.process_time() - started < 0.2
    timer = after(0.05, lambda: os.close(writer))
    with pytest.raises(ext.PeerGone):
        service.core.accept(GENEROUS, watch_fd=reader)
    timer.join()
    os.close(reader)


def test_a_hung_up_socket_and_a_pipe_without_reader_mean_that_the_peer_is_gone(
    service: Service,
) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        theirs.close()
        with pytest.raises(ext.PeerGone):
            service.core.accept(GENEROUS, watch_fd=ours.fileno())
    reader, writer = os.pipe()
    timer = after(0.05, lambda: os.close(reader))
    with pytest.raises(ext.PeerGone):
        service.core.accept(GENEROUS, watch_fd=writer)
    timer.join()
    os.close(writer)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="pidfd is Linux's")
def test_a_pidfd_tells_that_the_peer_is_gone(service: Service) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        descriptor = os.pidfd_open(child.pid)
        with pytest.raises(ext.TimedOut):
            service.core.accept(0.05, watch_fd=descriptor)
        timer = after(0.05, child.kill)
        with pytest.raises(ext.PeerGone):
            service.core.accept(GENEROUS, watch_fd=descriptor)
        timer.join()
        os.close(descriptor)


def test_a_check_in_queued_before_its_sender_died_is_still_accepted(service: Service) -> None:
    reader, writer = os.pipe()
    os.close(writer)
    ext.check_in(service.tx, TOKEN ^ 1, None)
    ext.check_in(service.tx, TOKEN, None)
    assert service.core.accept(GENEROUS, watch_fd=reader).port is None
    with pytest.raises(ext.PeerGone):
        service.core.accept(GENEROUS, watch_fd=reader)
    os.close(reader)


def test_a_poll_tells_that_the_peer_is_gone(service: Service) -> None:
    reader, writer = os.pipe()
    with pytest.raises(ext.TimedOut):
        service.core.accept(0, watch_fd=reader)
    ext.check_in(service.tx, TOKEN, None)
    os.close(writer)
    assert service.core.accept(0, watch_fd=reader).port is None
    with pytest.raises(ext.PeerGone):
        service.core.accept(0, watch_fd=reader)
    os.close(reader)


def test_several_threads_accept_each_message_once(service: Service) -> None:
    total = 200
    lock = threading.Lock()
    tokens = 0

    def accept() -> None:
        nonlocal tokens
        while True:
            try:
                with service.core.accept(1):
                    pass
            except ext.TimedOut:
                return
            with lock:
                tokens += 1

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    with ext.ReceiveRight() as rx:
        for _ in range(total):
            ext.check_in(service.tx, TOKEN, rx, MAKE_SEND, timeout=GENEROUS)
        for thread in threads:
            thread.join()
    assert tokens == total == service.core.stats["accepted"]


# --- fileno -------------------------------------------------------------------------------------


def readable(descriptor: ext.ServerCore) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_fileno_is_readable_exactly_while_a_message_waits(service: Service) -> None:
    descriptor = service.core.fileno()
    assert service.core.fileno() == descriptor
    assert not os.get_inheritable(descriptor)
    assert not readable(service.core)
    for _ in range(3):
        ext.check_in(service.tx, TOKEN, None)
        ext.check_in(service.tx, TOKEN, None)
        assert select.select([service.core], [], [], GENEROUS)[0]
        service.core.accept(0)
        assert readable(service.core)
        service.core.accept(0)
        assert not readable(service.core)


def test_close_releases_filenos_descriptor_and_nothing_else(service: Service) -> None:
    service.core.fileno()
    service.core.close()
    before = open_descriptors()
    descriptor = service.core.fileno()
    assert open_descriptors() > before
    service.core.close()
    service.core.close()
    assert open_descriptors() <= before
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptor)
    assert not service.rx.closed
