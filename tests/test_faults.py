"""One side of a handshake is killed before each line that it runs: the other always knows.

Either it has what it waited for, or a typed error long before the deadline, and what it owned.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any, Literal

import child_port as cp
import pytest
from child_port._child_link import ChildLink
from child_port._deadline import Deadline
from child_port._parent import _Link
from faults import Start, fork, kill_at_every_step
from support import DEADLINE

transports = pytest.mark.parametrize("transport", ["bootstrap", "inherited"])
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
    assert len(endings) > 20, "too few steps to be the handshake"


# --- Handshake ------------------------------------------------------------------------------------


@transports
def test_the_client_of_a_handshake_is_killed_at_every_step(transport: Transport) -> None:
    def play(start: Start) -> str:
        with cp.Handshake(transport=transport) as handshake:
            with handshake.inheriting():
                start(lambda: handshake.run_client(cp.ReceiveRight(), MOVE, timeout=DEADLINE))
            return take(lambda: handshake.run_server(cp.ReceiveRight, timeout=DEADLINE))

    check(kill_at_every_step(play), "received")


def test_the_server_of_a_handshake_is_killed_at_every_step() -> None:
    def play(start: Start) -> str:
        with cp.Handshake() as handshake:
            start(lambda: handshake.run_server(cp.ReceiveRight, timeout=DEADLINE).close())
            return hand_over(lambda port: handshake.run_client(port, MOVE, timeout=DEADLINE))

    check(kill_at_every_step(play), "sent")


# --- Popen, without the exec ----------------------------------------------------------------------


@contextmanager
def child_link_of(fds: list[int]) -> Iterator[_Link]:
    """The child's side of a parent's link, in a process that the parent has forked."""
    with closing(_Link(fds[0], fds[1], os.getppid())) as link:
        yield link


def start_child(link: ChildLink, start: Start, run: Callable[[list[int]], object]) -> None:
    """Start what plays the child, with its ends of the pipes: forking closes the parent's."""
    with link.spawning() as fds:
        kept = [os.dup(fd) for fd in fds[:2]]
        pid = start(lambda: run(kept))
    for fd in kept:
        os.close(fd)
    link.started(pid, True)


@transports
@pytest.mark.parametrize("key", [None, "key"])
def test_a_child_that_checks_in_is_killed_at_every_step(
    transport: Transport, key: str | None
) -> None:
    def child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            link.check_in(cp.ReceiveRight(), MOVE, key, Deadline(DEADLINE), None)

    def play(start: Start) -> str:
        with closing(ChildLink(transport)) as link:
            start_child(link, start, child)
            server = link.server
            assert server is not None
            return take(lambda: server.accept(DEADLINE, key=key, watch_fd=link.watch_fd))

    check(kill_at_every_step(play), "received")


@transports
def test_a_child_that_receives_is_killed_at_every_step(transport: Transport) -> None:
    def child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            take(lambda: link.receive(Deadline(DEADLINE), None))

    def play(start: Start) -> str:
        with closing(ChildLink(transport)) as link:
            start_child(link, start, child)
            return hand_over(lambda port: link.send(port, MOVE, Deadline(DEADLINE), None))

    check(kill_at_every_step(play), "sent")


def survivor_of(
    start: Start, transport: Transport, child: Callable[[_Link], str], parent: Any
) -> str:
    """The victim is the parent, and starts the child itself, which reports."""
    report, reports = os.pipe()

    def run_child(fds: list[int]) -> None:
        with child_link_of(fds) as link:
            os.write(reports, child(link).encode())

    def victim() -> None:
        with closing(ChildLink(transport)) as link:
            start_child(link, fork, run_child)
            parent(link)

    start(victim)
    os.close(reports)
    with open(report, encoding="ascii") as file:
        return file.read() or "gone"


@transports
def test_a_parent_that_accepts_is_killed_at_every_step(transport: Transport) -> None:
    def child(link: _Link) -> str:
        return hand_over(lambda port: link.check_in(port, MOVE, None, Deadline(DEADLINE), None))

    def parent(link: ChildLink) -> None:
        server = link.server
        assert server is not None
        take(lambda: server.accept(DEADLINE, watch_fd=link.watch_fd))

    def play(start: Start) -> str:
        return survivor_of(start, transport, child, parent)

    check(kill_at_every_step(play), "sent")


@transports
def test_a_parent_that_sends_is_killed_at_every_step(transport: Transport) -> None:
    def child(link: _Link) -> str:
        return take(lambda: link.receive(Deadline(DEADLINE), None))

    def parent(link: ChildLink) -> None:
        hand_over(lambda port: link.send(port, MOVE, Deadline(DEADLINE), None))

    def play(start: Start) -> str:
        return survivor_of(start, transport, child, parent)

    check(kill_at_every_step(play), "received")
