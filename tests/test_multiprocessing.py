"""Rights in multiprocessing: arguments, queues, pipes, pools; and what is released when."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Iterator
from typing import Any

import child_port as cp
import pytest
from child_port import sharing
from sharing_support import METHODS, dumps, run, serve_once, start_what_is_made_once
from support import DEADLINE, SOON

# What the children run; they import this module.


def say(right: cp.SendRight, word: bytes) -> None:
    with right:
        right.send(word, timeout=DEADLINE)


def answer_once(right: cp.SendOnceRight) -> None:
    right.send(b"once", timeout=DEADLINE)


def say_from_queue(queue: Any, word: bytes) -> None:
    say(queue.get(timeout=DEADLINE), word)


def send_by_connection(connection: Any) -> None:
    with cp.ReceiveRight() as port, port.make_send() as right:
        connection.send(right)
        with port.receive(DEADLINE) as message:
            assert isinstance(message, cp.Message) and isinstance(message.reply, cp.SendOnceRight)
            message.reply.send(b"child", timeout=DEADLINE)
    connection.recv()


def say_in_pool(item: tuple[cp.SendRight, bytes]) -> int:
    say(*item)
    return os.getpid()


def sleep_with(queue: Any, ready: Any) -> None:
    right = queue.get(timeout=DEADLINE)
    assert isinstance(right, cp.ReceiveRight)
    ready.set()
    time.sleep(DEADLINE)


def try_closed(right: cp.SendRight, results: Any) -> None:
    try:
        right.send(b"")
    except ValueError as error:
        results.send(str(error))


@pytest.fixture(scope="session", autouse=True)
def _what_multiprocessing_makes_once() -> None:
    start_what_is_made_once()


@pytest.fixture(autouse=True)
def _stop_sharing(no_right_leaks: None) -> Iterator[None]:
    yield
    sharing.stop()


@pytest.fixture(params=METHODS)
def context(request: pytest.FixtureRequest) -> Any:
    return multiprocessing.get_context(request.param)


def test_a_send_right_as_an_argument_is_copied(context: Any, port: cp.ReceiveRight) -> None:
    with port.make_send() as right:
        run(context.Process(target=say, args=(right, b"argument")))
        assert not right.closed
        message = port.receive(DEADLINE)
        assert isinstance(message, cp.Message) and message.data == b"argument"


def test_a_receive_right_as_an_argument_moves_with_its_messages(context: Any) -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right, cp.ReceiveRight() as answers:
        right.send(b"queued before", reply_to=answers)
        run(context.Process(target=serve_once, args=(port,)))
        assert port.closed
        answer = answers.receive(DEADLINE)
        assert isinstance(answer, cp.Message) and answer.data == b"QUEUED BEFORE"


def test_a_send_once_right_moves(context: Any, port: cp.ReceiveRight) -> None:
    once = port.make_send_once()
    run(context.Process(target=answer_once, args=(once,)))
    assert once.closed
    message = port.receive(DEADLINE)
    assert isinstance(message, cp.Message) and message.data == b"once"


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_queue_carries_rights(method: str, port: cp.ReceiveRight) -> None:
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    with port.make_send() as right:
        process = context.Process(target=say_from_queue, args=(queue, b"queue"))
        queue.put(right)
        run(process)
    queue.close()
    queue.join_thread()
    message = port.receive(DEADLINE)
    assert isinstance(message, cp.Message) and message.data == b"queue"


def test_a_pipe_carries_rights_from_the_child(context: Any) -> None:
    ours, theirs = context.Pipe()
    process = context.Process(target=send_by_connection, args=(theirs,))
    process.start()
    theirs.close()
    with ours.recv() as right:
        assert isinstance(right, cp.SendRight)
        with right.request(timeout=DEADLINE) as answer:
            assert answer.data == b"child" and answer.sender.pid == process.pid
    ours.send(None)
    ours.close()
    process.join(DEADLINE)
    assert process.exitcode == 0
    process.close()


def test_a_pool_takes_rights(context: Any) -> None:
    # Nothing is received before all have sent, and a Mac holds five messages unless told.
    with cp.ReceiveRight(qlimit=64) as port, port.make_send() as right:
        with context.Pool(2) as pool:
            words = [bytes([n]) for n in range(8)]
            pids = pool.map(say_in_pool, [(right, word) for word in words])
            pool.close()
            pool.join()
        assert os.getpid() not in pids
        got = [port.receive(DEADLINE) for _ in words]
        assert sorted(m.data for m in got if isinstance(m, cp.Message)) == words


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_with_fork_an_argument_says_why_it_is_closed(port: cp.ReceiveRight) -> None:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    with port.make_send() as right:
        run(context.Process(target=try_closed, args=(right, theirs)))
    assert "do not survive a fork" in ours.recv()
    ours.close()
    theirs.close()


def test_plain_pickle_and_copy_refuse(port: cp.ReceiveRight) -> None:
    with port.make_send() as right:
        for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="multiprocessing"):
                refuse(right)
        assert not right.closed and not port.closed


def test_a_pickle_is_good_once(port: cp.ReceiveRight) -> None:
    with port.make_send() as right:
        data = dumps(right)
        with pickle.loads(data) as again:
            assert again.name == right.name
        with pytest.raises(LookupError, match="taken before"):
            pickle.loads(data)
        assert sharing.refused() == 1


def test_rights_that_nobody_asks_for_are_released(port: cp.ReceiveRight) -> None:
    other = cp.ReceiveRight()
    with other.make_send() as right:
        data = dumps(other)
        assert other.closed and not right.dead
        assert sharing.release_unclaimed() == 1
        right.wait_until_dead(DEADLINE)
        with pytest.raises(LookupError):
            pickle.loads(data)


def test_rights_in_a_queue_are_released_after_a_while(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "KEEP_S", 0.0)
    other = cp.ReceiveRight()
    with other.make_send() as right:
        dumps(other)
        right.wait_until_dead(DEADLINE)


def test_the_argument_of_a_process_that_dies_first_is_released(context: Any) -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right:
        # The child fails before it gets to the right: what comes first in its arguments raises.
        process = context.Process(target=print, args=(Bomb(), port))
        process.start()
        process.join(DEADLINE)
        right.wait_until_dead(DEADLINE)
        process.close()


class Bomb:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> Any:
        return os._exit, (0,)


def test_what_a_killed_consumer_has_left_in_the_queue_is_released_on_request(context: Any) -> None:
    queue = context.Queue()
    left, other = cp.ReceiveRight(), cp.ReceiveRight()
    with left.make_send() as right, other.make_send() as other_right:
        process = context.Process(target=time.sleep, args=(DEADLINE,))
        process.start()
        queue.put(left)
        data = dumps(other)
        while not left.closed:
            time.sleep(0.001)
        process.kill()
        process.join(DEADLINE)
        process.close()
        assert not right.dead
        assert sharing.release_unclaimed(left) == 1
        right.wait_until_dead(DEADLINE)
        with pytest.raises(LookupError, match="released"):
            queue.get(timeout=DEADLINE)
        assert not other_right.dead
        pickle.loads(data).close()
    queue.close()
    queue.join_thread()


def test_what_nobody_has_asked_for_can_be_taken_back(context: Any, port: cp.ReceiveRight) -> None:
    ours, theirs = context.Pipe()
    theirs.close()
    moved = cp.ReceiveRight()
    with pytest.raises(BrokenPipeError):
        ours.send(moved)  # there is nobody, and it is pickled first
    ours.close()
    with sharing.take_back(moved) as again, again.make_send() as right:
        assert moved.closed
        data = dumps(right)
        with sharing.take_back(right) as copy_of_it:
            assert copy_of_it.name == right.name
        for gone in (moved, right, port):
            with pytest.raises(LookupError):
                sharing.take_back(gone)
        with pytest.raises(LookupError, match="released"):
            pickle.loads(data)


def test_a_right_whose_consumer_is_killed_is_released(context: Any) -> None:
    queue, ready = context.Queue(), context.Event()
    port = cp.ReceiveRight()
    with port.make_send() as right:
        process = context.Process(target=sleep_with, args=(queue, ready))
        process.start()
        queue.put(port)
        assert ready.wait(DEADLINE)
        assert not right.dead
        os.kill(process.pid, signal.SIGKILL)
        right.wait_until_dead(DEADLINE)
        process.join(DEADLINE)
        process.close()
    queue.close()
    queue.join_thread()


def test_strangers_get_nothing(port: cp.ReceiveRight) -> None:
    with port.make_send() as right:
        dumps(right)
        assert sharing._sharer is not None
        with cp.bootstrap.look_up(sharing._sharer.name) as sharer:
            for guess in (b"", b"12345678", b"x" * 9, b"y" * 100_000):
                with sharer.request(guess, timeout=DEADLINE) as answer:
                    assert answer.rights == () and answer.data == b"no such key"
            sharer.send(b"12345678", reply_to=right)
            sharer.send(b"12345678")
            with sharer.request(b"z", timeout=DEADLINE):
                assert sharing.refused() == 7
        with pytest.raises(cp.TimedOut):
            port.receive(SOON)


def test_a_process_that_is_gone_is_said_to_be(port: cp.ReceiveRight) -> None:
    with port.make_send() as right:
        data = dumps(right)
    sharing.stop()
    with pytest.raises(cp.PeerGone):
        pickle.loads(data)


def test_dead_names_arrive_as_such() -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right:
        port.close()
        assert right.dead
        with pickle.loads(dumps(right)) as arrived:
            assert isinstance(arrived, cp.DeadName)
        with pickle.loads(dumps(arrived := cp.DeadName.adopt(0xFFFFFFFF))) as again:
            assert isinstance(again, cp.DeadName)
        arrived.close()
        with pytest.raises(ValueError, match="closed"):
            dumps(arrived)
        assert not right.closed


def test_a_right_that_dies_during_the_pickling_arrives_as_a_dead_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = cp.ReceiveRight()
    hold = sharing._Sharer.hold

    def hold_too_late(sharer: Any, source: cp.Right) -> Any:
        port.close()
        return hold(sharer, source)

    monkeypatch.setattr(sharing._Sharer, "hold", hold_too_late)
    with port.make_send() as right, pickle.loads(dumps(right)) as arrived:
        assert isinstance(arrived, cp.DeadName)
    assert sharing.release_unclaimed() == 0


@pytest.mark.parametrize("make", ["make_send", "make_send_once"])
def test_a_right_that_dies_while_it_waits_arrives_as_a_dead_name(make: str) -> None:
    port = cp.ReceiveRight()
    with getattr(port, make)() as right:
        data = dumps(right)
        port.close()
        with pickle.loads(data) as arrived:
            assert isinstance(arrived, cp.DeadName)


def test_a_send_once_right_whose_port_is_dead_arrives_as_a_dead_name() -> None:
    port = cp.ReceiveRight()
    right = port.make_send_once()
    port.close()
    with pickle.loads(dumps(right)) as arrived:
        assert isinstance(arrived, cp.DeadName) and right.closed


def test_a_reader_of_a_queue_gets_the_dead_name(port: cp.ReceiveRight) -> None:
    queue: Any = multiprocessing.get_context("spawn").Queue()
    other = cp.ReceiveRight()
    with other.make_send() as right:
        other.close()
        queue.put(right)
        with queue.get(timeout=DEADLINE) as arrived:
            assert isinstance(arrived, cp.DeadName)
    queue.close()
    queue.join_thread()
