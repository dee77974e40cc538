"""Where the generated files go: what is wanted, and putting all of it in place or nothing.

A file is written under another name first and then takes its place, where a symbolic link leads if
it is one; what is no file (a pipe, a terminal) is written to as it is, and never replaced or
removed. The null device, by whatever name, means that an output is not wanted.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from mig.emit.common import GENERATED

KINDS = ("user", "server", "header", "sheader", "iheader", "dheader")


def output_paths(chosen: Mapping[str, str], interface: str) -> dict[str, Path]:
    """Where each output goes. The three that MIG always makes have default names."""
    defaults = {
        "header": f"{interface}.h",
        "user": f"{interface}User.c",
        "server": f"{interface}Server.c",
    }
    names = {**defaults, **chosen}
    return {kind: Path(name) for kind, name in names.items() if name and not _is_null(name)}


def _is_null(name: str) -> bool:
    try:
        return name == os.devnull or os.path.samefile(name, os.devnull)
    except OSError:
        return False


def place(path: Path) -> str:
    """What two names of one file have in common."""
    return os.path.realpath(path)


def clash(paths: Mapping[str, Path], inputs: Iterable[str], made: Iterable[Path]) -> str:
    """What is wrong with these places, if anything: two outputs in one, or one that is a source."""
    sources = {place(Path(name)) for name in inputs}
    taken = {place(path): "another interface's output" for path in made}
    for kind, path in paths.items():
        at = place(path)
        if at in sources:
            return f"-{kind} {path} would overwrite a source"
        if at in taken:
            return f"-{kind} {path} is {taken[at]} too"
        taken[at] = f"the output of -{kind}"
    return ""


def _is_file_or_absent(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def write_all(texts: Mapping[Path, str]) -> None:
    """Write the files so that all of them appear, or none."""
    written: list[tuple[str, str]] = []
    try:
        for path, text in texts.items():
            if _is_file_or_absent(path):
                target = place(path)
                written.append((_write_beside(target, text), target))
        for path, text in texts.items():
            if not _is_file_or_absent(path):
                path.write_text(text, encoding="utf-8", errors="surrogateescape")
        while written:
            os.replace(*written[0])
            written.pop(0)
    finally:
        for temporary, _ in written:
            Path(temporary).unlink(missing_ok=True)


def _write_beside(target: str, text: str) -> str:
    folder, name = os.path.split(target)
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        os.chmod(temporary, 0o666 & ~_umask())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def remove(paths: Iterable[Path]) -> None:
    """Remove what is a file, where a link leads to one."""
    for path in paths:
        try:
            if path.is_file():
                os.unlink(place(path))
        except OSError:
            pass  # the error that led here is the one to report


def is_generated(path: Path) -> bool:
    """Whether an earlier run made this file."""
    if not path.is_file():
        return False
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return GENERATED in file.read(500)
    except OSError:
        return False
