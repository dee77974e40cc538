"""What becomes of a task's registered ports when it starts a program: by fork, or by posix_spawn.

How a child inherits the right to its parent's port rests on it. The outcome on macOS is libSystem's
and the kernel's; make test-macos-binary asks the stand-in for libSystem the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import child_port as cp
import pytest
from child_port import _child_port as ext
from support import DEADLINE, python

pytestmark = pytest.mark.skipif(cp.PLATFORM != "darwin", reason="libSystem of macOS decides it")

SEEN = (
    "from child_port import _child_port as ext\n"
    "print([right is not None for right in ext.registered_lookup()][1:])\n"
)
KEPT, LOST = [True, True], [False, False]


def seen() -> list[bool]:
    found = ext.registered_lookup()
    for right in found:
        if right is not None:
            right.close()
    return [right is not None for right in found]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """Ports of this test's in the slots 1 and 2."""
    with cp.ReceiveRight() as port, port.make_send() as right:
        for slot in (1, 2):
            assert ext.registered_replace(slot, right) is None
        yield
        for slot in (1, 2):
            was = ext.registered_replace(slot, None)
            if was is not None:
                was.close()


def test_a_fork_leaves_one_port_in_slot_0_and_none_in_the_others() -> None:
    """In both processes."""
    assert seen()[1:] == KEPT
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 5 if seen() == [True, *LOST] else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert seen() == [True, *LOST]


def test_posix_spawn_passes_the_registered_ports_on() -> None:
    program = f"{SEEN}sys.exit(5 if all(ext.registered_lookup()[1:]) else 1)\n"
    pid = os.posix_spawn(sys.executable, python(program), os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5
    assert seen()[1:] == KEPT


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"close_fds": False}, KEPT),
        ({}, LOST),
        ({"pass_fds": [0]}, LOST),
        ({"close_fds": False, "cwd": "/"}, LOST),
        ({"close_fds": False, "start_new_session": True}, LOST),
    ],
    ids=str,
)
def test_subprocess_passes_them_on_where_it_uses_posix_spawn(
    options: dict[str, Any], left: list[bool]
) -> None:
    command = python(SEEN)
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, **options)
    assert result.stdout == f"{left}\n"
    assert seen()[1:] == left
