"""The C programs that the workflows run on Macs compile and link for each kind of Mac.

With ziglang's clang and the headers and function lists of macOS that it carries: what the kernel
answers is for the workflows to show, that the programs can be asked at all is shown here.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.cross_macos import target

TESTS = Path(__file__).resolve().parent
SUITES = TESTS / "mach"
MACHO_64 = b"\xcf\xfa\xed\xfe"
SLOW = 600

pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs ziglang"),
    pytest.mark.timeout(SLOW),
]


def make(*arguments: str) -> str:
    """What it printed; it must not fail. Not a part of an outer make."""
    result = subprocess.run(
        ["make", "-s", "-C", str(SUITES), *arguments],
        env=os.environ | {"MAKEFLAGS": "", "MFLAGS": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SLOW,
    )
    assert result.returncode == 0, result.stdout
    return result.stdout


@pytest.mark.parametrize("arch", target.TARGETS)
def test_the_conformance_suite_is_built_for_a_mac(tmp_path: Path, arch: str) -> None:
    """All of it: on Linux two suites are left out, whose functions mach_linux does not have."""
    include, library, build = tmp_path / "include", tmp_path / "lib", tmp_path / "build"
    for name in target.STAND_INS:
        (include / name).parent.mkdir(parents=True)
        shutil.copy(target.ROOT / "ext" / "mach_linux" / "include" / name, include / name)
    library.mkdir()
    shutil.copy(target.HERE / "libbsm.tbd", library)
    zig = shlex.join([sys.executable, "-m", "ziglang"])
    triple = target.TARGETS[arch].triple
    make(
        "-j2",
        "all",
        "UNAME=Darwin",
        f"BUILD={build}",
        f"CC={zig} cc -target {triple} -isystem {include}",
        f"AR={zig} ar",
        f"LDFLAGS=-L{library}",
    )
    suites = make("list", "UNAME=Darwin").split()
    assert {"allocate_name", "context"} < set(suites)
    for suite in suites:
        assert (build / suite).read_bytes()[:4] == MACHO_64
