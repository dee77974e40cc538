"""Server in asyncio: the loop stays free, waits end as they should, no check-in is lost."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import child_port as cp
import pytest
from child_port import _aio
from support import DEADLINE, SOON, right_of


@pytest.fixture
def server() -> Iterator[cp.Server]:
    with cp.Server() as server:
        yield server


@pytest.fixture
def client(server: cp.Server) -> Iterator[cp.SendRight]:
    with server.make_send() as right:
        yield right


def check_in_to(server: cp.Server, client: cp.SendRight) -> None:
    cp.check_in(client, server.token, client, timeout=DEADLINE)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), DEADLINE)

    asyncio.run(bounded())


def test_a_check_in_that_waits_is_taken_at_once(server: cp.Server, client: cp.SendRight) -> None:
    async def main() -> None:
        check_in_to(server, client)
        right_of(await server.accept_async(0)).close()

    run(main)


def test_a_wait_ends_when_a_check_in_comes(server: cp.Server, client: cp.SendRight) -> None:
    async def main() -> None:
        task = asyncio.create_task(server.accept_async())
        await asyncio.sleep(SOON)
        assert not task.done()
        check_in_to(server, client)
        right_of(await task).close()

    run(main)


@pytest.mark.parametrize("timeout", [0, SOON])
def test_a_wait_times_out(server: cp.Server, timeout: float) -> None:
    async def main() -> None:
        before = time.monotonic()
        with pytest.raises(cp.TimedOut):
            await server.accept_async(timeout)
        assert time.monotonic() - before >= timeout * 0.9

    run(main)


def test_a_wait_can_be_cancelled_from_another_thread(server: cp.Server) -> None:
    async def main() -> None:
        cancel = cp.CancelToken()
        timer = threading.Timer(SOON, cancel.cancel)
        timer.start()
        waits = [server.accept_async(DEADLINE, cancel=cancel) for _ in range(3)]
        results = await asyncio.gather(*waits, return_exceptions=True)
        assert [type(result) for result in results] == [cp.Cancelled] * 3
        timer.join()

    run(main)


def test_a_cancelled_task_loses_no_check_in(server: cp.Server, client: cp.SendRight) -> None:
    """However the check-in and the cancellation fall together."""

    async def main() -> None:
        for _ in range(100):
            task = asyncio.create_task(server.accept_async())
            await asyncio.sleep(0)
            check_in_to(server, client)
            task.cancel()
            try:
                right_of(await task).close()
            except asyncio.CancelledError:
                right_of(server.accept(0)).close()
        assert server.stats["accepted"] == 100

    run(main)


def test_wait_for_loses_no_check_in(server: cp.Server, client: cp.SendRight) -> None:
    async def main() -> None:
        taken = 0
        for step in range(20):
            timer = threading.Timer(0.001 * (step % 5), check_in_to, [server, client])
            timer.start()
            try:
                check_in = await asyncio.wait_for(server.accept_async(), 0.002)
            except TimeoutError:
                check_in = await server.accept_async(DEADLINE)
            right_of(check_in).close()
            taken += 1
            timer.join()
        assert taken == server.stats["accepted"] == 20

    run(main)


def test_many_tasks_wait_at_one_server(server: cp.Server, client: cp.SendRight) -> None:
    async def main() -> None:
        tasks = [asyncio.create_task(server.accept_async(DEADLINE)) for _ in range(5)]
        await asyncio.sleep(0)
        for _ in range(5):
            check_in_to(server, client)
        for check_in in await asyncio.gather(*tasks):
            right_of(check_in).close()

    run(main)


def test_one_task_waits_at_many_servers() -> None:
    async def main() -> None:
        servers = [cp.Server() for _ in range(20)]
        tasks = [asyncio.create_task(server.accept_async(DEADLINE)) for server in servers]
        await asyncio.sleep(0)
        for server in servers:
            with server.make_send() as client:
                check_in_to(server, client)
        for check_in in await asyncio.gather(*tasks):
            right_of(check_in).close()
        for server in servers:
            server.close()

    run(main)


def test_async_iteration_goes_on_until_shutdown(server: cp.Server, client: cp.SendRight) -> None:
    async def main() -> None:
        check_in_to(server, client)
        check_in_to(server, client)
        async for check_in in server:
            right_of(check_in).close()
            if server.stats["accepted"] == 2:
                timer = threading.Timer(SOON, server.shutdown)
                timer.start()
        timer.join()
        assert server.stats["accepted"] == 2
        assert [check_in async for check_in in server] == []

    run(main)


def test_closing_the_server_ends_async_iteration(server: cp.Server) -> None:
    async def iterate() -> int:
        return len([check_in async for check_in in server])

    async def main() -> None:
        task = asyncio.create_task(iterate())
        await asyncio.sleep(SOON)
        server.close()
        assert await task == 0

    run(main)


def test_closing_the_port_during_a_wait_is_its_own_error(server: cp.Server) -> None:
    async def main() -> None:
        task = asyncio.create_task(server.accept_async(DEADLINE))
        await asyncio.sleep(SOON)
        server.port.close()
        with pytest.raises(cp.PortChanged):
            await task
        with pytest.raises(ValueError, match="closed"):
            await server.accept_async(0)

    run(main)


def test_wrong_tokens_neither_end_a_wait_nor_hold_the_loop() -> None:
    async def flood(server: cp.Server, client: cp.SendRight) -> None:
        while True:
            for _ in range(4):
                cp.check_in(client, server.token ^ 1, client, timeout=DEADLINE)
            await asyncio.sleep(0)

    async def main(server: cp.Server, client: cp.SendRight) -> None:
        flooding = asyncio.create_task(flood(server, client))
        with pytest.raises(cp.TimedOut):
            await server.accept_async(SOON)
        task = asyncio.create_task(server.accept_async(DEADLINE))
        await asyncio.sleep(0)
        check_in_to(server, client)
        right_of(await task).close()
        flooding.cancel()
        assert server.stats["bad_token"] > 0

    # A Mac holds five messages unless told, and this loop fills the queue that it empties.
    with (
        cp.ReceiveRight(qlimit=64) as port,
        cp.Server(port) as server,
        server.make_send() as client,
    ):
        run(partial(main, server, client))


def test_a_timeout_that_is_none_is_refused(server: cp.Server) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="timeout"):
            await server.accept_async(-1)

    run(main)


def test_what_another_thread_received_while_a_wait_began_is_seen() -> None:
    """It put the check-in on the shelf before the wait listened, and took its descriptor's word."""
    shelf: list[str] = []

    class Core:
        port = cp.ReceiveRight()

        def accept(self, *_: object, **__: object) -> str:
            if not shelf:
                raise cp.TimedOut
            return shelf.pop()

    @contextmanager
    def listening(_: Callable[[], object]) -> Iterator[None]:
        shelf.append("a check-in")
        yield

    async def main() -> None:
        accepted = await _aio.accept(Core(), listening=listening)  # type: ignore[arg-type]
        assert str(accepted) == "a check-in"
        Core.port.close()

    run(main)
