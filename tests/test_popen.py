"""Popen, check_in_to_parent and receive_from_parent: rights between a parent and its child."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

import child_port as cp
import pytest
from support import (
    DEADLINE,
    SOON,
    cancelled_soon,
    interrupted,
    python,
    right_of,
    running,
)

if TYPE_CHECKING:
    from conftest import StartChild

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"
WAIT = "time.sleep(60)\n"

# --- child to parent ------------------------------------------------------------------------------


def test_a_child_checks_in_with_its_task(start: StartChild) -> None:
    child = start(CHECK_IN + "sys.stdin.read()", stdin=subprocess.PIPE)
    with child.accept(DEADLINE) as check_in:
        right = right_of(check_in)
        assert isinstance(right, cp.SendRight)
        assert cp.pid_for_task(right) == child.pid
        assert check_in.sender.pid == child.pid
        assert check_in.disposition == cp.Disposition.MOVE_SEND
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(DEADLINE) == 0


def test_a_child_that_is_faster_than_its_parent_is_not_lost(start: StartChild) -> None:
    child = start(CHECK_IN)
    child.wait(DEADLINE)
    with child.accept(0) as check_in:
        assert check_in.sender.pid == child.pid
    with pytest.raises(cp.PeerGone):
        child.accept(DEADLINE)


def test_a_child_checks_in_as_often_as_it_likes(start: StartChild) -> None:
    child = start(
        "with cp.ReceiveRight() as port:\n"
        "    for disposition in (20, 21):\n"
        "        cp.check_in_to_parent(port, disposition, timeout=DEADLINE)\n"
        "    cp.check_in_to_parent(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)\n"
        "    assert port.closed\n" + CHECK_IN + WAIT
    )
    kinds = []
    for _ in range(4):
        with child.accept(DEADLINE) as check_in:
            kinds.append(type(check_in.port))
    assert kinds == [cp.SendRight, cp.SendOnceRight, cp.ReceiveRight, cp.SendRight]


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("sys.exit(0)", "exited with status 0"),
        ("os._exit(7)", "exited with status 7"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
        ("os.read(int(os.environ['CHILD_PORT_CHECK_IN'].split(':')[0]), 3)", "status 0"),
        ("cp._parent._the_link(); os._exit(7)", "exited with status 7"),
    ],
)
def test_a_child_that_dies_first_is_known_at_once(
    start: StartChild, program: str, how: str
) -> None:
    child = start(program)
    with pytest.raises(cp.PeerGone, match=how):
        child.accept(DEADLINE)
    assert child.returncode is not None


def test_a_child_that_closes_its_pipe_is_as_good_as_gone(start: StartChild) -> None:
    child = start("os.close(int(os.environ['CHILD_PORT_CHECK_IN'].split(':')[0]))\n" + WAIT)
    with pytest.raises(cp.PeerGone, match="closed its end"):
        child.accept(DEADLINE)


def accept(child: cp.Popen[str]) -> None:
    child.accept(DEADLINE)


def send(child: cp.Popen[str]) -> None:
    child.send_right(None, timeout=DEADLINE)


@pytest.mark.parametrize("wait", [accept, send])
def test_a_grandchild_that_keeps_the_pipes_does_not_hide_the_childs_death(
    start: StartChild, wait: Callable[[cp.Popen[str]], None]
) -> None:
    program = "pid = os.fork()\nif pid == 0: time.sleep(60)\nprint(pid)\n"
    child = start(program, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        with pytest.raises(cp.PeerGone, match="exited with status 0"):
            wait(child)
    finally:
        os.kill(int(child.stdout.readline()), signal.SIGKILL)


# --- who checks in --------------------------------------------------------------------------------

IN_A_GRANDCHILD = ["/bin/sh", "-c", '"$0" -c "$1"; true', sys.executable, python(CHECK_IN)[-1]]


def test_only_the_process_that_was_started_may_check_in(start: StartChild) -> None:
    child = start(IN_A_GRANDCHILD)
    with pytest.raises(cp.PeerGone):
        child.accept(DEADLINE)
    assert child.server.stats["wrong_sender"] == 1


HINT = r"rejected: 1 from another process than the expected .*pass pinned=False"


def test_when_another_process_checked_in_that_is_said(start: StartChild) -> None:
    shell, option, script, *rest = IN_A_GRANDCHILD
    child = start([shell, option, f"{script}; read line", *rest], stdin=subprocess.PIPE)
    while not child.server.stats["wrong_sender"]:
        with pytest.raises(cp.TimedOut) as timed_out:
            child.accept(SOON)
    timed_out.match(f"MACH_RCV_TIMED_OUT .*; no check-in was accepted; {HINT}")
    with pytest.raises(cp.TimedOut, match=f"no check-in for 'task'; {HINT}"):
        child.collect({"task": cp.SendRight}, 0)
    child.kill()
    with pytest.raises(cp.PeerGone, match=f"no check-in from it is left; {HINT}"):
        child.accept(DEADLINE)
    with pytest.raises(cp.PeerGone, match=f"no check-in for 'task'; {HINT}"):
        child.collect({"task": cp.SendRight}, DEADLINE)


def test_a_wrapper_may_stand_in_between_if_that_is_said(start: StartChild) -> None:
    child = start(IN_A_GRANDCHILD, pinned=False)
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid != child.pid


def test_a_shell_command_is_not_pinned(start: StartChild) -> None:
    program = python(CHECK_IN)[-1]
    child = start(
        ['"$PYTHON" -c "$PROGRAM"; true'],
        shell=True,
        env=os.environ | {"PYTHON": sys.executable, "PROGRAM": program},
    )
    child.accept(DEADLINE).__exit__()


def test_a_wrapper_that_ends_without_a_check_in_is_known_at_once(start: StartChild) -> None:
    child = start(["/bin/sh", "-c", "exit 3"], pinned=False)
    with pytest.raises(cp.PeerGone, match="status 3"):
        child.accept(DEADLINE)


def test_a_stranger_with_wrong_tokens_does_not_keep_the_child_out(start: StartChild) -> None:
    child = start("sys.stdin.read(1)\n" + CHECK_IN, stdin=subprocess.PIPE)
    name = child.server.service_name
    subprocess.run(
        python(
            f"with cp.bootstrap.look_up({name!r}) as server:\n"
            "    for token in (0, 1, 2**64 - 1):\n"
            "        cp.check_in(server, token, cp.task_self(), timeout=DEADLINE)\n"
        ),
        check=True,
        timeout=DEADLINE,
    )
    assert child.stdin is not None
    child.stdin.close()
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid == child.pid
    assert child.server.stats["bad_token"] == 3


# --- parent to child ------------------------------------------------------------------------------

RECEIVE_AND_SERVE = (
    "check_in = cp.receive_from_parent(DEADLINE)\n"
    "assert check_in.sender.pid == os.getppid()\n"
    "with cp.Server(check_in.port, token=0) as server:\n"
    "    for _ in range(4):\n"
    "        with server.accept(DEADLINE) as check_in:\n"
    "            cp.check_in(check_in.port, 0, None, timeout=DEADLINE)\n"
)


def test_a_receive_right_is_moved_with_what_is_queued_on_it(start: StartChild) -> None:
    child = start(RECEIVE_AND_SERVE)
    port = cp.ReceiveRight()
    with (
        port.make_send() as right,
        cp.Server(token=0) as answers,
        answers.make_send() as answer_to,
    ):
        for _ in range(3):
            cp.check_in(right, 0, answer_to, timeout=DEADLINE)
        child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        assert port.closed
        cp.check_in(right, 0, answer_to, timeout=DEADLINE)
        for _ in range(4):
            assert answers.accept(DEADLINE).sender.pid == child.pid
        assert child.wait(DEADLINE) == 0


def test_rights_of_every_type_go_to_the_child(start: StartChild) -> None:
    child = start(
        "for kind in (cp.SendRight, cp.SendRight, cp.SendOnceRight, cp.ReceiveRight):\n"
        "    with cp.receive_from_parent(DEADLINE) as check_in:\n"
        "        assert type(check_in.port) is kind, check_in\n"
    )
    with cp.ReceiveRight() as port, port.make_send() as right:
        child.send_right(right, timeout=DEADLINE)
        child.send_right(port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
        child.send_right(port.make_send_once(), timeout=DEADLINE)
        child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        assert not right.closed
        assert child.wait(DEADLINE) == 0


def test_both_directions_at_once(start: StartChild) -> None:
    """The parent's right goes to the child and back."""
    child = start(
        "with cp.receive_from_parent(DEADLINE) as check_in:\n"
        "    cp.check_in_to_parent(check_in.port, timeout=DEADLINE)\n"
    )
    with cp.ReceiveRight() as port, port.make_send() as right:
        child.send_right(right, timeout=DEADLINE)
        with child.accept(DEADLINE) as check_in:
            assert right_of(check_in).name == right.name


