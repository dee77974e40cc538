"""Compiles the C streams: mach_linux, the stubs from the .defs, and the two programs."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Werror"]
STUBS = {
    "-user": "child_portUser.c",
    "-server": "child_portServer.c",
    "-header": "child_port.h",
    "-sheader": "child_portServer.h",
}


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> None:
    """Run a build step. What it prints shows only if it fails."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = subprocess.run(
        command,
        cwd=folder,
        env=inherited | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise SystemExit(f"{shlex.join(command)} failed:\n{result.stdout}")


def compile_stubs() -> Path:
    """Run our mig inside a copy of defs/, as setup.py does."""
    folder = BUILD / "stubs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "defs", folder)
    outputs = [part for pair in STUBS.items() for part in pair]
    run(
        [sys.executable, "-m", "mig", "-I.", *outputs, "child_port.defs"],
        folder,
        {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return folder


def compiler() -> list[str]:
    return [*shlex.split(os.environ.get("CC", "cc")), "-O2", "-std=gnu11", "-D_GNU_SOURCE"]


def build() -> tuple[Path, Path]:
    """The programs `raw` and `mach`, freshly made."""
    BUILD.mkdir(parents=True, exist_ok=True)
    run(["make", "BUILD=../../build/mach_linux"], ROOT / "ext" / "mach_linux")
    stubs = compile_stubs()
    headers = [f"-I{ROOT / 'ext' / 'include'}", f"-I{ROOT / 'ext' / 'mach_linux' / 'include'}"]
    objects = []
    for name in ("child_portUser.c", "child_portServer.c"):
        objects.append(str(BUILD / name.replace(".c", ".o")))
        run([*compiler(), *headers, "-c", str(stubs / name), "-o", objects[-1]], BUILD)
    frame = str(ROOT / "bench" / "peer.c")
    library = str(ROOT / "build" / "mach_linux" / "libmach_linux.a")
    raw, mach = BUILD / "raw", BUILD / "mach"
    # As a system directory: the generated text need not satisfy our warnings.
    ours = [*compiler(), *WARNINGS, *headers, "-isystem", str(stubs), frame]
    run([*ours, str(ROOT / "bench" / "raw.c"), "-o", str(raw)], BUILD)
    run(
        [*ours, str(ROOT / "bench" / "mach.c"), *objects, library, "-pthread", "-o", str(mach)],
        BUILD,
    )
    return raw, mach
