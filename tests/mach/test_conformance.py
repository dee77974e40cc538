"""Builds the conformance suite against this platform's Mach and runs every case.

On Linux that is `ext/mach_linux`, built for the purpose; on macOS the system's own. Each suite is
one test; its cases run side by side, each in processes of its own.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent.parent / "ext" / "mach_linux"
DIFFERENCES = HERE / "differences.txt"
ON_LINUX = sys.platform == "linux"
SUPPORT = {"tap", "ports", "peers"}
ABSENT_ON_LINUX = {"allocate_name", "context"}
SUITES = sorted(
    {path.stem for path in HERE.glob("*.c")} - SUPPORT - (ABSENT_ON_LINUX if ON_LINUX else set())
)
# Most cases wait rather than compute.
AT_ONCE = 2 * (os.cpu_count() or 2)

pytestmark = [
    pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="there is no Mach here"),
    pytest.mark.timeout(600),
]


def run(*command: str | Path, environment: dict[str, str] | None = None) -> tuple[int, str]:
    result = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
        env=os.environ | (environment or {}),
    )
    return result.returncode, result.stdout


def make(*arguments: str | Path) -> None:
    # Not a part of an outer make: its jobserver is not for this one.
    status, output = run("make", "-s", *arguments, environment={"MAKEFLAGS": "", "MFLAGS": ""})
    assert status == 0, output


def compile_arguments(build: Path) -> list[str]:
    if not ON_LINUX:
        return []
    archive = build / "library" / "libmach_linux.a"
    # Relative to this folder, where make runs: the checkout's path may have a space in it.
    return [f"CFLAGS=-O1 -g -I{os.path.relpath(LIBRARY / 'include', HERE)}", f"LDLIBS={archive}"]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("conformance")
    if ON_LINUX:
        make("-C", LIBRARY, f"BUILD={folder / 'library'}")
    return folder


@pytest.fixture(scope="session")
def programs(build: Path) -> Path:
    make("-j4", "-C", HERE, "all", f"BUILD={build}", *compile_arguments(build))
    return build


def cases_of(program: Path) -> list[str]:
    status, output = run(program, "--list")
    assert status == 0, output
    return output.split()


def verdicts(program: Path, table: Path | None) -> Iterator[tuple[str, int, str]]:
    environment = {"MACH_DIFFERENCES": str(table) if table else ""}
    cases = cases_of(program)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(lambda case: run(program, case, environment=environment), cases)
        for case, (status, output) in zip(cases, results, strict=True):
            yield case, status, output


def table_rows() -> list[str]:
    lines = DIFFERENCES.read_text(encoding="utf-8").splitlines()
    return [line.split("|")[0].strip() for line in lines if "|" in line and line[:1] != "#"]


@pytest.mark.parametrize("suite", SUITES)
def test_every_case_is_as_mach_has_it_or_is_a_listed_difference(programs: Path, suite: str) -> None:
    results = list(verdicts(programs / suite, DIFFERENCES if ON_LINUX else None))
    assert results
    wrong = [f"{case}:\n{output}" for case, status, output in results if status != 0]
    assert not wrong, "\n".join(wrong)


def test_the_makefile_has_the_same_suites() -> None:
    status, output = run("make", "-s", "-C", HERE, "list", environment={"MAKEFLAGS": ""})
    assert status == 0, output
    assert sorted(output.split()) == SUITES


@pytest.mark.skipif(not ON_LINUX, reason="the table is for Linux")
def test_the_table_of_differences_lists_existing_cases_once(programs: Path) -> None:
    existing = {f"{suite}.{case}" for suite in SUITES for case in cases_of(programs / suite)}
    rows = table_rows()
    assert set(rows) - existing == set()
    assert len(rows) == len(set(rows))


FRAMEWORK_CASES = """
#include "tap.h"
#include <stdlib.h>
#include <unistd.h>
CASE(passes) { IS(1, 1); IS_OK(0); }
CASE(fails) { IS(1, 2); IS_CODE(KERN_FAILURE, KERN_SUCCESS); }
CASE(stops) { NEED(0); IS(1, 2); }
CASE(hangs) { for (;;) pause(); }
CASE(crashes) { abort(); }
CASE(skips) { tap_skip("not here"); }
CASE(differs) { IS(1, 2); }
CASE(listed_but_passes) { IS(1, 1); }
CASE(differs_sometimes) { IS(1, 1); }
CASE(leaves_a_child_behind) { if (fork() == 0) for (;;) pause(); }
"""

FRAMEWORK_TABLE = """
# a comment | with a bar
framework.differs | on purpose
framework.listed_but_passes | no longer true
framework.differs_sometimes | sometimes: a race
"""


@pytest.fixture
def framework(build: Path, tmp_path: Path) -> tuple[Path, Path]:
    source, table, program = (tmp_path / name for name in ("cases.c", "table.txt", "framework"))
    source.write_text(FRAMEWORK_CASES, encoding="utf-8")
    table.write_text(FRAMEWORK_TABLE, encoding="utf-8")
    include = [f"-I{LIBRARY / 'include'}"] if ON_LINUX else []
    status, output = run(
        "cc", "-D_GNU_SOURCE", *include, f"-I{HERE}", source, HERE / "tap.c", "-o", program
    )
    assert status == 0, output
    return program, table


def test_the_framework_tells_passes_failures_hangs_crashes_and_differences_apart(
    framework: tuple[Path, Path],
) -> None:
    program, table = framework
    environment = {"MACH_DIFFERENCES": str(table), "MACH_CASE_DEADLINE": "2"}
    status, output = run(program, environment=environment)
    lines = [line for line in output.splitlines() if line[:1] != "#"]
    assert status == 1
    assert lines == [
        "1..10",
        "ok 1 - passes",
        "not ok 2 - fails",
        "not ok 3 - stops",
        "not ok 4 - hangs",
        "not ok 5 - crashes",
        "ok 6 - skips # SKIP",
        "not ok 7 - differs # TODO on purpose",
        "ok 8 - listed_but_passes # TODO no longer true",
        "ok 9 - differs_sometimes # TODO sometimes: a race",
        "ok 10 - leaves_a_child_behind",
    ]
    assert "fails: " not in output
    assert "KERN_FAILURE gives KERN_FAILURE, not KERN_SUCCESS" in output
    assert "# hangs hung: killed at its deadline" in output
    assert "# crashes was ended by signal 6" in output
    assert output.splitlines()[-1] == (
        "# framework: 3 passed, 4 failed, 1 differ as listed, 1 listed but passing, 1 skipped"
    )


@pytest.mark.parametrize(
    ("case", "status"),
    [("passes", 0), ("fails", 1), ("skips", 0), ("differs", 0), ("listed_but_passes", 1)],
)
def test_the_exit_status_of_one_case(framework: tuple[Path, Path], case: str, status: int) -> None:
    program, table = framework
    assert run(program, case, environment={"MACH_DIFFERENCES": str(table)})[0] == status


def test_the_wrapper_given_as_run_starts_every_case(
    programs: Path, build: Path, tmp_path: Path
) -> None:
    wrapper, log = tmp_path / "wrapper", tmp_path / "log"
    wrapper.write_text(f'#!/bin/sh\necho "$3" >>"{log}"\nexec "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    make(
        "-C",
        HERE,
        "check",
        f"BUILD={build}",
        "SUITES=error_strings",
        f"RUN={wrapper}",
        *compile_arguments(build),
    )
    assert log.read_text(encoding="utf-8").split() == cases_of(programs / "error_strings")
