"""Handshake: how it ends when the peer dies, time runs out, or somebody calls it off."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable

import child_port as cp
import pytest
from child_port import _invitation
from faults import fork
from support import (
    DEADLINE,
    INVITATION_HEAD,
    SOON,
    TOKEN,
    cancelled_soon,
    client_process,
    descriptors,
    fill,
    fill_queue,
    interrupted,
    python,
    read_invitation,
    running,
)

# --- the peer dies --------------------------------------------------------------------------------

KILL = "os.kill(os.getpid(), 9)\n"
READ = "import struct\ntoken, n = struct.unpack('=QI', os.read(fd, 12))\nname = os.read(fd, n)\n"


@pytest.mark.parametrize(
    "program",
    [
        KILL,
        "os.read(fd, 3)\n" + KILL,
        READ + KILL,
        READ + "right = cp.bootstrap.look_up(name.decode())\n" + KILL,
        "os.close(fd)\ntime.sleep(30)\n",
        READ + "os.close(fd)\ntime.sleep(30)\n",
    ],
)
def test_the_server_knows_at_once_that_the_client_is_gone(program: str) -> None:
    handshake = cp.Handshake()
    with client_process(handshake, program), pytest.raises(cp.PeerGone):
        handshake.run_server(timeout=DEADLINE)


def test_a_check_in_just_before_the_end_is_taken(pipe: tuple[int, int]) -> None:
    """The pipe is at its end, and the check-in in the queue, when the server starts to wait."""
    read, write = pipe

    def client() -> None:
        token, name = read_invitation(read)
        with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
            cp.check_in(server, token, task, timeout=DEADLINE)
        os.close(read)

    for _ in range(20):
        with running(client):
            cp.Handshake.run_server_for_fd(write, timeout=DEADLINE).close()
        read, write = os.pipe()
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("length", [0, 5, 12, 14])
def test_the_client_knows_at_once_that_the_server_is_gone(length: int) -> None:
    """A server that is killed when so much of its invitation is in the pipe."""
    handshake = cp.Handshake()
    fd = handshake.server_write_fd
    data = (INVITATION_HEAD.pack(TOKEN, 50) + b"n" * 50)[:length]
    program = f"os.write({fd}, {data!r})\n{KILL}"
    with subprocess.Popen(python(program), pass_fds=[fd]), cp.task_self() as task:
        with pytest.raises(cp.PeerGone):
            handshake.run_client(task, timeout=DEADLINE)
        assert not task.closed


def test_a_server_killed_after_its_invitation_leaves_the_right_with_the_client() -> None:
    handshake = cp.Handshake()
    fd = handshake.server_write_fd
    program = (
        f"import threading; threading.Timer(0.3, os.kill, (os.getpid(), 9)).start()\n"
        f"cp.Handshake.run_server_for_fd({fd}, cp.SendOnceRight, timeout=DEADLINE)\n"
    )
    with subprocess.Popen(python(program), pass_fds=[fd]) as process, cp.ReceiveRight() as port:
        process.wait(DEADLINE)
        with pytest.raises(cp.PeerGone):
            handshake.run_client(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        port.make_send().close()


def test_a_server_whose_client_is_gone_gets_no_sigpipe() -> None:
    """Also where the program has not asked for SIGPIPE to be ignored."""
    program = (
        "import signal\n"
        "signal.signal(signal.SIGPIPE, signal.SIG_DFL)\n"
        "read, write = os.pipe()\n"
        "os.close(read)\n"
        "try:\n"
        "    cp.Handshake.run_server_for_fd(write, timeout=DEADLINE)\n"
        "except cp.PeerGone:\n"
        "    sys.exit(signal.SIGPIPE in signal.pthread_sigmask(signal.SIG_BLOCK, []))\n"
    )
    assert subprocess.run(python(program), timeout=DEADLINE).returncode == 0


# --- the other ends of a wait ---------------------------------------------------------------------

Side = Callable[[tuple[int, int], float | None, cp.CancelToken | None], object]


def as_server(
    pipe: tuple[int, int], timeout: float | None, cancel: cp.CancelToken | None
) -> object:
    """Waits for a client that never comes."""
    return cp.Handshake.run_server_for_fd(pipe[1], timeout=timeout, cancel=cancel)


def as_server_with_a_full_pipe(
    pipe: tuple[int, int], timeout: float | None, cancel: cp.CancelToken | None
) -> object:
    """Waits for room for its invitation."""
    fill(pipe[1])
    return cp.Handshake.run_server_for_fd(pipe[1], timeout=timeout, cancel=cancel)


def as_client(
    pipe: tuple[int, int], timeout: float | None, cancel: cp.CancelToken | None
) -> object:
    """Waits for the rest of an invitation."""
    os.write(pipe[1], INVITATION_HEAD.pack(TOKEN, 20)[:9])
    with cp.task_self() as task:
        cp.Handshake.run_client_for_fd(pipe[0], task, timeout=timeout, cancel=cancel)
    return None


sides = pytest.mark.parametrize("side", [as_server, as_server_with_a_full_pipe, as_client])


@sides
@pytest.mark.parametrize("timeout", [0, SOON])
def test_the_deadline_holds_while_a_third_process_keeps_the_pipe_open(
    pipe: tuple[int, int], side: Side, timeout: float
) -> None:
    """This process itself: it has the other end, and does nothing with it."""
    before = time.monotonic()
    with pytest.raises(cp.TimedOut) as caught:
        side(pipe, timeout, None)
    assert time.monotonic() - before >= timeout * 0.9
    assert caught.value.errno == errno.ETIMEDOUT


@sides
def test_another_thread_can_cancel(pipe: tuple[int, int], side: Side) -> None:
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        side(pipe, DEADLINE, cancel)


@sides
def test_a_token_that_is_cancelled_already_ends_the_wait(pipe: tuple[int, int], side: Side) -> None:
    cancel = cp.CancelToken()
    cancel.cancel()
    with pytest.raises(cp.Cancelled):
        side(pipe, None, cancel)


def test_the_look_for_the_end_of_a_server_that_nobody_finds_is_called_off(
    pipe: tuple[int, int], service_name: str
) -> None:
    os.write(pipe[1], INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode())
    with cancelled_soon() as cancel, pytest.raises(cp.Cancelled):
        cp.Handshake.run_client_for_fd(pipe[0], None, cancel=cancel)


@pytest.mark.parametrize("others", [False, True])
def test_a_token_of_before_a_fork_ends_no_wait_of_a_forked_process(
    pipe: tuple[int, int], others: bool
) -> None:
    """Its descriptor is readable there, too; that is nobody's end."""
    token = cp.CancelToken(cp.CancelToken()) if others else cp.CancelToken()

    def client() -> None:
        with pytest.raises(ValueError, match="before a fork"):
            cp.Handshake.run_client_for_fd(pipe[0], None, timeout=DEADLINE, cancel=token)
        with pytest.raises(ValueError, match="before a fork"):
            cp.CancelToken(token)

    token.cancel()
    assert os.waitpid(fork(client), 0)[1] == 0


