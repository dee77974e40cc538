"""One side of a handshake is killed at each step: the other always knows.

Either it has what it waited for, or a typed error long before the deadline, and what it owned. The
steps are the lines of the package that the victim runs, and, on Linux, the calls that it and
mach_linux make of the C library (faults.c).
"""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

import child_port as cp
import pytest
from child_port._child_link import ChildLink
from child_port._deadline import Deadline
from child_port._parent import _Link
from faults import Arm, Start, disarms, fork, kill_at_every_step, kill_before_line
from support import DEADLINE, descriptors

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
not_sanitized = pytest.mark.skipif(
    SANITIZED, reason="the address sanitizer may hang where a process with threads forks"
)
survives_fork = pytest.mark.skipif(
    cp.PLATFORM == "darwin", reason="who plays the child is forked, which there inherits no right"
)
transports = pytest.mark.parametrize(
    "transport", ["bootstrap", pytest.param("inherited", marks=survives_fork)]
)
Transport = Literal["bootstrap", "inherited"]
MOVE = cp.Disposition.MOVE_RECEIVE


def hand_over(send: Callable[[cp.ReceiveRight], object]) -> str:
    """Send a receive right. It must be this process's own still if that failed."""
    with cp.ReceiveRight() as port:
        try:
            send(port)
        except cp.PeerGone:
            port.make_send().close()
            return "gone"
        assert port.closed
        return "sent"


def take(receive: Callable[[], Any]) -> str:
    try:
        received = receive()
    except cp.PeerGone:
        return "gone"
    right = received.port if isinstance(received, cp.CheckIn) else received
    assert isinstance(right, cp.ReceiveRight)
    right.close()
    return "received"


def check(endings: list[str], well: str) -> None:
    """Killed first of all the peer is gone, and not killed it is well; between, one or the other.

    Which of them is the kernel's to say where the survivor does its part at the same time.
    """
    assert endings[0] == "gone"
    assert endings[-1] == well
    assert set(endings) == {"gone", well}
    assert len(endings) > 10, "too few steps to be the handshake"


# --- what is played -------------------------------------------------------------------------------


def client_of_handshake(start: Start, transport: Transport) -> str:
    with cp.Handshake(transport=transport) as handshake:
        with handshake.inheriting():
            start(lambda: handshake.run_client(cp.ReceiveRight(), MOVE, timeout=DEADLINE))
        return take(lambda: handshake.run_server(cp.ReceiveRight, timeout=DEADLINE))


def server_of_handshake(start: Start, transport: Transport) -> str:
    with cp.Handshake(transport=transport) as handshake:
        start(lambda: handshake.run_server(cp.ReceiveRight, timeout=DEADLINE).close())
        return hand_over(lambda port: handshake.run_client(port, MOVE, timeout=DEADLINE))


# Popen's two sides, without the exec.


@contextmanager
def child_link_of(fds: list[int]) -> Iterator[_Link]:
    """The child's side of a parent's link, in a process that the parent has forked."""
    with closing(_Link(fds[0], fds[1], os.getppid())) as link:
        yield link


def start_child(link: ChildLink, start: Start, run: Callable[[list[int]], object]) -> None:
    """Start what plays the child, with its ends of the pipes: forking closes the parent's."""
    with link.spawning([], {}) as options:
        kept = [os.dup(fd) for fd in options["pass_fds"][:2]]
        pid = start(lambda: run(kept))
    for fd in kept:
        os.close(fd)
    link.started(pid, True)


def child_that_checks_in(start: Start, transport: Transport, key: str | None = None) -> str:
    def child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            link.check_in(cp.ReceiveRight(), MOVE, key, Deadline(DEADLINE), None)

    with closing(ChildLink(transport)) as link:
        start_child(link, start, child)
        server = link.server
        assert server is not None
        return take(lambda: server.accept(DEADLINE, key=key, watch_fd=link.watch_fd))


def child_that_checks_in_with_a_key(start: Start, transport: Transport) -> str:
    return child_that_checks_in(start, transport, "key")


def child_that_receives(start: Start, transport: Transport) -> str:
    def child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            take(lambda: link.receive(Deadline(DEADLINE), None))

    with closing(ChildLink(transport)) as link:
        start_child(link, start, child)
        return hand_over(lambda port: link.send(port, MOVE, Deadline(DEADLINE), None))


def survivor_of_parent(
    start: Start,
    transport: Transport,
    child: Callable[[_Link], str],
    parent: Callable[[ChildLink], object],
) -> str:
    """The victim is the parent, and starts the child itself, which reports."""
    report, reports = os.pipe()

    def run_child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            try:
                ending = child(link)
            except BaseException as error:
                ending = repr(error)
            os.write(reports, ending.encode())

    def victim() -> None:
        with closing(ChildLink(transport)) as link:
            start_child(link, fork, run_child)
            parent(link)

    start(victim)
    os.close(reports)
    with open(report, encoding="ascii") as file:
        return file.read() or "gone"


