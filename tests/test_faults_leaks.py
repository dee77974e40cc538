"""What would add up, or be seen from outside: the descriptors and the memory of both sides."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time

import child_port as cp
import pytest
from faults import fork
from support import DEADLINE, TOKEN, descriptors, read_invitation, resident, running

HANDSHAKES = 10_000
WARM_UP = 1000
MOST_GROWTH = 900_000
"""Bytes. 100 a handshake; one lost right object or message is more."""
SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")
"""The address sanitizer keeps what was freed."""


def after_warm_up(round_: object, before: tuple[int, int] | None) -> tuple[int, int] | None:
    return (len(descriptors()), resident()) if round_ == WARM_UP else before


def grown(before: tuple[int, int] | None) -> str:
    """Says what has become more since then; nothing, if all is well."""
    assert before is not None
    give_up = time.monotonic() + DEADLINE
    while (opened := len(descriptors()) - before[0]) > 0 and time.monotonic() < give_up:
        time.sleep(0.01)  # a thread of mach_linux's may have the last one to close yet
    memory = resident() - before[1]
    return (
        f"{opened} descriptors, {memory} bytes"
        if opened > 0 or (memory > MOST_GROWTH and not SANITIZED)
        else ""
    )


def hand_over_all(pipes: socket.socket, report: int) -> None:
    """The client of all the handshakes, whose pipes come to it one by one."""
    before = None
    for round_ in range(HANDSHAKES):
        _, fds, _, _ = socket.recv_fds(pipes, 1, 1)
        os.set_inheritable(fds[0], False)
        cp.Handshake.run_client_for_fd(
            fds[0], cp.ReceiveRight(), cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE
        )
        before = after_warm_up(round_, before)
    os.write(report, (grown(before) or "nothing").encode())


def test_ten_thousand_handshakes_of_two_processes_leave_nothing_in_either() -> None:
    ours, theirs = socket.socketpair()
    report, reports = os.pipe()

    def client() -> None:
        ours.close()
        hand_over_all(theirs, reports)

    pid = fork(client)
    theirs.close()
    os.close(reports)
    before = None
    for round_ in range(HANDSHAKES):
        with cp.Handshake() as handshake:
            socket.send_fds(ours, [b"x"], [handshake.client_read_fd])
            handshake.run_server(cp.ReceiveRight, timeout=DEADLINE, expected_pid=pid).close()
        before = after_warm_up(round_, before)
    assert grown(before) == ""
    ours.close()
    with open(report, encoding="ascii") as file:
        assert file.read() == "nothing"
    assert os.waitpid(pid, 0)[1] == 0


def test_every_descriptor_is_closed_over_exec() -> None:
    """But for what a child is to inherit, while it is started."""
    before = descriptors()
    with (
        cp.Handshake() as handshake,
        cp.KeyedServer(service_name="child_port.test.exec." + os.urandom(8).hex()) as server,
        cp.bootstrap.look_up(server.service_name or "") as client,
        cp.ReceiveRight() as port,
        cp.task_self() as task,
    ):
        for right in (client, task, port):
            disposition = cp.Disposition.MAKE_SEND_ONCE if right is port else None
            cp.check_in(client, server.token, right, disposition, timeout=DEADLINE)
        kept = [server.accept(DEADLINE) for _ in range(3)]
        server.fileno()
        opened = descriptors().keys() - before.keys()
        assert {handshake.client_read_fd, handshake.server_write_fd} < opened
        left_open = {
            fd: what
            for fd, what in descriptors().items()
            if fd in opened and not fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        }
        for check_in in kept:
            check_in.__exit__()
    assert left_open == {}


def test_no_descriptor_is_closed_twice() -> None:
    """Other threads take the numbers that are free; a second close would be of theirs."""
    stop = threading.Event()
    lost = []

    def keep_opening() -> None:
        while not stop.is_set():
            ends = os.pipe()
            identities = [os.fstat(end).st_ino for end in ends]
            stop.wait(0.0005)
            for end, identity in zip(ends, identities, strict=True):
                try:
                    if os.fstat(end).st_ino != identity:
                        lost.append(f"descriptor {end} is another")
                    os.close(end)
                except OSError as error:
                    lost.append(f"descriptor {end}: {error}")

    def client(read: int) -> None:
        cp.Handshake.run_client_for_fd(
            read, cp.ReceiveRight(), cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE
        )

    with running(keep_opening), running(keep_opening):
        try:
            for _ in range(200):
                read, write = os.pipe()
                with running(lambda read=read: client(read)):  # type: ignore[misc]
                    cp.Handshake.run_server_for_fd(write, cp.ReceiveRight, timeout=DEADLINE).close()
                with cp.Server(token=TOKEN) as server, server.make_send() as right:
                    cp.check_in(right, TOKEN ^ 1, cp.ReceiveRight(), cp.Disposition.MOVE_RECEIVE)
                    cp.check_in(right, TOKEN, right)
                    server.accept(DEADLINE).__exit__()
        finally:
            stop.set()
    assert lost == []


def test_an_invitation_is_good_for_one_handshake(pipe: tuple[int, int]) -> None:
    """Who has read it, too, comes too late once the right is there."""
    read, write = pipe
    copy = os.dup(read)
    came: list[tuple[int, str]] = []

    def client() -> None:
        came.append(read_invitation(read))
        token, name = came[0]
        with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
            cp.check_in(server, token, task, timeout=DEADLINE)

    with running(client), cp.Handshake.run_server_for_fd(write, timeout=DEADLINE):
        pass
    with pytest.raises(cp.UnknownService):
        cp.bootstrap.look_up(came[0][1])
    with cp.ReceiveRight() as port:
        with pytest.raises(cp.PeerGone):
            cp.Handshake.run_client_for_fd(
                copy, port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE
            )
        port.make_send().close()
