"""Messages in asyncio."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import child_port as cp
import pytest
from support import DEADLINE, SOON, cancelled_soon


@pytest.fixture
def port() -> Iterator[cp.ReceiveRight]:
    with cp.ReceiveRight() as port:
        yield port


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
