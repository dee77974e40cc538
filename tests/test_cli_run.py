"""python -m child_port run: any Python program, with its check-in done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import child_port as cp
import pytest
from child_port._environment import variables_for_child
from support import DEADLINE, SOON

if TYPE_CHECKING:
    from conftest import StartChild

RUN = [sys.executable, "-m", "child_port", "run"]


def outcome(
    start: StartChild, arguments: list[str], count: int = 1, **options: Any
) -> tuple[int, str, str, list[cp.Right | None]]:
    """Exit status, output, errors, and the rights that came, which are closed."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    child = start([*RUN, *arguments], **options)
    rights: list[cp.Right | None] = []
    for _ in range(count):
        with child.accept(DEADLINE) as check_in:
            rights.append(check_in.port)
            if isinstance(check_in.port, cp.SendRight) and not check_in.port.dead:
                assert check_in.sender.pid == child.pid
    out, err = child.communicate(timeout=DEADLINE)
    return child.returncode, out, err, rights


def plain(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """The interpreter itself, to compare with."""
    options = {"capture_output": True, "text": True, "timeout": DEADLINE} | options
    return subprocess.run([sys.executable, *arguments], **options)


SHOWS_ITSELF = """\
import sys, os
print(__name__, sys.argv, sys.path[0], __spec__ and __spec__.name, __package__)
print(globals().get("__file__"), sys.modules["__main__"].__dict__ is globals())
print(sorted(name for name in globals() if name not in ("__annotations__", "__cached__")))
print([name for name in os.environ if name.startswith("CHILD_PORT_")])
"""


def programs(folder: Path) -> dict[str, list[str]]:
    (folder / "script.py").write_text(SHOWS_ITSELF)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").write_text("")
    (folder / "package" / "__main__.py").write_text(SHOWS_ITSELF)
    (folder / "package" / "module.py").write_text(SHOWS_ITSELF)
    (folder / "folder").mkdir()
    (folder / "folder" / "__main__.py").write_text(SHOWS_ITSELF)
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOWS_ITSELF)
    return {
        "script": ["script.py", "one", "--two", "-m", "x"],
        "script in a folder": ["package/module.py"],
        "package": ["-m", "package", "-c", "--json"],
        "module": ["-m", "package.module", "one", "--"],
        "code": ["-c", SHOWS_ITSELF, "--task-port", "one"],
        "joined": [f"-c{SHOWS_ITSELF}", "--", "one"],
        "folder": ["folder", "one"],
        "archive": ["archive.zip", "one"],
    }


@pytest.mark.parametrize(
    "what",
    ["script", "script in a folder", "package", "module", "code", "joined", "folder", "archive"],
)
def test_a_program_sees_what_it_sees_of_python_itself(
    start: StartChild, tmp_path: Path, what: str
) -> None:
    arguments = programs(tmp_path)[what]
    expected = plain(arguments, cwd=tmp_path)
    assert expected.returncode == 0 and expected.stdout
    status, out, err, rights = outcome(start, arguments, cwd=tmp_path)
    assert (status, out, err) == (0, expected.stdout, "")
    # A DeadName if the program has ended by now.
    assert isinstance(rights[0], cp.SendRight | cp.DeadName)


