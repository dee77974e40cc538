"""Put the demo's transcript and the bench table into README.md, between their markers.

    python tools/render_readme.py            rewrite README.md
    python tools/render_readme.py --check    exit with 1 if README.md says something else

A transcript differs from run to run in process ids, port names and times, and in how lines of
different processes interleave: the check compares its lines without numbers and without order.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "bench" / "RESULTS.md"
DEMO_DEADLINE = 120.0


def block(text: str, name: str) -> str:
    """What stands between <!-- name:begin --> and <!-- name:end -->."""
    match = re.search(rf"<!-- {name}:begin -->\n(.*?)<!-- {name}:end -->", text, re.DOTALL)
    if match is None:
        raise SystemExit(f"there are no {name}:begin and {name}:end markers")
    return match[1]


def with_block(text: str, name: str, content: str) -> str:
    """The text with that block replaced."""
    old = block(text, name)
    begin = f"<!-- {name}:begin -->\n"
    return text.replace(f"{begin}{old}<!-- {name}:end -->", f"{begin}{content}<!-- {name}:end -->")


def demo_transcript() -> str:
    """What the demo prints, as a code block."""
    result = subprocess.run(
        [sys.executable, "-m", "child_port", "demo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEMO_DEADLINE,
    )
    if result.returncode != 0:
        raise SystemExit(f"the demo failed:\n{result.stdout}{result.stderr}")
    lines = "\n".join(line.rstrip() for line in result.stdout.strip().splitlines())
    return f"\n```text\n{lines}\n```\n\n"


def bench_table() -> str:
    """The tables of bench/RESULTS.md."""
    return block(RESULTS.read_text(encoding="utf-8"), "tables")


def steady(transcript: str) -> list[str]:
    """What two runs of the demo have in common."""
    numbers = re.compile(r"0x[0-9a-f]+|\d+(\.\d+)?")
    return sorted(" ".join(numbers.sub("#", line).split()) for line in transcript.splitlines())


def differences(text: str) -> list[str]:
    """What is out of date in the README's text."""
    found = []
    if steady(block(text, "demo")) != steady(demo_transcript()):
        found.append("the demo prints something else")
    if block(text, "bench") != bench_table():
        found.append("bench/RESULTS.md has other tables")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the generated parts of README.md.")
    parser.add_argument("--check", action="store_true", help="change nothing; say what is stale")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    if arguments.check:
        stale = differences(text)
        for reason in stale:
            print(f"README.md is stale: {reason}; run: make readme", file=sys.stderr)
        return 1 if stale else 0
    text = with_block(text, "demo", demo_transcript())
    text = with_block(text, "bench", bench_table())
    README.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
