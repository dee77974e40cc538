"""What macOS kills a process for, which child_port refuses beforehand (ext/guard_darwin.c).

killed.py does each without child_port. On macOS the outcome is the kernel's; on Linux the same
program shows that its messages are well formed and would be delivered.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import child_port as cp
import pytest
from support import DEADLINE, TOKEN

HERE = Path(__file__).resolve().parent
PROGRAM = HERE / "killed.py"
MACH_LINUX = HERE.parent.parent / "ext" / "mach_linux"
MACH_SEND_INVALID_DEST = 0x10000003

# A system binary, unlike the interpreter of the tests.
APPLES = "/usr/bin/python3"


def translated() -> bool:
    """Does Rosetta run this process? The kernel exempts it from what is asked here."""
    command = ["sysctl", "-in", "sysctl.proc_translated"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() == "1"


darwin_only = pytest.mark.skipif(
    sys.platform != "darwin" or translated(), reason="the kernel of macOS decides it"
)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="for mach_linux")


def outcome(interpreter: str, what: str, *options: str) -> tuple[int, list[str]]:
    """The exit status (negative: the signal), and what the program printed."""
    result = subprocess.run(
        [interpreter, str(PROGRAM), *options, what],
        stdout=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    # /usr/bin/python3 starts the interpreter of the Command Line Tools or Xcode, and may say so.
    return result.returncode, result.stdout.splitlines()[-2:]


SENT = (0, ["sending", "returned 0"])


def killed(interpreter: str, what: str) -> bool:
    """Was it killed, and for what it sent?"""
    status, printed = outcome(interpreter, what)
    return status == -signal.SIGKILL and printed[-1:] == ["sending"]


@darwin_only
def test_the_kernel_takes_apples_python_alone_for_one_of_its_own() -> None:
    assert outcome(APPLES, "platform-binary")[1][-1] == "platform-binary True"
    assert outcome(sys.executable, "platform-binary")[1][-1] == "platform-binary False"


@darwin_only
def test_apples_python_is_killed_for_giving_its_task_port_away() -> None:
    assert outcome(APPLES, "harmless") == SENT
    assert killed(APPLES, "own-task")


@darwin_only
def test_another_python_may_give_its_task_port_away() -> None:
    assert outcome(sys.executable, "harmless") == SENT
    assert outcome(sys.executable, "own-task") == SENT


@darwin_only
@pytest.mark.parametrize("interpreter", [APPLES, sys.executable], ids=["apples", "another"])
def test_a_process_is_killed_for_sending_to_its_task(interpreter: str) -> None:
    assert killed(interpreter, "to-own-task")


@darwin_only
@pytest.mark.parametrize("interpreter", [APPLES, sys.executable], ids=["apples", "another"])
def test_a_process_is_killed_for_sending_to_what_else_the_kernel_serves(interpreter: str) -> None:
    assert killed(interpreter, "to-host")


@darwin_only
def test_a_process_is_killed_for_sending_to_its_childs_task() -> None:
    assert killed(sys.executable, "to-child")


@darwin_only
def test_a_process_is_killed_for_offering_an_ordinary_port_where_a_reply_port_is_wanted() -> None:
    assert outcome(sys.executable, "reply-port") == SENT
    if not killed(sys.executable, "plain-answer"):
        assert outcome(sys.executable, "plain-answer") == SENT
        pytest.skip("this kernel asks it of services of launchd's alone, or of none")


def test_child_port_refuses_to_send_to_the_task() -> None:
    with cp.task_self() as task, pytest.raises(cp.InvalidDestination):
        cp.check_in(task, TOKEN, None, timeout=DEADLINE)


def test_child_port_refuses_to_send_to_a_childs_task() -> None:
    program = (
        "import sys, child_port as cp; cp.check_in_to_parent(cp.task_self()); sys.stdin.read()"
    )
    with (
        cp.Popen([sys.executable, "-c", program], stdin=-1) as child,
        child.accept(DEADLINE) as check_in,
    ):
        assert isinstance(check_in.port, cp.SendRight)
        with pytest.raises(cp.InvalidDestination):
            cp.check_in(check_in.port, TOKEN, None, timeout=DEADLINE)
        with pytest.raises(cp.InvalidDestination):
            check_in.port.send(b"", timeout=DEADLINE)
        child.communicate()


@linux_only
def test_the_program_sends_what_it_says(tmp_path: Path) -> None:
    library = tmp_path / "library" / "libmach_linux.so"
    build = ["make", "-s", "-C", str(MACH_LINUX), f"BUILD={library.parent}", "CFLAGS=-O0"]
    subprocess.run([*build, str(library)], check=True, capture_output=True)
    options = ["--library", str(library)]
    assert outcome(sys.executable, "harmless", *options) == SENT
    for what in ("own-task", "plain-answer", "reply-port"):
        assert outcome(sys.executable, what, *options) == SENT
    refused = (0, ["sending", f"returned {MACH_SEND_INVALID_DEST}"])
    assert outcome(sys.executable, "to-own-task", *options) == refused