def parent_that_accepts(start: Start, transport: Transport) -> str:
    def child(link: _Link) -> str:
        return hand_over(lambda port: link.check_in(port, MOVE, None, Deadline(DEADLINE), None))

    def parent(link: ChildLink) -> None:
        server = link.server
        assert server is not None
        take(lambda: server.accept(DEADLINE, watch_fd=link.watch_fd))

    return survivor_of_parent(start, transport, child, parent)


def parent_that_sends(start: Start, transport: Transport) -> str:
    def child(link: _Link) -> str:
        return take(lambda: link.receive(Deadline(DEADLINE), None))

    def parent(link: ChildLink) -> None:
        hand_over(lambda port: link.send(port, MOVE, Deadline(DEADLINE), None))

    return survivor_of_parent(start, transport, child, parent)


def kill_victim(
    play: Callable[[Start, Transport], str],
    transport: Transport,
    well: str,
    arm: Arm = kill_before_line,
) -> int:
    """Play it with the victim killed at each of its steps; how many there were."""
    endings = kill_at_every_step(lambda start: play(start, transport), arm)
    check(endings, well)
    return len(endings)


# --- killed before each line ----------------------------------------------------------------------


@transports
def test_the_client_of_a_handshake_is_killed_at_every_step(transport: Transport) -> None:
    kill_victim(client_of_handshake, transport, "received")


def test_the_server_of_a_handshake_is_killed_at_every_step() -> None:
    kill_victim(server_of_handshake, "bootstrap", "sent")


@transports
def test_a_child_that_checks_in_is_killed_at_every_step(transport: Transport) -> None:
    kill_victim(child_that_checks_in, transport, "received")


@transports
def test_a_child_that_checks_in_with_a_key_is_killed_at_every_step(transport: Transport) -> None:
    kill_victim(child_that_checks_in_with_a_key, transport, "received")


@transports
def test_a_child_that_receives_is_killed_at_every_step(transport: Transport) -> None:
    kill_victim(child_that_receives, transport, "sent")


@survives_fork
@not_sanitized
def test_a_parent_that_accepts_is_killed_at_every_step() -> None:
    kill_victim(parent_that_accepts, "inherited", "sent")


@not_sanitized
def test_a_parent_that_sends_is_killed_at_every_step() -> None:
    kill_victim(parent_that_sends, "bootstrap", "received")


# --- killed before each call ----------------------------------------------------------------------


def main(name: str, transport: Transport, well: str) -> None:
    """In a process into which faults.c was loaded: nothing may be open afterwards, either."""
    arm = ctypes.CDLL(None).faults_arm
    arm.argtypes, arm.restype = [ctypes.c_long], None
    play = globals()[name]
    disarms.append(lambda: arm(0))
    play(fork, transport)  # what the first use makes for good
    before = descriptors()
    steps = kill_victim(play, transport, well, arm)
    give_up = time.monotonic() + DEADLINE
    # A thread of mach_linux's may close some a little later: before the first count or after it.
    while not descriptors().keys() <= before.keys():
        assert time.monotonic() < give_up, (before, descriptors())
        time.sleep(0.01)
    print("steps:", steps)


@pytest.fixture(scope="session")
def faults_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    subprocess.run([*compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@pytest.mark.skipif(sys.platform != "linux", reason="it is mach_linux that makes these calls")
@pytest.mark.skipif(SANITIZED, reason="it replaces some of these calls too")
@pytest.mark.parametrize(
    ("play", "transport", "well"),
    [
        (client_of_handshake, "bootstrap", "received"),
        pytest.param(client_of_handshake, "inherited", "received", marks=survives_fork),
        (server_of_handshake, "bootstrap", "sent"),
        (child_that_checks_in_with_a_key, "bootstrap", "received"),
        (child_that_receives, "bootstrap", "sent"),
        pytest.param(child_that_receives, "inherited", "sent", marks=survives_fork),
        (parent_that_accepts, "bootstrap", "sent"),
        pytest.param(parent_that_sends, "inherited", "received", marks=survives_fork),
    ],
)
def test_one_side_is_killed_at_every_call(
    faults_library: Path, play: Callable[..., str], transport: str, well: str
) -> None:
    preload = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(faults_library)]))
    program = f"import test_faults; test_faults.main({play.__name__!r}, {transport!r}, {well!r})"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parent,
        env=os.environ | {"LD_PRELOAD": preload},
        capture_output=True,
        text=True,
        timeout=10 * DEADLINE,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("steps: ")
