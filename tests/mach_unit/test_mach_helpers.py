"""Run helpers.c: what stubs call, audit tokens and texts, by Apple's API alone."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "ext" / "mach_linux"


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="needs Mach ports")
def test_the_helpers_around_mach_msg(tmp_path: Path) -> None:
    cases = ROOT / "tests" / "mach"
    sources = [HERE / "helpers.c", cases / "tap.c", cases / "ports.c"]
    flags = ["-lbsm"]
    if sys.platform == "linux":
        sources += sorted(LIBRARY.glob("*.c"))
        flags = ["-D_GNU_SOURCE", f"-I{LIBRARY / 'include'}", f"-I{LIBRARY}", "-pthread"]
    compiler = shlex.split(os.environ.get("CC", "cc"))
    compiler += shlex.split(os.environ.get("CFLAGS", ""))
    program = tmp_path / "helpers"
    command = [*compiler, "-std=gnu11", "-g", "-o", str(program), *map(str, sources), *flags]
    subprocess.run(command, check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1..0" not in done.stdout.splitlines()
