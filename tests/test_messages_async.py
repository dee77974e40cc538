"""Messages in asyncio."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress

import child_port as cp
import pytest
from support import DEADLINE, SOON, cancelled_soon, received

MAKE_SEND, MAKE_SEND_ONCE, MOVE_RECEIVE = (
    cp.Disposition.MAKE_SEND,
    cp.Disposition.MAKE_SEND_ONCE,
    cp.Disposition.MOVE_RECEIVE,
)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 2 * DEADLINE)

    asyncio.run(bounded())


FILL = b"x" * 100


def fill(send: cp.SendRight) -> None:
    with suppress(cp.TimedOut):
        while True:
            send.send(FILL, timeout=0)


async def answer(port: cp.ReceiveRight, count: int = 1) -> None:
    """Answer requests, in the loop that they come from."""
    for _ in range(count):
        with await port.receive_async(DEADLINE) as message:
            assert isinstance(message, cp.Message)
            assert isinstance(message.reply, cp.SendOnceRight)
            message.reply.send(message.data.upper(), message.rights)  # type: ignore[arg-type]


async def behind_the_fill(port: cp.ReceiveRight) -> cp.Message:
    """The first message that is none of fill()'s."""
    while True:
        message = await port.receive_async(DEADLINE)
        assert isinstance(message, cp.Message)
        if message.data != FILL:
            return message


def is_empty(port: cp.ReceiveRight) -> bool:
    try:
        port.receive(0)
    except cp.TimedOut:
        return True
    return False


