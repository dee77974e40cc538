"""The command line.

python -m tools.cross_macos extension --arch x86_64 --out DIR [--debug]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.cross_macos.build import BuildError, build_extension
from tools.cross_macos.target import TARGETS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.cross_macos", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    extension = commands.add_parser("extension", help="only the extension, with its build products")
    extension.add_argument("--arch", choices=TARGETS, required=True)
    extension.add_argument("--out", type=Path, required=True)
    extension.add_argument("--debug", action="store_true", help="with debug information")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    kind = "debug" if options.debug else "release"
    try:
        print(build_extension(TARGETS[options.arch], kind, options.out, options.out / "cache"))
    except BuildError as error:
        print(f"the build for {options.arch} failed:\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
