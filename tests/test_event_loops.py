"""Event loops other than asyncio's own: uvloop, and trio by way of fileno()."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import child_port as cp
import pytest
from support import DEADLINE, SOON, python

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"
SLEEP = "time.sleep(60)\n"
RECEIVE = """
with cp.receive_from_parent(timeout=DEADLINE) as check_in:
    check_in.port.send(b"thanks")
"""
TRANSPORTS = ["bootstrap", "inherited"]

Main = Callable[[], Awaitable[None]]


@pytest.fixture(scope="module")
def uvloop() -> Any:
    """The module, once it has made what it makes for good: a pipe for signals."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return uvloop


@pytest.fixture
def run(uvloop: Any) -> Callable[[Main], None]:
    """asyncio.run() with uvloop."""

    def run(main: Main) -> None:
        async def bounded() -> None:
            await asyncio.wait_for(main(), 2 * DEADLINE)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())

    return run


async def start(program: str, **options: Any) -> cp.Process:
    return await cp.create_subprocess_exec(*python(program), **options)


# --- uvloop --------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_uvloop_starts_a_child_that_checks_in(run: Callable[[Main], None], transport: Any) -> None:
    async def main() -> None:
        async with await start(CHECK_IN, transport=transport) as child:
            with await child.accept(DEADLINE) as check_in:
                assert check_in.sender.pid == child.pid

    run(main)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_uvloop_sends_a_right_to_a_child(run: Callable[[Main], None], transport: Any) -> None:
    async def main() -> None:
        with cp.ReceiveRight() as port, port.make_send() as right:
            async with await start(RECEIVE, transport=transport) as child:
                await child.send_right(right, timeout=DEADLINE)
                message = await port.receive_async(DEADLINE)
                assert isinstance(message, cp.Message) and message.data == b"thanks"

    run(main)


def test_uvloop_collects_rights(run: Callable[[Main], None]) -> None:
    program = """
with cp.ReceiveRight() as port:
    cp.check_in_to_parent(cp.task_self(), key="task", timeout=DEADLINE)
    cp.check_in_to_parent(port, cp.Disposition.MOVE_RECEIVE, key="port", timeout=DEADLINE)
time.sleep(60)
"""

    async def main() -> None:
        async with await start(program) as child:
            expected = {"port": cp.ReceiveRight, "task": cp.SendRight}
            rights = await child.collect(expected, DEADLINE)
            for key, right in rights.items():
                with right:
                    assert isinstance(right, expected[key])
            child.kill()
            with pytest.raises(cp.PeerGone):
                await child.collect({"more": cp.SendRight}, DEADLINE)

    run(main)


def test_uvloop_loses_nothing_when_a_task_is_cancelled(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with await start(CHECK_IN * 10 + SLEEP) as child:
            got = 0
            while got < 10:
                task = asyncio.create_task(child.accept(DEADLINE))
                await asyncio.sleep(0.001)
                task.cancel()
                with suppress(asyncio.CancelledError), await task:
                    got += 1
            with cp.ReceiveRight() as port:
                move = cp.Disposition.MOVE_RECEIVE
                sending = asyncio.create_task(child.send_right(port, move))
                await asyncio.sleep(SOON)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                assert not port.closed
            child.kill()

    run(main)


def test_uvloop_leaves_no_child_when_its_start_is_cancelled(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        for steps in range(1, 4):
            alive, dies = os.pipe()
            starting = asyncio.create_task(start(SLEEP, pass_fds=[dies]))
            for _ in range(steps):
                await asyncio.sleep(0)
            os.close(dies)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                async with await starting as child:
                    child.kill()
            assert await asyncio.wait_for(asyncio.to_thread(os.read, alive, 1), DEADLINE) == b""
            os.close(alive)

    run(main)


def test_uvloop_waits_for_messages_answers_and_death(run: Callable[[Main], None]) -> None:
    async def answer(port: cp.ReceiveRight) -> None:
        with await port.receive_async(DEADLINE) as message:
            assert isinstance(message, cp.Message) and isinstance(message.reply, cp.SendOnceRight)
            message.reply.send(b"by uvloop")

    async def main() -> None:
        with cp.ReceiveRight() as port, port.make_send() as send:
            with pytest.raises(cp.TimedOut):
                await port.receive_async(SOON)
            answering = asyncio.create_task(answer(port))
            assert (await send.request_async(timeout=DEADLINE)).data == b"by uvloop"
            await answering
            waits = [asyncio.create_task(send.wait_dead(DEADLINE)) for _ in range(2)]
            await asyncio.sleep(SOON)
            waits[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await waits[0]
            port.close()
            await waits[1]

    run(main)


def test_uvloop_iterates_a_server(run: Callable[[Main], None]) -> None:
    async def main() -> None:
        count = 0
        with cp.Server() as server:
            with server.make_send() as right:
                for _ in range(3):
                    cp.check_in(right, server.token, right)
            async for check_in in server:
                check_in.port.close()  # type: ignore[union-attr]
                count += 1
                if count == 3:
                    server.shutdown()
        assert count == 3

    run(main)


# --- trio ----------------------------------------------------------------------------------------


def test_trio_waits_by_the_descriptor() -> None:
    trio = pytest.importorskip("trio")

    async def accept(server: cp.Server) -> cp.CheckIn:
        while True:
            try:
                return server.accept(0)
            except TimeoutError:
                await trio.lowlevel.wait_readable(server.fileno())

    async def receive(port: cp.ReceiveRight) -> cp.Message | cp.Notification:
        while True:
            try:
                return port.receive(0)
            except TimeoutError:
                await trio.lowlevel.wait_readable(port.fileno())

    async def main() -> None:
        with cp.Server() as server, server.make_send() as right, cp.ReceiveRight() as port:
            with trio.move_on_after(SOON) as scope:
                await accept(server)
            assert scope.cancelled_caught
            threading.Timer(SOON, cp.check_in, [right, server.token, right]).start()
            with trio.fail_after(DEADLINE), await accept(server) as check_in:
                assert isinstance(check_in.port, cp.SendRight)
            with port.make_send() as send:
                threading.Timer(SOON, send.send, [b"to trio"]).start()
                with trio.fail_after(DEADLINE):
                    message = await receive(port)
                assert isinstance(message, cp.Message) and message.data == b"to trio"

    trio.run(main)
