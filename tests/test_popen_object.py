"""Popen as an object among processes: descriptors, environment, forks, and who is not a child."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import child_port as cp
import pytest
from child_port import _spawn
from child_port._child_link import ChildLink
from support import (
    DEADLINE,
    SOON,
    descriptors,
    python,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from conftest import StartChild

CHECK_IN = "cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)\n"
WAIT = "time.sleep(60)\n"

# --- the object -----------------------------------------------------------------------------------


def test_it_is_a_subprocess_popen() -> None:
    with cp.Popen(
        [sys.executable, "-c", "print(input())"],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert isinstance(child, subprocess.Popen)
        assert child.communicate("text", DEADLINE)[0] == "text\n"
    assert child.returncode == 0


def test_a_command_that_does_not_exist_leaves_nothing() -> None:
    with pytest.raises(FileNotFoundError):
        cp.Popen(["/no/such/program"])


def test_a_closed_one_refuses(start: StartChild) -> None:
    child = start(WAIT)
    child.close()
    child.close()
    for use in (child.accept, lambda: child.send_right(None), lambda: child.server):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_one_that_is_dropped_releases_its_port() -> None:
    child = cp.Popen(python("pass"))
    child.wait(DEADLINE)
    name = child.server.service_name
    assert name is not None
    del child
    gc.collect()
    with pytest.raises(cp.UnknownService):
        cp.bootstrap.look_up(name)


def test_a_close_that_is_interrupted_is_finished_by_the_next(
    start: StartChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    child = start(WAIT)
    close = os.close

    def close_interrupted(fd: int) -> None:
        close(fd)
        raise KeyboardInterrupt

    interruptions = 0
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", close_interrupted)
        while True:
            try:
                child.close()
                break
            except KeyboardInterrupt:
                interruptions += 1
    assert interruptions > 1
    assert descriptors() == before


def test_a_block_whose_end_is_interrupted_releases_the_rest(
    start: StartChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close_interrupted(link: ChildLink) -> None:
        raise KeyboardInterrupt

    before = descriptors()
    child = start(WAIT, stdin=subprocess.PIPE)
    with monkeypatch.context() as patch:
        patch.setattr(ChildLink, "close", close_interrupted)
        with pytest.raises(KeyboardInterrupt), child:
            pass
    assert child.poll() is None
    assert child.stdin is not None
    assert child.stdin.closed
    child.close()
    assert descriptors() == before


def test_what_a_child_was_to_have_is_closed_when_nobody_knows_of_it_any_more() -> None:
    before = descriptors()
    link = ChildLink("bootstrap")
    del link
    gc.collect()
    assert descriptors() == before


CLOSES_ITS_END = (
    "from child_port import _parent\n_parent._the_link().close()\nprint(flush=True)\n" + WAIT
)


@pytest.fixture
def one_that_closed_its_end(start: StartChild) -> cp.Popen[Any]:
    """It lives on."""
    child = start(CLOSES_ITS_END, stdout=subprocess.PIPE)
    assert child.stdout is not None
    child.stdout.readline()
    return child


def test_that_the_child_is_gone_is_told_by_the_deadline(
    one_that_closed_its_end: cp.Popen[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though its status, which there may be in a moment, would make a better message."""
    monkeypatch.setattr(_spawn, "_LAST_GASP_S", DEADLINE / 3)
    child, began = one_that_closed_its_end, time.monotonic()

    async def async_ones() -> None:
        with pytest.raises(cp.PeerGone, match="closed its end of the pipe"):
            await child.accept_async(SOON)
        with pytest.raises(cp.PeerGone, match="closed its end of the pipe"):
            await child.collect_async({"key": cp.SendRight}, SOON)

    for wait in (
        lambda: child.accept(SOON),
        lambda: child.collect({"key": cp.SendRight}, SOON),
        lambda: child.send_right(None, timeout=SOON),
    ):
        with pytest.raises(cp.PeerGone, match="closed its end of the pipe"):
            wait()
        assert time.monotonic() - began < DEADLINE / 3
    asyncio.run(async_ones())
    assert time.monotonic() - began < DEADLINE / 3


