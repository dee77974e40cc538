"""What the kernel tells of rights: death, and that nobody can send any more."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING

import child_port as cp
import pytest
from child_port import _death, sharing
from ext_support import ask_behind_its_back, drain_references, fill_queue
from support import DEADLINE, SOON, cancelled_soon, python, received, running

if TYPE_CHECKING:
    from conftest import StartChild


@pytest.fixture
def notify() -> Iterator[cp.ReceiveRight]:
    with cp.ReceiveRight() as notify:
        yield notify


def is_empty(port: cp.ReceiveRight) -> bool:
    try:
        port.receive(SOON)
    except cp.TimedOut:
        return True
    return False


def test_the_death_of_a_port_is_told(port: cp.ReceiveRight, notify: cp.ReceiveRight) -> None:
    with port.make_send() as send:
        send.notify_dead(notify)
        assert is_empty(notify)
        port.close()
        with notify.receive(DEADLINE) as told:
            assert isinstance(told, cp.Died) and told.name == send.name
            assert isinstance(told.right, cp.DeadName) and told.right.name == send.name
            assert told.port is notify
        assert send.dead and is_empty(notify)


def test_a_port_that_is_dead_already_is_told_at_once(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with port.make_send() as send:
        port.close()
        assert send.dead
        send.notify_dead(notify)
        assert isinstance(notify.receive(DEADLINE), cp.Died)


def test_the_dead_name_of_a_notification_is_released_with_it(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    send = port.make_send()
    send.notify_dead(notify)
    port.close()
    assert isinstance(notify.receive(DEADLINE), cp.Died)
    assert drain_references(cp.DeadName, send.detach()) == 1


def test_a_right_that_is_closed_first_tells_that(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with cp.ReceiveRight() as home:
        once = home.make_send_once()
        name = once.name
        once.notify_dead(notify)
        once.close()
        told = notify.receive(DEADLINE)
        assert isinstance(told, cp.PortDeleted) and told.name == name


def test_a_request_can_be_called_off(port: cp.ReceiveRight, notify: cp.ReceiveRight) -> None:
    with port.make_send() as send:
        send.notify_dead(notify)
        send.notify_dead(None)
        assert isinstance(notify.receive(DEADLINE), cp.SendOnce)
        port.close()
        assert is_empty(notify)


def test_a_second_request_takes_the_place_of_the_first(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with port.make_send() as send, cp.ReceiveRight() as later:
        send.notify_dead(notify)
        send.notify_dead(later)
        assert isinstance(notify.receive(DEADLINE), cp.SendOnce)
        port.close()
        assert isinstance(later.receive(DEADLINE), cp.Died)


def test_the_last_sender_is_told(port: cp.ReceiveRight, notify: cp.ReceiveRight) -> None:
    port.notify_no_senders(notify)
    assert is_empty(notify)  # there never was one
    first = port.make_send()
    second = first.copy()
    first.close()
    assert is_empty(notify)
    second.close()
    told = notify.receive(DEADLINE)
    assert isinstance(told, cp.NoSenders) and told.count == 1 and told.right is None


def test_no_senders_can_be_told_at_the_port_itself(port: cp.ReceiveRight) -> None:
    port.notify_no_senders(port)
    with port.make_send() as send:
        send.send(b"last words")
    kinds = {type(port.receive(DEADLINE)) for _ in range(2)}
    assert kinds == {cp.Message, cp.NoSenders}


def test_with_sync_0_no_senders_are_told_of_at_once(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    port.notify_no_senders(notify, sync=0)
    assert isinstance(notify.receive(DEADLINE), cp.NoSenders)


def test_a_send_once_right_that_is_given_up_is_told(port: cp.ReceiveRight) -> None:
    port.make_send_once().close()
    assert isinstance(port.receive(DEADLINE), cp.SendOnce)


# --- what was not asked for here ----------------------------------------------------------------


def is_dropped(notify: cp.ReceiveRight) -> bool:
    """Nothing comes, and one more message has been counted as nothing to show."""
    before = notify.dropped
    return is_empty(notify) and notify.dropped == before + 1


def test_a_death_that_somebody_else_asked_about_releases_nothing(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    send = port.make_send()
    ask_behind_its_back(send, notify)
    port.close()
    assert is_dropped(notify)
    assert drain_references(cp.DeadName, send.detach()) == 2  # the kernel's own is the asker's


def test_that_a_right_is_gone_is_told_to_who_asked_alone(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    once = port.make_send_once()
    ask_behind_its_back(once, notify)
    once.close()
    assert is_dropped(notify)


def test_that_nobody_can_send_is_told_to_who_asked_alone(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    ask_behind_its_back(port, notify)
    port.make_send().close()
    assert is_dropped(notify)


def test_an_answer_is_believed_once(port: cp.ReceiveRight, notify: cp.ReceiveRight) -> None:
    with port.make_send() as send:
        send.notify_dead(notify)
        send.notify_dead(None)
        assert isinstance(notify.receive(DEADLINE), cp.SendOnce)
        ask_behind_its_back(send, notify)
        port.close()
        assert is_dropped(notify)
        cp.DeadName.adopt(send.name).close()


def test_a_request_stays_with_the_port_that_native_code_holds_for_a_while(
    port: cp.ReceiveRight,
) -> None:
    notify = cp.ReceiveRight()
    with port.make_send() as send:
        send.notify_dead(notify)
        with cp.ReceiveRight.adopt(notify.detach()) as again:
            port.close()
            assert isinstance(again.receive(DEADLINE), cp.Died)


def test_a_request_stays_with_a_port_that_was_not_moved_in_the_end(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with cp.ReceiveRight(qlimit=1) as full, full.make_send() as server, port.make_send() as send:
        send.notify_dead(notify)
        fill_queue(server)
        for _ in range(3):
            with pytest.raises(cp.TimedOut):
                server.send(b"", [(notify, cp.Disposition.MOVE_RECEIVE)], timeout=0)
        port.close()
        assert isinstance(notify.receive(DEADLINE), cp.Died)


def test_a_port_that_is_moved_takes_no_request_along(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    send = port.make_send()
    send.notify_dead(notify)
    with cp.ReceiveRight() as home, home.make_send() as here:
        here.send(b"", [(notify, cp.Disposition.MOVE_RECEIVE)], timeout=DEADLINE)
        message = home.receive(DEADLINE)
        assert isinstance(message, cp.Message)
        with message:
            (moved,) = message.rights
            assert isinstance(moved, cp.ReceiveRight)
            port.close()
            assert isinstance(moved.receive(DEADLINE), cp.SendOnce)
            assert is_empty(moved)
    assert drain_references(cp.DeadName, send.detach()) == 1


def test_a_request_stays_with_a_port_that_is_taken_back_from_a_pickle(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with port.make_send() as send:
        send.notify_dead(notify)
        ForkingPickler.dumps(notify)
        again = sharing.take_back(notify)
        assert isinstance(again, cp.ReceiveRight)
        with again:
            port.close()
            with again.receive(DEADLINE) as told:
                assert isinstance(told, cp.Died)
    sharing.stop()


@pytest.mark.parametrize("first", ["the port dies", "the request is called off"])
def test_a_request_whose_port_goes_leaves_no_reference(port: cp.ReceiveRight, first: str) -> None:
    notify, send = cp.ReceiveRight(), port.make_send()
    send.notify_dead(notify)
    if first == "the port dies":
        port.close()
        assert send.dead
    notify.close()
    port.close()
    assert drain_references(cp.DeadName, send.detach()) == 1


def test_a_request_whose_port_goes_during_the_wait_leaves_no_reference() -> None:
    for _ in range(50):
        port, notify = cp.ReceiveRight(), cp.ReceiveRight()
        send = port.make_send()
        send.notify_dead(notify)

        def wait(notify: cp.ReceiveRight = notify) -> None:
            with suppress(cp.PortChanged, ValueError), notify.receive(DEADLINE):
                pass

        with running(wait):
            port.close()
            notify.close()
        assert drain_references(cp.DeadName, send.detach()) == 1


REUSE = """
port, notify = cp.ReceiveRight(), cp.ReceiveRight()
once = port.make_send_once()
name = once.name
once.notify_dead(notify)
once.close()
for _ in range(100_000):
    again = cp.ReceiveRight()
    if again.name == name:
        break
    again.close()
