"""Handshake: rights cross between processes, the other side's end and lies are typed errors."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time

import child_port as cp
import pytest
from support import (
    DEADLINE,
    INVITATION_HEAD,
    SOON,
    TOKEN,
    client_process,
    fill,
    python,
    read_invitation,
    right_of,
    running,
)

WAIT = "time.sleep(60)\n"
"""Rights live for as long as the client does, which is killed in the end."""

# --- what crosses ---------------------------------------------------------------------------------


def test_a_child_hands_over_its_task() -> None:
    handshake = cp.Handshake()
    program = "cp.Handshake.run_client_for_fd(fd, cp.task_self(), timeout=DEADLINE)\n" + WAIT
    with (
        client_process(handshake, program) as process,
        handshake.run_server(timeout=DEADLINE, expected_pid=process.pid) as right,
    ):
        assert cp.pid_for_task(right) == process.pid


@pytest.mark.parametrize(
    ("disposition", "kind"),
    [
        (cp.Disposition.MAKE_SEND, cp.SendRight),
        (cp.Disposition.MAKE_SEND_ONCE, cp.SendOnceRight),
        (cp.Disposition.MOVE_RECEIVE, cp.ReceiveRight),
    ],
)
def test_every_type_of_right_crosses(disposition: cp.Disposition, kind: type[cp.Right]) -> None:
    handshake = cp.Handshake()
    program = (
        "port = cp.ReceiveRight()\n"
        f"cp.Handshake.run_client_for_fd(fd, port, {int(disposition)}, timeout=DEADLINE)\n" + WAIT
    )
    with (
        client_process(handshake, program),
        handshake.run_server(kind, timeout=DEADLINE) as right,
    ):
        assert type(right) is kind


def test_the_server_may_be_the_child() -> None:
    handshake = cp.Handshake()
    fd = handshake.server_write_fd
    program = (
        f"right = cp.Handshake.run_server_for_fd({fd}, cp.ReceiveRight, timeout=DEADLINE)\n"
        "with cp.Server(right, token=0) as server:\n"
        "    server.accept(DEADLINE).port.close()\n"
    )
    port = cp.ReceiveRight()
    with (
        subprocess.Popen(python(program), pass_fds=[fd]) as process,
        port.make_send() as right,
        cp.task_self() as task,
    ):
        handshake.run_client(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        assert port.closed
        cp.check_in(right, 0, task, timeout=DEADLINE)
        assert process.wait(DEADLINE) == 0


def test_after_a_fork_each_process_runs_its_side() -> None:
    handshake = cp.Handshake()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            port = cp.ReceiveRight()
            handshake.run_client(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
            status = 0
        finally:
            os._exit(status)
    handshake.run_server(cp.ReceiveRight, timeout=DEADLINE, expected_pid=pid).close()
    assert os.waitpid(pid, 0)[1] == 0


def test_one_of_several_types_may_be_expected() -> None:
    handshake = cp.Handshake()
    program = (
        "port = cp.ReceiveRight()\n"
        "cp.Handshake.run_client_for_fd(fd, port, 21, timeout=DEADLINE)\n" + WAIT
    )
    with (
        client_process(handshake, program),
        handshake.run_server((cp.SendRight, cp.SendOnceRight), timeout=DEADLINE) as right,
    ):
        assert type(right) is cp.SendOnceRight


# --- the wire -------------------------------------------------------------------------------------


def test_the_pipe_carries_token_length_and_name(pipe: tuple[int, int]) -> None:
    """Played by hand, as Crashpad's client does it: the format is fixed."""
    read, write = pipe

    def client() -> None:
        token, name = read_invitation(read)
        assert name.startswith(f"org.child-port.handshake.{os.getpid()}.")
        assert len(name.rpartition(".")[2]) == 16
        with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
            cp.check_in(server, token, task, timeout=DEADLINE)

    with running(client), cp.Handshake.run_server_for_fd(write, timeout=DEADLINE) as right:
        assert cp.pid_for_task(right) == os.getpid()


def test_a_client_follows_an_invitation_made_by_hand(
    pipe: tuple[int, int], service_name: str
) -> None:
    """Played by hand, as Crashpad's server does it."""
    read, write = pipe
    with cp.Server(service_name=service_name, token=TOKEN) as server, cp.task_self() as task:
        os.write(write, INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode())
        cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)
        with server.accept(0) as check_in:
            assert check_in.token == TOKEN


def test_an_invitation_may_come_byte_by_byte(pipe: tuple[int, int], service_name: str) -> None:
    read, write = pipe
    data = INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode()

    def trickle() -> None:
        for byte in data:
            os.write(write, bytes([byte]))
            time.sleep(0.001)

    with (
        cp.Server(service_name=service_name, token=TOKEN) as server,
        cp.task_self() as task,
        running(trickle),
    ):
        cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)
        right_of(server.accept(0)).close()


def test_an_invitation_may_leave_in_small_pieces(pipe: tuple[int, int]) -> None:
    """The pipe is full, and drained a page at a time."""
    read, write = pipe
    if sys.platform == "linux":
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    filled = fill(write)

    def client() -> None:
        time.sleep(SOON)
        left = filled
        while left:
            left -= len(os.read(read, min(left, 100)))
        token, name = read_invitation(read)
        with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
            cp.check_in(server, token, task, timeout=DEADLINE)

    with running(client), cp.Handshake.run_server_for_fd(write, timeout=DEADLINE) as right:
        assert cp.pid_for_task(right) == os.getpid()


