"""ServerCore: what is accepted, what is destroyed and counted, and by which names it is found."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time
import uuid
from collections.abc import Iterator
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
    Service,
    Stranger,
    ask_behind_its_back,
    build_stranger,
    check_in_body,
    drain_references,
    fill_queue,
    open_descriptors,
    port_of,
)


def lowest_free_descriptor() -> int:
    descriptor = os.dup(0)
    os.close(descriptor)
    return descriptor


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
