"""Makes a virtual environment in which `import child_port` takes the Mac's extension.

    python -m machorun.environment ENVIRONMENT --extension FILE --shim FILE --mach FILE

The tools of the environment that this runs in are there too, but not its child_port. A .pth file
starts the hook, so that every interpreter that a test starts has it: with other variables in its
environment, with -E or -I, as long as it is this environment's. One that is started with -S, which
reads no .pth file, and with this one's path gets it from a package that stands in for child_port.
"""

from __future__ import annotations

import argparse
import sysconfig
import tomllib
import venv
from pathlib import Path

from .macho import read_image

ROOT = Path(__file__).resolve().parents[3]
TOOLS = Path(__file__).resolve().parents[1]

STAND_IN = """\
import sys

import machorun.startup

del sys.modules[__name__]
import child_port
"""


def make(folder: Path, extension: Path, shim: Path, mach: Path) -> None:
    venv.create(folder, clear=True, symlinks=True, with_pip=False)
    description = folder / "image.json"
    read_image(extension).write(description)
    places = {"package": ROOT / "python" / "child_port", "description": description}
    places |= {"shim": shim, "mach": mach}
    absolute = {name: str(place.resolve()) for name, place in places.items()}
    lines = [str(TOOLS), sysconfig.get_path("purelib"), "import machorun.startup"]
    texts = {
        "machorun.pth": "\n".join(lines) + "\n",
        "machorun_places.py": f"PLACES = {absolute!r}\n",
        "child_port/__init__.py": STAND_IN,
        f"child_port-{_version()}.dist-info/METADATA": (
            f"Metadata-Version: 2.1\nName: child-port\nVersion: {_version()}\n"
        ),
    }
    # pytest looks for it wherever the metadata of child_port is found.
    plugin = ROOT / "python" / "_child_port_pytest.py"
    texts[plugin.name] = plugin.read_text(encoding="utf-8")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    for name, text in texts.items():
        (site / name).parent.mkdir(exist_ok=True)
        (site / name).write_text(text, encoding="utf-8")


def _version() -> str:
    with open(ROOT / "pyproject.toml", "rb") as file:
        return str(tomllib.load(file)["project"]["version"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("environment", type=Path)
    for name in ("extension", "shim", "mach"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    options = parser.parse_args()
    make(options.environment, options.extension, options.shim, options.mach)


if __name__ == "__main__":
    main()
