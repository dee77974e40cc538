"""mach_linux at limits of the system, in a sandbox, among hostile peers, and in close races."""

from __future__ import annotations

import errno
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "ext" / "mach_linux"
CASES = ROOT / "tests" / "mach"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mach_linux is for Linux")

WRAPPED = ["ml_vm_allocate", "fstatfs", "fstat", "unlink", "clock_gettime", "flock"]
WRAPPED += ["ml_watch_remove"]
# Of each program: what it consists of beside the support and the library, and how it is linked.
SOURCES = {
    "limits": ["limits.c"],
    "restricted": ["restricted.c", "refuse.c"],
    "hostile": ["hostile.c"],
    "floods": ["floods.c"],
    "races": ["races.c", "-Wl,--wrap=pthread_mutex_unlock", "-Wl,--wrap=ml_right_arrive"],
    "leftovers": ["leftovers.c"],
    "pipes": ["pipes.c", "refuse.c"],
    "recent": ["recent.c", "refuse.c", "-Wl,--wrap=fcntl"],
    "cancel": ["cancel.c"],
    "services": ["services.c"],
    "options": ["options.c", "-Wl,--wrap=setsockopt"],
    "arrivals": ["arrivals.c"],
    "within": ["within.c", *(f"-Wl,--wrap={name}" for name in WRAPPED)],
}


def compile_program(program: Path, sources: list[Path | str]) -> None:
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = shlex.split(os.environ.get("CFLAGS", ""))
    flags += ["-std=gnu11", "-g", "-D_GNU_SOURCE", f"-I{LIBRARY / 'include'}", f"-I{LIBRARY}"]
    command = [*compiler, *flags, "-o", program, *sources, "-pthread"]
    subprocess.run([str(part) for part in command], check=True)


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("library")
    command = ["make", "-s", "-C", LIBRARY, f"BUILD={build}", f"{build}/libmach_linux.a"]
    # Not a part of an outer make: its jobserver is not for this one.
    environment = os.environ | {"MAKEFLAGS": "", "MFLAGS": ""}
    subprocess.run([str(part) for part in command], check=True, env=environment)
    return build / "libmach_linux.a"


@pytest.mark.parametrize("suite", SOURCES)
def test_every_case_at_the_limits(tmp_path: Path, library: Path, suite: str) -> None:
    own = [HERE / name if name.endswith(".c") else name for name in SOURCES[suite]]
    support = [CASES / "tap.c", CASES / "ports.c", CASES / "peers.c", HERE / "packets.c"]
    compile_program(tmp_path / suite, [*own, *support, library])
    done = subprocess.run([str(tmp_path / suite)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1..0" not in done.stdout.splitlines()


SO_COOKIE = 57
PIDFD_OPEN = 434
GETSOCKOPT = {"x86_64": 55, "aarch64": 209}


@pytest.fixture
def restrict(tmp_path: Path) -> list[str]:
    """The command that runs another with a system call refused: see restrict.c."""
    compile_program(tmp_path / "restrict", [HERE / "restrict.c", HERE / "refuse.c"])
    return [str(tmp_path / "restrict")]


def import_under(command: list[str]) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "import child_port as cp; print(cp.task_self())"]
    return subprocess.run([*command, *program], capture_output=True, text=True, check=False)


def test_without_pidfd_the_import_says_so(restrict: list[str]) -> None:
    done = import_under([*restrict, str(PIDFD_OPEN), "-1", "0", str(errno.ENOSYS)])
    assert done.returncode == 1
    assert "ImportError: child_port has no Mach ports here: pidfd_open" in done.stderr
    assert "Linux 5.14" in done.stderr
    assert "mach_linux:" not in done.stderr


@pytest.mark.skipif(os.uname().machine not in GETSOCKOPT, reason="another number of the call")
def test_without_socket_cookies_the_import_says_so(restrict: list[str]) -> None:
    assert getattr(socket, "SO_COOKIE", SO_COOKIE) == SO_COOKIE
    number = GETSOCKOPT[os.uname().machine]
    done = import_under([*restrict, str(number), "2", str(SO_COOKIE), str(errno.EPERM)])
    assert done.returncode == 1
    assert "ImportError: child_port has no Mach ports here: getsockopt(SO_COOKIE)" in done.stderr


def test_a_call_that_is_not_needed_may_be_refused(restrict: list[str]) -> None:
    """The means of the other tests: it refuses one call and leaves the rest alone."""
    done = import_under([*restrict, "16", "1", "305419896", str(errno.EPERM)])
    assert done.returncode == 0, done.stderr
    assert "SendRight" in done.stdout
