"""All wheels for macOS, each built twice and checked."""

from __future__ import annotations

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tools.cross_macos.build import build_wheel
from tools.cross_macos.target import TARGETS
from tools.cross_macos.wheels import (
    checkers_complaints,
    description,
    make_universal,
    wheel_problems,
)

Wheels = dict[tuple[str, ...], Path]


class GateError(Exception):
    """The wheels are not what they must be; the text is all that is wrong."""


def _build_all(folder: Path) -> Wheels:
    """The wheels, by the architectures that they serve."""

    def build(arch: str) -> Path:
        return build_wheel(TARGETS[arch], folder / arch, folder / "cache" / arch)

    with ThreadPoolExecutor() as pool:
        thin = dict(zip(TARGETS, pool.map(build, TARGETS), strict=True))
    universal = make_universal(thin, folder)
    return {**{(arch,): wheel for arch, wheel in thin.items()}, tuple(thin): universal}


def make_wheels(out: Path) -> str:
    """Put the wheels into the folder, and say what they are."""
    work = out / "work"
    with ThreadPoolExecutor() as pool:
        # In places with different names, without a common cache: nothing of either may show.
        made, again = pool.map(_build_all, [work / "first", work / "second, elsewhere"])
    wrong = []
    for arches, wheel in made.items():
        problems = wheel_problems(wheel, arches)
        if wheel.read_bytes() != again[arches].read_bytes():
            problems.append("differs from the same wheel built elsewhere")
        wrong += [f"{wheel.name}: {problem}" for problem in problems]
    wrong += checkers_complaints(list(made.values()))
    if wrong:
        raise GateError("\n".join(wrong))
    lines = []
    for wheel in made.values():
        shutil.copy(wheel, out)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines += [*description(wheel), f"  sha256 {digest}, twice the same"]
    return "\n".join(lines)
