"""The stand-ins in defs/mach: their types are those of Apple's headers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import parity
import pytest

pytest.importorskip("ziglang", reason="Apple's headers come with ziglang")

from headers.toolchain import ARCHITECTURES, apple

FILES = ("std_types.defs", "machine/machine_types.defs", "mach_types.defs")
NOT_GENERATED = {"exception_handler_array_t"}  # an inline array of ports

SIZES = {"integer_t": 4, "uint32_t": 4, "uint64_t": 8}


def declared() -> str:
    return "\n".join((parity.ROOT / "defs" / "mach" / name).read_text() for name in FILES)


def stubs(folder: Path, types: list[str]) -> None:
    """One routine that takes and one that gives a value of each type."""
    lines = ["subsystem standins 7000;", "#include <mach/mach_types.defs>"]
    for name in types:
        lines.append(f"simpleroutine take_{name}(port: mach_port_t; value: {name});")
        lines.append(f"routine give_{name}(port: mach_port_t; out value: {name});")
    (folder / "standins.defs").write_text("\n".join(lines) + "\n")
    outputs = ["-user", "user.c", "-server", "/dev/null", "-header", "standins.h"]
    parity.run([*shlex.split(parity.OURS), *outputs, "standins.defs"], cwd=folder)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_type_is_one_of_apples_headers(architecture: str, tmp_path: Path) -> None:
    text = declared()
    types = [t for t in re.findall(r"^type (\w+)", text, re.MULTILINE) if t not in NOT_GENERATED]
    stubs(tmp_path, types)
    flags = ("-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations", "-fsyntax-only")
    compiled = apple(architecture).clang(
        *flags, f"-I{tmp_path}", source=(tmp_path / "user.c").read_text()
    )
    assert compiled.returncode == 0, compiled.stderr


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_structs_have_the_sizes_of_apples(architecture: str) -> None:
    structs = re.findall(r"^type (\w+) = struct\[(\d+)\] of (\w+)", declared(), re.MULTILINE)
    assert structs
    lines = ["#include <mach/mach.h>"]
    for name, count, element in structs:
        size = int(count) * SIZES[element]
        lines.append(f'_Static_assert(sizeof({name}) == {size}, "{name}");')
    compiled = apple(architecture).clang("-fsyntax-only", source="\n".join(lines) + "\n")
    assert compiled.returncode == 0, compiled.stderr
