"""Several rights in one handshake: keys say which is which, and one deadline is for all."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import child_port as cp
import pytest
from support import (
    DEADLINE,
    SOON,
    TOKEN,
    cancelled_soon,
    interrupted,
    python,
    right_of,
    running,
)

if TYPE_CHECKING:
    from conftest import StartChild

D = cp.Disposition
WAIT = "time.sleep(60)\n"
SEND = (
    "def send(key, disposition=20):\n"
    "    port = cp.ReceiveRight()\n"
    "    cp.check_in_to_parent(port, disposition, key=key, timeout=DEADLINE)\n"
    "    keep.append(port)\n"
    "keep = []\n"
)


@pytest.fixture
def server() -> Iterator[cp.KeyedServer]:
    with cp.KeyedServer(cp.ReceiveRight(64), token=TOKEN) as server:
        yield server


@pytest.fixture
def client(server: cp.KeyedServer) -> Iterator[cp.SendRight]:
    with server.make_send() as right:
        yield right


def send(client: cp.SendRight, key: str | None, port: cp.Right | None = None) -> None:
    token = TOKEN if key is None else cp.key_token(TOKEN, key)
    cp.check_in(client, token, port, timeout=DEADLINE)


# --- parent and child -----------------------------------------------------------------------------


def test_rights_are_collected_by_key_in_whatever_order_they_come(start: StartChild) -> None:
    child = start(
        SEND + "send('service', 16)\nsend('reply', 21)\n"
        "cp.check_in_to_parent(cp.task_self(), key='task', timeout=DEADLINE)\n" + WAIT
    )
    rights = child.collect(
        {
            "task": cp.SendRight,
            "service": cp.ReceiveRight,
            "reply": (cp.SendRight, cp.SendOnceRight),
        },
        timeout=DEADLINE,
    )
    assert list(rights) == ["task", "service", "reply"]
    task, service, reply = rights.values()
    with task, service, reply:
        assert isinstance(task, cp.SendRight) and cp.pid_for_task(task) == child.pid
        assert isinstance(service, cp.ReceiveRight)
        assert isinstance(reply, cp.SendOnceRight)


def test_more_keys_than_the_queue_has_room_for(start: StartChild) -> None:
    keys = [f"key {number}" for number in range(40)]
    child = start(SEND + f"for key in {keys!r}: send(key)\n" + WAIT)
    rights = child.collect(dict.fromkeys(reversed(keys), cp.SendRight), timeout=DEADLINE)
    assert rights.keys() == set(keys)
    for right in rights.values():
        right.close()


def test_what_has_a_key_is_not_what_is_accepted_without_one(start: StartChild) -> None:
    child = start(SEND + "send('first')\nsend('second', 21)\nsend(None, 16)\n" + WAIT)
    with child.accept(DEADLINE) as check_in:
        assert isinstance(check_in.port, cp.ReceiveRight)
    with child.accept(0, key="second") as check_in:
        assert isinstance(check_in.port, cp.SendOnceRight)
        assert check_in.sender.pid == child.pid
    with child.accept(0, key="first") as check_in:
        assert isinstance(check_in.port, cp.SendRight)
    assert child.server.stats["bad_token"] == 0


def test_rights_with_one_key_come_one_after_the_other(start: StartChild) -> None:
    child = start(SEND + "send('twice', 20)\nsend('twice', 21)\nsend('last')\n" + WAIT)
    child.accept(DEADLINE, key="last").__exit__()
    for kind in (cp.SendRight, cp.SendOnceRight):
        right = child.collect({"twice": kind}, timeout=DEADLINE)["twice"]
        assert type(right) is kind
        right.close()
    with pytest.raises(cp.TimedOut, match="no check-in for 'twice'"):
        child.collect({"twice": cp.SendRight}, timeout=0)


def test_what_is_missing_at_the_deadline_is_named_and_the_rest_is_kept(start: StartChild) -> None:
    child = start(SEND + "send('task')\nsend('tpyo')\nsend(None)\n" + WAIT)
    child.accept(DEADLINE).__exit__()
    wanted = {"service": cp.SendRight, "task": cp.SendRight, "log": cp.SendRight}
    with pytest.raises(cp.TimedOut) as caught:
        child.collect(wanted, timeout=SOON)
    text = str(caught.value)
    assert "no check-in for 'service', 'log' (but for 'task'); 1 came with keys" in text
    child.collect({"task": cp.SendRight}, timeout=0)["task"].close()


def test_a_child_that_dies_before_all_came_is_known_at_once(start: StartChild) -> None:
    child = start(SEND + "send('task', 16)\nos._exit(7)\n")
    with pytest.raises(cp.PeerGone, match=r"status 7; no check-in for 'log' \(but for 'task'\)"):
        child.collect({"task": cp.ReceiveRight, "log": cp.SendRight}, timeout=DEADLINE)
    child.collect({"task": cp.ReceiveRight}, timeout=0)["task"].close()


def test_a_right_of_the_wrong_type_is_released_and_the_others_are_kept(start: StartChild) -> None:
    child = start(SEND + "send('a')\nsend('b', 21)\nsend('c')\n" + WAIT)
    with pytest.raises(
        cp.RightTypeMismatch, match="SendRight for 'b', received SendOnce"
    ) as caught:
        child.collect(dict.fromkeys("abc", cp.SendRight), timeout=DEADLINE)
    assert caught.value.key == "b"
    assert caught.value.received is cp.SendOnceRight
    for right in child.collect(dict.fromkeys("ac", cp.SendRight), timeout=0).values():
        right.close()
    with pytest.raises(cp.TimedOut):
        child.accept(0, key="b")


def test_what_nobody_asks_for_is_released_with_the_popen(start: StartChild) -> None:
    """It is no_right_leaks that sees it."""
    child = start(SEND + "send('unknown', 16)\nsend(None)\n" + WAIT)
    child.accept(DEADLINE).__exit__()
    child.close()


@pytest.mark.parametrize("transport", ["bootstrap", "inherited"])
def test_keys_and_rights_for_the_child_go_together(start: StartChild, transport: str) -> None:
    child = start(
        SEND + "send('before')\n"
        "check_in = cp.receive_from_parent(DEADLINE)\n"
        "cp.check_in_to_parent(check_in.port, key='back', timeout=DEADLINE)\n"
        "cp.receive_from_parent(DEADLINE).port.close()\n" + WAIT,
        transport=transport,
    )
    with cp.ReceiveRight() as port, port.make_send() as right:
        child.send_right(right, timeout=DEADLINE)
        back = child.collect({"back": cp.SendRight, "before": cp.SendRight}, timeout=DEADLINE)
        assert back["back"].name == right.name
        for came in back.values():
            came.close()
        child.send_right(right, timeout=DEADLINE)


def test_a_key_is_a_text_with_something_in_it(start: StartChild) -> None:
    child = start(
        "for key, error in (('', ValueError), (b'key', TypeError), (1, TypeError)):\n"
        "    try: cp.check_in_to_parent(None, key=key, timeout=DEADLINE)\n"
        "    except error: pass\n"
        "    else: sys.exit(1)\n"
        "sys.exit(5)\n"
    )
    for key, error in (("", ValueError), (b"key", TypeError), (1, TypeError)):
        with pytest.raises(error, match="key"):
            child.accept(0, key=key)  # type: ignore[arg-type]
        with pytest.raises(error, match="key"):
            child.collect({key: cp.SendRight}, timeout=0)  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="type of right"):
        child.collect({"key": int}, timeout=0)  # type: ignore[dict-item]
    assert child.collect({}, timeout=0) == {}
    assert child.wait(DEADLINE) == 5


# --- the token of a key ---------------------------------------------------------------------------


def test_the_token_of_a_key_is_fixed() -> None:
    """Both processes work it out, perhaps with different versions of this package."""
    assert cp.key_token(0, "task") == 0xFFFFFFFF_8DFA919D
    assert cp.key_token(TOKEN, "task") >> 32 == ~TOKEN >> 32 & 0xFFFFFFFF
    tokens = {cp.key_token(TOKEN, key) for key in ("a", "b", "A", "ä", "a ", "task")}
    assert len(tokens) == 6 and TOKEN not in tokens
    for token in (-1, 1 << 64):
        with pytest.raises(ValueError, match="token"):
            cp.key_token(token, "task")
    with pytest.raises(ValueError, match="empty"):
        cp.key_token(0, "")


def test_a_key_without_the_secret_is_a_wrong_token(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    for wrong in (
        cp.key_token(TOKEN ^ 1 << 32, "key"),
        cp.key_token(TOKEN, "key") ^ 1 << 63,
        cp.key_token(TOKEN, "key") & 0xFFFFFFFF,
        TOKEN ^ 1,
    ):
        cp.check_in(client, wrong, None, timeout=DEADLINE)
    with pytest.raises(cp.TimedOut):
        server.accept(0, key="key")
    assert server.stats["bad_token"] == 4
    # The upper half is right, the lower is nobody's: valid, and no key that anybody can ask for.
    cp.check_in(client, cp.key_token(TOKEN, "key") ^ 1, None, timeout=DEADLINE)
    with pytest.raises(cp.TimedOut):
        server.accept(0, key="key")
    assert server.stats["accepted"] == 1


def test_a_server_without_keys_takes_none() -> None:
    with cp.Server(token=TOKEN) as server, server.make_send() as client:
        send(client, "key")
        with pytest.raises(cp.TimedOut):
            server.accept(0)
        assert server.stats["bad_token"] == 1


# --- several who wait -----------------------------------------------------------------------------


def test_each_of_several_threads_gets_what_it_waits_for(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    keys = [None, "a", "b", "c"]
    got: dict[str | None, int] = {}

    def wait_for(key: str | None) -> None:
        for _ in range(50):
            check_in = server.accept(DEADLINE, key=key)
            expected = TOKEN if key is None else cp.key_token(TOKEN, key)
            assert check_in.token == expected
            got[key] = got.get(key, 0) + 1

    threads = [threading.Thread(target=wait_for, args=[key]) for key in keys]
    for thread in threads:
        thread.start()
    for round_ in range(50):
        for key in keys if round_ % 2 else reversed(keys):
            send(client, key)
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert got == dict.fromkeys(keys, 50)


def test_waits_end_while_another_thread_receives(server: cp.KeyedServer) -> None:
    stop = cp.CancelToken()

    def hold() -> None:
        with pytest.raises(cp.Cancelled):
            server.accept(DEADLINE, key="held", cancel=stop)

    with running(hold):
        time.sleep(SOON)
        for timeout in (0, SOON):
            with pytest.raises(cp.TimedOut):
                server.accept(timeout)
        with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
            server.accept(DEADLINE, cancel=cancel)
        with pytest.raises(KeyboardInterrupt), interrupted():
            server.accept(DEADLINE)
        stop.cancel()


def test_closing_it_ends_all_waits(server: cp.KeyedServer) -> None:
    def wait(key: str | None) -> None:
        with pytest.raises(cp.PortChanged):
            server.accept(DEADLINE, key=key)

    with running(lambda: wait("a")), running(lambda: wait("b")), running(lambda: wait(None)):
        time.sleep(SOON * 4)
        server.close()
    with pytest.raises(ValueError, match="closed"):
        server.accept(0, key="a")


def test_tasks_that_wait_for_different_keys_each_get_theirs(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    async def main() -> None:
        waits = [
            asyncio.create_task(server.accept_async(DEADLINE, key=key)) for key in ("a", "b", None)
        ]
        await asyncio.sleep(SOON)
        for key in (None, "b", "a"):
            send(client, key)
        tokens = [check_in.token for check_in in await asyncio.gather(*waits)]
        assert tokens == [cp.key_token(TOKEN, "a"), cp.key_token(TOKEN, "b"), TOKEN]

    asyncio.run(main())


def test_a_task_gets_what_a_thread_has_received(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    async def main() -> None:
        wait = asyncio.create_task(server.accept_async(DEADLINE, key="task's"))
        await asyncio.sleep(SOON)
        threads = [
            asyncio.create_task(asyncio.to_thread(server.accept, DEADLINE, key="thread's"))
            for _ in range(3)
        ]
        for _ in range(20):
            await asyncio.sleep(0)
            send(client, "task's")
            assert (await wait).token == cp.key_token(TOKEN, "task's")
            wait = asyncio.create_task(server.accept_async(DEADLINE, key="task's"))
        for _ in threads:
            send(client, "thread's")
        await asyncio.gather(*threads)
        wait.cancel()

    asyncio.run(main())


def test_rights_are_collected_in_an_event_loop(start: StartChild) -> None:
    async def main() -> None:
        child = start(SEND + "send('b')\nsend('a')\nos._exit(7)\n")
        wanted = {"a": cp.SendRight, "b": cp.SendRight}
        # Dead names by now, if the child was quick.
        kinds = {key: (kind, cp.DeadName) for key, kind in wanted.items()}
        for right in (await child.collect_async(kinds, DEADLINE)).values():
            right.close()
        with pytest.raises(cp.PeerGone, match="status 7; no check-in for 'a', 'b'"):
            await child.collect_async(wanted, DEADLINE)

    asyncio.run(main())


def test_a_process_of_an_event_loop_has_keys_too() -> None:
    program = SEND + "send('a')\nsend('b', 21)\nsend(None, 21)\nsys.stdin.read(1)\n"

    async def main() -> None:
        command = python(program)
        async with await cp.create_subprocess_exec(*command, stdin=subprocess.PIPE) as child:
            rights = await child.collect({"b": cp.SendOnceRight, "a": cp.SendRight}, DEADLINE)
            for right in rights.values():
                right.close()
            (await child.accept(DEADLINE)).__exit__()
            with pytest.raises(cp.TimedOut):
                await child.accept(0, key="a")
            assert child.stdin is not None
            child.stdin.close()
            with pytest.raises(cp.PeerGone, match="status 0; no check-in for 'c'"):
                await child.collect({"c": cp.SendRight}, DEADLINE)

    asyncio.run(main())


def test_a_collection_that_is_cancelled_puts_back_what_came(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    async def main() -> None:
        task = asyncio.create_task(server.collect_async({"a": cp.SendRight, "b": cp.SendRight}))
        await asyncio.sleep(0)
        with cp.ReceiveRight() as port, port.make_send() as right:
            send(client, "a", right)
            await asyncio.sleep(SOON)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            send(client, "b", right)
            rights = await server.collect_async({"a": cp.SendRight, "b": cp.SendRight}, DEADLINE)
            for came in rights.values():
                assert came.name == right.name
                came.close()

    asyncio.run(main())


# --- what is kept for later -----------------------------------------------------------------------


def test_there_is_an_end_to_what_is_kept(server: cp.KeyedServer, client: cp.SendRight) -> None:
    def send_many() -> None:
        for _ in range(1024):
            send(client, "unknown")

    with running(send_many), pytest.raises(cp.ResourceShortage, match="1024 check-ins"):
        server.accept(DEADLINE)
    send(client, None)
    server.accept(0, key="unknown").__exit__()
    server.accept(0).__exit__()


def test_a_forked_process_has_none_of_what_was_kept(
    server: cp.KeyedServer, client: cp.SendRight
) -> None:
    with cp.ReceiveRight() as port, port.make_send() as right:
        send(client, "kept", right)
        send(client, None)
        server.accept(DEADLINE).__exit__()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                try:
                    server.accept(0, key="kept")
                except ValueError:
                    status = 0
                server.close()
            finally:
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0
        with server.accept(0, key="kept") as check_in:
            assert right_of(check_in).name == right.name


# --- while another thread receives ----------------------------------------------------------------


@pytest.fixture
def other_waits() -> Iterator[cp.KeyedServer]:
    """A server at which another thread has its turn, and waits for a key that does not come."""
    token = cp.CancelToken()

    def wait() -> None:
        with pytest.raises(cp.Cancelled):
            busy.accept(DEADLINE, key="nobody's", cancel=token)

    with cp.KeyedServer() as busy, running(wait):
        while not busy._shelf._turn.taken:
            time.sleep(0.001)
        try:
            yield busy
        finally:
            token.cancel()


def test_shutdown_ends_an_iteration_while_another_thread_receives(
    other_waits: cp.KeyedServer,
) -> None:
    with running(lambda: other_waits.serve_forever(lambda _: None)):
        time.sleep(SOON)
        other_waits.shutdown()


def test_shutdown_ends_an_asynchronous_iteration_while_another_thread_receives(
    other_waits: cp.KeyedServer,
) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_later(SOON, other_waits.shutdown)
        async with asyncio.timeout(DEADLINE):
            async for _ in other_waits:
                raise AssertionError

    asyncio.run(main())


def test_the_end_of_the_peer_is_seen_while_another_thread_receives(
    other_waits: cp.KeyedServer,
) -> None:
    ends = os.pipe()
    os.close(ends[1])
    try:
        with pytest.raises(cp.PeerGone):
            other_waits.accept(DEADLINE, watch_fd=ends[0])
        with pytest.raises(cp.PeerGone):
            other_waits.accept(0, watch_fd=ends[0])
    finally:
        os.close(ends[0])


def test_an_asynchronous_iteration_sees_what_another_thread_has_received(
    other_waits: cp.KeyedServer,
) -> None:
    async def first() -> cp.CheckIn:
        async for check_in in other_waits:
            return check_in
        raise AssertionError

    async def main() -> None:
        waits = asyncio.create_task(first())
        await asyncio.sleep(SOON)
        with other_waits.make_send() as right:
            cp.check_in(right, other_waits.token, None, timeout=DEADLINE)
        while not other_waits._shelf.total():
            time.sleep(0.001)  # not asyncio.sleep(): the loop is to notice nothing meanwhile
        async with asyncio.timeout(DEADLINE):
            assert (await waits).port is None

    asyncio.run(main())
