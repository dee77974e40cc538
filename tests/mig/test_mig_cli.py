"""The command line is Apple's mig's: options, defaults, exit codes, and no partial outputs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import parity
import pytest

from mig.cli import UsageError, parse_arguments

SMALL = (
    "#include <mach/std_types.defs>\nsubsystem small 100;\nroutine small_one(s : mach_port_t);\n"
)
NAMES = ("small.h", "smallUser.c", "smallServer.c")


def mig(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the compiler in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "mig", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(parity.ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "small.defs").write_text(SMALL)
    return tmp_path


def made(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} - {"small.defs"}


def test_the_default_outputs_are_a_header_and_two_stubs(small: Path) -> None:
    result = mig("small.defs", cwd=small)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert made(small) == set(NAMES)


def test_options_may_follow_the_file(small: Path) -> None:
    before = mig("-arch", "arm64", "-header", "b.h", "-sheader", "bS.h", "small.defs", cwd=small)
    after = mig("small.defs", "-arch", "arm64", "-header", "a.h", "-sheader", "aS.h", cwd=small)
    assert before.returncode == after.returncode == 0
    assert (small / "a.h").read_text() == (small / "b.h").read_text()
    assert (small / "aS.h").read_text() == (small / "bS.h").read_text()


def test_dev_null_means_no_such_output(small: Path) -> None:
    null = os.devnull
    result = mig("-user", null, "-server", null, "-header", "only.h", "small.defs", cwd=small)
    assert result.returncode == 0
    assert made(small) == {"only.h"}


def test_paths_may_have_spaces_and_need_not_be_ascii(tmp_path: Path) -> None:
    folder = tmp_path / "ein schöner Ort"
    folder.mkdir()
    (folder / 'a "b".defs').write_text(SMALL)
    result = mig(str(folder / 'a "b".defs'), "-header", str(folder / "x y.h"), cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "#include" in (folder / "x y.h").read_text()


@pytest.mark.parametrize(
    "source",
    [
        "subsystem small 100;\nroutine r(s : nonesuch);\n",
        "subsystem small 100;\nroutine r(\n",
        "#include <no/such.defs>\n",
        "#error no\n",
        "",
        "\0",
    ],
)
def test_after_an_error_no_output_is_left(small: Path, source: str) -> None:
    assert mig("small.defs", cwd=small).returncode == 0
    (small / "small.defs").write_text(source)
    result = mig("small.defs", cwd=small)
    assert result.returncode == 1
    assert "error" in result.stderr and "Traceback" not in result.stderr
    assert made(small) == set()


def test_after_an_error_only_what_was_asked_for_is_removed(small: Path) -> None:
    for name in (*NAMES, "mine.h"):
        (small / name).write_text("written by hand\n")
    (small / "small.defs").write_text("subsystem")
    assert mig("-header", "mine.h", "small.defs", cwd=small).returncode == 1
    assert made(small) == set(NAMES)


def test_a_byte_order_mark_is_no_error(small: Path) -> None:
    (small / "small.defs").write_text("\ufeff" + SMALL, encoding="utf-8")
    assert mig("small.defs", cwd=small).returncode == 0


def test_an_output_that_cannot_be_written_leaves_none(small: Path) -> None:
    result = mig("small.defs", "-server", "no/such/folder/s.c", cwd=small)
    assert result.returncode == 1
    assert "no/such/folder" in result.stderr
    assert made(small) == set()


def test_a_missing_file_is_named(small: Path) -> None:
    result = mig("other.defs", cwd=small)
    assert result.returncode == 1
    assert "error: cannot read file other.defs" in result.stderr


def test_no_file_is_an_error_with_the_usage(tmp_path: Path) -> None:
    result = mig(cwd=tmp_path)
    assert result.returncode == 1
    assert "usage: mig" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-header"], "needs a value"),
        (["-I"], "needs a value"),
        (["-maxonstack", "much"], "needs a number"),
        (["-arch", "pdp11"], "unknown architecture"),
        (["-cc", "no-such-compiler"], "cannot run no-such-compiler"),
        (["-cc", "false"], "preprocessing small.defs failed"),
        (["-R"], "not supported"),
        (["-i", "one"], "not supported"),
        (["-MD"], "not supported"),
    ],
)
def test_what_makes_no_sense_is_said(small: Path, arguments: list[str], message: str) -> None:
    result = mig("small.defs", *arguments, cwd=small)
    assert result.returncode == 1
    assert message in result.stderr
    assert made(small) == set()


def test_the_preprocessor_gets_what_is_not_migs(small: Path) -> None:
    options = parse_arguments(
        ["-DA=1", "-D", "B", "-UC", "-I", "x y", "-Iz", "a.defs", "-E2", "-include", "f.h"]
    )
    assert options.files == ["a.defs"]
    flags = ["-DA=1", "-D", "B", "-UC", "-I", "x y", "-Iz", "-E2", "-include", "f.h"]
    assert options.preprocessor.flags == flags


def test_every_option_of_apples_is_understood() -> None:
    letters = [f"-{c}" for c in "dqQvVkKrSLXTN"]
    values = ["-user", "u", "-server", "s", "-header", "h", "-sheader", "t", "-iheader", "i"]
    rest = ["-isysroot", "/sdk", "-cc", "cc", "-migcom", "m", "-cpp", "c", "-novouchers"]
    options = parse_arguments([*letters, *values, *rest, "-maxonstack", "4096", "f.defs"])
    assert options.max_on_stack == 4096
    assert options.preprocessor.sysroot == "/sdk"
    assert options.outputs["iheader"] == "i"
    assert options.preprocessor.flags == []


def test_a_value_may_not_be_missing() -> None:
    with pytest.raises(UsageError):
        parse_arguments(["f.defs", "-user"])


def test_include_folders_come_before_the_stand_ins(small: Path) -> None:
    theirs = small / "sdk" / "mach"
    theirs.mkdir(parents=True)
    (theirs / "std_types.defs").write_text("type mach_port_t = MACH_MSG_TYPE_MAKE_SEND;\n")
    result = mig("-I", "sdk", "small.defs", cwd=small)
    assert result.returncode == 0, result.stderr
    assert "MACH_MSGH_BITS(MACH_MSG_TYPE_MAKE_SEND," in (small / "smallUser.c").read_text()


def test_the_architecture_reaches_the_preprocessor(small: Path) -> None:
    (small / "small.defs").write_text(
        SMALL + "#if defined(__arm64__) && !defined(__x86_64__)\nskip;\n#endif\n"
    )
    counts = {}
    for arch in ("arm64", "x86_64"):
        assert mig("-arch", arch, "small.defs", cwd=small).returncode == 0
        counts[arch] = "small_MSG_COUNT 2" in (small / "small.h").read_text()
    assert counts == {"arm64": True, "x86_64": False}


def test_migcc_is_the_preprocessor(small: Path) -> None:
    fake = small / "my cc"
    fake.write_text('#!/bin/sh\necho "subsystem small 7;"\n')
    fake.chmod(0o755)
    result = mig("small.defs", cwd=small, environment={"MIGCC": str(fake)})
    assert result.returncode == 0, result.stderr
    assert "small_MSG_COUNT 0" in (small / "small.h").read_text()


def test_warnings_do_not_fail_and_can_be_silenced(small: Path) -> None:
    (small / "small.defs").write_text(SMALL + "type mach_port_t = MACH_MSG_TYPE_MAKE_SEND;\n")
    loud = mig("small.defs", cwd=small)
    quiet = mig("-q", "small.defs", cwd=small)
    assert loud.returncode == quiet.returncode == 0
    assert "small.defs:4:6: warning: overriding previous definition of mach_port_t" in loud.stderr
    assert quiet.stderr == ""


def test_verbose_lists_the_routines(small: Path) -> None:
    result = mig("-v", "small.defs", cwd=small)
    assert result.returncode == 0
    assert "Subsystem small: base = 100" in result.stdout
    assert "Routine (0) small_one" in result.stdout


def test_version_needs_no_file(tmp_path: Path) -> None:
    result = mig("-version", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.startswith("mig ")


def test_outputs_get_ordinary_permissions(small: Path) -> None:
    mask = os.umask(0o022)
    try:
        assert mig("small.defs", cwd=small).returncode == 0
    finally:
        os.umask(mask)
    assert {(small / name).stat().st_mode & 0o777 for name in NAMES} == {0o644}
