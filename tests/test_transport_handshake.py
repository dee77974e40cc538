"""Handshake by a right that the client inherits, where no service name may be registered."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import child_port as cp
import pytest
from child_port import _child_port as ext
from support import (
    DEADLINE,
    INVITATION_HEAD,
    TOKEN,
    python,
    read_invitation,
    running,
)
from transport_support import (
    NOTHING,
    all_slots_in_use,
    fork_passes_on,
    fork_takes_away,
    refuse_names,
    registered_names,
)

if TYPE_CHECKING:
    from conftest import StartChild

WAIT = "time.sleep(60)\n"
AS_CLIENT = "cp.Handshake.run_client_for_fd({fd}, cp.task_self(), timeout=DEADLINE)\n" + WAIT


@pytest.fixture
def no_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_names(tmp_path, monkeypatch)


@pytest.fixture
def user_of_registered_ports() -> Iterator[list[cp.SendRight]]:
    with all_slots_in_use() as rights:
        yield rights


@contextmanager
def client_of(
    handshake: cp.Handshake, program: str = AS_CLIENT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is started within inheriting(), as that says."""
    fd = handshake.client_read_fd
    with handshake.inheriting():
        os.set_inheritable(fd, True)
        process = subprocess.Popen(
            python(program.format(fd=fd)), close_fds=False, stderr=subprocess.PIPE
        )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_the_client_of_a_handshake_inherits_the_right() -> None:
    with cp.Handshake(transport="inherited") as handshake, client_of(handshake) as process:
        assert registered_names() == NOTHING
        with handshake.run_server(timeout=DEADLINE, expected_pid=process.pid) as right:
            assert cp.pid_for_task(right) == process.pid


@fork_passes_on
def test_the_client_of_a_handshake_may_be_passed_what_it_inherits() -> None:
    with cp.Handshake(transport="inherited") as handshake:
        fd = handshake.client_read_fd
        with handshake.inheriting() as fds:
            process = subprocess.Popen(python(AS_CLIENT.format(fd=fd)), pass_fds=[fd, *fds])
        with process:
            handshake.run_server(timeout=DEADLINE, expected_pid=process.pid).close()
            process.kill()


def fork_and_wait(fds: list[int]) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


def run_with(fds: list[int]) -> None:
    subprocess.run(python(""), pass_fds=fds, check=True, timeout=DEADLINE)


FORKS = {"os.fork": fork_and_wait, "subprocess": run_with}


@fork_takes_away
@pytest.mark.parametrize("how", FORKS)
def test_a_client_that_is_forked_within_inheriting_is_an_error(how: str) -> None:
    with cp.Handshake(transport="inherited") as handshake:
        with pytest.raises(cp.HandshakeError, match="posix_spawn"), handshake.inheriting() as fds:
            FORKS[how]([handshake.client_read_fd, *fds])
        assert registered_names() == NOTHING
        with client_of(handshake) as process:
            handshake.run_server(timeout=DEADLINE, expected_pid=process.pid).close()


@pytest.mark.parametrize("transport", ["auto", "bootstrap"])
def test_a_handshake_goes_by_a_name_where_it_can(transport: Literal["auto", "bootstrap"]) -> None:
    """As Crashpad's does, and nothing more is passed on."""
    with cp.Handshake(transport=transport) as handshake:
        with handshake.inheriting() as fds:
            assert fds == ()
            assert registered_names() == NOTHING
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    _, name = read_invitation(handshake.client_read_fd)
                    status = 0 if name.startswith("org.child-port.handshake.") else 2
                finally:
                    os._exit(status)
        with pytest.raises(cp.PeerGone):
            handshake.run_server(timeout=DEADLINE)
        assert os.waitpid(pid, 0)[1] == 0


def test_a_handshake_in_a_sandbox_is_inherited(no_registration: None) -> None:
    with (
        cp.Handshake() as handshake,
        client_of(handshake) as process,
        handshake.run_server(timeout=DEADLINE, expected_pid=process.pid) as right,
    ):
        assert cp.pid_for_task(right) == process.pid


