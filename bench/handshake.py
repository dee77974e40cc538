"""What a child that checks in costs, beside a child that does not."""

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

import child_port

DEADLINE = 60.0
CHILD = "import child_port as cp; cp.check_in_to_parent(cp.task_self(), timeout=60)"


# The waits for an exit have no deadline: with one, subprocess polls, in steps of up to 50 ms.


def bare() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def importing() -> None:
    subprocess.run([sys.executable, "-c", "import child_port"], check=True)


def with_check_in() -> None:
    with (
        child_port.Popen([sys.executable, "-c", CHILD]) as child,
        child.accept(timeout=DEADLINE),
    ):
        child.wait()


KINDS: dict[str, Callable[[], None]] = {
    "subprocess, the child does nothing": bare,
    "subprocess, the child imports child_port": importing,
    "child_port.Popen, the child checks in with its task": with_check_in,
}


def measure(rounds: int) -> dict[str, float]:
    """Milliseconds from the start to the child's exit, the median of interleaved runs."""
    figures: dict[str, list[float]] = {title: [] for title in KINDS}
    for start in KINDS.values():
        start()
    for _ in range(rounds):
        for title, start in KINDS.items():
            before = time.perf_counter()
            start()
            figures[title].append((time.perf_counter() - before) * 1e3)
    return {title: median(values) for title, values in figures.items()}
