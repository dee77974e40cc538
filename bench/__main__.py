"""python -m bench: measure, print, and with --write put it into bench/RESULTS.md."""

import argparse
import json
import subprocess
import sys

from . import handshake, machine, report
from .build import ROOT, build
from .streams import run_all, streams

RESULTS = ROOT / "bench" / "RESULTS.md"
FEWEST_ROUNDS = 7


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def resources() -> dict[str, dict[str, float]]:
    """In processes of their own, so that nothing measured before is in their memory."""
    figures: dict[str, dict[str, float]] = {}
    for kind in ("own", "foreign"):
        command = [sys.executable, "-m", "bench.resources", kind]
        result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True)
        figures |= json.loads(result.stdout)
    return figures


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="runs of each stream (21)")
    parser.add_argument("--quick", action="store_true", help="short runs that prove nothing")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = min(arguments.rounds, 2)
    if arguments.write and arguments.rounds < FEWEST_ROUNDS:
        parser.error(f"--write needs at least {FEWEST_ROUNDS} rounds")
    return arguments


def main() -> int:
    if not sys.platform.startswith("linux"):
        raise SystemExit("the bench compares mach_linux with Linux's sockets: it runs on Linux")
    arguments = parse()
    say("compiling the C streams")
    raw, mach = build()
    entries = streams(raw, mach)
    results = run_all(entries, arguments.rounds, 20 if arguments.quick else 1, say)
    say("handshakes")
    handshakes = handshake.measure(3 if arguments.quick else 40)
    say("descriptors and memory")
    tables = [
        report.streams_table(entries, results),
        report.aims_table(entries, results),
        report.handshake_table(handshakes),
        report.resources_table(resources()),
    ]
    text = report.document(machine.describe(), arguments.rounds, tables)
    print(text, end="")
    if arguments.write:
        RESULTS.write_text(text, encoding="utf-8")
        say(f"written to {RESULTS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
