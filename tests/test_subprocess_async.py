"""create_subprocess_exec: asyncio's child processes, with the handshake."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import child_port as cp
import pytest
from child_port import _subprocess_async
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


def test_that_the_child_is_gone_is_told_by_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its status, which there may be in a moment, would make a better message."""
    monkeypatch.setattr(_subprocess_async, "LAST_GASP_S", DEADLINE / 3)
    took: list[float] = []
    program = "from child_port import _parent\n_parent._the_link().close()\nprint(flush=True)\n"

    async def main() -> None:
        async with await start(program + SLEEP, stdout=asyncio.subprocess.PIPE) as child:
            assert child.stdout is not None
            await child.stdout.readline()
            for wait in (
                child.accept(SOON),
                child.collect({"key": cp.SendRight}, SOON),
                child.send_right(None, timeout=SOON),
            ):
                began = time.monotonic()
                with pytest.raises(cp.PeerGone, match="closed its end of the pipe"):
                    await wait
                took.append(time.monotonic() - began)
            child.kill()
        assert max(took) < DEADLINE / 3

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


RECEIVE_WHEN_TOLD = """
sys.stdin.readline()
try:
    with cp.receive_from_parent(timeout=0.2) as check_in:
        print(type(check_in.port).__name__)
except cp.TimedOut:
    print("nothing")
"""


async def told_to_receive(child: cp.Process) -> bytes:
    """What the child says that it has received."""
    said, _ = await child.communicate(b"now\n")
    assert said is not None
    return said.strip()


@pytest.mark.parametrize("transport", ["bootstrap", "inherited"])
def test_a_send_waits_for_a_child_that_receives_later(transport: Any) -> None:
    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        program = RECEIVE_WHEN_TOLD.replace("0.2", "DEADLINE")
        async with await start(program, transport=transport, stdin=pipe, stdout=pipe) as child:
            with cp.ReceiveRight() as port:
                sends = [
                    asyncio.create_task(child.send_right(port, cp.Disposition.MAKE_SEND))
                    for _ in range(2)
                ]
                await asyncio.sleep(SOON)
                assert not any(send.done() for send in sends)
                assert await told_to_receive(child) == b"SendRight"
                await asyncio.gather(*sends)

    run(main)


def test_sends_that_wait_neither_take_threads_nor_hold_another_up() -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        async with await start(SLEEP) as one, await start(SLEEP) as other:
            waiting = [asyncio.create_task(one.send_right(None)) for _ in range(3)]
            await asyncio.sleep(SOON)
            threads = threading.active_count()
            with pytest.raises(cp.TimedOut):
                await asyncio.wait_for(other.send_right(None, timeout=SOON), DEADLINE)
            assert threading.active_count() == threads
            for send in waiting:
                send.cancel()
            await asyncio.wait(waiting)
            one.kill()
            other.kill()

    run(main)


def test_cancelling_a_send_cancels_nothing_else() -> None:
    """Neither its token, which others wait with, nor what comes afterwards."""

    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        async with await start(RECEIVE_WHEN_TOLD, stdin=pipe, stdout=pipe) as child:
            token = cp.CancelToken()
            with cp.ReceiveRight() as port:
                move = cp.Disposition.MOVE_RECEIVE
                sending = asyncio.create_task(child.send_right(port, move, cancel=token))
                waiting = asyncio.create_task(child.accept(cancel=token))
                await asyncio.sleep(SOON)
                sending.cancel()
                await asyncio.sleep(0)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                await asyncio.sleep(SOON)
                assert not token.cancelled and not waiting.done()
                assert await told_to_receive(child) == b"nothing"
                assert not port.closed
            token.cancel()
            with pytest.raises((cp.Cancelled, cp.PeerGone)):
                await waiting

    run(main)


def test_closing_it_ends_a_send() -> None:
    async def main() -> None:
        child = await start(SLEEP)
        with cp.ReceiveRight() as port:
            move = cp.Disposition.MOVE_RECEIVE
            sends = [
                asyncio.create_task(child.send_right(port, move, cancel=token))
                for token in (None, cp.CancelToken())
            ]
            await asyncio.sleep(SOON)
            child.close()
            for sending in sends:
                with pytest.raises(cp.PortChanged):
                    await sending
            assert not port.closed
        child.kill()
        await child.wait()

    run(main)


