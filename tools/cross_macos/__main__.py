"""Build for macOS on another platform.

python -m tools.cross_macos wheels --out DIR                            all wheels, checked
python -m tools.cross_macos extension --arch ARCH --out DIR [--debug]   only the extension
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tools.cross_macos.build import BuildError, build_extension
from tools.cross_macos.target import TARGETS


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.cross_macos",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    wheels = commands.add_parser("wheels", help="all wheels, built twice and checked")
    wheels.add_argument("--out", type=Path, required=True, help="where the wheels go")
    extension = commands.add_parser("extension", help="only the extension, with its build products")
    extension.add_argument("--arch", choices=TARGETS, required=True)
    extension.add_argument("--out", type=Path, required=True)
    extension.add_argument("--debug", action="store_true", help="with debug information")
    return parser.parse_args()


def make_wheels(out: Path) -> int:
    # The extension by itself needs none of the tools that check and pack.
    from tools.cross_macos.gate import GateError, make_wheels
    from tools.cross_macos.wheels import PackingError

    try:
        print(make_wheels(out))
    except (GateError, PackingError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def main() -> int:
    options = arguments()
    try:
        if options.command == "wheels":
            return make_wheels(options.out)
        kind = "debug" if options.debug else "release"
        print(build_extension(TARGETS[options.arch], kind, options.out, options.out / "cache"))
    except BuildError as error:
        print(f"the build failed:\n{error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
