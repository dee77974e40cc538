"""Rights in multiprocessing: what fails, what is refused, and how a process ends."""

from __future__ import annotations

import multiprocessing
import operator
import os
import pathlib
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.reduction import ForkingPickler
from types import FrameType
from typing import Any

import child_port as cp
import pytest
from child_port import _child_port as ext
from child_port import sharing
from child_port._secrets import random_service_name
from sharing_support import METHODS, dumps, run, serve_once, start_what_is_made_once
from support import DEADLINE, received


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


# --- when the pickling fails ----------------------------------------------------------------------


class Unpicklable:
    def __reduce__(self) -> Any:
        raise pickle.PicklingError("no")


def start_process(context: Any, item: object) -> None:
    context.Process(target=print, args=(item, Unpicklable())).start()


def send_through_pipe(context: Any, item: object) -> None:
    ours, theirs = context.Pipe()
    try:
        ours.send([item, Unpicklable()])
    finally:
        ours.close()
        theirs.close()


def put_into_queue(context: Any, item: object) -> None:
    queue = context.SimpleQueue()
    try:
        queue.put({"right": item, "other": Unpicklable()})
    finally:
        queue.close()


FAILING = pytest.mark.parametrize("fail", [start_process, send_through_pipe, put_into_queue])


@FAILING
def test_a_pickle_that_fails_moves_nothing(context: Any, fail: Any, port: cp.ReceiveRight) -> None:
    once = port.make_send_once()
    try:
        fail(context, (port, once))
    except pickle.PicklingError:
        # Here already: what the caller does about the exception may need the rights.
        once.send(b"still mine", timeout=DEADLINE)
    message = port.receive(DEADLINE)
    assert isinstance(message, cp.Message) and message.data == b"still mine"
    assert sharing.release_unclaimed() == 0
    with pickle.loads(dumps(port)) as moved:
        assert port.closed and not moved.closed


@FAILING
def test_a_pickle_that_fails_keeps_no_copy(context: Any, fail: Any, port: cp.ReceiveRight) -> None:
    with port.make_send() as right, cp.ReceiveRight() as told:
        with pytest.raises(pickle.PicklingError):
            fail(context, right)
        port.notify_no_senders(told)
        right.close()
        with told.receive(DEADLINE) as notification:
            assert isinstance(notification, cp.NoSenders)


