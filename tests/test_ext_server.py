"""ServerCore: what is accepted, what is destroyed and counted, and how a wait ends."""

from __future__ import annotations

import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from child_port import _child_port as ext
from ext_support import (
    COPY_SEND,
    GENEROUS,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    TOKEN,
    Stranger,
    ask_behind_its_back,
    build_stranger,
    check_in_body,
    drain_references,
    fill_queue,
    open_descriptors,
    port_of,
    signal_main_thread,
)


def lowest_free_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


class Service:
    """A bootstrap service with a ServerCore at it."""

    def __init__(self, expected_pid: int | None = None) -> None:
        self.name = f"child_port.test.{uuid.uuid4()}"
        self.rx = ext.bootstrap_check_in(self.name)
        self.tx = ext.bootstrap_look_up(self.name)
        self.core = ext.ServerCore(self.rx, TOKEN, expected_pid)

    def reject(self) -> dict[str, int]:
        """Handle what is queued, none of which is a check-in; what has been counted."""
        with pytest.raises(ext.TimedOut):
            self.core.accept(0)
        return {key: value for key, value in self.core.stats.items() if value}

    def close(self) -> None:
        self.core.close()
        self.tx.close()
        self.rx.close()


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def stranger(program: Path, service: Service) -> Iterator[Stranger]:
    with Stranger(program, service.name) as stranger:
        yield stranger


# --- accepting ----------------------------------------------------------------------------------


def test_the_sender_is_known_by_its_audit_token(service: Service, stranger: Stranger) -> None:
    assert stranger.send(check_in_body(disposition=COPY_SEND), port_at=4) == 0
    with service.core.accept(GENEROUS) as check_in:
        sender = check_in.sender
        assert sender.pid == stranger.pid
        assert (sender.euid, sender.egid) == (os.geteuid(), os.getegid())
        assert (sender.ruid, sender.rgid) == (os.getuid(), os.getgid())
        assert len(sender) == 8 and sender[0] == sender.pid
        assert type(check_in.port) is ext.SendRight
        assert not check_in.port.dead
    assert check_in.port.closed
    assert repr(check_in).endswith(f"from pid {stranger.pid}>")
    assert str(TOKEN) not in repr(check_in)


def test_a_rights_owner_that_dies_leaves_a_dead_right(program: Path, service: Service) -> None:
    with Stranger(program, service.name) as stranger:
        assert stranger.send(check_in_body(disposition=COPY_SEND), port_at=4) == 0
        check_in = service.core.accept(GENEROUS)
    with check_in:
        deadline = time.monotonic() + GENEROUS
        right = port_of(check_in, ext.SendRight)
        while not right.dead:
            assert time.monotonic() < deadline
            time.sleep(0.001)


def test_attributes_of_a_core() -> None:
    with ext.ReceiveRight() as rx:
        core = ext.ServerCore(rx, token=5, expected_pid=17)
        assert (core.port, core.token, core.expected_pid) == (rx, 5, 17)
        assert ext.ServerCore(rx, 0).expected_pid is None
        assert core.stats == {
            "accepted": 0,
            "bad_token": 0,
            "malformed": 0,
            "wrong_sender": 0,
            "notifications": 0,
        }


def test_a_core_can_be_subclassed_with_an_init_of_its_own() -> None:
    class Server(ext.ServerCore):
        def __init__(self, *, answer: int) -> None:
            super().__init__(rx, answer)

    rx = ext.ReceiveRight()
    server = Server(answer=42)
    assert server.token == 42
    with pytest.raises(RuntimeError, match="twice"):
        server.__init__(answer=1)  # type: ignore[misc]
    with pytest.raises(RuntimeError, match="not called"):
        Server.__new__(Server).accept(0)
    rx.close()


def test_bad_arguments_to_a_core() -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as tx:
        for args in ((), (rx,), (tx, 1), (rx.name, 1), (None, 1), (rx, 1, "pid")):
            with pytest.raises(TypeError):
                ext.ServerCore(*args)
        core = ext.ServerCore(rx, 1)
        for kwargs in ({"cancel": 1}, {"watch_fd": "x"}, {"bogus": 1}, {"timeout": "x"}):
            with pytest.raises(TypeError):
                core.accept(**kwargs)
        with pytest.raises(TypeError):
            core.accept(0, None)  # type: ignore[call-arg]
        with pytest.raises(ValueError, match="watch_fd"):
            core.accept(0, watch_fd=-2)
        with pytest.raises(OSError, match="descriptor"):
            core.accept(0, watch_fd=10**6)