def test_the_wait_for_the_status_lets_the_loop_go_on(
    one_that_closed_its_end: cp.Popen[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_spawn, "_LAST_GASP_S", 5 * SOON)
    child = one_that_closed_its_end

    async def turns_while(wait: Awaitable[object]) -> int:
        turns, waiting = 0, asyncio.ensure_future(wait)
        while not waiting.done():
            await asyncio.sleep(0.001)
            turns += 1
        with pytest.raises(cp.PeerGone):
            await waiting
        return turns

    async def main() -> None:
        assert await turns_while(child.accept_async(DEADLINE)) > 5
        assert await turns_while(child.collect_async({"key": cp.SendRight}, DEADLINE)) > 5

    asyncio.run(main())


def test_the_callers_descriptors_and_environment_are_passed_on(start: StartChild) -> None:
    read, write = os.pipe()
    child = start(
        f"os.write({write}, os.environ['MINE'].encode())",
        pass_fds=[write],
        env=os.environ | {"MINE": "value"},
    )
    os.close(write)
    with open(read, encoding="ascii") as file:
        assert file.read() == "value"
    assert child.wait(DEADLINE) == 0


def test_a_parent_without_standard_descriptors_starts_children_as_well() -> None:
    child = python(CHECK_IN)[-1]
    program = (
        "from subprocess import DEVNULL\n"
        "for fd in range(3): os.close(fd)\n"
        "streams = dict(stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL)\n"
        f"with cp.Popen([sys.executable, '-c', {child!r}], **streams) as child:\n"
        "    child.accept(DEADLINE).port.close()\n"
    )
    assert subprocess.run(python(program), timeout=DEADLINE).returncode == 0


def test_a_parent_that_has_sigchld_ignored_knows_its_childs_end() -> None:
    program = (
        "import signal\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        f"with cp.Popen([sys.executable, '-c', {python(CHECK_IN)[-1]!r}]) as child:\n"
        "    child.accept(DEADLINE).port.close()\n"
        "    try: child.accept(DEADLINE)\n"
        "    except cp.PeerGone: pass\n"
    )
    assert subprocess.run(python(program), timeout=DEADLINE).returncode == 0


def test_a_forked_copy_of_the_parent_does_not_keep_the_child_waiting(start: StartChild) -> None:
    child = start("try: cp.receive_from_parent(DEADLINE)\nexcept cp.PeerGone: sys.exit(5)\n")
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        child.close()
        assert child.wait(DEADLINE) == 5
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_many_children_at_once(start: StartChild) -> None:
    children = [start(CHECK_IN) for _ in range(8)]
    for child in children:
        with child.accept(DEADLINE) as check_in:
            assert check_in.sender.pid == child.pid


# --- not a child ----------------------------------------------------------------------------------

NOT_A_CHILD = (
    "for wait in (lambda: cp.check_in_to_parent(None), cp.receive_from_parent):\n"
    "    try: wait()\n"
    "    except cp.NotAChild: pass\n"
    "    else: sys.exit(1)\n"
)


def test_a_process_without_such_a_parent_says_so() -> None:
    with pytest.raises(cp.NotAChild, match="not started by"):
        cp.check_in_to_parent(None)
    with pytest.raises(cp.NotAChild, match="not started by"):
        cp.receive_from_parent()


@pytest.mark.parametrize("how", ["subprocess", "fork", "exec"])
def test_a_grandchild_is_not_taken_for_the_child(start: StartChild, how: str) -> None:
    start_grandchild = {
        "subprocess": f"status = subprocess.call({python(NOT_A_CHILD)!r})\n",
        "fork": (
            "pid = os.fork()\n"
            f"if pid == 0:\n    exec({NOT_A_CHILD!r})\n    os._exit(0)\n"
            "status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        ),
        "exec": f"os.execv(sys.executable, {python(NOT_A_CHILD)!r})\n",
    }[how]
    child = start(f"import subprocess\n{CHECK_IN}\n{start_grandchild}\nsys.exit(status)\n")
    child.accept(DEADLINE).__exit__()
    assert child.wait(DEADLINE) == 0


def test_what_the_child_starts_inherits_neither_variables_nor_pipes(start: StartChild) -> None:
    """Over exec, which closes nothing but what is marked."""
    seen_by = (
        "left = [v for v in os.environ if v.startswith('CHILD_PORT')]\n"
        "for fd in map(int, sys.argv[1:]):\n"
        "    try: left.append(os.fstat(fd))\n"
        "    except OSError: pass\n"
        "print(left)\n"
    )
    child = start(
        "variables = [os.environ['CHILD_PORT_CHECK_IN'], os.environ['CHILD_PORT_RECEIVE']]\n"
        f"{CHECK_IN}"
        "fds = [variable.split(':')[0] for variable in variables]\n"
        f"os.execv(sys.executable, {python(seen_by)!r} + fds)\n",
        stdout=subprocess.PIPE,
    )
    child.accept(DEADLINE).__exit__()
    assert child.communicate(timeout=DEADLINE)[0] == b"[]\n"


@pytest.mark.parametrize("pinned", [True, False])
def test_the_child_is_told_who_its_parent_is_if_the_parent_pins(
    start: StartChild, pinned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHILD_PORT_PARENT_PID", "1")
    child = start(
        "print(os.environ.get('CHILD_PORT_PARENT_PID'), flush=True)\n"
        "cp.receive_from_parent(DEADLINE)\n",
        pinned=pinned,
        stdout=subprocess.PIPE,
        text=True,
    )
    child.send_right(None, timeout=DEADLINE)
    said = child.communicate(timeout=DEADLINE)[0].strip()
    assert said == (str(os.getpid()) if pinned else "None")
    assert child.returncode == 0


def test_a_child_ends_quietly_with_its_link_to_the_parent_open(start: StartChild) -> None:
    program = python(CHECK_IN + "cp.receive_from_parent(DEADLINE).port.close()\n")
    child = start(
        [program[0], "-W", "always", "-X", "dev", *program[1:]],
        stderr=subprocess.PIPE,
        text=True,
    )
    child.accept(DEADLINE).__exit__()
    with cp.task_self() as task:
        child.send_right(task, timeout=DEADLINE)
    assert child.communicate(timeout=DEADLINE)[1] == ""
    assert child.returncode == 0


def test_variables_without_their_descriptors_are_not_believed(start: StartChild) -> None:
    """They were inherited, the descriptors were not, and the numbers are other files by now."""
    child = start(
        "import subprocess\n"
        "variables = [os.environ['CHILD_PORT_CHECK_IN'], os.environ['CHILD_PORT_RECEIVE']]\n"
        "fds = [int(variable.split(':')[0]) for variable in variables]\n"
        "read, write = os.pipe()\n"
        f"command = {python(NOT_A_CHILD)!r}\n"
        "status = subprocess.call(command)\n"
        "for fd in fds: os.dup2(read, fd, inheritable=True)\n"
        "sys.exit(status or subprocess.call(command, pass_fds=fds))\n"
    )
    assert child.wait(DEADLINE) == 0


GARBAGE = ["", "x", "9" * 30, "-1", "3:x:y", "\u0663:1:2"]


@pytest.mark.parametrize("variable", ["CHECK_IN", "RECEIVE", "PARENT_PID"])
def test_variables_with_garbage_are_not_believed(start: StartChild, variable: str) -> None:
    """Nor is the descriptor of the other one inherited any longer, once it was found to be it."""
    child = start(
        "import subprocess\n"
        "from child_port._environment import read_variables\n"
        "names = ['CHILD_PORT_CHECK_IN', 'CHILD_PORT_RECEIVE', 'CHILD_PORT_PARENT_PID']\n"
        "before = {name: os.environ[name] for name in names}\n"
        f"for garbage in {GARBAGE!r}:\n"
        f"    os.environ.update(before, CHILD_PORT_{variable}=garbage)\n"
        "    try: read_variables()\n"
        "    except cp.NotAChild: pass\n"
        "    else: sys.exit(3)\n"
        "os.environ.update(before)\n"
        "first = int(before[names[0]].partition(':')[0])\n"
        f"sys.exit(5 if os.get_inheritable(first) == {variable != 'CHECK_IN'} else 0)\n"
    )
    assert child.wait(DEADLINE) == 0


def test_the_child_inherits_two_descriptors_and_no_more(start: StartChild) -> None:
    inside = python("print(len(os.listdir('/proc/self/fd')))")
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("the list of descriptors differs between platforms")
    plain = subprocess.run(inside, stdout=subprocess.PIPE, check=True, timeout=DEADLINE).stdout
    child = start(inside, stdout=subprocess.PIPE)
    assert int(child.communicate(timeout=DEADLINE)[0]) == int(plain) + 2


def test_the_parent_keeps_none_of_the_childs_ends(start: StartChild) -> None:
    before = len(descriptors())
    child = start(WAIT)
    opened = len(descriptors()) - before
    child.close()
    assert len(descriptors()) == before
    # Of the pipes, one end each.
    assert opened <= 12


def test_an_exit_at_the_end_of_the_block_waits_for_no_child_that_waits_for_its_parent() -> None:
    """As from a handler of SIGTERM, which is not waited after for a moment only, as Ctrl-C is."""
    child = python("try: cp.receive_from_parent()\nexcept cp.PeerGone: pass")
    program = (
        "from child_port._child_link import ChildLink\n"
        "close = ChildLink.close\n"
        "def close_interrupted(link):\n"
        "    ChildLink.close = close\n"
        "    sys.exit(7)\n"
        f"with cp.Popen({child!r}) as child:\n"
        "    ChildLink.close = close_interrupted\n"
    )
    result = subprocess.run(python(program), timeout=DEADLINE, start_new_session=True)
    assert result.returncode == 7