@sides
def test_ctrl_c_ends_the_wait(pipe: tuple[int, int], side: Side) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted():
        side(pipe, DEADLINE, None)


def test_a_client_whose_server_does_not_drain_its_queue_times_out(
    pipe: tuple[int, int], service_name: str
) -> None:
    read, write = pipe
    os.write(write, INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode())
    with cp.Server(service_name=service_name) as server, server.make_send() as right:
        fill_queue(right)
        with cp.ReceiveRight() as port:
            with pytest.raises(cp.TimedOut):
                cp.Handshake.run_client_for_fd(
                    read, port, cp.Disposition.MOVE_RECEIVE, timeout=SOON
                )
            port.make_send().close()


# --- the object -----------------------------------------------------------------------------------


def test_its_descriptors_are_not_inherited_unless_passed() -> None:
    with cp.Handshake() as handshake:
        assert not os.get_inheritable(handshake.client_read_fd)
        assert not os.get_inheritable(handshake.server_write_fd)


def test_running_a_side_closes_both_ends() -> None:
    with cp.Handshake() as handshake:
        client, server = handshake.client_read_fd, handshake.server_write_fd
        with pytest.raises(cp.PeerGone):
            handshake.run_server(timeout=DEADLINE)
        assert not {client, server} & descriptors().keys()
        for run in (handshake.run_server, lambda: handshake.run_client(None)):
            with pytest.raises(ValueError, match="run already"):
                run()
        with pytest.raises(ValueError, match="closed"):
            _ = handshake.client_read_fd


def test_closing_twice_and_forgetting_to_are_fine() -> None:
    handshake = cp.Handshake()
    handshake.close()
    handshake.close()
    cp.Handshake()


def test_wrong_arguments_leave_the_handshake_usable() -> None:
    with cp.Handshake() as handshake:
        with pytest.raises(TypeError, match="type of right"):
            handshake.run_server(int, timeout=0)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="type of right"):
            handshake.run_server((), timeout=0)
        with pytest.raises(ValueError, match="timeout"):
            handshake.run_server(timeout=-1)
        with pytest.raises(ValueError, match="timeout"):
            handshake.run_client(None, timeout=float("nan"))
        os.fstat(handshake.client_read_fd)
        os.fstat(handshake.server_write_fd)


def test_what_is_no_pipe_is_refused() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        cp.Handshake.run_server_for_fd(10**6, timeout=1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        cp.Handshake.run_client_for_fd(10**6, None, timeout=1)
    with pytest.raises(OSError, match="directory"):
        cp.Handshake.run_client_for_fd(os.open("/", os.O_RDONLY), None, timeout=1)


def test_a_thousand_handshakes_leave_nothing() -> None:
    """What they leave open, if anything, the fixture sees."""

    def client(read: int) -> None:
        cp.Handshake.run_client_for_fd(
            read, cp.ReceiveRight(), cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE
        )

    for _ in range(1000):
        read, write = os.pipe()
        thread = threading.Thread(target=client, args=[read])
        thread.start()
        cp.Handshake.run_server_for_fd(write, cp.ReceiveRight, timeout=DEADLINE).close()
        thread.join(DEADLINE)


def test_the_token_is_not_in_what_is_shown() -> None:
    from child_port._invitation import Invitation

    assert str(TOKEN) not in repr(Invitation(TOKEN, "name"))


def test_a_handler_that_raises_while_sigpipe_is_blocked_leaves_it_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = signal.pthread_sigmask

    def interrupted_after(how: int, mask: Iterable[int]) -> set[int]:
        before = real(how, mask)
        if how == signal.SIG_BLOCK and signal.SIGPIPE in mask:
            raise KeyboardInterrupt
        return before

    monkeypatch.setattr(signal, "pthread_sigmask", interrupted_after)
    reading, writing = os.pipe()
    try:
        with pytest.raises(KeyboardInterrupt):
            _invitation._write_without_sigpipe(writing, b"x")
    finally:
        os.close(reading)
        os.close(writing)
    assert signal.SIGPIPE not in real(signal.SIG_BLOCK, ())


def test_a_server_that_cannot_be_made_leaves_no_port() -> None:
    before = len(cp.ledger())
    with pytest.raises(TypeError) as refused:
        cp.Handshake().run_server(timeout=DEADLINE, expected_pid="one")  # type: ignore[call-overload]
    assert len(cp.ledger()) == before, refused