@fork_passes_on
def test_after_a_fork_the_client_has_inherited_the_right_as_well() -> None:
    with cp.Handshake(transport="inherited") as handshake:
        with handshake.inheriting():
            pid = os.fork()
        if pid == 0:
            status = 1
            try:
                port = cp.ReceiveRight()
                handshake.run_client(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
                status = 0 if registered_names() == NOTHING else 2
            finally:
                os._exit(status)
        handshake.run_server(cp.ReceiveRight, timeout=DEADLINE, expected_pid=pid).close()
        assert os.waitpid(pid, 0)[1] == 0


def test_a_handshake_that_may_not_register_says_how_to_go_on(
    no_registration: None, pipe: tuple[int, int]
) -> None:
    with pytest.raises(cp.NotPrivileged, match=r"allow mach-register.*inheriting\(\)"):
        cp.Handshake().run_server(timeout=DEADLINE)
    with pytest.raises(cp.NotPrivileged, match=r"allow mach-register.*inheriting\(\)"):
        cp.Handshake.run_server_for_fd(pipe[1], timeout=DEADLINE)
    with (
        cp.Handshake(transport="bootstrap") as handshake,
        pytest.raises(cp.NotPrivileged, match="inherited"),
        handshake.inheriting(),
    ):
        raise AssertionError("the block was entered")


def test_a_client_that_was_started_elsewhere_has_not_inherited_it() -> None:
    with cp.Handshake(transport="inherited") as handshake:
        fd = handshake.client_read_fd
        with handshake.inheriting():
            pass
        with (
            subprocess.Popen(
                python(AS_CLIENT.format(fd=fd)), pass_fds=[fd], stderr=subprocess.PIPE
            ) as process,
            pytest.raises(cp.PeerGone),
        ):
            handshake.run_server(timeout=DEADLINE)
        assert process.stderr is not None
    assert process.returncode == 1


def test_inheriting_is_for_one_client_but_a_failed_start_is_none() -> None:
    with cp.Handshake(transport="inherited") as handshake:
        with pytest.raises(ValueError, match="within inheriting"):
            handshake.run_server(timeout=0)
        with pytest.raises(FileNotFoundError), handshake.inheriting() as fds:
            subprocess.Popen(["/no/such/program"], pass_fds=fds)
        assert registered_names() == NOTHING
        with handshake.inheriting():
            pass
        with pytest.raises(ValueError, match="used already"), handshake.inheriting():
            raise AssertionError("the block was entered")
    with pytest.raises(ValueError, match="closed"), handshake.inheriting():
        raise AssertionError("the block was entered")
    with pytest.raises(ValueError, match="transport"):
        cp.Handshake(transport="pigeon")  # type: ignore[arg-type]


def test_blocks_of_two_tasks_do_not_overlap() -> None:
    """A task that is within one does not know when the other's ends, with what is inherited."""

    async def start(handshake: cp.Handshake, entered: asyncio.Event, go_on: asyncio.Event) -> None:
        with handshake.inheriting():
            entered.set()
            await go_on.wait()

    def start_in_thread() -> None:
        with cp.Handshake(transport="inherited") as handshake, handshake.inheriting():
            pass

    async def main() -> None:
        with (
            cp.Handshake(transport="inherited") as first,
            cp.Handshake(transport="inherited") as second,
            cp.Handshake(transport="inherited") as third,
            cp.Handshake(transport="inherited") as fourth,
            cp.Handshake(transport="inherited") as fifth,
            cp.Handshake(transport="inherited") as within,
        ):
            entered, go_on = asyncio.Event(), asyncio.Event()
            task = asyncio.create_task(start(first, entered, go_on))
            await entered.wait()
            with pytest.raises(RuntimeError, match="another task"):
                await start(second, entered, go_on)
            go_on.set()
            await task
            with second.inheriting(), within.inheriting():  # of one task, so the inner ends first
                later = asyncio.create_task(start(third, entered, go_on))
            await later
            entered.clear()
            go_on.clear()
            with fourth.inheriting():
                task = asyncio.create_task(start(fifth, entered, go_on))
                await entered.wait()
            go_on.set()  # the outer one has ended first, for which nobody pays later
            await task
            with running(start_in_thread):
                pass
            assert registered_names() == NOTHING

    asyncio.run(main())


def test_the_process_that_made_a_handshake_takes_none_of_its_own_registered_ports(
    user_of_registered_ports: list[cp.SendRight],
) -> None:
    """A child that serves could say so in the pipe, to be handed a right for another port."""
    before = registered_names()
    name = b"org.child-port.inherited.1"
    with cp.Handshake() as handshake, cp.task_self() as task:
        os.write(handshake.server_write_fd, INVITATION_HEAD.pack(TOKEN, len(name)) + name)
        with pytest.raises((cp.UnknownService, cp.PeerGone)):
            handshake.run_client(task, timeout=DEADLINE)
    assert registered_names() == before


def test_a_child_cannot_have_its_parent_take_a_registered_port(start: StartChild) -> None:
    child = start(
        "import struct\n"
        "name = b'org.child-port.inherited.1'\n"
        "fd = int(os.environ['CHILD_PORT_RECEIVE'].split(':')[0])\n"
        "os.write(fd, struct.pack('=QI', 0, len(name)) + name)\n" + WAIT
    )
    with cp.ReceiveRight() as port, port.make_send() as right, cp.task_self() as task:
        assert ext.registered_replace(1, right) is None
        with pytest.raises(cp.UnknownService):
            child.send_right(task, timeout=DEADLINE)
        still = ext.registered_replace(1, None)
        assert still is not None and still.name == right.name
        still.close()
