"""The examples run, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
DEADLINE = 100.0

PRINTS = {
    "sample_memory.py": r"\d+ samples, rising: True\nthe last one: 5000000\n",
    "helper_process.py": (
        r"1000 / 8 = 125\n1000 / 0 crashed the helper; here is another one\n1000 / 4 = 250\n"
    ),
    "shared_frames.py": r"12 frames of 320x200, each as bright as rendered: True\n",
}


def test_there_is_a_test_for_each() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(PRINTS)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert [name for name in PRINTS if f"]({name})" not in readme] == []


@pytest.mark.parametrize("name", PRINTS)
def test_it_runs(name: str) -> None:
    result = subprocess.run(
        [sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=DEADLINE
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(PRINTS[name], result.stdout)