def test_a_message_that_comes_later_is_awaited(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            threading.Timer(SOON, send.send, [b"later"]).start()
            message = await port.receive_async(DEADLINE)
            assert isinstance(message, cp.Message) and message.data == b"later"

    asyncio.run(main())


def test_the_deadline_ends_a_wait(port: cp.ReceiveRight) -> None:
    with pytest.raises(cp.TimedOut):
        asyncio.run(port.receive_async(SOON))


def test_a_token_ends_a_wait(port: cp.ReceiveRight) -> None:
    with cancelled_soon() as token, pytest.raises(cp.Cancelled):
        asyncio.run(port.receive_async(DEADLINE, cancel=token))


def test_closing_the_port_ends_a_wait(port: cp.ReceiveRight) -> None:
    timer = threading.Timer(SOON, port.close)
    timer.start()
    with pytest.raises(cp.PortChanged):
        asyncio.run(port.receive_async(DEADLINE))
    timer.join()


def test_cancellation_loses_no_message(port: cp.ReceiveRight) -> None:
    async def main() -> list[bytes]:
        got = []
        with port.make_send() as send:
            for number in range(50):
                task = asyncio.create_task(port.receive_async())
                await asyncio.sleep(0)
                send.send(str(number).encode())
                task.cancel()
                try:
                    message = await task
                except asyncio.CancelledError:
                    message = port.receive(0)
                assert isinstance(message, cp.Message)
                got.append(message.data)
        return got

    assert asyncio.run(main()) == [str(n).encode() for n in range(50)]


def test_many_tasks_wait_at_one_port() -> None:
    async def main(port: cp.ReceiveRight) -> None:
        tasks = [asyncio.create_task(port.receive_async(DEADLINE)) for _ in range(20)]
        await asyncio.sleep(SOON)
        with port.make_send() as send:
            for number in range(20):
                send.send(bytes([number]), timeout=DEADLINE)
        messages = await asyncio.gather(*tasks)
        assert sorted(m.data for m in messages if isinstance(m, cp.Message)) == [
            bytes([n]) for n in range(20)
        ]

    with cp.ReceiveRight(qlimit=64) as port:  # a Mac holds five messages unless told
        asyncio.run(main(port))


# --- cancellation --------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(4))
def test_a_cancellation_counts_though_somebody_else_took_the_message(
    port: cp.ReceiveRight, steps: int
) -> None:
    """The other reader takes it in the iteration of the loop in which the task is woken, and the
    task is cancelled then or a few iterations later."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(port.receive_async(DEADLINE))
        await asyncio.sleep(0)

        def cancel_after(steps: int) -> None:
            if steps:
                loop.call_soon(cancel_after, steps - 1)
            else:
                task.cancel()

        def take() -> None:
            loop.remove_reader(other_reader)
            received(port, 0)
            cancel_after(steps)

        other_reader = os.dup(port.fileno())
        loop.add_reader(other_reader, take)
        with port.make_send() as send:
            send.send(b"for the other reader")
        with pytest.raises(asyncio.CancelledError):
            await task
        os.close(other_reader)

    run(main)


def test_closing_the_port_while_a_wait_begins_is_its_own_error(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread closes it, and its descriptor, before the wait has duplicated any."""
    duplicate = os.dup

    def close_first(fd: int) -> int:
        port.close()
        return duplicate(fd)

    async def main() -> None:
        port.fileno()
        with pytest.raises(cp.PortChanged):
            await port.receive_async(DEADLINE, cancel=cp.CancelToken())

    monkeypatch.setattr(os, "dup", close_first)
    run(main)


# --- sending -------------------------------------------------------------------------------------


def test_a_send_to_a_full_queue_lets_the_loop_go_on(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            await send.send_async(b"at once", id=7, timeout=0)
            assert received(port).id == 7
            fill(send)
            sending = asyncio.create_task(send.send_async(b"last", [send], timeout=DEADLINE))
            with await behind_the_fill(port) as message:
                assert message.data == b"last" and len(message.rights) == 1
            await sending

    run(main)


@pytest.mark.parametrize("how", ["timeout", "token", "cancellation"])
def test_a_send_that_is_given_up_gives_everything_back(port: cp.ReceiveRight, how: str) -> None:
    async def main() -> None:
        with (
            port.make_send() as send,
            cp.ReceiveRight() as moved,
            cp.ReceiveRight() as other,
            other.make_send_once() as once,
        ):
            fill(send)
            cargo: list[cp.Right | tuple[cp.Right, int]] = [(moved, MOVE_RECEIVE), once]
            rights = iter(cargo)
            if how == "timeout":
                with pytest.raises(cp.TimedOut):
                    await send.send_async(b"", rights, timeout=SOON)
            elif how == "token":
                with cancelled_soon() as token, pytest.raises(cp.Cancelled):
                    await send.send_async(b"", rights, cancel=token)
            else:
                task = asyncio.create_task(send.send_async(b"", rights))
                await asyncio.sleep(SOON)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert not moved.closed
            once.send(b"once")
            assert received(other).data == b"once"

    run(main)


def test_a_send_that_waits_tells_nobody_of_its_attempts(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send, cp.ReceiveRight() as other, cp.ReceiveRight() as notify:
            other.notify_no_senders(notify)
            fill(send)
            rights = [(other, MAKE_SEND), (other, MAKE_SEND_ONCE)]
            sending = asyncio.create_task(send.send_async(b"", rights, reply_to=other))
            await asyncio.sleep(3 * SOON)
            assert is_empty(other) and is_empty(notify)
            message = await behind_the_fill(port)
            await sending
            assert [type(right) for right in message.rights] == [cp.SendRight, cp.SendOnceRight]
            message.close()
            assert isinstance(notify.receive(DEADLINE), cp.NoSenders)
            assert {type(other.receive(DEADLINE)) for _ in range(2)} == {cp.SendOnce}

    run(main)


# --- requests ------------------------------------------------------------------------------------


def test_a_request_is_answered_in_the_loop_that_it_comes_from(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            answering = asyncio.create_task(answer(port, 3))
            for word in (b"a", b"b", b"c" * 100_000):
                with await send.request_async(word, [send], timeout=DEADLINE) as message:
                    assert message.data == word.upper() and len(message.rights) == 1
            await answering

    run(main)


def test_requests_at_once_get_their_own_answers(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            answering = asyncio.create_task(answer(port, 50))
            words = [f"word {n}".encode() for n in range(50)]
            requests = [send.request_async(word, timeout=DEADLINE) for word in words]
            answers = await asyncio.gather(*requests)
            assert [message.data for message in answers] == [word.upper() for word in words]
            await answering

    run(main)


def test_a_request_whose_answer_is_given_up_ends(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            request = asyncio.create_task(send.request_async(timeout=DEADLINE))
            (await port.receive_async(DEADLINE)).close()  # type: ignore[union-attr]
            with pytest.raises(cp.PeerGone):
                await request

    run(main)


@pytest.mark.parametrize("how", ["timeout", "token", "cancellation"])
def test_a_late_answer_is_not_taken_for_the_next_one(port: cp.ReceiveRight, how: str) -> None:
    async def main() -> None:
        with port.make_send() as send:
            if how == "timeout":
                with pytest.raises(cp.TimedOut):
                    await send.request_async(b"slow", timeout=SOON)
            elif how == "token":
                with cancelled_soon() as token, pytest.raises(cp.Cancelled):
                    await send.request_async(b"slow", cancel=token)
            else:
                task = asyncio.create_task(send.request_async(b"slow"))
                await asyncio.sleep(SOON)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with received(port) as slow:
                assert slow.data == b"slow" and isinstance(slow.reply, cp.DeadName)
            answering = asyncio.create_task(answer(port))
            assert (await send.request_async(b"quick", timeout=DEADLINE)).data == b"QUICK"
            await answering

    run(main)


def test_a_request_to_a_full_queue_lets_the_loop_go_on(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            fill(send)
            with pytest.raises(cp.TimedOut):
                await send.request_async(b"never sent", timeout=SOON)
            request = asyncio.create_task(send.request_async(b"?", timeout=DEADLINE))
            with await behind_the_fill(port) as message:
                assert message.data == b"?" and isinstance(message.reply, cp.SendOnceRight)
                message.reply.send(b"!")
            assert (await request).data == b"!"

    run(main)


def receive_rights() -> set[int]:
    return {entry.name for entry in cp.ledger() if "receive" in entry.references}


def test_requests_of_a_thread_use_one_port_for_their_answers(port: cp.ReceiveRight) -> None:
    before = receive_rights()

    async def main() -> None:
        with port.make_send() as send:
            ports = []
            for _ in range(3):
                answering = asyncio.create_task(answer(port))
                (await send.request_async(timeout=DEADLINE)).close()
                await answering
                ports.append(receive_rights() - before)
            assert len(ports[0]) == 1 and ports == [ports[0]] * 3

    run(main)
