"""Forks, threads and multiprocessing around rights."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import child_port as cp
import pytest
from support import DEADLINE, SOON, python, right_of, running


def forked(act: object) -> int:
    """Run it in a forked process; its exit status, 1 if it raises."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert callable(act)
            act()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_process_has_none_of_its_parents_rights() -> None:
    with (
        cp.ReceiveRight() as port,
        port.make_send() as right,
        cp.Server() as server,
    ):

        def child() -> None:
            assert port.closed and right.closed and server.port.closed
            with pytest.raises(ValueError, match="closed"):
                server.accept(0)
            for one in (port, right, server):
                one.close()

        assert forked(child) == 0
        assert not right.dead
        cp.check_in(right, 0, right, timeout=DEADLINE)


FORKED_EARLY = """
def early():
    global mine
    if act is not None:
        act()

act = mine = None
os.register_at_fork(after_in_child=early)
"""


def test_what_runs_first_in_a_forked_process_has_none_of_its_parents_rights() -> None:
    """Hooks that were registered before child_port was imported, and other threads' objects."""
    program = (
        "import os, threading\n"
        + FORKED_EARLY
        + """
import child_port as cp

def act():
    global mine
    assert port.closed and once.closed
    mine = cp.ReceiveRight()
    assert mine.name == port_name, "another name: the test shows nothing"
    port.close()
    once.close()
    assert mine.make_send().closed is False

own, kept, over = threading.local(), threading.Event(), threading.Event()

def keep():
    own.tasks = [cp.task_self() for _ in range(3)]
    kept.set()
    over.wait()

thread = threading.Thread(target=keep)
thread.start()
kept.wait()
port = cp.ReceiveRight()
port_name, once = port.name, port.make_send_once()
pid = os.fork()
if pid == 0:
    with mine, cp.task_self() as task:
        assert cp.pid_for_task(task) == os.getpid()
        assert len(cp.ledger()) >= 2
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
over.set()
thread.join()
port.close()
raise SystemExit(status)
"""
    )
    # CPython 3.12 and later warn of a fork with threads.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_a_forked_process_makes_rights_of_its_own(service_name: str) -> None:
    def child() -> None:
        with cp.bootstrap.look_up(service_name) as to_server, cp.task_self() as task:
            cp.check_in(to_server, server.token, task, timeout=DEADLINE)

    with cp.Server(service_name=service_name) as server:
        assert forked(child) == 0
        with server.accept(DEADLINE) as check_in:
            assert check_in.sender.pid != os.getpid()


def test_a_fork_among_waiting_threads_harms_neither_process() -> None:
    with cp.Server() as server, server.make_send() as right:

        def serve() -> None:
            server.serve_forever(lambda check_in: right_of(check_in).close())

        def child() -> None:
            with cp.Server() as own, own.make_send() as to_own:
                cp.check_in(to_own, own.token, to_own, timeout=DEADLINE)
                own.accept(DEADLINE).__exit__()

        with running(serve), running(serve):
            time.sleep(SOON)
            for _ in range(10):
                assert forked(child) == 0
                cp.check_in(right, server.token, right, timeout=DEADLINE)
            give_up = time.monotonic() + DEADLINE
            while server.stats["accepted"] < 10 and time.monotonic() < give_up:
                time.sleep(0.001)
            server.shutdown()
        assert server.stats["accepted"] == 10


def hand_over_task(service_name: str, token: int) -> None:
    with cp.bootstrap.look_up(service_name) as to_server, cp.task_self() as task:
        cp.check_in(to_server, token, task, timeout=DEADLINE)


@pytest.mark.parametrize("method", ["spawn", "fork", "forkserver"])
def test_processes_of_multiprocessing_check_in(service_name: str, method: str) -> None:
    """In a process of its own, since forkserver and the resource tracker stay for good."""
    program = (
        "import multiprocessing, test_process\n"
        f"name = {service_name!r}\n"
        "with cp.Server(service_name=name) as server:\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    process = context.Process(\n"
        "        target=test_process.hand_over_task, args=(name, server.token)\n"
        "    )\n"
        "    process.start()\n"
        "    with server.accept(DEADLINE) as check_in:\n"
        "        assert check_in.sender.pid == process.pid\n"
        "    process.join(DEADLINE)\n"
        "    assert process.exitcode == 0\n"
    )
    assert method in multiprocessing.get_all_start_methods()
    path = [os.path.dirname(__file__), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}
    result = subprocess.run(python(program), env=environment, timeout=DEADLINE)
    assert result.returncode == 0


def test_threads_start_children_side_by_side() -> None:
    """No child holds another's pipe open, none is mistaken for another."""
    failed: list[BaseException] = []

    def one() -> None:
        try:
            with cp.Popen(
                python("cp.check_in_to_parent(cp.task_self(), timeout=DEADLINE)")
            ) as child:
                with child.accept(DEADLINE) as check_in:
                    assert check_in.sender.pid == child.pid
                with pytest.raises(cp.PeerGone):
                    child.accept(DEADLINE)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert failed == []


def test_a_process_out_of_descriptors_says_which_limit_and_recovers() -> None:
    program = (
        "import resource\n"
        "server = cp.Server(service_name=f'child_port.test.{os.getpid()}')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "ports = []\n"
        "try:\n"
        "    while True: ports.append(cp.ReceiveRight())\n"
        "except cp.ResourceShortage as error:\n"
        "    assert 'RLIMIT_NOFILE' in str(error), error\n"
        "for use in (cp.Server, lambda: cp.Popen(['true']), lambda: cp.Handshake().run_server()):\n"
        "    try: use()\n"
        "    except OSError: pass\n"
        "    else: sys.exit(2)\n"
        "for port in ports: port.close()\n"
        "with cp.Popen(['true']) as child: pass\n"
        "with server.make_send() as right:\n"
        "    cp.check_in(right, server.token, right, timeout=DEADLINE)\n"
        "    server.accept(DEADLINE).port.close()\n"
        "server.close()\n"
    )
    if sys.platform != "linux":
        pytest.skip("rights cost no descriptors on macOS")
    command = [sys.executable, "-W", "error", *python(program)[1:]]
    result = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (0, "")
