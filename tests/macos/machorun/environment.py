"""Makes a virtual environment in which `import child_port` takes the Mac's extension.

    python -m machorun.environment ENVIRONMENT --extension FILE --shim FILE --mach FILE

The tools of the environment that this runs in are there too, but not its child_port. A .pth file
starts the hook, so that every interpreter that a test starts has it: with other variables in its
environment, with -E or -I, as long as it is this environment's.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
import venv
from pathlib import Path

from .macho import read_image

ROOT = Path(__file__).resolve().parents[3]
TOOLS = Path(__file__).resolve().parents[1]


def make(folder: Path, extension: Path, shim: Path, mach: Path) -> None:
    venv.create(folder, clear=True, symlinks=True, with_pip=False)
    description = folder / "image.json"
    read_image(extension).write(description)
    places = {"package": ROOT / "python" / "child_port", "description": description}
    places |= {"shim": shim, "mach": mach}
    absolute = {name: str(place.resolve()) for name, place in places.items()}
    (folder / "machorun.json").write_text(json.dumps(absolute), encoding="utf-8")
    site = sysconfig.get_path("purelib", vars={"base": str(folder)})
    lines = [str(TOOLS), sysconfig.get_path("purelib"), "import machorun.startup"]
    Path(site, "machorun.pth").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path)
    for name in ("extension", "shim", "mach"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    make(options.environment, options.extension, options.shim, options.mach)


if __name__ == "__main__":
    main()
