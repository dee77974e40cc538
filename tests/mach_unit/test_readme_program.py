"""The program in mach_linux's README compiles and runs as it says there."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

LIBRARY = Path(__file__).resolve().parents[2] / "ext" / "mach_linux"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mach_linux is for Linux")


def program() -> str:
    text = (LIBRARY / "README.md").read_text(encoding="utf-8")
    block = text.split("<!-- program:begin -->")[1].split("<!-- program:end -->")[0]
    return block.split("```c\n")[1].split("```")[0]


def test_the_two_process_program_of_the_readme_runs(tmp_path: Path) -> None:
    source = tmp_path / "two.c"
    source.write_text(program().replace("org.example.two", f"org.example.two.{os.getpid()}"))
    sources = sorted(str(path) for path in LIBRARY.glob("*.c"))
    compiler = shlex.split(os.environ.get("CC", "cc"))
    flags = ["-std=gnu11", "-D_GNU_SOURCE", f"-I{LIBRARY / 'include'}", f"-I{LIBRARY}", "-pthread"]
    run = tmp_path / "two"
    subprocess.run([*compiler, *flags, str(source), *sources, "-o", str(run)], check=True)
    result = subprocess.run([str(run)], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout) == (0, "child: got message 42\n"), result.stderr
