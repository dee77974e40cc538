"""Which streams there are, and running them in turn."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

DEADLINE = 300.0
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Stream:
    """One way of handing things over; the command takes COUNT WARM_UP RECEIVER_CPU SENDER_CPU."""

    key: str
    title: str
    command: tuple[str, ...]
    count: int


@dataclass(frozen=True)
class Aim:
    """What the time of `key` over that of `base` should be at most."""

    key: str
    base: str
    limit: float
    text: str


@dataclass
class Results:
    """Nanoseconds a message: one figure a round for each stream, in the order of the rounds."""

    rounds: dict[str, list[float]] = field(default_factory=dict)

    def typical(self, key: str) -> float:
        return median(self.rounds[key])

    def spread(self, key: str) -> tuple[float, float]:
        return middle_half(self.rounds[key])

    def ratio(self, key: str, base: str) -> float:
        """The median of the ratios within each round, which shared disturbances leave alone."""
        return median(self._ratios(key, base))

    def ratio_spread(self, key: str, base: str) -> tuple[float, float]:
        return middle_half(self._ratios(key, base))

    def _ratios(self, key: str, base: str) -> list[float]:
        pairs = zip(self.rounds[key], self.rounds[base], strict=True)
        return [ours / theirs for ours, theirs in pairs]


def middle_half(figures: list[float]) -> tuple[float, float]:
    if len(figures) < 2:
        return figures[0], figures[0]
    first, _, third = quantiles(figures, n=4, method="inclusive")
    return first, third


AIMS = (
    Aim("mach1", "raw1", 1.4, "at most 1.4 times raw C with one descriptor"),
    Aim("mach0", "raw0", 1.25, "at most 1.25 times raw C without descriptors"),
    Aim("check_in", "raw1", 2.0, "at most twice raw C with one descriptor"),
    Aim("check_in", "send_fds", 1.0, "faster than socket.send_fds"),
    Aim("check_in", "send_handle", 1 / 2.5, "at least 2.5 times faster than send_handle"),
)


def streams(raw: Path, mach: Path) -> list[Stream]:
    python = (sys.executable, "-m", "bench.peers")
    return [
        Stream("raw0", "C, raw, 48 bytes, no descriptor", (str(raw), "0"), 60_000),
        Stream("raw1", "C, raw, 48 bytes, one descriptor", (str(raw), "1"), 50_000),
        Stream("raw2", "C, raw, 48 bytes, two descriptors", (str(raw), "2"), 50_000),
        Stream("asked", "C, raw, two descriptors, looked at", (str(raw), "3"), 50_000),
        Stream("asked_all", "the same, any right", (str(raw), "4"), 50_000),
        Stream("mach0", "C, mach_msg without a right", (str(mach), "0"), 60_000),
        Stream("mach1", "C, check-in by the generated stubs", (str(mach), "1"), 50_000),
        Stream("mach2", "the same, the service found by name", (str(mach), "2"), 50_000),
        Stream("mach3", "the same, two rights by turns", (str(mach), "3"), 50_000),
        Stream("check_in", "Python, check_in → Server.accept", (*python, "check_in"), 20_000),
        Stream(
            "check_in_named",
            "the same, the service found by name",
            (*python, "check_in_named"),
            20_000,
        ),
        Stream("send_fds", "Python, send_fds → recv_fds", (*python, "send_fds"), 20_000),
        Stream(
            "send_handle", "Python, send_handle → recv_handle", (*python, "send_handle"), 10_000
        ),
    ]


def processors() -> tuple[int, int]:
    """Where the receiver and the sender run: two processors if there are two, else anywhere."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) >= 2 else (-1, -1)


def run_once(stream: Stream, count: int) -> float:
    receiver_cpu, sender_cpu = processors()
    numbers = (count, max(count // 20, 10), receiver_cpu, sender_cpu)
    try:
        result = subprocess.run(
            [*stream.command, *map(str, numbers)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{stream.title}: not finished after {DEADLINE:.0f} s") from error
    if result.returncode != 0:
        raise SystemExit(f"{stream.title}: exited with {result.returncode}\n{result.stderr}")
    return float(result.stdout)


def run_all(
    entries: list[Stream], rounds: int, divisor: int, progress: Callable[[str], None]
) -> Results:
    """Each stream once a round, every round beginning with another one."""
    results = Results({stream.key: [] for stream in entries})
    for number in range(rounds):
        progress(f"streams: round {number + 1} of {rounds}")
        start = number % len(entries)
        for stream in entries[start:] + entries[:start]:
            results.rounds[stream.key].append(run_once(stream, stream.count // divisor))
    return results
