"""python -m child_port: what the package can show of itself."""

import argparse
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m child_port", description="Hand Mach port rights between processes."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="separate processes hand each other port rights, and every step is checked",
        description="Runs five steps in separate processes; exits with 1 if a check fails.",
    )
    demo.add_argument("--json", action="store_true", help="print the transcript as JSON")
    options = parser.parse_args(arguments)

    from ._demo.run import run

    return run(options.json)


if __name__ == "__main__":
    sys.exit(main())
