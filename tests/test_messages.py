"""Messages: what a right that was handed over is good for."""

from __future__ import annotations

import array
import gc
import threading
import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import child_port as cp
import pytest
from ext_support import drain_references
from support import DEADLINE, SOON, received, running

if TYPE_CHECKING:
    from conftest import StartChild

MOVE_RECEIVE, MAKE_SEND, MAKE_SEND_ONCE = (
    cp.Disposition.MOVE_RECEIVE,
    cp.Disposition.MAKE_SEND,
    cp.Disposition.MAKE_SEND_ONCE,
)
MEBIBYTE = 1 << 20


# --- data ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1000, 1023, 4096, 32767, 32768, 32769, 100_003])
def test_data_arrives_to_the_byte(port: cp.ReceiveRight, send: cp.SendRight, size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    send.send(data, timeout=DEADLINE)
    message = received(port)
    assert message.data == data
    assert bytes(memoryview(message)) == data


def test_sixteen_mebibytes_and_a_right_travel_together(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    data = bytearray(16 * MEBIBYTE)
    data[-3:] = b"end"
    send.send(data, [send], timeout=DEADLINE)
    with received(port) as message:
        assert memoryview(message).nbytes == len(data)
        assert bytes(memoryview(message)[-3:]) == b"end"
        assert message.rights[0] is not None and message.rights[0].name == send.name


@pytest.mark.parametrize(
    "data", [bytearray(b"abcd"), memoryview(b"xabcdx")[1:5], array.array("B", b"abcd")]
)
def test_any_contiguous_buffer_will_do(
    port: cp.ReceiveRight, send: cp.SendRight, data: bytearray
) -> None:
    send.send(data)
    assert received(port).data == b"abcd"


def test_what_is_no_contiguous_buffer_is_refused(send: cp.SendRight) -> None:
    with pytest.raises(TypeError):
        send.send("text")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        send.send(memoryview(b"abcdef")[::2])


def test_a_view_keeps_the_data_when_the_message_is_gone(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    send.send(b"z" * MEBIBYTE, timeout=DEADLINE)
    message = received(port)
    gone = weakref.ref(message)
    view = memoryview(message)
    del message
    gc.collect()
    assert bytes(view[:3]) == b"zzz" and view.readonly and gone() is not None
    view.release()
    del view
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(("size", "out_of_line"), [(100, False), (32767, False), (32768, True)])
def test_large_data_travels_out_of_line(
    port: cp.ReceiveRight, send: cp.SendRight, size: int, out_of_line: bool
) -> None:
    """What came inline is bytes already, and the same ones each time."""
    with running(lambda: send.send(b"d" * size, timeout=DEADLINE)):
        message = received(port)
    first, second = message.data, message.data
    assert first == second == b"d" * size
    assert (first is not second) == out_of_line


def test_large_data_is_received_and_viewed_without_a_copy(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    size = 16 * MEBIBYTE
    send.send(bytes(size), timeout=DEADLINE)
    tracemalloc.start()
    try:
        message = received(port)
        with memoryview(message) as view:
            assert view.nbytes == size and view[-1] == 0
        _, most = tracemalloc.get_traced_memory()
        assert most < size // 16
        assert message.data[-1:] == b"\0"
        _, most = tracemalloc.get_traced_memory()
        assert most >= size  # such a copy would have been seen
    finally:
        tracemalloc.stop()


def test_the_caller_may_change_its_buffer_once_send_returned(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    for size in (10, MEBIBYTE):
        data = bytearray(b"a" * size)
        send.send(data, timeout=DEADLINE)
        data[:] = b"b" * size
        assert received(port).data == b"a" * size


def test_messages_keep_their_order_and_their_ids(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    for number in (3, -1, 2**31 - 1, 10011):
        send.send(str(number).encode(), id=number)
    for number in (3, -1, 2**31 - 1, 10011):
        message = received(port)
        assert (message.id, message.data) == (number, str(number).encode())


@pytest.mark.parametrize("number", [64, 72, 79])
def test_the_ids_of_notifications_are_the_kernels(send: cp.SendRight, number: int) -> None:
    with pytest.raises(ValueError, match="notifications"):
        send.send(id=number)


def test_an_id_is_a_c_int(send: cp.SendRight) -> None:
    with pytest.raises(OverflowError):
        send.send(id=2**31)


# --- rights --------------------------------------------------------------------------------------


def test_rights_of_every_kind_travel_in_order(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    moved = cp.ReceiveRight()
    once = port.make_send_once()
    with cp.ReceiveRight() as kept:
        send.send(
            b"all",
            [send, once, (moved, MOVE_RECEIVE), (kept, MAKE_SEND), (kept, MAKE_SEND_ONCE)],
        )
        assert moved.closed and once.closed
        assert not send.closed and not kept.closed
        with received(port) as message:
            assert [type(right) for right in message.rights] == [
                cp.SendRight,
                cp.SendOnceRight,
                cp.ReceiveRight,
                cp.SendRight,
                cp.SendOnceRight,
            ]
            assert message.rights[3] is not None and message.rights[3].name == kept.name


def test_a_hundred_rights_in_one_message(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    send.send(b"", [send] * 100)
    with received(port) as message:
        assert {right.name for right in message.rights if right} == {send.name}
    assert drain_references(cp.SendRight, send.detach()) == 1


def test_a_dead_right_arrives_as_a_dead_name(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    with cp.ReceiveRight() as other:
        dying = other.make_send()
    with dying:
        send.send(b"", [dying])
    (right,) = received(port).rights
    assert isinstance(right, cp.DeadName)


def test_closing_a_message_releases_what_was_not_taken(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    with cp.ReceiveRight() as a, cp.ReceiveRight() as b:
        send.send(b"", [(a, MAKE_SEND), (b, MAKE_SEND)], reply_to=a)
        message = received(port)
        (first, second), reply = message.rights, message.reply
        assert first is not None and second is not None and reply is not None
        name = first.detach()
        message.close()
        assert second.closed and reply.closed
        cp.SendRight.adopt(name).close()


def test_rights_of_a_message_that_nobody_keeps_are_released(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    with cp.ReceiveRight() as other:
        send.send(b"", [(other, MAKE_SEND)])
        received(port)
        gc.collect()
        assert drain_references(cp.SendRight, other.name) == 0


def test_rights_of_messages_that_nobody_receives_are_released(send: cp.SendRight) -> None:
    with cp.ReceiveRight() as other:
        with cp.ReceiveRight() as queue, queue.make_send() as to_queue:
            to_queue.send(b"", [(other, MAKE_SEND)])
        other.notify_no_senders(other)
        assert isinstance(other.receive(DEADLINE), cp.NoSenders)


@pytest.mark.parametrize(
    ("rights", "error"),
    [
        ([object()], TypeError),
        ([7], TypeError),
        (5, TypeError),
        ([None], TypeError),
        ([("x", 19)], TypeError),
    ],
)
def test_what_is_no_right_is_refused(
    send: cp.SendRight, rights: list[cp.Right], error: type[Exception]
) -> None:
    with pytest.raises(error):
        send.send(b"", rights)


def test_dispositions_that_do_not_fit_are_refused_and_nothing_moves(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    once = port.make_send_once()
    with cp.ReceiveRight() as other, cp.PortSet() as ports:
        for rights, error in (
            ([once, (send, MAKE_SEND)], ValueError),
            ([once, other], TypeError),
            ([once, ports], TypeError),
            ([once, (other, 99)], ValueError),
            ([once, once], ValueError),
        ):
            with pytest.raises(error):
                send.send(b"", rights)  # type: ignore[arg-type]
            assert not once.closed and not other.closed
    once.send(b"still mine")
    assert received(port).data == b"still mine"


def test_a_sequence_that_drops_its_rights_meanwhile_does_no_harm(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    def generate() -> Iterator[cp.Right]:
        for _ in range(3):
            yield send.copy()

    send.send(b"", generate())
    gc.collect()
    with received(port) as message:
        assert len(message.rights) == 3


# --- answers -------------------------------------------------------------------------------------


def test_an_answer_goes_where_reply_to_says(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    with cp.ReceiveRight() as answers, answers.make_send() as to_answers:
        for where in (answers, answers.make_send_once(), to_answers):
            send.send(b"question", reply_to=where)
            with received(port) as message:
                assert message.reply is not None
                assert not isinstance(message.reply, cp.DeadName)
                message.reply.send(b"answer")
            assert received(answers).data == b"answer"


def test_a_message_without_reply_to_has_no_reply(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    send.send(b"")
    assert received(port).reply is None


def test_a_send_once_right_is_used_up(port: cp.ReceiveRight) -> None:
    once = port.make_send_once()
    once.send(b"once")
    assert once.closed
    assert received(port).data == b"once"
    with pytest.raises(ValueError, match="closed"):
        once.send(b"twice")


def test_a_request_is_answered(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    def serve() -> None:
        for _ in range(3):
            with received(port) as message:
                assert isinstance(message.reply, cp.SendOnceRight)
                message.reply.send(message.data.upper(), message.rights)  # type: ignore[arg-type]

    with running(serve):
        for word in (b"a", b"b", b"c"):
            with send.request(word, [send], timeout=DEADLINE) as answer:
                assert answer.data == word.upper() and len(answer.rights) == 1


def test_requests_of_a_thread_use_one_port_for_their_answers(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    def receive_rights() -> set[int]:
        return {entry.name for entry in cp.ledger() if "receive" in entry.references}

    def serve() -> None:
        for _ in range(3):
            with received(port) as message:
                assert isinstance(message.reply, cp.SendOnceRight)
                message.reply.send(b"")

    before = receive_rights()
    with running(serve):
        ports = []
        for _ in range(3):
            send.request(timeout=DEADLINE).close()
            ports.append(receive_rights() - before)
    assert len(ports[0]) == 1 and ports == [ports[0]] * 3


def test_a_request_to_somebody_who_gives_the_answer_up_ends(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    def serve() -> None:
        for _ in range(2):
            received(port).close()

    with running(serve):
        for _ in range(2):
            with pytest.raises(cp.PeerGone):
                send.request(b"?", timeout=DEADLINE)


def test_a_late_answer_is_not_taken_for_the_next_one(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    slow: list[cp.Message] = []

    def serve() -> None:
        slow.append(received(port))
        with received(port) as message:
            assert isinstance(message.reply, cp.SendOnceRight)
            message.reply.send(b"fast")

    with running(serve):
        while not slow:
            with pytest.raises(cp.TimedOut):
                send.request(b"slow", timeout=SOON)
        assert send.request(b"quick", timeout=DEADLINE).data == b"fast"
    assert isinstance(slow[0].reply, cp.SendOnceRight)
    with suppress(cp.InvalidDestination):  # Mach lets a send to a port that just died succeed
        slow[0].reply.send(b"too late")
    slow[0].close()


def test_a_request_that_nobody_took_in_time_has_a_dead_reply(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    with pytest.raises(cp.TimedOut):
        send.request(b"?", timeout=0)
    assert isinstance(received(port).reply, cp.DeadName)


def test_threads_that_ask_at_once_get_their_own_answers(
    port: cp.ReceiveRight, send: cp.SendRight
) -> None:
    wrong: list[bytes] = []

    def ask(number: int) -> None:
        for i in range(20):
            word = f"{number}.{i}".encode()
            if send.request(word, timeout=DEADLINE).data != word:
                wrong.append(word)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(80):
        with received(port) as message:
            assert isinstance(message.reply, cp.SendOnceRight)
            message.reply.send(message.data)
    for thread in threads:
        thread.join(DEADLINE)
    assert wrong == []


def test_thousands_of_messages_leave_nothing(port: cp.ReceiveRight, send: cp.SendRight) -> None:
    for i in range(3000):
        send.send(b"m" * i, [send], reply_to=port)
        received(port).close()
        assert isinstance(port.receive(DEADLINE), cp.SendOnce)
    assert drain_references(cp.SendRight, send.detach()) == 1


# --- another process -----------------------------------------------------------------------------


def test_a_child_answers_at_the_right_that_it_handed_over(start: StartChild) -> None:
    child = start("""
with cp.ReceiveRight() as port:
    with port.make_send() as right:
        cp.check_in_to_parent(right, timeout=DEADLINE)
    for _ in range(2):
        with port.receive(DEADLINE) as message:
            message.reply.send(message.data * 2, message.rights)
    time.sleep(60)
""")
    with child.accept(timeout=DEADLINE) as check_in:
        right = check_in.port
        assert isinstance(right, cp.SendRight)
        for data in (b"small", b"large" * 100_000):
            with right.request(data, [right], timeout=DEADLINE) as answer:
                assert memoryview(answer) == data * 2
                assert answer.sender.pid == child.pid
                assert answer.rights[0] is not None and answer.rights[0].name == right.name


def test_a_request_to_a_child_that_dies_ends_at_once(start: StartChild) -> None:
    child = start("""
port = cp.ReceiveRight()
cp.check_in_to_parent(port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
port.receive(DEADLINE)
os._exit(0)
""")
    with child.accept(timeout=DEADLINE) as check_in:
        assert isinstance(check_in.port, cp.SendRight)
        with pytest.raises(cp.PeerGone):
            check_in.port.request(b"?", timeout=DEADLINE)
