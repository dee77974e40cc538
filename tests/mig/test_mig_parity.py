"""The generated stubs do what Apple's do: the recorded facts, under every C compiler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import parity
import pytest

INTERFACES = {i.name: i for i in parity.INTERFACES}


@pytest.mark.parametrize("name", INTERFACES)
def test_stubs_behave_as_recorded(name: str, cc: str, tmp_path: Path) -> None:
    result = parity.compare(
        INTERFACES[name], parity.OURS, None, tmp_path, parity.Toolchain((cc, "-O1"))
    )
    assert result.differences == []
    assert result.lines > 100 and result.mutations > 100


def test_apples_facts_are_all_there() -> None:
    lines = [
        len(i.expected.read_text().splitlines())
        for i in parity.INTERFACES
        if i.recorded == parity.APPLE
    ]
    assert sum(lines) == 436


def test_a_difference_is_reported(tmp_path: Path) -> None:
    interface = INTERFACES["child_port"]
    wrong = tmp_path / "child_port.defs"
    text = interface.defs.read_text().replace("child_port 10011", "child_port 10012")
    wrong.write_text(text)
    changed = parity.Interface(interface.name, wrong, "", parity.APPLE)
    result = parity.compare(changed, parity.OURS, None, tmp_path / "o", parity.Toolchain())
    assert any("subsystem 10012" in line for line in result.differences)
    assert "child_port" in parity.report([result])


def test_an_interface_that_fails_does_not_hide_the_others(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.defs"
    wrong.write_text("subsystem wrong 1; nonsense\n")
    toolchain = parity.Toolchain()
    bad = parity.Interface("wrong", wrong, "", parity.OWN)
    good = INTERFACES["child_port"]
    results = [parity.compare(i, parity.OURS, None, tmp_path / "o", toolchain) for i in (bad, good)]
    assert [c.passed for c in results] == [False, True]
    text = parity.report(results)
    assert "wrong.defs:1:20: error: syntax error" in text
    assert "not compared" in text and "child_port" in text


def test_the_other_compiler_may_fail_where_that_is_expected(tmp_path: Path) -> None:
    toolchain = parity.Toolchain()
    for name, passed in (("codes", True), ("child_port", False)):
        result = parity.compare(INTERFACES[name], parity.OURS, "false", tmp_path, toolchain)
        assert result.failure
        assert result.passed is passed


def test_two_compilers_can_be_compared(tmp_path: Path) -> None:
    other = f"{parity.OURS} -maxonstack 0"
    interface = INTERFACES["arrays"]
    result = parity.compare(interface, parity.OURS, other, tmp_path, parity.Toolchain())
    assert result.differences == []


SANITIZED = parity.Toolchain(
    ("gcc",), ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
)


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> parity.Toolchain:
    """A gcc with sanitizers, which is more than a gcc: manylinux and musllinux have none."""
    folder = tmp_path_factory.mktemp("sanitized")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    command = [*SANITIZED.cc, *SANITIZED.flags, "empty.c", "-o", "empty"]
    try:
        built = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        ran = built.returncode == 0 and subprocess.run([str(folder / "empty")]).returncode == 0
    except FileNotFoundError:
        ran = False
    if not ran:
        pytest.skip("there is no gcc with sanitizers")
    return SANITIZED


@pytest.mark.parametrize("name", INTERFACES)
def test_stubs_are_free_of_undefined_behaviour(
    name: str, sanitized: parity.Toolchain, tmp_path: Path
) -> None:
    toolchain = sanitized
    lines = parity.observe(parity.OURS, INTERFACES[name], tmp_path, toolchain)
    assert lines == INTERFACES[name].expected.read_text().splitlines()


# Apple's own harness has no allocator; the fuller one, in exchange.h, counts what is not freed.
WITH_ALLOCATOR = [i.name for i in parity.INTERFACES if i.recorded == parity.OWN]


@pytest.mark.parametrize("name", WITH_ALLOCATOR)
def test_messages_on_the_heap_behave_alike_and_are_freed(name: str, tmp_path: Path) -> None:
    lines = parity.observe(
        f"{parity.OURS} -maxonstack 0", INTERFACES[name], tmp_path, parity.Toolchain()
    )
    assert lines == INTERFACES[name].expected.read_text().splitlines()
