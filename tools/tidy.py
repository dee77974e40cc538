"""clang-tidy over the C of the extension and of mach_linux: `python -m tools.tidy [FILE...]`.

The stubs that the extension includes are made by our MIG compiler, in build/tidy. As many files are
looked at at once as there are processors; the checks are in .clang-tidy.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXT = ROOT / "ext"
STUBS = ROOT / "build" / "tidy"


def sources() -> list[Path]:
    """What is compiled on this platform."""
    other_half = "*_linux.c" if sys.platform == "darwin" else "*_darwin.c"
    library = [] if sys.platform == "darwin" else sorted(EXT.glob("mach_linux/*.c"))
    # The longest first: they then do not end last.
    files = sorted(set(EXT.glob("*.c")) - set(EXT.glob(other_half))) + library
    return sorted(files, key=lambda path: path.stat().st_size, reverse=True)


def make_stubs() -> None:
    shutil.rmtree(STUBS, ignore_errors=True)
    shutil.copytree(ROOT / "defs", STUBS)
    names = {"user": "User.c", "server": "Server.c", "header": ".h", "sheader": "Server.h"}
    options = [part for key, end in names.items() for part in (f"-{key}", f"child_port{end}")]
    subprocess.run(
        [sys.executable, "-m", "mig", *options, "child_port.defs"],
        cwd=STUBS,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
    )


def flags(path: Path) -> list[str]:
    own = ["-std=gnu11", "-D_GNU_SOURCE"]
    if path.parent != EXT:
        return [*own, f"-I{EXT / 'mach_linux'}", f"-I{EXT / 'mach_linux' / 'include'}"]
    return [
        *own,
        "-DPy_LIMITED_API=0x030b0000",
        '-DCHILD_PORT_MIG="tidy"',
        *([] if sys.platform == "darwin" else [f"-I{EXT / 'mach_linux' / 'include'}"]),
        f"-I{EXT / 'include'}",
        f"-isystem{STUBS}",
        f"-isystem{sysconfig.get_path('include')}",
    ]


def look_at(tidy: str, path: Path) -> tuple[Path, int, str]:
    done = subprocess.run(
        [tidy, "--quiet", str(path), "--", *flags(path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )
    return path, done.returncode, done.stdout


def tidy_all(tidy: str, paths: Iterable[Path]) -> int:
    failed = 0
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        for path, status, output in pool.map(lambda path: look_at(tidy, path), paths):
            if status != 0 or output.strip():
                print(f"{path.relative_to(ROOT)}:\n{output}")
                failed += 1
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="clang-tidy over ext/")
    parser.add_argument("files", nargs="*", type=Path, help="these only")
    paths = [path.resolve() for path in parser.parse_args(arguments).files] or sources()
    beside = Path(sys.executable).with_name("clang-tidy")
    tidy = str(beside) if beside.exists() else shutil.which("clang-tidy")
    if tidy is None:
        print("there is no clang-tidy: make .venv/tools", file=sys.stderr)
        return 2
    make_stubs()
    failed = tidy_all(tidy, paths)
    print(f"clang-tidy: {len(paths)} files, {failed} with findings")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
