"""Which wheels a release has: what cibuildwheel makes of pyproject.toml, without building."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# The first is the abi3 wheel; with the others that have a GIL it is only tested again.
WITH_GIL = ("cp311", "cp312", "cp313", "cp314", "cp315")
# Without one each version has a wheel of its own.
FREE_THREADED = ("cp314t", "cp315t")
PLATFORMS = {
    "linux": (
        "manylinux_x86_64",
        "manylinux_aarch64",
        "musllinux_x86_64",
        "musllinux_aarch64",
    ),
    "macos": ("macosx_arm64", "macosx_x86_64", "macosx_universal2"),
}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("cibuildwheel") is None, reason="cibuildwheel is not installed"
)


def identifiers(platform: str, *options: str, **chosen: str) -> set[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CIBW_")}
    environment |= chosen
    program = [sys.executable, "-m", "cibuildwheel", "--print-build-identifiers"]
    result = subprocess.run(
        [*program, "--platform", platform, *options, str(ROOT)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.split())


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_selection_of_wheels(platform: str) -> None:
    expected = {
        f"{python}-{tag}" for python in (*WITH_GIL, *FREE_THREADED) for tag in PLATFORMS[platform]
    }
    assert identifiers(platform) == expected


def test_an_architecture_can_be_chosen_as_the_workflow_does() -> None:
    chosen = identifiers("macos", "--archs", "universal2")
    assert chosen == {f"{python}-macosx_universal2" for python in (*WITH_GIL, *FREE_THREADED)}


def test_the_jobs_of_the_workflow_build_each_wheel_once() -> None:
    workflow = (ROOT / ".github" / "workflows" / "wheels.yml").read_text(encoding="utf-8")
    assert 'CIBW_BUILD: "*-${{ matrix.tag }}_*"' in workflow
    jobs = re.findall(r"platform: (\w+), tag: (\w+), archs: (\w+)}", workflow)
    built = [
        wheel
        for platform, tag, archs in jobs
        for wheel in identifiers(platform, "--archs", archs, CIBW_BUILD=f"*-{tag}_*")
    ]
    assert len(built) == len(set(built))
    assert set(built) == identifiers("linux") | identifiers("macos")