RECEIVE_ONCE_THEN_WHEN_TOLD = """
cp.receive_from_parent(timeout=DEADLINE)
sys.stdin.readline()
while True:
    with cp.receive_from_parent(timeout=DEADLINE) as check_in:
        if check_in.port is not None:
            print(type(check_in.port).__name__)
            break
"""


async def fill(child: cp.Process) -> None:
    await child.send_right(None, timeout=DEADLINE)
    with suppress(cp.TimedOut):
        while True:
            await child.send_right(None, timeout=SOON)


def test_a_send_to_a_child_with_a_full_queue_waits_and_can_be_given_up() -> None:
    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        program = RECEIVE_ONCE_THEN_WHEN_TOLD
        async with await start(program, stdin=pipe, stdout=pipe) as child:
            await fill(child)
            with cp.ReceiveRight() as port, cp.ReceiveRight() as notify:
                move, make = cp.Disposition.MOVE_RECEIVE, cp.Disposition.MAKE_SEND
                with pytest.raises(cp.TimedOut):
                    await child.send_right(port, move, timeout=SOON)
                with cancelled_soon() as token, pytest.raises(cp.Cancelled):
                    await child.send_right(port, move, cancel=token)
                sending = asyncio.create_task(child.send_right(port, move))
                await asyncio.sleep(SOON)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
                assert not port.closed
                port.notify_no_senders(notify)
                sending = asyncio.create_task(child.send_right(port, make, timeout=DEADLINE))
                with pytest.raises(cp.TimedOut):
                    await notify.receive_async(3 * SOON)  # no attempt was seen
                assert await told_to_receive(child) == b"SendRight"
                await sending
                assert isinstance(await notify.receive_async(DEADLINE), cp.NoSenders)

    run(main)


def test_a_name_that_comes_back_under_another_one_is_told() -> None:
    async def main() -> None:
        pipe = asyncio.subprocess.PIPE
        async with await start(RECEIVE_ONCE_THEN_WHEN_TOLD, stdin=pipe) as child:
            await fill(child)
            with cp.ReceiveRight() as port:
                name = port.make_send_once().detach()
                move = cp.Disposition.MOVE_SEND_ONCE
                sending = asyncio.create_task(child.send_right(name, move))
                await asyncio.sleep(SOON)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError) as caught:
                    await sending
                with cp.SendOnceRight.adopt(getattr(caught.value, "name", name)) as once:
                    once.send(b"still mine")
                message = port.receive(0)
                assert isinstance(message, cp.Message) and message.data == b"still mine"
            child.kill()

    run(main)


def test_a_child_that_has_been_waited_for_already_is_known_to_be_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event loop may have done so before anything can watch the process, and a grandchild keeps
    the pipes."""
    exec_of_asyncio = asyncio.create_subprocess_exec

    async def exec_and_wait(*args: Any, **options: Any) -> asyncio.subprocess.Process:
        process = await exec_of_asyncio(*args, **options)
        await process.wait()
        return process

    async def main() -> None:
        held, holding = os.pipe()
        program = f"if os.fork() == 0:\n os.close({holding})\n os.read({held}, 1)\n"
        async with await start(program, pass_fds=[held, holding]) as child:
            with pytest.raises(cp.PeerGone, match="exited with status 0"):
                await asyncio.wait_for(child.accept(), DEADLINE)
            with pytest.raises(cp.PeerGone, match="exited with status 0"):
                await asyncio.wait_for(child.send_right(None), DEADLINE)
        os.close(held)
        os.close(holding)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", exec_and_wait)
    run(main)


def test_cancelling_the_start_leaves_no_child() -> None:
    """At whatever step: the process is there after the first."""

    async def main() -> None:
        for steps in range(1, 6):
            alive, dies = os.pipe()
            options = {"pass_fds": [dies], "stdout": asyncio.subprocess.PIPE}
            starting = asyncio.create_task(start(SLEEP, **options))
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
