"""The wheels for macOS: one for each architecture, and one for both ("universal2").

setuptools makes the first two. The third is the second with a fat file in it, a container of both
Mach-O files as they are, put together and tagged by the wheel package.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import lief
from fat_macho import FatWriter
from packaging.tags import Tag, cpython_tags, mac_platforms
from packaging.utils import parse_wheel_filename

from tools.cross_macos.binary import CPU_TYPES, EXPORT, extension_problems, import_counts
from tools.cross_macos.target import BINARY, EPOCH, TARGETS, Target

EXTENSION = f"child_port/{BINARY}"
# Both architectures must be able to load it; pip on arm64 takes a universal2 wheel for any 10.x.
UNIVERSAL = f"macosx_{TARGETS['x86_64'].version.replace('.', '_')}_universal2"
CHECKERS = (("abi3audit", "--strict"), ("check_wheel_contents",), ("twine", "check", "--strict"))


class PackingError(Exception):
    """The wheels cannot be put together; the text says why."""


def _wheel(*arguments: str | Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "wheel", *map(str, arguments)],
        check=True,
        env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def _unpack(wheel: Path, folder: Path) -> Path:
    """The wheel's files; unpacking compares them with the wheel's RECORD."""
    shutil.rmtree(folder, ignore_errors=True)
    _wheel("unpack", "--dest", folder, wheel)
    (unpacked,) = folder.iterdir()
    return unpacked


def _require_same_files(first: Path, second: Path) -> None:
    """That the wheels differ in nothing but the extension and what names the architecture."""
    names = [
        {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        for root in (first, second)
    ]
    if names[0] != names[1]:
        raise PackingError(f"the wheels have different files: {sorted(names[0] ^ names[1])}")
    own = (EXTENSION, ".dist-info/WHEEL", ".dist-info/RECORD")
    same = [name for name in names[0] if not name.endswith(own)]
    _, differ, errors = filecmp.cmpfiles(first, second, same, shallow=False)
    if differ or errors:
        raise PackingError(f"files of the wheels are different: {sorted(differ + errors)}")


def make_universal(thin: dict[str, Path], folder: Path) -> Path:
    """The wheel for both architectures, written beside the others' folder."""
    unpacked = {arch: _unpack(wheel, folder / f"unpacked_{arch}") for arch, wheel in thin.items()}
    _require_same_files(*unpacked.values())
    writer = FatWriter()  # type: ignore[no-untyped-call]
    for tree in unpacked.values():
        writer.add((tree / EXTENSION).read_bytes())
    base = unpacked["arm64"]
    (base / EXTENSION).write_bytes(writer.generate())
    packed = folder / "packed"
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir()
    _wheel("pack", "--dest-dir", packed, base)
    (mixed,) = packed.iterdir()
    _wheel("tags", "--remove", "--platform-tag", UNIVERSAL, mixed)
    (universal,) = packed.iterdir()
    return universal


def slices(data: bytes) -> dict[str, bytes]:
    """The Mach-O files in a file, by architecture."""
    fat = lief.MachO.parse(data)
    if fat is None:
        return {}
    found = {}
    for binary in fat:
        for arch, cpu_type in CPU_TYPES.items():
            if binary.header.cpu_type == cpu_type:
                found[arch] = data[binary.fat_offset : binary.fat_offset + binary.original_size]
    return found


def _tag_problems(wheel: Path, target: Target) -> list[str]:
    """Whether pip on the oldest such Mac would take the wheel."""
    platforms = list(mac_platforms(target.minimum, target.arch))
    accepted: set[Tag] = set(cpython_tags((3, 11), platforms=platforms))
    tags = parse_wheel_filename(wheel.name)[3]
    if not tags & accepted:
        return [f"is for {', '.join(map(str, tags))}, which pip on {target.platform} does not take"]
    return []


def wheel_problems(wheel: Path, arches: tuple[str, ...]) -> list[str]:
    """All that is wrong with a wheel, which is to serve just these architectures."""
    with zipfile.ZipFile(wheel) as archive:
        extensions = [name for name in archive.namelist() if name.endswith(".so")]
        if extensions != [EXTENSION]:
            return [f"has these extensions: {extensions}"]
        found = slices(archive.read(EXTENSION))
    if set(found) != set(arches):
        return [f"is for {sorted(found)}, not for {sorted(arches)}"]
    return [
        *(problem for arch in arches for problem in _tag_problems(wheel, TARGETS[arch])),
        *(
            f"{EXTENSION} ({arch}) {problem}"
            for arch in arches
            for problem in extension_problems(found[arch], TARGETS[arch])
        ),
    ]


def description(wheel: Path) -> list[str]:
    """What was found in a wheel that nothing is wrong with, for the log."""
    with zipfile.ZipFile(wheel) as archive:
        found = slices(archive.read(EXTENSION))
    lines = [wheel.name]
    for arch, data in found.items():
        imports = ", ".join(f"{n} of {origin}" for origin, n in sorted(import_counts(data).items()))
        lines.append(
            f"  {arch}: macOS {TARGETS[arch].version}, exports {EXPORT}, imports {imports}"
        )
    return lines


def checkers_complaints(wheels: list[Path]) -> list[str]:
    """What the public checkers of wheels say against them."""
    complaints = []
    for module, *options in CHECKERS:
        command = [sys.executable, "-m", module, *options, *map(str, wheels)]
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if result.returncode != 0:
            complaints.append(f"{module} fails with {result.returncode}:\n{result.stdout.strip()}")
    return complaints