def test_what_a_queue_cannot_write_stays_with_its_owner(
    context: Any, port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()
    monkeypatch.setattr(
        "multiprocessing.queues.Queue._on_queue_feeder_error",
        staticmethod(lambda error, item: failed.set()),
    )
    queue = context.Queue()
    queue.put((port, Unpicklable()))
    assert failed.wait(DEADLINE)
    with port.make_send() as right:
        right.send(b"still mine", timeout=DEADLINE)
    port.receive(DEADLINE).__exit__()
    queue.close()
    queue.join_thread()


def test_a_process_that_cannot_be_started_leaves_the_rights_with_their_owner(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*args: object) -> None:
        raise BlockingIOError("too many processes")

    context: Any = multiprocessing.get_context("spawn")
    with monkeypatch.context() as patch:
        patch.setattr("multiprocessing.util.spawnv_passfds", no_process)
        with suppress(BlockingIOError):
            context.Process(target=serve_once, args=(port,)).start()
    with port.make_send() as right, cp.ReceiveRight() as answers:
        right.send(b"again", reply_to=answers)
        run(context.Process(target=serve_once, args=(port,)))
        with answers.receive(DEADLINE) as answer:
            assert isinstance(answer, cp.Message) and answer.data == b"AGAIN"


class Gate:
    """Holds up the process that unpickles it until something comes through the pipe."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def __reduce__(self) -> Any:
        return operator.methodcaller("recv"), (self.connection,)


def serve_behind(gate: object, port: cp.ReceiveRight) -> None:
    serve_once(port)


def test_a_right_on_its_way_to_a_process_cannot_be_used_and_closing_it_does_not_end_it(
    context: Any,
) -> None:
    ours, theirs = context.Pipe()
    with cp.ReceiveRight() as port, port.make_send() as right, cp.ReceiveRight() as answers:
        process = context.Process(target=serve_behind, args=(Gate(theirs), port))
        process.start()
        with pytest.raises(ValueError, match="in use"):
            port.make_send()
        port.close()
        assert port.closed and not right.dead
        ours.send(None)
        right.send(b"behind", reply_to=answers)
        with answers.receive(DEADLINE) as answer:
            assert isinstance(answer, cp.Message) and answer.data == b"BEHIND"
    process.join(DEADLINE)
    process.close()
    ours.close()
    theirs.close()


# --- what is refused ------------------------------------------------------------------------------


def test_the_receive_right_of_a_service_is_refused_and_stays(context: Any) -> None:
    name = f"child_port.test.{os.getpid()}"
    with cp.bootstrap.check_in(name) as service:
        with pytest.raises(PermissionError, match="bootstrap service"):
            dumps(service)
        with pytest.raises(PermissionError, match="bootstrap service"):
            context.Process(target=print, args=(service,)).start()
        with cp.bootstrap.look_up(name) as right:
            right.send(b"")
        service.receive(DEADLINE).__exit__()


def test_an_answer_that_goes_wrong_is_reported_and_others_are_answered(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr("threading.excepthook", reported.append)
    with port.make_send() as right:
        bad, good = dumps(right), dumps(right)
        with monkeypatch.context() as patch:
            patch.setitem(sharing._dispositions, cp.SendRight, cp.Disposition.MOVE_RECEIVE)
            with pytest.raises(cp.PeerGone):
                pickle.loads(bad)
        with pickle.loads(good) as again:
            assert again.name == right.name
    assert [report.exc_type for report in reported] == [ValueError]


def test_a_right_that_is_not_being_moved_is_neither_taken_nor_given_back(
    port: cp.ReceiveRight,
) -> None:
    no_right: Any = object()
    for end in (ext._sharing_take, ext._sharing_give_back):
        for wrong in (port, no_right):
            with pytest.raises(ValueError, match="not being moved"):
                end(wrong)
    for begin in (ext._sharing_check, ext._sharing_begin):
        with pytest.raises(TypeError, match="not a right"):
            begin(no_right)


# --- the end of a process -------------------------------------------------------------------------


def run_program(folder: pathlib.Path, program: str) -> str:
    """What a main program, with processes of its own, prints."""
    path = folder / "program.py"
    path.write_text("import multiprocessing, sys, threading\nimport child_port as cp\n" + program)
    result = subprocess.run(
        [sys.executable, "-W", "error", path], capture_output=True, text=True, timeout=DEADLINE
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_the_end_of_the_program_waits_for_processes_that_still_ask(tmp_path: pathlib.Path) -> None:
    program = """
def serve(port):
    with port:
        print("has it")

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    context.Process(target=serve, args=(cp.ReceiveRight(),)).start()
"""
    assert run_program(tmp_path, program) == "has it\n"


def test_what_a_queue_writes_at_the_end_of_the_program_is_answered_for(
    tmp_path: pathlib.Path,
) -> None:
    program = """
from multiprocessing.util import Finalize

ending = threading.Event()

class AtTheEnd:
    def __reduce__(self):
        assert ending.wait(30)
        return str, ("has both",)

def read(queue, connection):
    connection.send("ready")
    connection.recv()
    first, word, second = queue.get(), queue.get(), queue.get()
    with first, second:
        print(word)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    ours, theirs = context.Pipe()
    context.Process(target=read, args=(queue, theirs)).start()
    first, second = cp.ReceiveRight(), cp.ReceiveRight()
    for item in (first, AtTheEnd(), second):
        queue.put(item)
    ours.recv()
    while not first.closed:
        pass
    Finalize(None, lambda: (ending.set(), ours.send("go")), exitpriority=1)
"""
    assert run_program(tmp_path, program) == "has both\n"


def test_the_interpreter_ends_with_rights_unclaimed(tmp_path: Any) -> None:
    program = """
import child_port as cp
from multiprocessing.reduction import ForkingPickler
ForkingPickler.dumps(cp.ReceiveRight())
"""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_an_interrupt_at_any_line_of_pickling_gives_the_right_back(port: cp.ReceiveRight) -> None:
    lines, last = 0, 1

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal lines
        if frame.f_code is sharing._Sharer.hold.__code__ and event == "line":
            lines += 1
            if lines == last:
                raise KeyboardInterrupt
        return trace

    ForkingPickler.dumps(port.make_send())  # all is set up
    once = port.make_send_once()
    while not once.closed:
        lines = 0
        sys.settrace(trace)
        try:
            ForkingPickler.dumps(once)
        except KeyboardInterrupt:
            last += 1
            once.notify_dead(None)  # it can be used
        finally:
            sys.settrace(None)
    assert last > 5
    again = sharing.take_back(once)
    assert isinstance(again, cp.SendOnceRight)
    again.send(b"x", timeout=DEADLINE)
    assert received(port).data == b"x"
    sharing.stop()


def test_an_interrupt_at_the_end_of_pickling_loses_no_right(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, last, inside = 0, 0, False
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda report: reported.append(report.exc_type))

    def trace(frame: FrameType, event: str, _: object) -> Any:
        """Also as a function returns: what it returns must not be lost either."""
        nonlocal events, inside
        is_outermost = frame.f_code is sharing._Sharer._pickled.__code__
        if inside or is_outermost:
            inside = not (is_outermost and event == "return")
            events += 1
            if events == last:
                raise KeyboardInterrupt
        return trace

    ForkingPickler.dumps(port.make_send())  # all is set up
    while events >= last:
        last, events, inside = last + 1, 0, False
        once = port.make_send_once()
        sys.settrace(trace)
        try:
            pickled = dumps(once)
        finally:
            sys.settrace(None)
        again = pickle.loads(pickled)
        again.send(b"x", timeout=DEADLINE)
        assert received(port).data == b"x"
    assert reported == [KeyboardInterrupt] * (last - 1)
    assert last > 5


def test_a_signal_handler_may_pickle_while_the_first_pickling_begins(
    port: cp.ReceiveRight, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> str:
        monkeypatch.undo()
        pickled.append(dumps(port.make_send()))  # as a handler would, within the other's lock
        return random_service_name()

    pickled: list[bytes] = []
    sharing.stop()
    monkeypatch.setattr(sharing, "random_service_name", interrupted)
    pickled.append(dumps(port.make_send()))
    threads = [t for t in threading.enumerate() if t.name == "child_port.sharing"]
    assert len(threads) == 1
    for one in pickled:
        with pickle.loads(one) as right:
            assert right.name == port.name
    sharing.stop()


def test_a_right_that_is_dropped_in_a_move_is_released(port: cp.ReceiveRight) -> None:
    once = port.make_send_once()
    ext._sharing_begin(once)
    del once
    assert isinstance(port.receive(DEADLINE), cp.SendOnce)


def test_the_collector_may_release_rights_while_one_is_pickled(tmp_path: pathlib.Path) -> None:
    program = """
import gc

class Owner:
    def __init__(self, right):
        self.right, self.me = right, self

    def __del__(self):
        sharing.release_unclaimed(self.right)

if __name__ == "__main__":
    from child_port import sharing
    ours, theirs = multiprocessing.Pipe()
    port = cp.ReceiveRight()
    right = port.make_send()
    for number in range(1, 60):
        gc.disable()
        gc.collect()
        Owner(right)
        gc.set_threshold(number)
        gc.enable()
        ours.send(right)
        gc.disable()
        try:
            theirs.recv().close()
        except LookupError:  # the collector came after the right was put where it waits
            pass
    right.close()
    port.close()
    print("done")
"""
    assert run_program(tmp_path, program) == "done\n"
