"""python -m bench.scaling: what a message costs among up to 10,000 ports, printed and plotted.

With --write the tables go to bench/SCALING.md and the plot to bench/scaling.svg.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from . import machine
from .build import BUILD, ROOT, compiler, run
from .plot import Line, chart
from .report import table

SIZES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000)
MESSAGES = 100_000
QUEUES = (500, 1000, 3000)
"""Over so many ports: a queue takes about 278 small messages."""


def build() -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    run(["make", "BUILD=../../build/mach_linux"], ROOT / "ext" / "mach_linux")
    program = BUILD / "scaling"
    library = ROOT / "build" / "mach_linux" / "libmach_linux.a"
    include = f"-I{ROOT / 'ext' / 'mach_linux' / 'include'}"
    source = ROOT / "bench" / "scaling.c"
    run([*compiler(), include, str(source), str(library), "-pthread", "-o", str(program)], ROOT)
    return program


def figures(program: Path, *arguments: str | int) -> list[float]:
    command = [str(program), *map(str, arguments)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in result.stdout.split()]


def medians(program: Path, rounds: int, *arguments: str | int) -> list[float]:
    runs = [figures(program, *arguments) for _ in range(rounds)]
    return [statistics.median(column) for column in zip(*runs, strict=True)]


def sizes_within(room: int) -> list[int]:
    """The sizes that fit; the largest that does is the last."""
    fitting = [size for size in SIZES if size <= room]
    return fitting if fitting[-1] == SIZES[-1] else [*fitting, room // 100 * 100 or room]


def limit_text(room: int) -> list[str]:
    """What the number of descriptors has to do with the largest set."""
    needed = f"A port in a set takes two descriptors, so {SIZES[-1]:,} need a little more than"
    if room >= SIZES[-1]:
        return [needed, f"{2 * SIZES[-1]:,} of them, which RLIMIT_NOFILE allows here."]
    return [
        needed,
        f"{2 * SIZES[-1]:,} of them. Here the hard limit (RLIMIT_NOFILE), which takes privilege to",
        f"raise, lets there be {room:,} ports.",
    ]


def document(
    sets: dict[int, list[float]], queues: dict[int, list[float]], about: dict[str, str], room: int
) -> str:
    set_rows = [[f"{n:,}", *(f"{value:.0f}" for value in row)] for n, row in sets.items()]
    queue_rows = [[f"{n:,}", *(f"{value:.0f}" for value in row)] for n, row in queues.items()]
    lines = [
        "# Many ports, many messages",
        "",
        "One process, mach_linux, messages without rights; nanoseconds, medians. A receive does",
        "the same whatever the number of members: the set is an epoll descriptor, which hands out",
        "ready members in turn. What it takes more with many of them is the processor's: one that",
        "was not used lately has left its caches. The same shows with socket pairs in an epoll",
        "descriptor and nothing else, in the last column. Where all members have a message, each",
        "waits for the others to be received.",
        "",
        *limit_text(room),
        "`make bench-scaling` measures anew.",
        "",
        *(f"- {name}: {value}" for name, value in about.items()),
        "",
        "![Cost of a receive by the number of ports in the set](scaling.svg)",
        "",
        table(
            [
                "ports in the set",
                "make and join",
                "receive, one ready",
                "receive, all ready",
                "raw epoll and recv, one ready",
            ],
            set_rows,
        ).rstrip(),
        "",
        f"{MESSAGES:,} messages queued over so many ports, then all received from their set:",
        "",
        table(["ports", "send", "receive"], queue_rows).rstrip(),
        "",
    ]
    return "\n".join(lines)


def plot(sets: dict[int, list[float]], about: dict[str, str]) -> str:
    return chart(
        "A receive from a port set, by the number of its members",
        f"{about['processor']}; {about['kernel']}; {about['date']}",
        "ports in the set",
        "ns",
        [
            Line("receive, one ready", [(n, row[1]) for n, row in sets.items()]),
            Line("receive, all ready", [(n, row[2]) for n, row in sets.items()]),
            Line("raw epoll, one ready", [(n, row[3]) for n, row in sets.items()]),
        ],
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="runs of each size (7)")
    parser.add_argument("--quick", action="store_true", help="one run of each size")
    parser.add_argument("--write", action="store_true", help="write SCALING.md and scaling.svg")
    return parser.parse_args()


def main() -> int:
    if not sys.platform.startswith("linux"):
        raise SystemExit("the bench is about mach_linux: it runs on Linux")
    options = parse()
    rounds = 1 if options.quick else options.rounds
    program, about = build(), machine.describe()
    room = int(figures(program, "room")[0])
    sets = {
        n: medians(program, rounds, "set", n) + medians(program, rounds, "raw", n)
        for n in sizes_within(room)
    }
    queues = {n: medians(program, rounds, "queue", n, MESSAGES) for n in QUEUES if n <= room}
    text = document(sets, queues, about, room)
    print(text, end="")
    if options.write:
        (ROOT / "bench" / "SCALING.md").write_text(text, encoding="utf-8")
        (ROOT / "bench" / "scaling.svg").write_text(plot(sets, about), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