else:
    print("the name does not come back")
    raise SystemExit
later, send = cp.ReceiveRight(), again.make_send()
send.notify_dead(later)
with notify.receive(DEADLINE) as told:
    assert isinstance(told, cp.PortDeleted) and told.name == name, told
again.close()
assert isinstance(later.receive(DEADLINE), cp.Died)
for right in port, notify, later, send:
    right.close()
"""


def test_a_right_that_is_gone_is_told_though_its_name_has_another_request() -> None:
    done = subprocess.run(
        python(REUSE), stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=True
    )
    if done.stdout:
        assert cp.PLATFORM != "linux", done.stdout  # where it does
        pytest.skip(done.stdout)


@pytest.mark.parametrize("sync", [-1, 2**32])
def test_a_make_send_count_has_32_bits(
    port: cp.ReceiveRight, notify: cp.ReceiveRight, sync: int
) -> None:
    with pytest.raises(OverflowError, match="sync must be between 0 and"):
        port.notify_no_senders(notify, sync=sync)
    port.notify_no_senders(notify, sync=2**32 - 1)
    with port.make_send():
        pass
    assert isinstance(notify.receive(DEADLINE), cp.NoSenders)


def test_what_was_asked_of_ports_that_are_gone_is_forgotten(notify: cp.ReceiveRight) -> None:
    def ask(rounds: int) -> int:
        for _ in range(rounds):
            with cp.ReceiveRight() as port:
                port.notify_no_senders(notify)
            assert isinstance(notify.receive(DEADLINE), cp.SendOnce)
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = ask(100)
        assert ask(2000) - before < 2000 * 20  # bytes: an entry takes more than that
    finally:
        tracemalloc.stop()


def test_a_port_that_has_moved_is_still_told_of(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    sender = port.make_send()
    port.notify_no_senders(notify)
    with cp.ReceiveRight() as home, home.make_send() as here:
        here.send(b"", [(port, cp.Disposition.MOVE_RECEIVE)], timeout=DEADLINE)
        with received(home):
            sender.close()
            assert isinstance(notify.receive(DEADLINE), cp.NoSenders)


def test_both_answers_are_believed_when_a_port_died_between_two_requests(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with port.make_send() as send, cp.ReceiveRight() as later:
        send.notify_dead(notify)
        port.close()
        assert send.dead
        send.notify_dead(later)
        for told in notify.receive(DEADLINE), later.receive(DEADLINE):
            assert isinstance(told, cp.Died) and isinstance(told.right, cp.DeadName)
            told.right.close()


def test_one_port_is_told_of_many_deaths_and_of_each_once(notify: cp.ReceiveRight) -> None:
    ports = [cp.ReceiveRight() for _ in range(600)]
    rights = [port.make_send() for port in ports]
    for right in rights:
        right.notify_dead(notify)
    for right in rights[::2]:
        right.notify_dead(None)
    for port in ports:
        port.close()
    names = []
    for _ in range(len(ports)):
        with notify.receive(DEADLINE) as told:
            if isinstance(told, cp.Died):
                names.append(told.name)
    assert sorted(names) == sorted(right.name for right in rights[1::2])
    assert is_empty(notify)
    for right in rights:
        right.close()


# --- who can ask --------------------------------------------------------------------------------


def test_only_a_receive_right_can_be_notified(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    with port.make_send() as send:
        with pytest.raises(TypeError):
            send.notify_dead(send)  # type: ignore[arg-type]
        notify.close()
        with pytest.raises(ValueError, match="closed"):
            send.notify_dead(notify)
        assert not send.dead


def test_a_parent_learns_of_its_childs_death_by_the_right_it_holds(start: StartChild) -> None:
    child = start("cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\ntime.sleep(60)")
    with child.accept(timeout=DEADLINE) as check_in:
        assert isinstance(check_in.port, cp.SendRight)
        with pytest.raises(cp.TimedOut):
            check_in.port.wait_until_dead(SOON)
        os.kill(child.pid, signal.SIGKILL)
        check_in.port.wait_until_dead(DEADLINE)
        assert check_in.port.dead


def test_waiting_for_death_can_be_cancelled(port: cp.ReceiveRight) -> None:
    with port.make_send() as send:
        with cancelled_soon() as token, pytest.raises(cp.Cancelled):
            send.wait_until_dead(DEADLINE, cancel=token)
        assert not send.dead


def test_a_wait_that_was_given_up_leaves_no_reference_when_the_port_dies_later() -> None:
    port = cp.ReceiveRight()
    send = port.make_send()
    with pytest.raises(cp.TimedOut):
        send.wait_until_dead(0)
    with pytest.raises(TimeoutError):
        asyncio.run(send.wait_dead(0))
    port.close()
    send.wait_until_dead(DEADLINE)
    assert drain_references(cp.DeadName, send.detach()) == 1


def test_a_wait_that_is_given_up_at_the_moment_of_death_leaves_no_reference() -> None:
    for _ in range(200):
        port = cp.ReceiveRight()
        send = port.make_send()
        with running(port.close) as closer, suppress(cp.TimedOut):
            send.wait_until_dead(0)
            closer.join()
        assert send.dead
        assert drain_references(cp.DeadName, send.detach()) == 1


def test_death_can_be_awaited(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            with pytest.raises(TimeoutError):
                await send.wait_dead(SOON)
            waiting = asyncio.create_task(send.wait_dead())
            await asyncio.sleep(SOON)
            assert not waiting.done()
            port.close()
            await asyncio.wait_for(waiting, DEADLINE)
            await send.wait_dead()  # dead already

    asyncio.run(main())


def test_a_wait_for_death_that_is_cancelled_leaves_nothing(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send:
            waiting = asyncio.create_task(send.wait_dead())
            await asyncio.sleep(SOON)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting

    asyncio.run(main())


def test_several_wait_for_the_death_of_one_name(port: cp.ReceiveRight) -> None:
    async def main() -> None:
        with port.make_send() as send, send.copy() as copy:
            in_a_thread = asyncio.create_task(asyncio.to_thread(copy.wait_until_dead, DEADLINE))
            tasks = [asyncio.create_task(right.wait_dead(DEADLINE)) for right in (send, copy, send)]
            await asyncio.sleep(SOON)
            tasks.pop().cancel()
            with pytest.raises(cp.TimedOut):
                copy.wait_until_dead(0)
            await asyncio.sleep(SOON)
            assert not any(task.done() for task in (*tasks, in_a_thread))
            port.close()
            await asyncio.gather(*tasks, in_a_thread)
            assert drain_references(cp.DeadName, copy.detach()) == 2
            send.detach()

    asyncio.run(main())


def test_waits_in_several_loops_end_with_one_death(port: cp.ReceiveRight) -> None:
    def wait(send: cp.SendRight) -> None:
        asyncio.run(send.wait_dead(DEADLINE))

    with port.make_send() as send:
        threads = [threading.Thread(target=wait, args=(send,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        with pytest.raises(cp.TimedOut):
            send.wait_until_dead(SOON)
        port.close()
        for thread in threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def test_a_wait_that_is_given_up_leaves_a_later_request_alone(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    async def main() -> None:
        with port.make_send() as send:
            waiting = asyncio.create_task(send.wait_dead())
            await asyncio.sleep(SOON)
            send.notify_dead(notify)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            port.close()
            assert isinstance(notify.receive(DEADLINE), cp.Died)

    asyncio.run(main())


def test_a_later_request_ends_the_waits_and_a_wait_after_it_takes_its_place(
    port: cp.ReceiveRight, notify: cp.ReceiveRight
) -> None:
    async def main() -> None:
        with port.make_send() as send:
            waits = [asyncio.create_task(send.wait_dead(DEADLINE)) for _ in range(2)]
            await asyncio.sleep(SOON)
            send.notify_dead(notify)
            last = asyncio.create_task(send.wait_dead(DEADLINE))
            for waiting in waits:
                with pytest.raises(ValueError, match="took the place"):
                    await waiting
            assert isinstance(notify.receive(DEADLINE), cp.SendOnce)
            port.close()
            await last

    asyncio.run(main())


@pytest.mark.parametrize("given_up", [False, True])
def test_a_right_that_is_closed_during_the_wait_leaves_nothing(given_up: bool) -> None:
    async def main() -> None:
        port = cp.ReceiveRight()
        send = port.make_send()
        copy = send.copy()
        waiting = asyncio.create_task(send.wait_dead())
        await asyncio.sleep(SOON)
        send.close()
        if given_up:
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        port.close()
        if not given_up:
            await waiting
        assert copy.dead
        assert drain_references(cp.DeadName, copy.detach()) == 1

    asyncio.run(main())


def test_a_wait_that_is_given_up_after_the_death_leaves_no_reference() -> None:
    async def main() -> None:
        for _ in range(50):
            port = cp.ReceiveRight()
            send = port.make_send()
            waits = [asyncio.create_task(send.wait_dead()) for _ in range(2)]
            await asyncio.sleep(0)
            port.close()
            for waiting in waits:
                waiting.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
            assert send.dead
            assert drain_references(cp.DeadName, send.detach()) == 1

    asyncio.run(main())


def test_a_forked_process_waits_for_a_death_of_its_own(port: cp.ReceiveRight) -> None:
    """Also if a thread that is not there any more was at it."""
    forked = threading.Event()

    def be_at_it() -> None:
        with _death._lock:
            busy.set()
            forked.wait(DEADLINE)

    with port.make_send() as send, running(lambda: send.wait_until_dead(DEADLINE)):
        with pytest.raises(cp.TimedOut):
            send.wait_until_dead(SOON)
        busy = threading.Event()
        with running(be_at_it):
            busy.wait(DEADLINE)
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    signal.alarm(int(DEADLINE))
                    mine = cp.ReceiveRight()
                    right = mine.make_send()
                    threading.Timer(SOON, mine.close).start()
                    right.wait_until_dead(DEADLINE)
                    status = 0
                finally:
                    os._exit(status)
            forked.set()
        assert os.waitpid(pid, 0)[1] == 0
        port.close()
