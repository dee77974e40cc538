"""Running the C preprocessor over a .defs file.

The compiler's own ``defs`` directory is searched last, so that an SDK's ``<mach/*.defs>`` win and
a host without one finds the stand-ins.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

MAX_TEXT = 32 * 1024 * 1024
MAX_ERRORS = 1024 * 1024
MAX_MEMORY = 2 * 1024**3
MAX_SECONDS = 300
STAND_INS = Path(__file__).resolve().parent.parent / "defs"

# What a compiler for another architecture would define, when the one at hand cannot be told to.
_ARCHITECTURES = {
    "x86_64": ("__x86_64__", "__x86_64", "__amd64__"),
    "x86_64h": ("__x86_64__", "__x86_64", "__amd64__"),
    "arm64": ("__arm64__", "__arm64", "__aarch64__"),
    "arm64e": ("__arm64__", "__arm64", "__aarch64__"),
}
_ALL_MACROS = ("__x86_64__", "__x86_64", "__amd64__", "__arm64__", "__arm64", "__aarch64__")


class PreprocessError(Exception):
    """The preprocessor could not be run, or failed."""


@dataclass
class Preprocessor:
    """How to run the preprocessor: the options of the command line that concern it."""

    cc: str = ""
    arch: str = ""
    target: str = ""
    sysroot: str = ""
    flags: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        """The C compiler: ``-cc``, else ``$MIGCC``, else what the host has."""
        chosen = self.cc or os.environ.get("MIGCC", "")
        if chosen:
            return [chosen] if os.path.exists(chosen) else shlex.split(chosen)
        for name in ("cc", "clang", "gcc"):
            if shutil.which(name):
                return [name]
        raise PreprocessError("no C preprocessor found: install a C compiler, or set MIGCC or -cc")

    def _arch_flags(self) -> list[str]:
        if not self.arch:
            return []
        if sys.platform == "darwin":
            return ["-arch", self.arch]
        macros = _ARCHITECTURES.get(self.arch)
        if macros is None:
            known = ", ".join(_ARCHITECTURES)
            raise PreprocessError(f"unknown architecture {self.arch!r}: known are {known}")
        undefine = [f"-U{m}" for m in _ALL_MACROS if m not in macros]
        return undefine + [f"-D{m}=1" for m in macros]

    def run(self, file: Path) -> str:
        """Preprocess ``file`` and return the text with its line markers."""
        with tempfile.TemporaryDirectory(prefix="mig.") as scratch:
            # A copy named .c with the true name in a marker: every compiler takes it as C.
            copy = Path(scratch) / f"{file.stem}.c"
            marker = str(file).replace("\\", "\\\\").replace('"', '\\"')
            text = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
            copy.write_bytes(f'#line 1 "{marker}"\n'.encode() + text)
            command = [*self.command(), "-E", "-D__MACH30__", *self._arch_flags()]
            if self.target:
                command += ["-target", self.target]
            command += [*self.flags, "-I", str(file.parent)]
            sysroot = self.sysroot or os.environ.get("SDKROOT", "")
            if sysroot:
                command += ["-isysroot", sysroot]
            command += ["-idirafter", str(STAND_INS), str(copy)]
            said = Path(scratch) / "errors"
            code, output = _run(command, said)
            errors = said.read_bytes()[:MAX_ERRORS].decode(errors="replace")
        if len(output) > MAX_TEXT:
            raise PreprocessError(f"{file}: more than {MAX_TEXT >> 20} MiB after preprocessing")
        if code != 0:
            raise PreprocessError(f"{errors}error: preprocessing {file} failed".strip())
        if errors:
            print(errors, end="", file=sys.stderr)
        return output.decode(errors="surrogateescape")


def _run(command: list[str], said: Path) -> tuple[int, bytes]:
    """Run the preprocessor for its exit code and output; end it once it has printed too much.

    It has a process group of its own, so that what it started ends with it.
    """
    with said.open("wb") as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                preexec_fn=_bound_memory,
            )
        except OSError as error:
            raise PreprocessError(f"cannot run {command[0]}: {error.strerror}") from error
    assert process.stdout is not None
    with process, process.stdout as stream:
        too_long = threading.Timer(MAX_SECONDS, _kill, [process])
        too_long.start()
        try:
            output = stream.read(MAX_TEXT + 1)
            if len(output) > MAX_TEXT:
                _kill(process)
            code = process.wait()
        except BaseException:
            _kill(process)
            raise
        finally:
            too_long.cancel()
    return code, output


def _kill(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _bound_memory() -> None:
    """Macros of macros make a preprocessor ask for any amount of memory before it prints a word.

    On macOS the shared libraries alone are beyond any such bound, and clang prints as it goes.
    """
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        bound = MAX_MEMORY if hard == resource.RLIM_INFINITY else min(MAX_MEMORY, hard)
        resource.setrlimit(resource.RLIMIT_AS, (bound, hard))
