"""Builds for a target: the extension by itself, or a wheel. All happens in a given folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tools.cross_macos.target import BINARY, ROOT, Target, environment

# What the package is built from.
SOURCES = ("defs", "ext", "mig", "python", "setup.py", "pyproject.toml")
TEXTS = ("README.md", "LICENSE", "NOTICE")
PRODUCTS = shutil.ignore_patterns("*.so", "*.o", "*.a", "__pycache__", "*.egg-info")


class BuildError(Exception):
    """A build failed; the text is what it said."""


def _copy_sources(folder: Path) -> None:
    """The sources, where a build leaves nothing in the checkout."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in SOURCES + TEXTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=PRODUCTS)
        else:
            shutil.copy(source, folder)


def _run(command: list[str], folder: Path, variables: dict[str, str]) -> None:
    result = subprocess.run(
        command,
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if result.returncode != 0:
        raise BuildError(f"{result.stdout.strip()}\nstatus {result.returncode}")


def _prepare(target: Target, kind: str, folder: Path, cache: Path) -> tuple[Path, dict[str, str]]:
    folder, cache = folder.resolve(), cache.resolve()
    sources = folder / "source"
    _copy_sources(sources)
    return sources, environment(target, kind, folder, cache)


def build_extension(target: Target, kind: str, folder: Path, cache: Path) -> Path:
    """The extension alone, the generated stubs and the objects beside it."""
    sources, variables = _prepare(target, kind, folder, cache)
    command = [sys.executable, "setup.py", "-q", "build_ext", "-b", "../lib", "-t", "../temp"]
    _run(command, sources, variables)
    return folder / "lib" / "child_port" / BINARY


def build_wheel(target: Target, folder: Path, cache: Path) -> Path:
    """The wheel that pip would build on such a Mac, by the same hook of setuptools."""
    sources, variables = _prepare(target, "release", folder, cache)
    hook = "import setuptools.build_meta as backend; backend.build_wheel('../wheel')"
    shutil.rmtree(folder / "wheel", ignore_errors=True)
    (folder / "wheel").mkdir()
    _run([sys.executable, "-c", hook], sources, variables)
    (wheel,) = (folder / "wheel").glob("*.whl")
    return wheel
