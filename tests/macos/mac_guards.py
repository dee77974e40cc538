"""guard_darwin.c: what macOS would kill the process for is refused before it is sent."""

from __future__ import annotations

from collections.abc import Iterator

import child_port as cp
import pytest
from machorun.startup import FINDER
from support import DEADLINE, TOKEN

PLATFORM_BINARY = 0x04000000  # CS_PLATFORM_BINARY


@pytest.fixture
def pair() -> Iterator[tuple[cp.Server, cp.SendRight]]:
    with cp.Server(token=TOKEN) as server, server.make_send() as right:
        yield server, right


@pytest.fixture
def apples_own() -> Iterator[None]:
    """The kernel says that the process is one that Apple ships."""
    shim = FINDER.symbols().shim
    shim.machorun_set_code_signature(PLATFORM_BINARY)
    yield
    shim.machorun_set_code_signature(0)


def test_this_is_the_mac_extension() -> None:
    assert cp.PLATFORM == "darwin"


def test_another_python_gives_its_task_port_away(pair: tuple[cp.Server, cp.SendRight]) -> None:
    server, right = pair
    cp.check_in(right, TOKEN, cp.task_self(), timeout=DEADLINE)
    with server.accept(DEADLINE) as check_in:
        assert check_in.sender is not None


@pytest.mark.usefixtures("apples_own")
def test_apples_python_does_not_give_its_task_port_away(
    pair: tuple[cp.Server, cp.SendRight],
) -> None:
    server, right = pair
    with cp.task_self() as task, pytest.raises(PermissionError, match="Apple's own Python"):
        cp.check_in(right, TOKEN, task, timeout=DEADLINE)
    with pytest.raises(cp.TimedOut):
        server.accept(0)


@pytest.mark.usefixtures("apples_own")
def test_apples_python_gives_other_rights_away(pair: tuple[cp.Server, cp.SendRight]) -> None:
    server, right = pair
    with cp.ReceiveRight() as port, port.make_send() as sent:
        cp.check_in(right, TOKEN, sent, timeout=DEADLINE)
        with server.accept(DEADLINE) as check_in:
            assert check_in.port is not None


def test_the_task_itself_is_no_server(pair: tuple[cp.Server, cp.SendRight]) -> None:
    with (
        cp.task_self() as task,
        pytest.raises(cp.InvalidDestination, match="would kill the process"),
    ):
        cp.check_in(task, TOKEN, None, timeout=DEADLINE)


def test_the_receive_right_of_a_bootstrap_service_is_not_moved(
    pair: tuple[cp.Server, cp.SendRight], service_name: str
) -> None:
    _server, right = pair
    with cp.bootstrap.check_in(service_name) as service:
        with pytest.raises(PermissionError, match="bootstrap service"):
            cp.check_in(right, TOKEN, service, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        assert not service.closed