# --- rejecting ----------------------------------------------------------------------------------


def test_wrong_tokens_are_destroyed_and_counted_and_the_right_one_gets_in(
    service: Service, stranger: Stranger
) -> None:
    before = open_descriptors()
    for bit in range(64):
        body = check_in_body(disposition=COPY_SEND, token=TOKEN ^ (1 << bit))
        assert stranger.send(body, port_at=4) == 0
        assert service.reject() == {"bad_token": bit + 1}
    assert open_descriptors() <= before + 2
    assert stranger.send(check_in_body(disposition=COPY_SEND), port_at=4) == 0
    with service.core.accept(GENEROUS) as check_in:
        assert check_in.sender.pid == stranger.pid
    assert service.core.stats["accepted"] == 1


def test_a_rejected_receive_right_is_destroyed() -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as server:
        core = ext.ServerCore(rx, TOKEN)
        moved = ext.ReceiveRight()
        with moved.make_send() as tx:
            ext.check_in(server, TOKEN + 1, moved, MOVE_RECEIVE)
            assert not tx.dead
            with pytest.raises(ext.TimedOut):
                core.accept(0)
            assert tx.dead
        assert core.stats["bad_token"] == 1


@pytest.mark.parametrize(
    ("body", "message_id", "is_complex"),
    [
        pytest.param(b"", 10011, False, id="empty"),
        pytest.param(check_in_body()[:-8], 10011, True, id="short"),
        pytest.param(check_in_body() + bytes(4), 10011, True, id="long"),
        pytest.param(check_in_body() + bytes(60), 10011, True, id="fills-the-buffer"),
        pytest.param(check_in_body() + bytes(2000), 10011, True, id="over-sized"),
        pytest.param(check_in_body(), 10010, True, id="id-below"),
        pytest.param(check_in_body(), 10012, True, id="id-above"),
        pytest.param(check_in_body(), -1, True, id="id-negative"),
        pytest.param(check_in_body(), 10011, False, id="not-complex"),
        pytest.param(bytes(4) + check_in_body()[4:], 10011, True, id="no-descriptor"),
        pytest.param(check_in_body(disposition=99), 10011, True, id="disposition-lost"),
    ],
)
def test_malformed_messages_are_destroyed_and_counted(
    service: Service, stranger: Stranger, body: bytes, message_id: int, is_complex: bool
) -> None:
    before = open_descriptors()
    for _ in range(3):
        assert stranger.send(body, message_id=message_id, is_complex=is_complex) == 0
    assert service.reject() == {"malformed": 3}
    assert open_descriptors() <= before + 2
    ext.check_in(service.tx, TOKEN, None)
    assert service.core.accept(GENEROUS).port is None


def test_malformed_messages_with_a_right_leave_nothing_open(
    service: Service, stranger: Stranger
) -> None:
    for size in (4, 2000):
        assert stranger.send(check_in_body() + bytes(size), port_at=4) == 0
    service.reject()
    before = open_descriptors()
    for size in (4, 2000) * 20:
        assert stranger.send(check_in_body() + bytes(size), port_at=4) == 0
        service.reject()
    assert open_descriptors() <= before + 2
    assert service.core.stats["malformed"] == 42


def test_a_reply_port_that_a_sender_added_is_given_back(
    service: Service, stranger: Stranger
) -> None:
    assert stranger.send(check_in_body(), port_at=4, reply=True) == 0
    with service.core.accept(GENEROUS) as check_in:
        assert type(check_in.port) is ext.SendRight
    before = open_descriptors()
    for _ in range(20):
        assert stranger.send(check_in_body(), port_at=4, reply=True) == 0
        port_of(service.core.accept(GENEROUS), ext.SendRight).close()
    assert open_descriptors() <= before + 2


@pytest.mark.parametrize("message_id", [64, 65, 69, 70, 71, 72])
def test_forged_notifications_are_ignored_and_counted(
    service: Service, stranger: Stranger, message_id: int
) -> None:
    name = service.tx.name
    body = bytes([0, 0, 0, 0, 1, 0, 0, 0]) + name.to_bytes(4, sys.byteorder)
    assert stranger.send(body, message_id=message_id, is_complex=False) == 0
    assert stranger.send(check_in_body(), message_id=message_id, port_at=4) == 0
    assert service.reject() == {"notifications": 2}
    assert not service.tx.dead


