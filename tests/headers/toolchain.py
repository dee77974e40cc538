"""The clang that ziglang carries, with Apple's headers or with ours.

ziglang is one wheel with a clang, Apple's public headers and a C library's headers for Linux, so
both sides are read by the same compiler and nothing depends on what the host has installed.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "ext" / "mach_linux" / "include"
ARCHITECTURES = ("x86_64", "aarch64")


def ziglang() -> Path | None:
    """The folder of the ziglang package, or None if it is not installed."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


@dataclass(frozen=True)
class Result:
    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class HeaderSet:
    """A place that headers come from, for one architecture."""

    name: str
    architecture: str
    flags: tuple[str, ...]

    def clang(self, *arguments: str, source: str) -> Result:
        """Run clang on C text."""
        command = [sys.executable, "-m", "ziglang", "clang", "-std=gnu11", *self.flags]
        command += [*arguments, "-x", "c", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
        return Result(done.returncode, done.stdout, done.stderr)


def _libraries() -> Path:
    package = ziglang()
    if package is None:
        raise RuntimeError("ziglang is not installed")
    return package / "lib"


def apple(architecture: str) -> HeaderSet:
    """Apple's headers."""
    lib = _libraries()
    target = {"x86_64": "x86_64-apple-macos10.13", "aarch64": "arm64-apple-macos11"}[architecture]
    folders = (lib / "include", lib / "libc" / "include" / "any-darwin-any")
    return HeaderSet("Apple's", architecture, (f"--target={target}", *_isystem(folders)))


def ours(architecture: str, include: Path = INCLUDE) -> HeaderSet:
    """Our headers, over those of musl."""
    lib = _libraries()
    kernel = {"x86_64": "x86"}.get(architecture, architecture)
    names = (f"{architecture}-linux-musl", "generic-musl", f"{kernel}-linux-any", "any-linux-any")
    folders = (lib / "include", *(lib / "libc" / "include" / name for name in names))
    target = f"--target={architecture}-linux-musl"
    return HeaderSet("ours", architecture, (target, f"-I{include}", *_isystem(folders)))


def _isystem(folders: tuple[Path, ...]) -> list[str]:
    flags = ["-nostdlibinc"]
    for folder in folders:
        if folder.is_dir():
            flags += ["-isystem", str(folder)]
    return flags


def apple_exports() -> str:
    """The list of symbols that Apple's libSystem exports, as text."""
    return (_libraries() / "libc" / "darwin" / "libSystem.tbd").read_text()
