"""Event loops other than asyncio's own: uvloop, and trio by way of fileno()."""

from __future__ import annotations

import asyncio
import threading

import child_port as cp
import pytest
from support import DEADLINE, SOON, python

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"


@pytest.fixture(scope="module", autouse=True)
def _what_libuv_makes_once() -> None:
    """A pipe for signals, for good."""
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_uvloop_runs_it_all() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> None:
        for transport in ("bootstrap", "inherited"):
            command = python(CHECK_IN)
            child = await cp.create_subprocess_exec(*command, transport=transport)
            async with child:
                with await child.accept(DEADLINE) as check_in:
                    assert check_in.sender.pid == child.pid
        with cp.ReceiveRight() as port, port.make_send() as send:
            with pytest.raises(cp.TimedOut):
                await port.receive_async(SOON)
            send.send(b"by uvloop")
            message = await port.receive_async(DEADLINE)
            assert isinstance(message, cp.Message) and message.data == b"by uvloop"
            waiting = asyncio.create_task(send.wait_dead(DEADLINE))
            await asyncio.sleep(SOON)
            port.close()
            await waiting

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def test_uvloop_iterates_a_server() -> None:
    uvloop = pytest.importorskip("uvloop")

    async def main() -> int:
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
        return count

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == 3


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