def test_what_the_parent_sent_arrives_after_the_parent_is_gone(tmp_path: os.PathLike[str]) -> None:
    result = f"{tmp_path}/result"
    program = (
        f"print(cp.receive_from_parent(DEADLINE), file=open({result!r}, 'w'), flush=True)\n"
        "try: cp.receive_from_parent(DEADLINE)\n"
        f"except cp.PeerGone: print('gone', file=open({result!r}, 'a'))\n"
    )
    subprocess.run(
        python(
            f"child = cp.Popen([sys.executable, '-c', {python(program)[-1]!r}])\n"
            "child.send_right(cp.task_self(), timeout=DEADLINE)\n"
            "os._exit(0)\n"
        ),
        check=True,
        timeout=DEADLINE,
    )
    give_up = time.monotonic() + DEADLINE
    text = ""
    while "gone" not in text and time.monotonic() < give_up:
        time.sleep(0.01)
        if os.path.exists(result):
            with open(result, encoding="utf-8") as file:
                text = file.read()
    assert "CheckIn" in text and "gone" in text


def test_a_child_that_knows_its_parent_sees_it_go(start: StartChild) -> None:
    child = start(
        CHECK_IN + "sys.stdin.read()\ntry: cp.check_in_to_parent(None, timeout=DEADLINE)\n"
        "except cp.PeerGone: sys.exit(5)\n",
        stdin=subprocess.PIPE,
    )
    child.accept(DEADLINE).__exit__()
    child.close()
    assert child.stdin is not None
    child.stdin.close()
    assert child.wait(DEADLINE) == 5


