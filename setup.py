"""child_port.defs -> stubs -> the extension child_port._child_port, and nothing else.

Metadata is in pyproject.toml. This file finds a MIG compiler ($MIG, then Apple's on macOS, then the
one in mig/), runs it on defs/child_port.defs, and compiles ext/ around what it wrote. All that is
generated goes to the build directory.

The platform that is built for is sysconfig's. A cross build replaces what sysconfig says
(_PYTHON_HOST_PLATFORM, _PYTHON_SYSCONFIGDATA_NAME), as CPython's own does; see tools/cross_macos.
"""

import filecmp
import logging
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError, LinkError

ROOT = Path(__file__).resolve().parent
# The platform that is built on, which has the tools, and the one that is built for.
HOST_DARWIN = sys.platform == "darwin"
DARWIN = sysconfig.get_platform().startswith("macosx-")
LINUX = sysconfig.get_platform().startswith("linux-")
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

INSTALL_HINT = (
    "Install the Command Line Tools: xcode-select --install"
    if HOST_DARWIN
    else "Install a C compiler and Python's headers, for example: "
    "apt-get install gcc libc6-dev python3-dev, or dnf install gcc glibc-devel python3-devel"
)
# What mig writes, and the option that names it.
STUBS = {
    "-user": "child_portUser.c",
    "-server": "child_portServer.c",
    "-header": "child_port.h",
    "-sheader": "child_portServer.h",
}


class Mig(NamedTuple):
    """A MIG compiler: how it is called, what is said of it, and where its .defs come from."""

    command: list[str]
    description: str
    options: list[str]
    environment: dict[str, str]


def output_of(*command: str) -> str | None:
    """What the command prints, or None if it cannot be run or fails."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return result.stdout.strip() or None


def sdk_options() -> list[str]:
    """Apple's own .defs are in the SDK; elsewhere our stand-ins are beside child_port.defs."""
    if not HOST_DARWIN:
        return ["-I."]
    sdk = output_of("xcrun", "--show-sdk-path")
    if sdk is None:
        raise ExecError(f"xcrun --show-sdk-path found no macOS SDK. {INSTALL_HINT}")
    return ["-isysroot", sdk]


def find_mig() -> Mig:
    chosen = os.environ.get("MIG")
    if chosen:
        command = [chosen] if Path(chosen).exists() else shlex.split(chosen)
        if shutil.which(command[0]) is None:
            raise ExecError(
                f"$MIG is {chosen!r}, but there is no such program. Correct or unset it."
            )
        return Mig(command, f"{Path(command[0]).name} ($MIG)", sdk_options(), {})
    if HOST_DARWIN:
        apple = output_of("xcrun", "--find", "mig")
        if apple is None:
            raise ExecError(f"xcrun --find mig found no MIG compiler. {INSTALL_HINT}")
        return Mig([apple], "Apple mig", sdk_options(), {})
    return Mig(
        [sys.executable, "-m", "mig"],
        "child_port mig",
        sdk_options(),
        {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )


def run_mig(mig: Mig, folder: Path) -> None:
    """Write the four stubs into the folder, which has a copy of the .defs.

    mig runs inside the folder with relative names alone, so that its output does not depend on
    where the sources are, and no shell script stumbles over a space in a path. It takes options
    before the file only.
    """
    names = [part for option, name in STUBS.items() for part in (option, name)]
    command = [*mig.command, *mig.options, *names, "child_port.defs"]
    try:
        result = subprocess.run(
            command, cwd=folder, env=os.environ | mig.environment, capture_output=True, text=True
        )
    except OSError as error:
        raise ExecError(f"cannot run {mig.description}: {error}") from error
    said = (result.stdout + result.stderr).strip()
    shown = shlex.join(command)
    if result.returncode != 0:
        raise ExecError(
            f"{mig.description} failed with status {result.returncode}: {shown}\n{said}\n"
            f"If it could not run the C preprocessor: {INSTALL_HINT}"
        )
    # The preprocessor's failure does not show in the status of every mig.
    for name in STUBS.values():
        path = folder / name
        if not path.is_file() or path.stat().st_size == 0:
            raise ExecError(f"{mig.description} wrote no {name}: {shown}\n{said}\n{INSTALL_HINT}")
    if said:
        print(said, file=sys.stderr)


class build_stubs_and_ext(build_ext):  # noqa: N801 (setuptools' style of naming commands)
    """build_ext with mig before it."""

    def build_extensions(self) -> None:
        program = getattr(self.compiler, "compiler", ["cc"])[0]
        if shutil.which(program) is None:
            raise CompileError(f"there is no C compiler {program!r}. {INSTALL_HINT}")
        super().build_extensions()

    def build_extension(self, ext: Extension) -> None:
        stubs, mig = self.make_stubs()
        # As a system directory: the generated text need not satisfy our warnings.
        ext.extra_compile_args += ["-isystem", str(stubs)]
        ext.define_macros.append(("CHILD_PORT_MIG", f'"{mig.description}"'))
        ext.depends += [str(stubs / name) for name in STUBS.values()]
        try:
            super().build_extension(ext)
        except (CompileError, LinkError) as error:
            raise type(error)(f"{error}\nIf a system header is missing: {INSTALL_HINT}") from error

    def make_stubs(self) -> tuple[Path, Mig]:
        """The folder of the stubs. One that has not changed keeps its time stamp."""
        mig = find_mig()
        self.announce(f"stubs by {mig.description}: {shlex.join(mig.command)}", level=logging.INFO)
        work = Path(self.build_temp).resolve() / "stubs_work"
        stubs = work.with_name("stubs")
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(ROOT / "defs", work)
        run_mig(mig, work)
        stubs.mkdir(exist_ok=True)
        for name in STUBS.values():
            if not (stubs / name).exists() or not filecmp.cmp(
                work / name, stubs / name, shallow=False
            ):
                shutil.copyfile(work / name, stubs / name)
        shutil.rmtree(work)
        return stubs, mig


def sources() -> list[str]:
    other_half = "*_linux.c" if DARWIN else "*_darwin.c"
    ours = set(ROOT.glob("ext/*.c")) - set(ROOT.glob(f"ext/{other_half}"))
    mach = set() if DARWIN else set(ROOT.glob("ext/mach_linux/*.c"))
    return sorted(str(path.relative_to(ROOT)) for path in ours | mach)


def extension() -> Extension:
    include = ["ext/include"] if DARWIN else ["ext/include", "ext/mach_linux/include"]
    macros: list[tuple[str, str | None]] = [] if DARWIN else [("_GNU_SOURCE", None)]
    if not FREE_THREADED:
        macros.append(("Py_LIMITED_API", "0x030b0000"))
    return Extension(
        "child_port._child_port",
        sources(),
        include_dirs=include,
        define_macros=macros,
        # A function that is missing is told here and not by whoever imports the extension.
        extra_compile_args=[
            "-std=c11",
            "-fvisibility=hidden",
            "-Werror=implicit-function-declaration",
        ],
        extra_link_args=["-lbsm"] if DARWIN else ["-pthread", "-ldl"],
        depends=sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("ext/**/*.h")),
        py_limited_api=not FREE_THREADED,
    )


if not (DARWIN or LINUX):
    raise SystemExit(f"child_port runs on macOS and Linux, not on {sysconfig.get_platform()}")

setup(
    ext_modules=[extension()],
    cmdclass={"build_ext": build_stubs_and_ext},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