def test_a_real_notification_is_counted_and_the_wait_goes_on(service: Service) -> None:
    service.rx.make_send_once().close()
    assert service.reject() == {"notifications": 1}


@pytest.mark.parametrize("asked_here", [True, False], ids=["asked-here", "asked-elsewhere"])
def test_a_death_is_counted_and_only_a_reference_that_was_asked_for_released(
    service: Service, asked_here: bool
) -> None:
    port = ext.ReceiveRight()
    name = port.make_send()
    if asked_here:
        name.notify_dead(service.rx)
    else:
        ask_behind_its_back(name, service.rx)
    port.close()
    assert name.dead
    assert service.reject() == {"notifications": 1}
    assert drain_references(ext.DeadName, name.detach()) == (1 if asked_here else 2)


def test_a_check_in_is_closed_with_its_port(service: Service) -> None:
    ext.check_in(service.tx, TOKEN, service.tx)
    ext.check_in(service.tx, TOKEN, None)
    with_port, without = service.core.accept(0), service.core.accept(0)
    for _ in range(2):
        with_port.close()
        without.close()
    assert port_of(with_port, ext.SendRight).closed


def test_only_the_expected_process_gets_in(program: Path) -> None:
    service = Service(expected_pid=os.getpid())
    try:
        with Stranger(program, service.name) as stranger:
            assert stranger.send(check_in_body(), port_at=4) == 0
            assert service.reject() == {"wrong_sender": 1}
        ext.check_in(service.tx, TOKEN, None)
        assert service.core.accept(GENEROUS).sender.pid == os.getpid()
    finally:
        service.close()


def test_what_was_rejected_is_said_when_there_was_no_check_in(service: Service) -> None:
    core = ext.ServerCore(service.rx, TOKEN, 1)
    ext.check_in(service.tx, TOKEN, None)
    ext.check_in(service.tx, TOKEN - 1, None)
    told = "rejected: 1 from another process than the expected 1 .*, 1 with a wrong token$"
    with pytest.raises(ext.TimedOut, match=told):
        core.accept(0)
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(ext.PeerGone, match=told):
        core.accept(watch_fd=read)
    os.close(read)


def test_what_was_rejected_is_not_said_once_there_was_a_check_in(service: Service) -> None:
    for token in (TOKEN, TOKEN - 1):
        ext.check_in(service.tx, token, None)
    service.core.accept(0)
    with pytest.raises(ext.TimedOut, match=r"no message arrived before the deadline$"):
        service.core.accept(0)
    assert service.core.stats["bad_token"] == 1


def test_a_flood_does_not_hide_that_the_peer_is_gone() -> None:
    """No deadline, and a queue that is never empty: a signal's handler fills it again and again."""
    most, cancel = 10_000, ext.CancelToken()
    read, write = os.pipe()
    os.close(write)

    def fill_again(number: int, frame: object) -> None:
        fill_queue(tx, 0)
        if core.stats["bad_token"] > most:
            cancel.cancel()

    with ext.ReceiveRight(1024) as rx, rx.make_send() as tx:
        core = ext.ServerCore(rx, TOKEN)
        before = signal.signal(signal.SIGALRM, fill_again)
        try:
            fill_queue(tx, 0)
            signal.setitimer(signal.ITIMER_REAL, 2e-4, 2e-4)
            with pytest.raises(ext.PeerGone):
                core.accept(cancel=cancel, watch_fd=read)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            os.close(read)


def test_a_flood_of_strangers_does_not_hold_the_deadline_up(
    service: Service, program: Path
) -> None:
    stop = threading.Event()

    def flood() -> None:
        with Stranger(program, service.name) as stranger:
            while not stop.is_set():
                stranger.send(check_in_body(token=0))

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            with pytest.raises(ext.TimedOut):
                service.core.accept(0.05)
        ext.check_in(service.tx, TOKEN, None, timeout=GENEROUS)
        assert service.core.accept(GENEROUS).port is None
    finally:
        stop.set()
        while any(thread.is_alive() for thread in threads):
            with pytest.raises(ext.TimedOut):
                service.core.accept(0.05)
    assert service.core.stats["bad_token"] > 0


