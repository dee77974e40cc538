"""tests/README.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def test_the_table_names_tests_that_exist() -> None:
    defined: set[str] = {path.stem for path in TESTS.glob("test_*.py")}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        defined |= set(re.findall(r"^def (test_\w+)", text, re.MULTILINE))
    named = set(re.findall(r"`(test_\w+)`", (TESTS / "README.md").read_text(encoding="utf-8")))
    assert len(named) > 50
    assert sorted(named - defined) == []
