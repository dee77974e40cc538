"""What the package offers: names, types, texts, and how little an import does."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import child_port as cp
import pytest
from support import DEADLINE, TOKEN, python

PACKAGE = Path(cp.__file__).parent


def test_every_public_name_is_there() -> None:
    assert sorted(cp.__all__) == list(dict.fromkeys(sorted(cp.__all__)))
    for name in cp.__all__:
        assert getattr(cp, name) is not None
    assert set(cp.__all__) <= set(dir(cp))


def test_nothing_else_is_there() -> None:
    with pytest.raises(AttributeError, match="no attribute 'check_out'"):
        _ = cp.check_out  # type: ignore[attr-defined]


def test_the_version_is_that_of_the_metadata() -> None:
    assert cp.__version__ == version("child-port")


def test_type_checkers_find_types() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_child_port.pyi").exists()


def test_dispositions_have_machs_names_and_values() -> None:
    assert {disposition.name: disposition.value for disposition in cp.Disposition} == {
        "MOVE_RECEIVE": 16,
        "MOVE_SEND": 17,
        "MOVE_SEND_ONCE": 18,
        "COPY_SEND": 19,
        "MAKE_SEND": 20,
        "MAKE_SEND_ONCE": 21,
    }


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (cp.MachError, {OSError}),
        (cp.TimedOut, {cp.MachError, TimeoutError}),
        (cp.InvalidDestination, {cp.MachError}),
        (cp.InvalidRight, {cp.MachError}),
        (cp.PortChanged, {cp.MachError}),
        (cp.ResourceShortage, {cp.MachError}),
        (cp.BootstrapError, {cp.MachError}),
        (cp.NotPrivileged, {cp.BootstrapError, PermissionError}),
        (cp.UnknownService, {cp.BootstrapError}),
        (cp.ServiceActive, {cp.BootstrapError}),
        (cp.Cancelled, {Exception}),
        (cp.PeerGone, {ConnectionError}),
        (cp.HandshakeError, {Exception}),
        (cp.RightTypeMismatch, {cp.HandshakeError}),
        (cp.NotAChild, {RuntimeError}),
    ],
)
def test_errors_can_be_caught_as(error: type[Exception], bases: set[type[Exception]]) -> None:
    assert set(error.__bases__) == bases


def test_the_ways_a_wait_ends_are_told_apart() -> None:
    ways = (cp.TimedOut, cp.Cancelled, cp.PeerGone, cp.PortChanged, KeyboardInterrupt)
    for way in ways:
        others = tuple(other for other in ways if other is not way)
        assert not issubclass(way, others)


def test_an_error_names_the_call_the_code_and_what_to_do() -> None:
    with pytest.raises(cp.UnknownService) as caught:
        cp.bootstrap.look_up("no.such.service")
    error = caught.value
    assert (error.call, error.symbol, error.code) == (
        "bootstrap_look_up",
        "BOOTSTRAP_UNKNOWN_SERVICE",
        1102,
    )
    assert re.match(r"bootstrap_look_up: BOOTSTRAP_UNKNOWN_SERVICE \(1102\): .*; .*", str(error))


def test_a_mismatch_says_what_was_expected_and_what_came() -> None:
    error = cp.RightTypeMismatch([cp.SendRight, cp.SendOnceRight], cp.ReceiveRight, 16)
    assert "SendRight or SendOnceRight" in str(error) and "ReceiveRight" in str(error)
    assert error.disposition is cp.Disposition.MOVE_RECEIVE
    assert cp.RightTypeMismatch([cp.SendRight], None, 0).disposition == 0


def test_a_check_in_shows_no_token() -> None:
    with cp.Server(token=TOKEN) as server, server.make_send() as right:
        cp.check_in(right, TOKEN, right, timeout=DEADLINE)
        with server.accept(DEADLINE) as check_in:
            assert str(TOKEN) not in repr(check_in)
            assert "SendRight" in repr(check_in)


def test_a_right_is_not_copied_by_pickle() -> None:
    with cp.ReceiveRight() as port, pytest.raises(TypeError):
        pickle.dumps(port)


def test_a_forgotten_receive_right_is_warned_of_and_released() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        cp.ReceiveRight()
    assert [warning.category for warning in caught] == [ResourceWarning]


def test_an_import_opens_nothing_and_changes_nothing() -> None:
    program = (
        "import os, sys\n"
        "before = dict(os.environ), os.listdir('/dev/fd')\n"
        "import child_port\n"
        "sys.exit((dict(os.environ), os.listdir('/dev/fd')) != before)\n"
    )
    environment = os.environ | {"CHILD_PORT_CHECK_IN": "0:0:0", "CHILD_PORT_RECEIVE": "1:0:0"}
    command = [sys.executable, "-c", program]
    assert subprocess.run(command, env=environment, timeout=DEADLINE).returncode == 0


def test_a_child_that_checks_in_is_spared_what_it_does_not_need() -> None:
    program = (
        "try: cp.check_in_to_parent(None)\n"
        "except cp.NotAChild: pass\n"
        "print({'asyncio', 'socket', 'subprocess', 'typing'} & sys.modules.keys())\n"
    )
    result = subprocess.run(
        [sys.executable, "-S", *python(program)[1:]],
        env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
        stdout=subprocess.PIPE,
        timeout=DEADLINE,
    )
    assert (result.returncode, result.stdout) == (0, b"set()\n")


@pytest.mark.parametrize(
    "left_open",
    [
        "right = cp.task_self()",
        "server = cp.Server(service_name=f'child_port.test.{os.getpid()}')",
        "handshake = cp.Handshake()",
        "child = cp.Popen([sys.executable, '-c', 'pass']); child.wait()",
        "import threading\n"
        "server = cp.Server()\n"
        "threading.Thread(target=server.serve_forever, args=[print], daemon=True).start()\n",
    ],
)
def test_the_interpreter_ends_quietly_with_things_open(left_open: str) -> None:
    result = subprocess.run(python(left_open), stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (0, "")


def test_no_command_is_a_usage_error() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "child_port"],
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 2 and "usage: python -m child_port" in result.stderr