@pytest.mark.parametrize("program", ["sys.exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_right_for_a_dead_child_stays_with_the_parent(start: StartChild, program: str) -> None:
    child = start(program)
    with cp.ReceiveRight() as port:
        with pytest.raises(cp.PeerGone, match="takes no more"):
            child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        port.make_send().close()


def test_the_death_of_a_child_ends_the_wait_for_room_in_its_queue(start: StartChild) -> None:
    child = start("cp.receive_from_parent(DEADLINE)\n" + CHECK_IN + WAIT)
    port = cp.ReceiveRight()
    child.send_right(None, timeout=DEADLINE)
    child.accept(DEADLINE).__exit__()
    with suppress(cp.TimedOut):
        while True:
            child.send_right(None, timeout=0)
    timer = threading.Timer(SOON, child.kill)
    timer.start()
    # Mach's rule: what waits for room at a port that dies counts as sent, and is destroyed.
    child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
    assert port.closed
    timer.join()
    with pytest.raises(cp.PeerGone, match="SIGKILL"):
        child.send_right(None, timeout=DEADLINE)


def test_two_threads_send_to_a_child_that_is_not_ready_yet(start: StartChild) -> None:
    child = start(
        "time.sleep(0.2)\nfor _ in range(2): cp.receive_from_parent(DEADLINE).port.close()\n"
    )

    def send() -> None:
        with cp.task_self() as task:
            child.send_right(task, timeout=DEADLINE)

    with running(send), running(send):
        assert child.wait(DEADLINE) == 0


def test_a_thread_that_waits_for_another_has_a_deadline_too(start: StartChild) -> None:
    child = start(WAIT)
    cancel = cp.CancelToken()

    def send() -> None:
        with pytest.raises(cp.Cancelled):
            child.send_right(None, cancel=cancel)

    with running(send):
        time.sleep(SOON)
        with pytest.raises(cp.TimedOut):
            child.send_right(None, timeout=SOON)
        with cancelled_soon() as token, pytest.raises(cp.Cancelled):
            child.send_right(None, timeout=DEADLINE, cancel=token)
        cancel.cancel()


@pytest.mark.parametrize("receives", [False, True])
def test_closing_it_ends_the_waits_of_other_threads(start: StartChild, receives: bool) -> None:
    """For the child to receive, and for room in its queue; with a token of the caller's, too."""
    child = start("cp.receive_from_parent(DEADLINE)\n" * receives + WAIT)

    def send_until_full(cancel: cp.CancelToken | None) -> None:
        while True:
            child.send_right(None, timeout=None, cancel=cancel)

    def send() -> None:
        with pytest.raises(cp.PortChanged):
            send_until_full(None)

    def send_with_token() -> None:
        with pytest.raises(cp.PortChanged):
            send_until_full(cp.CancelToken())

    def accept() -> None:
        with pytest.raises(cp.PortChanged):
            child.accept(DEADLINE)

    with running(send), running(send), running(send_with_token), running(accept):
        time.sleep(SOON * 4)
        child.close()


# --- how waits end --------------------------------------------------------------------------------


def test_the_parents_waits_time_out(start: StartChild) -> None:
    child = start(WAIT)
    for timeout in (0, SOON):
        with pytest.raises(cp.TimedOut):
            child.accept(timeout)
        with pytest.raises(cp.TimedOut):
            child.send_right(None, timeout=timeout)


def test_the_parents_waits_can_be_cancelled(start: StartChild) -> None:
    child = start(WAIT)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        child.accept(DEADLINE, cancel=cancel)
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        child.send_right(None, timeout=DEADLINE, cancel=cancel)


def test_ctrl_c_ends_the_parents_waits(start: StartChild) -> None:
    child = start(WAIT, start_new_session=True)
    with pytest.raises(KeyboardInterrupt), interrupted():
        child.accept(DEADLINE)
    with pytest.raises(KeyboardInterrupt), interrupted():
        child.send_right(None, timeout=DEADLINE)


ENDINGS = """
import threading, signal
def ends(error, wait, **options):
    try: wait(**options)
    except error: return
    raise AssertionError(f"{wait} did not raise {error}")
def check_in(**options):
    while True: cp.check_in_to_parent(None, **options)  # until the queue is full
for wait in (check_in, cp.receive_from_parent):
    for timeout in (0, 0.05):
        ends(cp.TimedOut, wait, timeout=timeout)
    token = cp.CancelToken()
    threading.Timer(0.05, token.cancel).start()
    ends(cp.Cancelled, wait, timeout=DEADLINE, cancel=token)
    me = threading.main_thread().ident
    threading.Timer(0.05, signal.pthread_kill, [me, signal.SIGINT]).start()
    ends(KeyboardInterrupt, wait, timeout=DEADLINE)
    ends(ValueError, wait, timeout=-1)
"""


def test_the_childs_waits_end_in_the_same_ways(start: StartChild) -> None:
    assert start(ENDINGS).wait(DEADLINE) == 0


def test_leaving_the_block_lets_a_child_go_that_still_waits() -> None:
    program = (
        "try: cp.receive_from_parent()\n"
        "except cp.PeerGone: pass\n"
        "try: cp.check_in_to_parent(cp.task_self())\n"
        "except cp.PeerGone: sys.exit(5)\n"
    )
    with cp.Popen(python(program)) as child:
        pass
    assert child.returncode == 5


def test_the_event_loop_is_free_while_a_child_is_awaited(start: StartChild) -> None:
    async def main() -> None:
        child = start("time.sleep(0.1)\n" + CHECK_IN)
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        (await child.accept_async(DEADLINE)).__exit__()
        assert ticks > 1
        with pytest.raises(cp.PeerGone):
            await child.accept_async(DEADLINE)
        ticking.cancel()

    asyncio.run(main())


def test_select_sees_a_check_in(start: StartChild) -> None:
    child = start(CHECK_IN + WAIT)
    assert select.select([child.server], [], [], DEADLINE)[0]
    child.accept(0).__exit__()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_function_that_runs_before_the_program_does_no_harm(start: StartChild) -> None:
    child = start("cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)", preexec_fn=os.setsid)
    with child.accept(timeout=DEADLINE) as check_in:
        assert check_in.sender.pid == child.pid


def test_an_environment_of_bytes_has_no_parents_variables_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("CHILD_PORT_CHECK_IN", "CHILD_PORT_RECEIVE"):
        monkeypatch.setenv(variable, "9:1:1")
    monkeypatch.setenv("CHILD_PORT_PARENT_PID", "1")
    with (
        cp.Popen(python(CHECK_IN), env=dict(os.environb)) as child,
        child.accept(DEADLINE) as check_in,
    ):
        assert check_in.sender.pid == child.pid


@pytest.mark.parametrize("what", ["raise KeyboardInterrupt", "made.append(_parent._the_link())"])
def test_a_signal_handler_may_strike_at_any_line_of_the_first_check_in(
    start: StartChild, what: str
) -> None:
    """It raises, or checks in itself; and afterwards there is the parent to check in with."""
    child = start(
        "from child_port import _environment, _parent\n"
        "codes = [_parent._the_link.__code__, *(\n"
        "    f.__code__ for f in vars(_environment).values() if hasattr(f, '__code__'))]\n"
        "before, lines, last = dict(os.environ), 0, 0\n"
        "def trace(frame, event, _):\n"
        "    global lines\n"
        "    if frame.f_code not in codes: return None\n"
        "    lines += 1\n"
        "    if lines == last:\n"
        "        sys.settrace(None)\n"
        f"        {what}\n"
        "    return trace\n"
        "while lines >= last:\n"
        "    lines, last, _parent._link, made = 0, last + 1, None, []\n"
        "    os.environ.update(before)\n"
        "    sys.settrace(trace)\n"
        "    try: made.append(_parent._the_link())\n"
        "    except KeyboardInterrupt: pass\n"
        "    finally: sys.settrace(None)\n"
        "    assert {*made, _parent._the_link()} == {_parent._link}\n"
        "assert last > 20\n" + CHECK_IN
    )
    with child.accept(DEADLINE) as check_in:
        assert check_in.sender.pid == child.pid
