"""child_port in a process that macOS does not let register a name with the bootstrap server.

Without the sandbox the same programs run everywhere, so that only the sandbox can make the
difference.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from support import DEADLINE, python

PROFILE = "(version 1)\n(allow default)\n(deny mach-register)\n"
"""What the App Sandbox denies too, unless an entitlement names the service."""

darwin_only = pytest.mark.skipif(sys.platform != "darwin", reason="sandbox-exec is macOS's")
sandboxed = pytest.mark.parametrize(
    "prefix",
    [
        pytest.param([], id="free"),
        pytest.param(["sandbox-exec", "-p", PROFILE], id="sandboxed", marks=darwin_only),
    ],
)

CLAIM = """
try:
    with cp.bootstrap.check_in(f"child_port.test.{os.getpid()}"):
        print("claimed")
except cp.NotPrivileged as error:
    print("refused", error.code)
"""
IN_PROCESS = """
with cp.Server() as server, server.make_send() as client, cp.ReceiveRight() as port:
    cp.check_in(client, server.token, port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
    with server.accept(DEADLINE) as check_in:
        assert type(check_in.port) is cp.SendRight
        print(check_in.sender.pid == os.getpid())
"""
SPAWN = """
child = "import child_port as cp, sys; cp.check_in_to_parent(cp.task_self()); sys.stdin.read()"
with cp.Popen([sys.executable, "-c", child], stdin=-1) as process:
    with process.accept(DEADLINE) as check_in:
        print(check_in.sender.pid == process.pid, process.transport)
"""
INSIST = """
try:
    with cp.Popen([sys.executable, "-c", "pass"], transport="bootstrap"):
        print("started")
except cp.NotPrivileged as error:
    print("(allow mach-register" in str(error))
"""


def printed(prefix: list[str], program: str) -> str:
    result = subprocess.run(
        [*prefix, *python(program)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=2 * DEADLINE,
    )
    assert result.returncode == 0
    return result.stdout.strip()


@sandboxed
def test_a_name_is_refused_by_the_sandbox_alone(prefix: list[str]) -> None:
    assert printed(prefix, CLAIM) == ("refused 1100" if prefix else "claimed")


@sandboxed
def test_what_needs_no_name_works_in_the_sandbox(prefix: list[str]) -> None:
    assert printed(prefix, IN_PROCESS) == "True"


@sandboxed
def test_a_child_inherits_the_right_where_its_parent_may_have_no_name(prefix: list[str]) -> None:
    assert printed(prefix, SPAWN) == ("True inherited" if prefix else "True bootstrap")


@sandboxed
def test_who_insists_on_a_name_is_told_which_rule_to_grant(prefix: list[str]) -> None:
    assert printed(prefix, INSIST) == ("True" if prefix else "started")
