"""Interpreters beside the main one, each with a GIL of its own where it may have one.

Every program runs in a process of its own. A right object stays in its interpreter; the name goes
across, by detach() and adopt(), since all interpreters of a process are one task.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from support import DEADLINE

MODULE = next(
    (name for name in ("_interpreters", "_xxsubinterpreters") if importlib.util.find_spec(name)),
    None,
)

pytestmark = pytest.mark.skipif(
    sys.version_info < (3, 12) or MODULE is None,
    reason="interpreters with a GIL of their own exist from CPython 3.12 on",
)

PRELUDE = f"""
import os, sys, threading
import {MODULE} as interpreters

DEADLINE = {DEADLINE}

class Interpreter:
    '''Isolated: it loads no module that does not say it supports that.'''
    def __init__(self):
        if sys.version_info >= (3, 13):
            self.id = interpreters.create('isolated')
        else:
            self.id = interpreters.create(isolated=True)

    def run(self, program):
        # Before 3.13 a failure is raised, later it is returned.
        failure = interpreters.run_string(self.id, program)
        if failure is not None:
            raise RuntimeError(str(failure.formatted))

    def close(self):
        interpreters.destroy(self.id)

def session(program):
    '''An act for together(): an interpreter that lives and ends in that thread.

    CPython 3.12 waits for ever if one that imported threading is destroyed by another thread.
    '''
    def act():
        one = Interpreter()
        one.run(program)
        one.close()
    return act

def together(*acts):
    failures = []
    def run(act):
        try:
            act()
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert not failures, failures
"""

ROUND_TRIP = """
import child_port as cp
for _ in range(50):
    with (
        cp.Server() as server,
        server.make_send() as client,
        cp.ReceiveRight() as port,
        port.make_send() as right,
    ):
        cp.check_in(client, server.token, right, timeout=30)
        with server.accept(30) as check_in:
            assert type(check_in.port) is cp.SendRight and check_in.port.name == right.name
            assert check_in.sender.pid > 0
"""


def run(program: str) -> None:
    """It must end well, and write nothing to stderr: a leaked receive right would."""
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PRELUDE + program],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_right_is_checked_in_and_accepted_in_an_interpreter_of_its_own() -> None:
    run(
        f"session({ROUND_TRIP!r})()\n"
        "import child_port as cp\n"  # only now in the main one
        f"exec({ROUND_TRIP!r})\n"
    )


def test_two_interpreters_work_at_once() -> None:
    run(
        f"program = {ROUND_TRIP!r}\n"
        "together(session(program), session(program), lambda: exec(program, {}))\n"
    )


def test_a_name_that_one_interpreter_gives_up_is_adopted_by_the_other() -> None:
    serve = """
import os, child_port as cp
with cp.Server(token=7) as server:
    os.write(FD, server.make_send().detach().to_bytes(4))
    with server.accept(30) as check_in:
        assert check_in.sender.pid == os.getpid()
        os.write(FD, check_in.port.detach().to_bytes(4))
"""
    hand_over = """
import os, child_port as cp
with cp.SendRight.adopt(int.from_bytes(os.read(FD, 4))) as client, cp.ReceiveRight() as port:
    kept = port.make_send()
    cp.check_in(client, 7, port, cp.Disposition.MOVE_RECEIVE, timeout=30)
with kept, cp.ReceiveRight.adopt(int.from_bytes(os.read(FD, 4))) as back:
    assert back.name == kept.name
"""
    run(
        "read, write = os.pipe()\n"
        f"serve = {serve!r}.replace('FD', str(write))\n"
        f"hand_over = {hand_over!r}.replace('FD', str(read))\n"
        "together(session(serve), session(hand_over))\n"
    )


def test_types_and_exceptions_belong_to_their_interpreter() -> None:
    program = """
import child_port as cp
assert id(cp.SendRight) != OTHER
try:
    cp.SendRight.adopt(0xdead00)
except cp.InvalidRight as error:
    assert error.call == 'mach_port_type'
else:
    raise AssertionError('nothing was raised')
"""
    run(
        "import child_port as cp\n"
        f"session({program!r}.replace('OTHER', str(id(cp.SendRight))))()\n"
        f"exec({program!r}.replace('OTHER', '0'))\n"
    )


def test_an_interpreter_that_ends_releases_its_rights() -> None:
    run(
        "import child_port as cp\n"
        "read, write = os.pipe()\n"
        "with cp.ReceiveRight() as port:\n"
        "    name = port.make_send().detach()\n"
        "    session(f'import child_port as cp; kept = cp.SendRight.adopt({name})')()\n"
        "    try:\n"
        "        cp.SendRight.adopt(name)\n"
        "    except cp.InvalidRight:\n"
        "        pass\n"
        "    else:\n"
        "        raise AssertionError('the reference is still there')\n"
    )


def test_a_wait_in_one_interpreter_does_not_hold_another_up() -> None:
    wait = """
import os, child_port as cp
with cp.Server(token=7) as server:
    os.write(FD, server.make_send().detach().to_bytes(4))
    server.accept(30)
"""
    run(
        "import child_port as cp\n"
        "read, write = os.pipe()\n"
        "def rest():\n"
        "    client = cp.SendRight.adopt(int.from_bytes(os.read(read, 4)))\n"
        f"    session({ROUND_TRIP!r})()\n"
        "    with client:\n"
        "        cp.check_in(client, 7, None, timeout=DEADLINE)\n"
        f"wait = {wait!r}.replace('FD', str(write))\n"
        "together(session(wait), rest)\n"
    )
