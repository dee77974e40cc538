"""Messages: how waits end, what a failure takes, and what strangers send."""

from __future__ import annotations

import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import child_port as cp
import pytest
from ext_support import COPY_SEND, Stranger, build_stranger, drain_references
from support import DEADLINE, SOON, cancelled_soon, interrupted, received, resident, running

MOVE_RECEIVE, MAKE_SEND, MAKE_SEND_ONCE = (
    cp.Disposition.MOVE_RECEIVE,
    cp.Disposition.MAKE_SEND,
    cp.Disposition.MAKE_SEND_ONCE,
)


# --- waits and failures --------------------------------------------------------------------------


def fill(send: cp.SendRight) -> None:
    with suppress(cp.TimedOut):
        while True:
            send.send(b"x" * 100, timeout=0)


def test_waits_end_in_every_way(port: cp.ReceiveRight) -> None:
    with pytest.raises(cp.TimedOut):
        port.receive(0)
    with pytest.raises(cp.TimedOut):
        port.receive(SOON)
    with cancelled_soon() as token, pytest.raises(cp.Cancelled):
        port.receive(DEADLINE, cancel=token)
    with interrupted(), pytest.raises(KeyboardInterrupt):
        port.receive(DEADLINE)
    timer = threading.Timer(SOON, port.close)
    timer.start()
    with pytest.raises(cp.PortChanged):
        port.receive(DEADLINE)
    timer.join()
    with pytest.raises(ValueError, match="closed"):
        port.receive(0)


