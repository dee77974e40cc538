"""Programs that subprocess must start by posix_spawn, with what is asked for beside that."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from child_port._posix_spawn import by_posix_spawn
from support import DEADLINE, descriptors


@pytest.fixture
def no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """subprocess cannot fork, and takes posix_spawn for usable as it does on macOS."""

    def fork_exec(*_: object) -> int:
        raise AssertionError("subprocess has forked")

    monkeypatch.setattr(subprocess, "_fork_exec", fork_exec)
    monkeypatch.setattr(subprocess, "_USE_POSIX_SPAWN", True)
    monkeypatch.setattr(subprocess, "_HAVE_POSIX_SPAWN_CLOSEFROM", False, raising=False)


def run(command: Any, **options: Any) -> subprocess.CompletedProcess[str]:
    """subprocess.run, but by posix_spawn."""
    with by_posix_spawn(command, {"text": True, "timeout": DEADLINE, **options}) as to_use:
        return subprocess.run(command, **to_use)


def command(program: str) -> list[str]:
    return [sys.executable, "-S", "-c", f"import os, sys\n{program}"]


def test_a_program_is_started_with_its_streams(no_fork: None) -> None:
    program = "print(sys.stdin.read() + '!'); print('error', file=sys.stderr)"
    result = run(command(program), input="text", stdout=-1, stderr=subprocess.STDOUT)
    assert (result.returncode, result.stdout) == (0, "text!\nerror\n")


@pytest.mark.parametrize(
    ("program", "options"),
    [
        (["echo", "$0"], {}),
        (b"true", {}),
        (Path("true"), {"env": {"PATH": os.defpath}}),
        (["another name", "-c", "exit 0"], {"executable": "sh"}),
        ("exit 0", {"shell": True}),
        ("exit 0", {"shell": True, "executable": "sh"}),
    ],
)
def test_the_program_is_found_as_subprocess_finds_it(
    no_fork: None, program: Any, options: dict[str, Any]
) -> None:
    assert run(program, stdout=subprocess.DEVNULL, **options).returncode == 0


def test_the_path_of_the_new_environment_counts(no_fork: None, tmp_path: Path) -> None:
    (tmp_path / "found-by-path").symlink_to(shutil.which("true") or "")
    with pytest.raises(FileNotFoundError, match="found-by-path"):
        run(["found-by-path"])
    assert run(["found-by-path"], env={"PATH": str(tmp_path)}).returncode == 0


def test_a_program_in_a_folder_that_path_leaves_out_is_found(
    no_fork: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty entry is the working directory."""
    (tmp_path / "found-here").symlink_to(shutil.which("true") or "")
    monkeypatch.chdir(tmp_path)
    assert run(["found-here"], env={"PATH": ":/nowhere"}).returncode == 0


@pytest.mark.parametrize("path", ["/no/such/program", "no-such-program"])
def test_a_program_that_is_not_there_is_the_same_error(no_fork: None, path: str) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        run([path])
    assert caught.value.filename == path


@pytest.mark.parametrize(
    ("stdout", "stderr", "out", "err"),
    [
        (None, subprocess.STDOUT, "outerr", ""),
        (2, None, "", "outerr"),
        (2, 1, "err", "out"),
        (1, subprocess.STDOUT, "outerr", ""),
    ],
)
def test_the_standard_descriptors_of_this_process_can_be_the_programs(
    no_fork: None,
    capfd: pytest.CaptureFixture[str],
    stdout: int | None,
    stderr: int | None,
    out: str,
    err: str,
) -> None:
    before = descriptors().keys()
    result = run(
        command("os.write(1, b'out'); os.write(2, b'err')"), stdin=0, stdout=stdout, stderr=stderr
    )
    assert result.returncode == 0
    assert tuple(capfd.readouterr()) == (out, err)
    assert descriptors().keys() == before


@pytest.fixture
def pipes() -> Iterator[list[int]]:
    with ExitStack() as stack:
        ends = [*os.pipe(), *os.pipe()]
        for end in ends:
            stack.callback(os.close, end)
        yield ends


def test_descriptors_are_passed_on_and_no_others(no_fork: None, pipes: list[int]) -> None:
    """And are inheritable for no longer than the start takes, if they were not before."""
    os.set_inheritable(pipes[1], True)
    program = (
        "for fd in map(int, sys.argv[1:]):\n    try: os.fstat(fd)\n    except OSError: print(fd)\n"
    )
    numbers = [str(fd) for fd in pipes]
    result = run([*command(program), *numbers], pass_fds=pipes[:2], stdout=subprocess.PIPE)
    assert result.stdout.split() == numbers[2:]
    assert [os.get_inheritable(fd) for fd in pipes] == [False, True, False, False]


def test_what_is_refused_changes_nothing(pipes: list[int]) -> None:
    with (
        pytest.raises(ValueError, match="which has no cwd, umask"),
        by_posix_spawn(["true"], {"cwd": "/", "umask": 0o22, "pass_fds": pipes}),
    ):
        raise AssertionError("the block was entered")
    assert not any(map(os.get_inheritable, pipes))


def test_what_asks_for_nothing_is_not_refused(no_fork: None) -> None:
    nothing: dict[str, Any] = {"cwd": None, "preexec_fn": None, "umask": -1, "user": None}
    nothing |= {"start_new_session": False, "process_group": None, "close_fds": True}
    assert run(["true"], **nothing).returncode == 0