def test_the_task_port_is_the_programs(start: StartChild) -> None:
    child = start([*RUN, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    with child.accept(DEADLINE) as check_in:
        assert isinstance(check_in.port, cp.SendRight)
        assert cp.pid_for_task(check_in.port) == child.pid
    child.communicate(timeout=DEADLINE)
    assert child.returncode == 0


def test_rights_come_in_the_order_asked_for(start: StartChild, service_name: str) -> None:
    with cp.Server(service_name=service_name) as service, service.make_send() as served:
        arguments = ["--right", "none", f"--right=service:{service_name}", "--task-port"]
        child = start([*RUN, *arguments, "-c", "import sys; sys.stdin.read()"], stdin=-1)
        with child.accept(DEADLINE) as first, child.accept(DEADLINE) as second:
            assert first.port is None
            assert isinstance(second.port, cp.SendRight)
            assert second.port.name == served.name
        with child.accept(DEADLINE) as third:
            assert isinstance(third.port, cp.SendRight)
            assert cp.pid_for_task(third.port) == child.pid
        child.communicate(timeout=DEADLINE)


def test_the_program_may_check_in_and_receive_itself(start: StartChild) -> None:
    program = (
        "import child_port as cp\n"
        "cp.check_in_to_parent(None, timeout=30)\n"
        "print(type(cp.receive_from_parent(30).port).__name__)\n"
    )
    child = start([*RUN, "-c", program], stdout=subprocess.PIPE, text=True)
    with child.accept(DEADLINE) as first, child.accept(DEADLINE) as second, cp.ReceiveRight() as rx:
        assert first.port is not None and second.port is None
        with rx.make_send() as right:
            child.send_right(right, timeout=DEADLINE)
        out, _ = child.communicate(timeout=DEADLINE)
    assert (child.returncode, out) == (0, "SendRight\n")


@pytest.mark.parametrize(
    "program",
    [
        "pass",
        "raise SystemExit",
        "import sys; sys.exit(7)",
        "import sys; sys.exit('a reason')",
        "import os; os._exit(9)",
        "import signal, os; os.kill(os.getpid(), signal.SIGTERM)",
        "import atexit; atexit.register(print, __name__)",
        "import threading, time\n"
        "threading.Thread(target=lambda: (time.sleep(0.1), print(x))).start()\n"
        "x = 1",
    ],
)
def test_it_ends_as_by_python_itself(start: StartChild, program: str) -> None:
    expected = plain(["-c", program])
    status, out, err, _ = outcome(start, ["-c", program])
    assert (status, out, err) == (expected.returncode, expected.stdout, expected.stderr)


@pytest.mark.parametrize(
    "program", ["def f(): raise LookupError('reason')\nf()", "1 +* 2", "import no_such_module"]
)
def test_a_traceback_is_the_programs_own(start: StartChild, tmp_path: Path, program: str) -> None:
    (tmp_path / "script.py").write_text(program)
    expected = plain(["script.py"], cwd=tmp_path)
    status, _, err, _ = outcome(start, ["script.py"], cwd=tmp_path)
    assert status == expected.returncode == 1
    assert err.splitlines()[-1] == expected.stderr.splitlines()[-1]
    assert "_program.py" not in err and "script.py" in err


def test_ctrl_c_ends_it_as_it_ends_python(start: StartChild) -> None:
    program = "import time; print('ready', flush=True); time.sleep(60)"
    child = start([*RUN, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with child.accept(DEADLINE):
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(DEADLINE) == -signal.SIGINT


def test_main_can_be_imported_by_processes_of_multiprocessing(
    start: StartChild, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(
        "import multiprocessing as mp\n"
        "def double(x): return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with mp.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [21]))\n"
    )
    status, out, _, _ = outcome(start, ["script.py"], cwd=tmp_path)
    assert (status, out) == (0, "[42]\n")


def test_standard_input_can_be_the_program(start: StartChild) -> None:
    child = start([*RUN, "-", "one"], stdin=-1, stdout=-1, text=True)
    out, _ = child.communicate("import sys; print(sys.argv)", timeout=DEADLINE)
    with child.accept(DEADLINE) as check_in:
        assert check_in.port is not None
    assert (child.returncode, out) == (0, "['-', 'one']\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "a program is missing"),
        (["no_such_file.py"], "cannot open 'no_such_file.py'"),
        (["-m"], "argument expected for -m"),
        (["-c"], "argument expected for -c"),
        (["-m", "no_such_module"], "no module named 'no_such_module'"),
        (["-m", ".relative"], "is no module's name"),
        (["--right", "everything", "-c", "pass"], "'everything' is not task, none or service:NAME"),
        (["--right", "service:", "-c", "pass"], "a service name has 1 to 127 bytes"),
        (["--timeout", "soon", "-c", "pass"], "'soon' is no number of seconds"),
        (["--timeout", "-1", "-c", "pass"], "'-1' is no number of seconds"),
        (["--timeout", "nan", "-c", "pass"], "'nan' is no number of seconds"),
        (["."], "cannot find '__main__' module in '.'"),
    ],
)
def test_bad_input_is_a_usage_error_and_no_check_in(
    start: StartChild, tmp_path: Path, arguments: list[str], said: str
) -> None:
    child = start([*RUN, *arguments], stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    _, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == 2
    assert said in err.splitlines()[-1] and err.splitlines()[-1].count("error:") == 1
    with pytest.raises(cp.PeerGone):
        child.accept(DEADLINE)


def test_a_module_that_is_no_program_fails_as_by_python(start: StartChild, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    for name in ("package", "package.nothing"):
        expected = plain(["-m", name], cwd=tmp_path)
        status, _, err, _ = outcome(start, ["-m", name], cwd=tmp_path)
        assert status == expected.returncode == 1
        assert len(err.splitlines()) == 1 and name in err


def test_without_a_parent_the_program_is_not_started() -> None:
    result = plain(["-m", "child_port", "run", "-c", "print('started')"])
    assert (result.returncode, result.stdout) == (125, "")
    assert len(result.stderr.splitlines()) == 1
    assert "error: this process has no parent to check in with" in result.stderr


def test_a_service_that_nobody_serves_fails_before_the_program(
    start: StartChild, service_name: str
) -> None:
    arguments = [*RUN, "--right", f"service:{service_name}", "-c", "print('started')"]
    child = start(arguments, stdout=-1, stderr=-1, text=True)
    out, err = child.communicate(timeout=DEADLINE)
    assert (child.returncode, out) == (125, "")
    assert "BOOTSTRAP_UNKNOWN_SERVICE" in err and len(err.splitlines()) == 1


def test_a_parent_that_says_nothing_is_not_waited_for_longer_than_told() -> None:
    ends = [*os.pipe(), *os.pipe()]
    try:
        result = plain(
            ["-m", "child_port", "run", f"--timeout={SOON}", "-c", "print('started')"],
            env=variables_for_child(None, ends[0], ends[3], None),
            pass_fds=[ends[0], ends[3]],
        )
    finally:
        for end in ends:
            os.close(end)
    assert (result.returncode, result.stdout) == (125, "")
    assert "deadline has passed" in result.stderr and len(result.stderr.splitlines()) == 1
