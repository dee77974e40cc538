"""guard_darwin.c: what macOS would kill the process for is refused before it is sent."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import child_port as cp
import pytest
from child_port._messages import drop_reply_port
from ext_support import drain_references, fill_queue
from machorun.startup import FINDER
from support import DEADLINE, SOON, TOKEN

SHIM = FINDER.symbols().shim
PLATFORM_BINARY = 0x04000000  # CS_PLATFORM_BINARY
MPO_REPLY_PORT = 0x1000


@pytest.fixture
def pair() -> Iterator[tuple[cp.Server, cp.SendRight]]:
    with cp.Server(token=TOKEN) as server, server.make_send() as right:
        yield server, right


@pytest.fixture
def apples_own() -> Iterator[None]:
    """The kernel says that the process is one that Apple ships."""
    SHIM.machorun_set_code_signature(PLATFORM_BINARY)
    yield
    SHIM.machorun_set_code_signature(0)


@pytest.fixture
def childs_task() -> Iterator[cp.SendRight]:
    """What child_port is for: the task port that a child has handed over."""
    program = (
        "import sys, child_port as cp; cp.check_in_to_parent(cp.task_self()); sys.stdin.read()"
    )
    with cp.Popen([sys.executable, "-c", program], stdin=-1) as child:
        with child.accept(DEADLINE) as check_in:
            assert isinstance(check_in.port, cp.SendRight)
            yield check_in.port
        child.communicate()


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


def send_to(task: cp.SendRight) -> None:
    task.send(b"", timeout=DEADLINE)


def request_of(task: cp.SendRight) -> None:
    task.request(b"", timeout=DEADLINE)


def check_in_with(task: cp.SendRight) -> None:
    cp.check_in(task, TOKEN, None, timeout=DEADLINE)


def check_in_with_the_name(task: cp.SendRight) -> None:
    cp.check_in(task.name, TOKEN, None, timeout=DEADLINE)


@pytest.mark.parametrize(
    "attempt",
    [send_to, request_of, check_in_with, check_in_with_the_name],
    ids=lambda f: f.__name__,
)
def test_another_task_is_no_destination_either(
    childs_task: cp.SendRight, attempt: Callable[[cp.SendRight], None]
) -> None:
    for _ in range(2):
        with pytest.raises(cp.InvalidDestination, match="would kill the process"):
            attempt(childs_task)


def test_what_a_right_leads_to_is_asked_once(pair: tuple[cp.Server, cp.SendRight]) -> None:
    server, right = pair
    SHIM.machorun_take_kobject_calls()
    for _ in range(3):
        cp.check_in(right, TOKEN, None, timeout=DEADLINE)
        assert server.accept(DEADLINE).port is None
    assert SHIM.machorun_take_kobject_calls() == 1


@pytest.mark.usefixtures("apples_own")
def test_apples_python_does_not_offer_its_task_port_for_the_answer() -> None:
    with cp.ReceiveRight() as port, port.make_send() as right, cp.task_self() as task:
        with pytest.raises(PermissionError, match="Apple's own Python"):
            right.send(b"", reply_to=task, timeout=DEADLINE)
        with pytest.raises(cp.TimedOut):
            port.receive(0)


def test_nor_is_one_that_the_kernel_alone_knows_for_a_service(
    pair: tuple[cp.Server, cp.SendRight],
) -> None:
    _server, right = pair
    how = cp.Disposition.MOVE_RECEIVE
    with cp.ReceiveRight() as service:
        SHIM.machorun_set_service_port(service.name)
        try:
            for given in service, service.name:
                with pytest.raises(PermissionError, match="bootstrap service"):
                    cp.check_in(right, TOKEN, given, how, timeout=DEADLINE)
            with pytest.raises(PermissionError, match="bootstrap service"):
                right.send(b"", [(service, how)], timeout=DEADLINE)
        finally:
            SHIM.machorun_set_service_port(0)
        cp.check_in(right, TOKEN, service, how, timeout=DEADLINE)


def test_the_receive_right_of_a_bootstrap_service_is_not_moved(
    pair: tuple[cp.Server, cp.SendRight], service_name: str
) -> None:
    _server, right = pair
    with cp.bootstrap.check_in(service_name) as service:
        with pytest.raises(PermissionError, match="bootstrap service"):
            cp.check_in(right, TOKEN, service, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        assert not service.closed


def test_a_voucher_that_apples_stub_adds_is_released_when_the_message_is_given_up(
    pair: tuple[cp.Server, cp.SendRight],
) -> None:
    _server, right = pair
    fill_queue(right)
    with cp.ReceiveRight() as home:
        voucher = home.make_send()
        SHIM.machorun_set_voucher(voucher.name)
        try:
            for _ in range(3):
                with pytest.raises(cp.TimedOut):
                    cp.check_in(right, TOKEN, None, timeout=SOON)
        finally:
            SHIM.machorun_set_voucher(0)
        assert drain_references(cp.SendRight, voucher.detach()) == 1


def request_unanswered(right: cp.SendRight) -> None:
    """With a port of its own, as this thread's first request has."""
    drop_reply_port()
    with pytest.raises(cp.TimedOut):
        right.request(timeout=0)


def test_a_request_is_answered_at_a_port_made_for_that(
    pair: tuple[cp.Server, cp.SendRight],
) -> None:
    request_unanswered(pair[1])
    assert SHIM.machorun_construct_flags() == MPO_REPLY_PORT


def test_an_old_kernel_gives_an_ordinary_port_for_it(
    pair: tuple[cp.Server, cp.SendRight],
) -> None:
    SHIM.machorun_set_old_kernel(True)
    try:
        request_unanswered(pair[1])
        assert SHIM.machorun_construct_flags() == 0
    finally:
        SHIM.machorun_set_old_kernel(False)
