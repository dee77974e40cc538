"""create_subprocess_exec: asyncio's child processes, with the handshake."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import child_port as cp
import pytest
from support import DEADLINE, SOON, cancelled_soon, python

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"
SLEEP = "time.sleep(60)\n"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 3 * DEADLINE)

    asyncio.run(bounded())


async def start(program: str, **options: Any) -> cp.Process:
    return await cp.create_subprocess_exec(*python(program), **options)


@pytest.mark.parametrize("transport", ["auto", "bootstrap", "inherited"])
def test_a_child_checks_in(transport: Any) -> None:
    async def main() -> None:
        async with await start(CHECK_IN, transport=transport) as child:
            with await child.accept(DEADLINE) as check_in:
                assert check_in.sender.pid == child.pid
            assert child.transport == ("bootstrap" if transport == "auto" else transport)
        assert child.returncode == 0

    run(main)


@pytest.mark.parametrize("transport", ["bootstrap", "inherited"])
def test_a_right_goes_to_the_child(transport: Any) -> None:
    program = """
with cp.receive_from_parent(timeout=DEADLINE) as check_in:
    check_in.port.send(b"thanks")
"""

    async def main() -> None:
        with cp.ReceiveRight() as port, port.make_send() as right:
            async with await start(program, transport=transport) as child:
                await child.send_right(right, timeout=DEADLINE)
                message = await port.receive_async(DEADLINE)
                assert isinstance(message, cp.Message) and message.data == b"thanks"

    run(main)


def test_pipes_work_as_asyncios(tmp_path: Any) -> None:
    program = CHECK_IN + "sys.stdout.write(sys.stdin.read().upper())"

    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        async with await start(program, stdin=pipe, stdout=pipe, cwd=tmp_path) as child:
            with await child.accept(DEADLINE):
                assert child.stdin and child.stdout and child.stderr is None
            assert await child.communicate(b"text") == (b"TEXT", None)

    run(main)


def test_a_child_that_dies_first_is_known_at_once() -> None:
    async def main() -> None:
        async with await start("os._exit(3)") as child:
            with pytest.raises(cp.PeerGone, match="exited with status 3"):
                await child.accept(DEADLINE)

    run(main)


def test_a_child_that_is_killed_is_named_with_its_signal() -> None:
    async def main() -> None:
        async with await start(SLEEP) as child:
            child.send_signal(signal.SIGKILL)
            with pytest.raises(cp.PeerGone, match="SIGKILL"):
                await child.accept(DEADLINE)
            with cp.ReceiveRight() as port:
                with pytest.raises(cp.PeerGone):
                    await child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
                assert not port.closed

    run(main)


def test_waits_end_by_deadline_token_and_cancellation() -> None:
    async def main() -> None:
        async with await start(SLEEP) as child:
            with pytest.raises(cp.TimedOut):
                await child.accept(SOON)
            with cancelled_soon() as token, pytest.raises(cp.Cancelled):
                await child.accept(DEADLINE, cancel=token)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(child.accept(), SOON)
            with cp.ReceiveRight() as port:
                with pytest.raises(cp.TimedOut):
                    await child.send_right(port, cp.Disposition.MAKE_SEND, timeout=SOON)
                sending = child.send_right(port, cp.Disposition.MOVE_RECEIVE)
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(sending, SOON)
                assert not port.closed
            child.kill()

    run(main)


def test_cancelling_an_accept_loses_no_check_in() -> None:
    async def main() -> None:
        program = CHECK_IN * 20 + SLEEP
        async with await start(program) as child:
            got = 0
            while got < 20:
                task = asyncio.create_task(child.accept(DEADLINE))
                await asyncio.sleep(0.001)
                task.cancel()
                try:
                    check_in = await task
                except asyncio.CancelledError:
                    continue
                with check_in:
                    got += 1
            child.terminate()

    run(main)


def test_a_closed_one_says_so() -> None:
    async def main() -> None:
        child = await start(SLEEP)
        child.close()
        child.close()
        with pytest.raises(ValueError, match="closed"):
            await child.accept()
        with pytest.raises(ValueError, match="closed"):
            await child.send_right(None)
        child.kill()
        assert await child.wait() == -signal.SIGKILL

    run(main)


def test_a_program_that_is_not_there_leaves_nothing() -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await cp.create_subprocess_exec("/no/such/program")
        with pytest.raises(ValueError, match="transport"):
            await cp.create_subprocess_exec("true", transport="pigeon")  # type: ignore[arg-type]

    run(main)


def test_two_children_started_at_once_inherit_their_own_rights() -> None:
    async def main() -> None:
        children = await asyncio.gather(*(start(CHECK_IN, transport="inherited") for _ in range(8)))
        for child in children:
            with await child.accept(DEADLINE) as check_in:
                assert check_in.sender.pid == child.pid
        for child in children:
            async with child:
                pass

    run(main)


@pytest.mark.timeout(300)
def test_two_hundred_children_check_in_and_none_is_lost() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("200 children take about 3,000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))

    async def one() -> None:
        # Nothing but the check-in is imported.
        command = [sys.executable, "-S", "-c", "import child_port as cp\n"]
        command[-1] += "cp.check_in_to_parent(cp.task_self(), timeout=200)"
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        async with await cp.create_subprocess_exec(*command, env=env) as child:
            with await child.accept(200) as check_in:
                assert check_in.sender.pid == child.pid

    async def main() -> None:
        await asyncio.gather(*(one() for _ in range(200)))

    try:
        asyncio.run(main())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