def test_an_invitation_is_written_to_its_end_however_little_goes_at_a_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, write = pipe
    write_all = os.write

    def client() -> None:
        token, name = read_invitation(read)
        with cp.bootstrap.look_up(name) as server:
            cp.check_in(server, token, cp.ReceiveRight(), 16, timeout=DEADLINE)

    monkeypatch.setattr(os, "write", lambda fd, data: write_all(fd, data[:1]))
    os.set_blocking(read, True)
    with running(client):
        cp.Handshake.run_server_for_fd(write, cp.ReceiveRight, timeout=DEADLINE).close()


# --- the client does not believe the pipe ---------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (INVITATION_HEAD.pack(TOKEN, 0), "0 bytes"),
        (INVITATION_HEAD.pack(TOKEN, 128), "128 bytes"),
        (INVITATION_HEAD.pack(TOKEN, 2**31), "2147483648 bytes"),
        (INVITATION_HEAD.pack(TOKEN, 2**32 - 1), "4294967295 bytes"),
        (INVITATION_HEAD.pack(TOKEN, 3) + b"\xff\xfe\xfd", "not UTF-8"),
        (INVITATION_HEAD.pack(TOKEN, 3) + b"a\0b", "NUL"),
        (b"GET / HTTP/1.0\r\n\r\n", "bytes"),
    ],
)
def test_what_is_no_invitation_is_refused(pipe: tuple[int, int], data: bytes, said: str) -> None:
    read, write = pipe
    os.write(write, data)
    with cp.task_self() as task:
        with pytest.raises(cp.HandshakeError, match=said):
            cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)
        assert not task.closed


def test_the_longest_name_is_followed(pipe: tuple[int, int]) -> None:
    read, write = pipe
    name = "child_port.test.".ljust(127, "n")
    os.write(write, INVITATION_HEAD.pack(TOKEN, len(name)) + name.encode())
    with cp.task_self() as task, pytest.raises(cp.UnknownService):
        cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)


@pytest.mark.parametrize("length", [0, 1, 7, 8, 11, 12, 13, 20])
def test_an_invitation_that_ends_early_means_that_the_server_is_gone(
    pipe: tuple[int, int], length: int
) -> None:
    read, write = pipe
    os.write(write, (INVITATION_HEAD.pack(TOKEN, 20) + b"n" * 20)[:length])
    os.close(write)
    with cp.task_self() as task, pytest.raises(cp.PeerGone, match=f"after {length} bytes"):
        cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)


def test_a_server_that_ends_before_the_check_in_is_gone(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, INVITATION_HEAD.pack(TOKEN, 10) + b"no.service")
    os.close(write)
    with cp.ReceiveRight() as port:
        with pytest.raises(cp.PeerGone):
            cp.Handshake.run_client_for_fd(read, port, cp.Disposition.MOVE_RECEIVE, timeout=1)
        port.make_send().close()


def test_a_name_that_nobody_serves_is_not_a_dead_server(pipe: tuple[int, int]) -> None:
    read, write = pipe
    os.write(write, INVITATION_HEAD.pack(TOKEN, 10) + b"no.service")
    with cp.task_self() as task, pytest.raises(cp.UnknownService):
        cp.Handshake.run_client_for_fd(read, task, timeout=DEADLINE)


# --- the server does not believe the client -------------------------------------------------------


KINDS = (cp.SendRight, cp.SendOnceRight, cp.ReceiveRight)
SENT = [("port, 20", KINDS[0]), ("port, 21", KINDS[1]), ("port, 16", KINDS[2]), ("None", None)]


@pytest.mark.parametrize(
    ("sent", "received", "expected"),
    [(*sent, expected) for sent in SENT for expected in KINDS if sent[1] is not expected],
)
def test_another_type_than_expected_is_released_and_reported(
    sent: str, received: type[cp.Right] | None, expected: type[cp.Right]
) -> None:
    handshake = cp.Handshake()
    program = (
        "port = cp.ReceiveRight()\n"
        f"cp.Handshake.run_client_for_fd(fd, {sent}, timeout=DEADLINE)\n" + WAIT
    )
    with client_process(handshake, program):
        with pytest.raises(cp.RightTypeMismatch) as caught:
            handshake.run_server(expected, timeout=DEADLINE)
        assert caught.value.expected == (expected,)
        assert caught.value.received is received


def test_a_right_that_died_on_the_way_is_reported_as_a_dead_name(pipe: tuple[int, int]) -> None:
    read, write = pipe

    def client() -> None:
        token, name = read_invitation(read)
        with cp.bootstrap.look_up(name) as server, cp.ReceiveRight() as port:
            right = port.make_send()
            port.close()
            cp.check_in(server, token, right, cp.Disposition.MOVE_SEND, timeout=DEADLINE)

    with running(client), pytest.raises(cp.RightTypeMismatch) as caught:
        cp.Handshake.run_server_for_fd(write, timeout=DEADLINE)
    assert caught.value.received is cp.DeadName


def test_wrong_tokens_do_not_end_the_handshake(pipe: tuple[int, int]) -> None:
    read, write = pipe

    def client() -> None:
        token, name = read_invitation(read)
        with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
            for wrong in (token ^ 1, 0, token ^ 2**63):
                cp.check_in(server, wrong, task, timeout=DEADLINE)
            cp.check_in(server, token, task, timeout=DEADLINE)

    with running(client):
        cp.Handshake.run_server_for_fd(write, timeout=DEADLINE).close()


def test_another_process_than_the_expected_one_is_not_heard() -> None:
    handshake = cp.Handshake()
    program = "cp.Handshake.run_client_for_fd(fd, cp.task_self(), timeout=DEADLINE)"
    with client_process(handshake, program), pytest.raises(cp.PeerGone):
        handshake.run_server(timeout=DEADLINE, expected_pid=os.getpid())
