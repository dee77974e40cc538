"""docs/proof-status.md names tests, jobs and sources that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent
PAGE = ROOT / "docs" / "proof-status.md"


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def claims(page: str) -> list[list[str]]:
    """The cells of each claim's row: what, shown by, settled by."""
    _, _, tables = page.partition("\n## Building")
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line[:2] == "| "]
    return [row for row in rows if row[0] not in ("claim", "---")]


def test_each_test_that_it_names_exists(page: str) -> None:
    defined: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        defined |= {path.stem, *re.findall(r"^def (test_\w+)", text, re.MULTILINE)}
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 5
    assert sorted(named - defined) == []


def test_each_file_that_it_names_exists(page: str) -> None:
    named = set(re.findall(r"`((?:tests|tools|ext|python|docs|mig|defs|\.github)/[\w./-]+)`", page))
    assert named
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_each_job_that_it_names_is_in_a_workflow(page: str) -> None:
    jobs = {
        job
        for path in (ROOT / ".github" / "workflows").glob("*.yml")
        for job in re.findall(r"^  ([a-z][\w-]*):$", path.read_text("utf-8"), re.MULTILINE)
    }
    rows = claims(page)
    assert len(rows) > 25
    for _, _, settled in rows:
        named = set(re.findall(r"`([a-z-]+)`", settled))
        assert settled.startswith("none: ") or (named and named <= jobs), settled


def test_each_claim_says_how_it_is_shown(page: str) -> None:
    ways = "read|compiled|layout|binary|same source|machine code|inferred|recorded"
    way = re.compile(rf"\b({ways})\b|`[^`]+`")
    for claim, shown, _ in claims(page):
        assert way.search(shown), claim
