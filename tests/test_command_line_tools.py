"""A build on a Mac that has the Command Line Tools and no Xcode, with stand-ins for both.

setup.py is made to believe that it is on macOS, and finds an xcrun that knows an SDK and a mig.
What the compiler of a Mac makes of the result is the workflows' to show.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUBS = ("child_portUser.c", "child_portServer.c", "child_port.h", "child_portServer.h")
SLOW = 120

MAKE_STUBS = """
import pathlib, runpy, sys, sysconfig, setuptools
setuptools.setup = lambda **_: None
sysconfig.get_config_vars()  # the interpreter's own, before it forgets where it is
sys.platform = platform
setup = runpy.run_path("setup.py")
mig = setup["find_mig"]()
print(mig.description)
setup["run_mig"](mig, pathlib.Path(folder))
"""


class Mac:
    """A folder with an SDK that has Apple's .defs, and tools that say how they were called."""

    def __init__(self, folder: Path) -> None:
        self.tools, self.sdk = folder / "tools", folder / "an SDK"
        shutil.copytree(ROOT / "defs" / "mach", self.sdk / "usr" / "include" / "mach")
        self.tools.mkdir()
        self.called = folder / "called"
        python = f"PYTHONPATH='{ROOT}' PYTHONDONTWRITEBYTECODE=1 '{sys.executable}'"
        self.tool("mig", f'echo "$@" > \'{self.called}\'\n{python} -m mig "$@"')
        self.tool("xcrun", "exit 1")

    def tool(self, name: str, script: str) -> None:
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def install_command_line_tools(self) -> None:
        self.tool(
            "xcrun",
            textwrap.dedent(f"""\
                case "$*" in
                "--find mig") echo '{self.tools}/mig' ;;
                "--show-sdk-path") echo '{self.sdk}' ;;
                *) exit 1 ;;
                esac"""),
        )


@pytest.fixture
def mac(tmp_path: Path) -> Mac:
    return Mac(tmp_path / "a mac")


def make_stubs(tmp_path: Path, platform: str, tools: Path | None = None) -> tuple[str, Path]:
    """What was said; the stubs' folder, which has the .defs and on a Mac no stand-ins of ours."""
    folder = tmp_path / f"stubs for {platform}"
    folder.mkdir()
    shutil.copy(ROOT / "defs" / "child_port.defs", folder)
    if platform != "darwin":
        shutil.copytree(ROOT / "defs" / "mach", folder / "mach")
    environment = {key: value for key, value in os.environ.items() if key != "MIG"}
    if tools is not None:
        environment["PATH"] = os.pathsep.join([str(tools), os.environ["PATH"]])
    result = subprocess.run(
        [sys.executable, "-c", f"{platform=}\nfolder={str(folder)!r}\n{MAKE_STUBS}"],
        cwd=ROOT,
        env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SLOW,
    )
    return result.stdout, folder


def test_the_stubs_are_made_by_the_tools_that_xcrun_finds(mac: Mac, tmp_path: Path) -> None:
    mac.install_command_line_tools()
    said, stubs = make_stubs(tmp_path, "darwin", mac.tools)
    assert said == "Apple mig\n"
    # Apple's mig is a shell script that takes its options before the file only.
    called = mac.called.read_text()
    assert called.startswith(f"-isysroot {mac.sdk} ")
    assert called.endswith(" child_port.defs\n")
    _, ours = make_stubs(tmp_path, "linux")  # without an SDK; by our mig on a Mac too
    for name in STUBS:
        assert (stubs / name).read_bytes() == (ours / name).read_bytes()


def test_without_the_command_line_tools_the_build_says_how_to_get_them(
    mac: Mac, tmp_path: Path
) -> None:
    said, _ = make_stubs(tmp_path, "darwin", mac.tools)
    assert "xcode-select --install" in said