@pytest.mark.parametrize("how", ["timeout", "cancel", "interrupt"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_send_to_a_full_queue_gives_everything_back(
    port: cp.ReceiveRight, send: cp.SendRight, how: str, size: int
) -> None:
    fill(send)
    data = b"d" * size
    with cp.ReceiveRight() as other, cp.ReceiveRight() as answers:
        kept = other.make_send()
        moved, once = cp.ReceiveRight(), other.make_send_once()
        moved_send = other.make_send()
        rights: list[cp.Right | tuple[cp.Right, cp.Disposition]] = [
            kept,
            (moved, MOVE_RECEIVE),
            once,
            (other, MAKE_SEND),
            (moved_send, cp.Disposition.MOVE_SEND),
        ]
        if how == "timeout":
            with pytest.raises(cp.TimedOut):
                send.send(data, rights, reply_to=answers, timeout=SOON)
        elif how == "cancel":
            with cancelled_soon() as token, pytest.raises(cp.Cancelled):
                send.send(data, rights, reply_to=answers, cancel=token)
        else:
            with interrupted(), pytest.raises(KeyboardInterrupt):
                send.send(data, rights, reply_to=answers)
        assert isinstance(answers.receive(DEADLINE), cp.SendOnce)  # the right made for an answer
        with moved.make_send() as to_moved:
            to_moved.send(b"still here")
        assert received(moved).data == b"still here"
        once.send(b"once")
        assert received(other).data == b"once"
        moved.close()
        moved_send.close()
        name = kept.detach()
        assert drain_references(cp.SendRight, name) == 1
    assert not send.dead


def test_a_send_to_a_dead_port_takes_nothing(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    port.close()
    with cp.ReceiveRight() as moved:
        with pytest.raises(cp.InvalidDestination):
            send.send(b"", [(moved, MOVE_RECEIVE)])
        assert not moved.closed


def test_a_right_that_native_code_released_is_told(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    with cp.ReceiveRight() as other:
        stale = other.make_send()
        cp.SendRight.adopt(stale.name).close()
        with pytest.raises(cp.InvalidRight):
            send.send(b"", [stale])
        stale.close()
    send.send(b"goes on")
    assert received(port).data == b"goes on"


def test_a_closed_right_neither_sends_nor_travels(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    closed = send.copy()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.send(b"")
    with pytest.raises(ValueError, match="closed"):
        send.send(b"", [closed])
    with pytest.raises(ValueError, match="closed"):
        send.send(b"", reply_to=closed)


def test_a_server_and_a_receiver_can_take_turns_at_one_port() -> None:
    with cp.Server() as server, server.make_send() as send:
        send.send(b"no check-in")
        cp.check_in(send, server.token, send)
        with server.accept(DEADLINE) as check_in:
            assert isinstance(check_in.port, cp.SendRight)
        assert server.stats["malformed"] == 1
        cp.check_in(send, server.token, send)
        with received(server.port) as message:
            assert message.id == 10011 and len(message.rights) == 1
            assert message.data == bytes([0, 0, 0, 0, 1, 0, 0, 0]) + struct.pack("=Q", server.token)


# --- strangers -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def stranger_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stranger(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def stranger(
    stranger_program: Path, service_name: str
) -> Iterator[tuple[cp.ReceiveRight, Stranger]]:
    with (
        cp.bootstrap.check_in(service_name) as port,
        Stranger(stranger_program, service_name) as stranger,
    ):
        yield port, stranger


def descriptor(kind: int = 0, disposition: int = COPY_SEND) -> bytes:
    return struct.pack("=IIHBB", 0, 0, 0, disposition, kind)


def test_a_message_of_another_program_is_given_as_it_is(
    stranger: tuple[cp.ReceiveRight, Stranger],
) -> None:
    port, other = stranger
    body = struct.pack("=I", 1) + descriptor() + b"12345678"
    assert other.send(body, message_id=77_000, port_at=4, reply=True) == 0
    with received(port) as message:
        assert message.data == b"12345678" and message.id == 77_000
        assert isinstance(message.rights[0], cp.SendRight)
        assert isinstance(message.reply, cp.SendOnceRight)
        assert message.sender.pid == other.pid


@pytest.mark.parametrize(
    "body",
    [
        struct.pack("=II", 0x316D7063, 5) + b"abcd",  # more than there is
        struct.pack("=II", 0x316D7063, 2**32 - 1) + b"abcd",
        struct.pack("=II", 0x316D7063, 0) + b"abcd",  # less than there is
        struct.pack("=II", 0x326D7063, 4),  # out of line, but nothing is
    ],
)
def test_a_prefix_that_lies_is_data(
    stranger: tuple[cp.ReceiveRight, Stranger], body: bytes
) -> None:
    port, other = stranger
    assert other.send(body, is_complex=False) == 0
    assert received(port).data == body


def test_forged_notifications_are_dropped_and_counted(
    stranger: tuple[cp.ReceiveRight, Stranger],
) -> None:
    port, other = stranger
    with port.make_send() as victim:
        for number in (65, 66, 69, 70, 71, 72):
            body = bytes(8) + struct.pack("=I", victim.name)
            assert other.send(body, message_id=number, is_complex=False) == 0
        assert other.send(b"", message_id=1, is_complex=False) == 0
        assert received(port).id == 1
        assert port.dropped == 6
        assert drain_references(cp.SendRight, victim.detach()) == 1


MEMORY_MESSAGES = 64  # of two megabytes each
PHYSICAL_COPY, VIRTUAL_COPY = 0, 1


@pytest.mark.parametrize("copy", [PHYSICAL_COPY, VIRTUAL_COPY])
@pytest.mark.parametrize("how", ["accept", "receive", "a forged notification"])
def test_memory_that_strangers_send_is_freed_whatever_they_call_it(
    stranger: tuple[cp.ReceiveRight, Stranger], how: str, copy: int
) -> None:
    port, other = stranger
    body = struct.pack("=I", 2) + 2 * struct.pack("=QBBBBI", 0, 0, copy, 0, 1, 0)
    with cp.Server(port, token=1) as server:
        before = resident()
        for _ in range(MEMORY_MESSAGES):
            assert other.send(body, message_id=72 if "forged" in how else 10011, memory=2) == 0
            if how == "receive":
                received(port).close()  # the first piece is the message's data
                continue
            with pytest.raises(cp.TimedOut):
                server.accept(0) if how == "accept" else port.receive(0)
        assert resident() - before < MEMORY_MESSAGES * 2**20 / 4


def test_a_flood_of_forgeries_does_not_hold_the_deadline_up(
    port: cp.ReceiveRight, send: cp.SendRight, stranger: tuple[cp.ReceiveRight, Stranger]
) -> None:
    service, other = stranger
    stop = threading.Event()

    def flood() -> None:
        while not stop.is_set():
            other.send(b"", message_id=72, is_complex=False)

    with running(flood):
        with pytest.raises(cp.TimedOut):
            service.receive(SOON)
        stop.set()


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_NOFILE bounds rights on Linux alone")
def test_a_receiver_without_room_for_the_rights_says_so_and_goes_on(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    import resource

    with cp.ReceiveRight() as other:
        send.send(b"", [(other, MOVE_RECEIVE)])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(cp.ResourceShortage):
            port.receive(0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    send.send(b"next")
    assert received(port).data == b"next"
