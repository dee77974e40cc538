"""Bad input has its documented exception, costs nothing, and is not the end of anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import child_port as cp
import pytest
from ext_support import drain_references
from support import DEADLINE, INVITATION_HEAD, TOKEN, right_of

if TYPE_CHECKING:
    from conftest import StartChild

Call = Callable[..., Any]


class Setting:
    """A server, a right to it, and a port to hand over, all in use before and after."""

    def __init__(self) -> None:
        self.port = cp.ReceiveRight()
        self.right = self.port.make_send()
        self.server = cp.Server(token=TOKEN)
        self.to_server = self.server.make_send()

    def works(self) -> bool:
        cp.check_in(self.to_server, TOKEN, self.right, timeout=DEADLINE)
        with self.server.accept(DEADLINE) as check_in:
            return right_of(check_in).name == self.right.name

    def references(self) -> tuple[int, int]:
        """The user references of both send rights. They are used up."""
        names = self.right.detach(), self.to_server.detach()
        return drain_references(cp.SendRight, names[0]), drain_references(cp.SendRight, names[1])

    def close(self) -> None:
        self.server.close()
        self.port.close()


@pytest.fixture
def setting() -> Iterator[Setting]:
    """After the bad input all works as before, and every name has one user reference."""
    setting = Setting()
    yield setting
    assert setting.works()
    assert setting.references() == (1, 1)
    setting.close()


def check_in(setting: Setting, **changes: Any) -> None:
    arguments: dict[str, Any] = {
        "server": setting.to_server,
        "token": TOKEN,
        "port": setting.right,
        "disposition": None,
        "timeout": DEADLINE,
    } | changes
    cp.check_in(
        arguments["server"],
        arguments["token"],
        arguments["port"],
        arguments["disposition"],
        timeout=arguments["timeout"],
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"server": "server"}, TypeError),
        ({"server": None}, TypeError),
        ({"server": 1.5}, TypeError),
        ({"server": -1}, OverflowError),
        ({"server": 2**32}, OverflowError),
        ({"server": 0}, cp.InvalidDestination),
        ({"server": 0xFFFFFFFF}, cp.InvalidDestination),
        ({"server": 0xFFFFF00}, cp.InvalidDestination),
        ({"token": "token"}, TypeError),
        ({"token": None}, TypeError),
        ({"token": 0.0}, TypeError),
        ({"token": -1}, OverflowError),
        ({"token": 2**64}, OverflowError),
        ({"port": "port"}, TypeError),
        ({"port": 1.5}, TypeError),
        ({"port": -1, "disposition": 19}, OverflowError),
        ({"port": 2**32, "disposition": 19}, OverflowError),
        ({"port": 0xFFFFF00, "disposition": 19}, cp.InvalidRight),
        ({"port": 0xFFFFF00}, TypeError),
        ({"disposition": "MOVE_SEND"}, TypeError),
        ({"disposition": 0}, ValueError),
        ({"disposition": 15}, ValueError),
        ({"disposition": 22}, ValueError),
        ({"disposition": cp.Disposition.MAKE_SEND}, ValueError),
        ({"disposition": cp.Disposition.MAKE_SEND_ONCE}, ValueError),
        ({"disposition": cp.Disposition.MOVE_RECEIVE}, ValueError),
        ({"disposition": cp.Disposition.MOVE_SEND_ONCE}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": -1}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"timeout": 10**400}, OverflowError),
    ],
    ids=str,
)
def test_check_in_refuses(
    setting: Setting, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        check_in(setting, **changes)
    assert setting.server.stats["accepted"] == 0


def test_check_in_refuses_a_receive_right_without_a_disposition(setting: Setting) -> None:
    with pytest.raises(TypeError):
        check_in(setting, port=setting.port)
    for disposition in (cp.Disposition.COPY_SEND, cp.Disposition.MOVE_SEND):
        with pytest.raises(ValueError, match="disposition"):
            check_in(setting, port=setting.port, disposition=disposition)


def test_check_in_refuses_closed_objects(setting: Setting) -> None:
    closed = setting.right.copy()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        check_in(setting, port=closed)
    with pytest.raises(ValueError, match="closed"):
        check_in(setting, server=closed)


@pytest.mark.parametrize(
    "disposition", [cp.Disposition.COPY_SEND, cp.Disposition.MOVE_SEND], ids=str
)
def test_a_dead_server_takes_nothing(setting: Setting, disposition: cp.Disposition) -> None:
    dead = cp.ReceiveRight()
    with dead.make_send() as server, setting.right.copy() as right:
        dead.close()
        with pytest.raises(cp.InvalidDestination):
            check_in(setting, server=server, port=right, disposition=disposition)
        assert not right.closed
        assert server.dead


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"port": 5}, TypeError),
        ({"port": "port"}, TypeError),
        ({"token": "token"}, TypeError),
        ({"token": 2**64}, OverflowError),
        ({"token": -1}, OverflowError),
        ({"expected_pid": "1"}, TypeError),
        ({"expected_pid": -1}, ValueError),
        ({"expected_pid": 0}, ValueError),
        ({"service_name": ""}, ValueError),
        ({"service_name": "n" * 128}, ValueError),
        ({"service_name": "é" * 64}, ValueError),
        ({"service_name": "a\0b"}, ValueError),
        ({"service_name": b"name"}, TypeError),
    ],
    ids=str,
)
def test_server_refuses(
    setting: Setting, arguments: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cp.Server(**arguments)


@pytest.mark.parametrize("call", [cp.bootstrap.check_in, cp.bootstrap.look_up])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", ValueError),
        ("n" * 128, ValueError),
        ("é" * 64, ValueError),
        ("a\0b", ValueError),
        (b"name", TypeError),
        (None, TypeError),
        (5, TypeError),
        ("\ud800", ValueError),
    ],
    ids=str,
)
def test_bootstrap_refuses(call: Call, name: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        call(name)


def test_the_longest_name_is_accepted() -> None:
    name = "child_port.test.longest.".ljust(127, "n")
    with cp.bootstrap.check_in(name), cp.bootstrap.look_up(name):
        pass


@pytest.mark.parametrize("kind", [cp.SendRight, cp.SendOnceRight, cp.ReceiveRight, cp.DeadName])
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("name", TypeError),
        (None, TypeError),
        (1.5, TypeError),
        (-1, OverflowError),
        (2**32, OverflowError),
        (0, cp.InvalidRight),
        (0xFFFFF00, cp.InvalidRight),
    ],
    ids=str,
)
def test_adopt_refuses(kind: type[cp.Right], name: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        kind.adopt(name)


def test_adopt_refuses_another_kind_of_right_and_takes_nothing(setting: Setting) -> None:
    for kind in (cp.SendOnceRight, cp.DeadName):
        with pytest.raises(cp.InvalidRight):
            kind.adopt(setting.right.name)


@pytest.mark.parametrize("task", ["task", None, 2**32, -1])
def test_pid_for_task_refuses(task: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        cp.pid_for_task(task)


def test_a_port_that_is_no_task_has_no_pid(setting: Setting) -> None:
    with pytest.raises(cp.MachError, match="pid_for_task"):
        cp.pid_for_task(setting.right)


# --- parent, child and handshake ------------------------------------------------------------------

TIMEOUTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"timeout": "0.1"}, TypeError),
    ({"timeout": b"1"}, TypeError),
    ({"timeout": []}, TypeError),
    ({"timeout": -1}, ValueError),
    ({"timeout": float("nan")}, ValueError),
    ({"timeout": 10**400}, OverflowError),
    ({"cancel": "token"}, TypeError),
    ({"cancel": True}, TypeError),
]
RIGHTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"port": "port"}, TypeError),
    ({"port": 1.5}, TypeError),
    ({"port": 5}, TypeError),
    ({"port": -1, "disposition": 19}, OverflowError),
    ({"disposition": "MOVE_SEND"}, TypeError),
    ({"disposition": 16}, ValueError),
]
KEYS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"key": 5}, TypeError),
    ({"key": b"key"}, TypeError),
    ({"key": ""}, ValueError),
]
EXPECTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"expect": int}, TypeError),
    ({"expect": ()}, TypeError),
    ({"expect": "SendRight"}, TypeError),
]
COLLECTS: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"expect": ["key"]}, TypeError),
    ({"expect": None}, TypeError),
    ({"expect": {5: cp.SendRight}}, TypeError),
    ({"expect": {"": cp.SendRight}}, ValueError),
    ({"expect": {"key": int}}, TypeError),
]


@pytest.mark.parametrize(("changes", "error"), TIMEOUTS + KEYS, ids=str)
def test_accepting_from_a_child_refuses(
    start: StartChild, changes: dict[str, Any], error: type[Exception]
) -> None:
    child = start("cp.check_in_to_parent(None, timeout=DEADLINE)\n")
    with pytest.raises(error):
        child.accept(**changes)
    child.accept(DEADLINE).close()


@pytest.mark.parametrize(("changes", "error"), TIMEOUTS + COLLECTS, ids=str)
def test_collecting_from_a_child_refuses(
    start: StartChild, changes: dict[str, Any], error: type[Exception]
) -> None:
    # A right that outlives the child, which does not wait for its parent.
    give = "cp.ReceiveRight(), cp.Disposition.MOVE_RECEIVE, key='key', timeout=DEADLINE"
    child = start(f"cp.check_in_to_parent({give})\n")
    with pytest.raises(error):
        child.collect(**{"expect": {"key": cp.ReceiveRight}} | changes)
    child.collect({"key": cp.ReceiveRight}, DEADLINE)["key"].close()


@pytest.mark.parametrize(("changes", "error"), TIMEOUTS + RIGHTS, ids=str)
def test_sending_to_a_child_refuses(
    start: StartChild, setting: Setting, changes: dict[str, Any], error: type[Exception]
) -> None:
    child = start("cp.receive_from_parent(DEADLINE).close()\n")
    arguments: dict[str, Any] = {"port": setting.right, "timeout": DEADLINE} | changes
    with pytest.raises(error):
        child.send_right(arguments.pop("port"), **arguments)
    child.send_right(setting.right, timeout=DEADLINE)
    assert child.wait(DEADLINE) == 0


def test_a_child_is_refused_what_its_parent_is(start: StartChild) -> None:
    cases = TIMEOUTS + RIGHTS + KEYS
    child = start(
        "nan = float('nan')\n"
        "def refuses(call, changes, error):\n"
        "    try: call(**changes)\n"
        "    except error: return\n"
        "    raise AssertionError((call, changes))\n"
        "for changes, error in ["
        + ", ".join(f"({changes!r}, {error.__name__})" for changes, error in cases)
        + "]:\n"
        "    refuses(cp.check_in_to_parent, {'port': cp.task_self()} | changes, error)\n"
        "for changes, error in ["
        + ", ".join(f"({changes!r}, {error.__name__})" for changes, error in TIMEOUTS)
        + "]:\n"
        "    refuses(cp.receive_from_parent, changes, error)\n"
        "cp.check_in_to_parent(None, timeout=DEADLINE)\n"
    )
    child.accept(DEADLINE).close()
    assert child.wait(DEADLINE) == 0


@pytest.mark.parametrize(("changes", "error"), TIMEOUTS + RIGHTS, ids=str)
def test_a_client_refuses_and_closes_the_pipe(
    pipe: tuple[int, int],
    service_name: str,
    setting: Setting,
    changes: dict[str, Any],
    error: type[Exception],
) -> None:
    read, write = pipe
    with cp.Server(service_name=service_name, token=TOKEN):
        os.write(write, INVITATION_HEAD.pack(TOKEN, len(service_name)) + service_name.encode())
        with pytest.raises(error):
            cp.Handshake.run_client_for_fd(read, **{"port": setting.right} | changes)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(read)


@pytest.mark.parametrize(("changes", "error"), TIMEOUTS + EXPECTS, ids=str)
def test_a_server_refuses_and_closes_the_pipe(
    pipe: tuple[int, int], changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        cp.Handshake.run_server_for_fd(pipe[1], **changes)
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(pipe[1])


@pytest.mark.parametrize("fd", ["fd", None, 1.5], ids=str)
def test_a_handshake_refuses_what_is_no_descriptor(fd: Any) -> None:
    for side in (cp.Handshake.run_server_for_fd, lambda fd: cp.Handshake.run_client_for_fd(fd, 0)):
        with pytest.raises(TypeError):
            side(fd)


# --- rights that are gone -------------------------------------------------------------------------


def use_of(kind: str) -> list[Call]:
    common = [lambda r: r.name, lambda r: r.detach(), lambda r: r.__enter__()]
    own: dict[str, list[Call]] = {
        "send": [lambda r: r.copy(), lambda r: r.dead, cp.pid_for_task],
        "receive": [lambda r: r.make_send(), lambda r: r.make_send_once(), cp.Server],
    }
    return common + own[kind]


@pytest.mark.parametrize("end", ["close", "detach"])
@pytest.mark.parametrize("kind", ["send", "receive"])
def test_a_right_that_is_gone_cannot_be_used(kind: str, end: str) -> None:
    port = cp.ReceiveRight()
    right: cp.Right = port.make_send() if kind == "send" else port
    other = None if kind == "receive" else port
    name = getattr(right, end)()
    assert right.closed
    for use in use_of(kind):
        with pytest.raises(ValueError, match="closed"):
            use(right)
    right.close()
    if name is not None:
        type(right).adopt(name).close()
    if other is not None:
        other.close()
