"""tests/README.md has a row for each failure class, and names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
README = (TESTS / "README.md").read_text(encoding="utf-8")
CLASSES = range(1, 35)
# A case of a C suite, as `mach_unit/limits.c: a_case`.
C_CASE = re.compile(r"`([\w/]+\.c): (\w+)`")


def defined() -> set[str]:
    """The tests in Python: functions, and the classes that Hypothesis makes."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r"^(?:async )?def (test_\w+)", text, re.MULTILINE))
        found |= set(re.findall(r"^(Test\w+) = ", text, re.MULTILINE))
    return found


def c_cases(file: str) -> set[str]:
    path = TESTS / file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return set(re.findall(r"^CASE\((\w+)\)", text, re.MULTILINE))


def classes() -> dict[int, str]:
    """The tests of each row, by the row's number."""
    rows = re.findall(r"^\| (\d+) \| .+? \| (.+) \|$", README, re.MULTILINE)
    numbers = [int(number) for number, _ in rows]
    assert len(numbers) == len(set(numbers))
    return {int(number): tests for number, tests in rows}


def named(text: str) -> set[str]:
    return set(re.findall(r"`(test_\w+|Test\w+)`", text))


@pytest.mark.parametrize("number", CLASSES)
def test_each_failure_class_has_tests_that_exist(number: int) -> None:
    tests = classes()[number]
    cases = C_CASE.findall(tests)
    # A module's name says too little.
    assert sorted(named(tests) - defined()) == []
    assert [f"{file}: {case}" for file, case in cases if case not in c_cases(file)] == []
    assert named(tests) or cases


def test_there_is_no_row_for_a_class_that_is_not_known() -> None:
    assert list(classes()) == list(CLASSES)


def test_the_text_names_tests_that_exist() -> None:
    modules = {path.stem for path in TESTS.glob("test_*.py")}
    assert sorted(named(README) - defined() - modules) == []
    missing = [pair for pair in C_CASE.findall(README) if pair[1] not in c_cases(pair[0])]
    assert missing == []


def test_each_module_of_tests_is_in_the_table() -> None:
    folders = README.split("\n## ")[0]
    patterns = re.findall(r"`(test_\w+|test_\w*\*)`", folders)
    expected = {path.stem for path in TESTS.glob("test_*.py")} - {"test_tests"}
    covered = {
        name
        for name in expected
        for pattern in patterns
        if re.fullmatch(pattern.replace("*", r"\w+"), name)
    }
    assert sorted(expected - covered) == []