def test_a_poll_finds_a_check_in_behind_a_strangers_messages() -> None:
    # Macs hold five messages unless a port is made for more.
    with ext.ReceiveRight(qlimit=64) as rx, rx.make_send() as tx:
        core = ext.ServerCore(rx, TOKEN)
        for _ in range(20):
            ext.check_in(tx, TOKEN ^ 1, None, timeout=GENEROUS)
        ext.check_in(tx, TOKEN, None, timeout=GENEROUS)
        assert core.accept(0).port is None
        assert core.stats["bad_token"] == 20


@pytest.mark.skipif(sys.platform != "linux", reason="a right costs a descriptor on Linux only")
def test_a_receiver_without_a_descriptor_left_says_so_and_recovers(
    service: Service, stranger: Stranger
) -> None:
    for _ in range(2):
        assert stranger.send(check_in_body(), port_at=4) == 0
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free_descriptor(), hard))
    try:
        with pytest.raises(ext.ResourceShortage, match="RLIMIT_NOFILE"):
            service.core.accept(GENEROUS)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_descriptors() <= before
    with service.core.accept(GENEROUS) as check_in:
        assert type(check_in.port) is ext.SendRight


def test_thousands_of_check_ins_leave_nothing_open(service: Service) -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as tx:
        unused = ext.ServerCore(rx, TOKEN)

        def cycle() -> None:
            for port, disposition in (
                (tx, COPY_SEND),
                (tx.copy(), MOVE_SEND),
                (rx, MAKE_SEND),
                (rx.make_send_once(), MOVE_SEND_ONCE),
                (rx, MAKE_SEND_ONCE),
                (ext.ReceiveRight(), MOVE_RECEIVE),
                (None, COPY_SEND),
            ):
                ext.check_in(service.tx, TOKEN, port, disposition)
                with service.core.accept(GENEROUS):
                    pass
                ext.check_in(service.tx, TOKEN ^ 1, rx, MAKE_SEND)
            service.reject()
            # Each send-once right that was closed unused has queued a notification at rx.
            with pytest.raises(ext.TimedOut):
                unused.accept(0)

        cycle()
        before = open_descriptors()
        for _ in range(300):
            cycle()
        assert open_descriptors() <= before + 2
        assert unused.stats["notifications"] == 2 * 301
        assert drain_references(ext.SendRight, tx.detach()) == 1


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


# --- bootstrap ----------------------------------------------------------------------------------


def test_a_service_is_found_by_its_name_while_its_right_lives() -> None:
    name = f"child_port.test.{uuid.uuid4()}"
    with pytest.raises(ext.UnknownService) as unknown:
        ext.bootstrap_look_up(name)
    assert unknown.value.code == 1102
    assert unknown.value.symbol == "BOOTSTRAP_UNKNOWN_SERVICE"
    with ext.bootstrap_check_in(name):
        with pytest.raises(ext.ServiceActive) as active:
            ext.bootstrap_check_in(name)
        assert active.value.code == 1103
        assert isinstance(active.value, ext.BootstrapError)
        tx = ext.bootstrap_look_up(name)
    assert tx.dead
    tx.close()
    with pytest.raises(ext.UnknownService):
        ext.bootstrap_look_up(name)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 128, "ä" * 64, "x" * 100_000])
def test_names_that_no_service_can_have(name: str) -> None:
    for call in (ext.bootstrap_check_in, ext.bootstrap_look_up):
        with pytest.raises(ValueError, match="service name"):
            call(name)


def test_a_service_name_may_have_127_bytes() -> None:
    name = f"child_port.test.{uuid.uuid4()}".ljust(127, "x")
    with ext.bootstrap_check_in(name) as rx, ext.bootstrap_look_up(name) as tx:
        assert tx.name == rx.name


@pytest.mark.parametrize("name", [b"bytes", 1, None])
def test_service_names_are_text(name: object) -> None:
    for call in (ext.bootstrap_check_in, ext.bootstrap_look_up):
        with pytest.raises(TypeError):
            call(name)  # type: ignore[arg-type]


def test_an_unpaired_surrogate_is_no_service_name() -> None:
    with pytest.raises(ValueError, match="surrogates"):
        ext.bootstrap_look_up("\ud800")


def test_send_once_rights_check_in_too(service: Service) -> None:
    with ext.ReceiveRight() as rx:
        ext.check_in(service.tx, TOKEN, rx, MAKE_SEND_ONCE)
        with service.core.accept(GENEROUS) as check_in:
            ext.check_in(port_of(check_in, ext.SendOnceRight), 9, None)
        assert ext.ServerCore(rx, 9).accept(GENEROUS).token == 9
