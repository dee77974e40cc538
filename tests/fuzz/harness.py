"""Fuzz mach_linux's packet decoder: `make fuzz`, or `python tests/fuzz/harness.py --seconds 60`.

Each target runs for so long under libFuzzer with the address and undefined-behaviour sanitizers,
from the committed corpus and from what earlier runs found (in build/fuzz). Then the whole corpus is
run once more without a fuzzer, built for gcov, for the coverage figures. An input that breaks
something is kept, named, and makes the run fail.

`--seeds FOLDER` writes the seeds anew, after what travels in a packet has changed.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARY = ROOT / "ext" / "mach_linux"
CORPUS = HERE / "corpus"

TARGETS = {
    "packet": [
        "packet.c",
        "memfile.c",
        "chain.c",
        "receive.c",
        "inbound.c",
        "rights.c",
        "receiver.c",
        "queue.c",
    ],
    "state": ["state.c", "receiver.c", "queue.c"],
}
"""The targets, and the library's files that each is about."""

MUTATORS = {"packet": ["mutate_packet.c"]}
"""Those that keep what libFuzzer makes of an input close to what the library takes."""

FLAGS = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-g",
    f"-I{LIBRARY}",
    f"-I{LIBRARY / 'include'}",
    "-pthread",
]
SANITIZERS = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
LONGEST_INPUT = 2048
NO_FUZZER = """\
make fuzz needs clang with its libFuzzer, and '{compiler}' has none.
  on Debian and Ubuntu: apt-get install clang libclang-rt-dev
  or name another: make fuzz FUZZ_CC=clang-19
"""


def compiler_of(variable: str, default: str) -> list[str]:
    return shlex.split(os.environ.get(variable) or default)


def build(
    compiler: Sequence[str], program: Path, main: Sequence[str], flags: Sequence[str] = ()
) -> Path:
    """Compile files of this folder with the library, without anything but a compiler."""
    program.parent.mkdir(parents=True, exist_ok=True)
    sources = [HERE / name for name in main] + sorted(LIBRARY.glob("*.c"))
    command = [*compiler, *FLAGS, *flags, "-o", program.resolve(), *sources]
    # Here, because gcov's files go to where the compiler runs.
    subprocess.run([str(part) for part in command], check=True, cwd=program.parent)
    return program


def build_replay(program: Path, target: str, flags: Sequence[str] = ()) -> Path:
    """The target with a main() that runs files."""
    return build(
        compiler_of("CC", "cc"), program, ["replay.c", f"target_{target}.c", "world.c"], flags
    )


def write_seeds(folder: Path, program: Path) -> None:
    build(compiler_of("CC", "cc"), program, ["record.c"])
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run([str(program), str(folder)], check=True)


def has_fuzzer(compiler: Sequence[str], folder: Path) -> bool:
    probe = "int LLVMFuzzerTestOneInput(const void *p, long n) { return p == 0 && n == 1; }"
    command = [*compiler, "-fsanitize=fuzzer,address,undefined", "-x", "c", "-", "-o", "probe"]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(
            command, cwd=folder, input=probe, text=True, capture_output=True, check=False
        )
    except OSError:
        return False
    return done.returncode == 0


def start(program: Path, target: str, seconds: int, folder: Path) -> subprocess.Popen[bytes]:
    """The target under libFuzzer, its output in a file."""
    work, found = folder / "corpus" / target, folder / "found"
    work.mkdir(parents=True, exist_ok=True)
    found.mkdir(parents=True, exist_ok=True)
    command = [
        str(program),
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        "-timeout=60",
        f"-artifact_prefix={found}/{target}-",
        "-print_final_stats=1",
        str(work),
        str(CORPUS / target),
    ]
    with (folder / f"{target}.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)


def report(target: str, folder: Path, status: int) -> bool:
    """Print what a run came to. False: it found something."""
    log = (folder / f"{target}.log").read_text(encoding="utf-8", errors="replace")
    if status != 0:
        print(log[-8000:])
        print(f"{target}: FAILED; run the input it names with {folder / 'bin' / target} FILE")
        return False
    runs = re.search(r"^Done (\d+) runs", log, re.MULTILINE)
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", log)
    edges, features, inputs = progress[-1] if progress else ("0", "0", "0")
    print(
        f"{target}: {runs[1] if runs else 0} runs, {inputs} inputs in the corpus,"
        f" {edges} edges, {features} features; nothing found"
    )
    return True


def coverage(target: str, folder: Path) -> None:
    """Run the corpus in a build for gcov and print how much of its files it reaches."""
    place = folder / "coverage" / target
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    program = build_replay(place / "replay", target, ["-O0", "--coverage"])
    corpora = [CORPUS / target]
    work = folder / "corpus" / target
    if work.is_dir() and any(work.iterdir()):
        corpora.append(work)
    subprocess.run(
        [str(program), *map(str, corpora)], check=True, stdout=subprocess.DEVNULL, cwd=place
    )
    gcov = compiler_of("GCOV", "gcov")
    data = [path.name for path in sorted(place.glob("*.gcda"))]
    done = subprocess.run(
        [*gcov, "-b", *data], cwd=place, capture_output=True, text=True, check=True
    )
    for name in TARGETS[target]:
        block = re.search(
            rf"File '[^']*mach_linux/{re.escape(name)}'\nLines executed:(\S+)% of (\d+)\n"
            r"Branches executed:(\S+)% of (\d+)",
            done.stdout,
        )
        if block:
            print(
                f"{target}: {name}: {block[1]} % of {block[2]} lines,"
                f" {block[3]} % of {block[4]} branches"
            )


def fuzz(compiler: Sequence[str], seconds: int, folder: Path) -> int:
    programs = {
        target: build(
            compiler,
            folder / "bin" / target,
            [f"target_{target}.c", "world.c", *MUTATORS.get(target, [])],
            [*SANITIZERS, "-fsanitize=fuzzer"],
        )
        for target in TARGETS
    }
    running = {target: start(programs[target], target, seconds, folder) for target in TARGETS}
    good = [report(target, folder, process.wait()) for target, process in running.items()]
    if not all(good):
        return 1
    for target in TARGETS:
        coverage(target, folder)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz mach_linux's packet decoder.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; they run at once")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--check", action="store_true", help="say whether there is a fuzzer")
    parser.add_argument("--seeds", type=Path, metavar="FOLDER", help="write the seeds and stop")
    options = parser.parse_args()
    folder = options.build.resolve()
    if options.seeds is not None:
        write_seeds(options.seeds, folder / "bin" / "record")
        return 0
    compiler = compiler_of("FUZZ_CC", "clang")
    if not has_fuzzer(compiler, folder):
        sys.stderr.write(NO_FUZZER.format(compiler=" ".join(compiler)))
        return 2
    return 0 if options.check else fuzz(compiler, options.seconds, folder)


if __name__ == "__main__":
    sys.exit(main())
