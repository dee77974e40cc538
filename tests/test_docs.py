"""The pages of the documentation: every code block runs, and prints what is shown.

A Python block whose first line is `# name.py` is a file beside the others of its page; any other is
a program by itself, which prints what the output block behind it shows, or nothing. A console block
is run line by line, in that folder, and prints what it shows.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGES = sorted(
    page
    for page in (path.relative_to(DOCS) for path in DOCS.rglob("*.md"))
    if not page.parts[0].startswith("_")
)
# What is shown but is no code of ours to run: pictures in letters, and Crashpad's own C++.
NOT_RUN = {"text", "cpp"}
# Packages that some blocks show child_port together with.
OTHER_PACKAGES = ("trio",)
DIRECTIVE = re.compile(r"\{[\w-]+\}")
DEADLINE = 60.0


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [
        Block(*found) for found in re.findall(r"^```(\S*)[^\n]*\n(.*?)^```$", text, re.M | re.S)
    ]


def shown_name(text: str) -> str | None:
    found = re.match(r"# (\w+\.py)\n", text)
    return found.group(1) if found else None


def lacks_a_package(text: str) -> bool:
    """What it shows needs more than child_port, and that is not installed here."""
    return any(
        re.search(rf"^import {name}$", text, re.M) and find_spec(name) is None
        for name in OTHER_PACKAGES
    )


def run(command: list[str], folder: Path) -> str:
    """What the command prints. Its environment finds `python` as the one that runs the tests."""
    bin_folder = folder / "bin"
    bin_folder.mkdir(exist_ok=True)
    python = bin_folder / "python"
    if not python.exists():
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    environment = os.environ | {"PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=DEADLINE
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def commands(text: str) -> list[tuple[str, str]]:
    """Each command of a console block, with what it is said to print."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:].strip(), ""))
        else:
            command, printed = found[-1]
            found[-1] = (command, printed + line)
    return found


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    found = blocks(page)
    named = {name: b.text for b in found if b.language == "python" and (name := shown_name(b.text))}
    for name, text in named.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    started = set()
    unshown = ""  # what the block before printed
    for block in found:
        if block.language in NOT_RUN or DIRECTIVE.fullmatch(block.language):
            continue
        if block.language == "output":
            assert unshown == block.text
            unshown = ""
            continue
        assert not unshown, f"{page} does not show that a block prints {unshown}"
        if block.language == "console":
            for command, printed in commands(block.text):
                files = re.findall(r"\w+\.py", command)
                started.update(files)
                if any(lacks_a_package(named.get(name, "")) for name in files):
                    continue
                assert run(["sh", "-c", command], tmp_path) == printed
        elif block.language == "python" and not shown_name(block.text):
            unshown = run([sys.executable, "-c", block.text], tmp_path)
        else:
            assert block.language == "python", f"{page}: a block of {block.language or 'nothing'}"
    assert not unshown, f"{page} does not show that a block prints {unshown}"
    used = started | set(re.findall(r"\w+\.py", "".join(named.values())))
    assert set(named) <= used, f"{page} shows files that nothing runs"


def test_no_program_naps_in_place_of_waiting() -> None:
    readme = DOCS.parent / "README.md"
    texts = {page: (DOCS / page).read_text(encoding="utf-8") for page in PAGES}
    texts[Path("README.md")] = readme.read_text(encoding="utf-8")
    assert [str(page) for page, text in texts.items() if re.search(r"\bsleep\(", text)] == []


def test_what_stands_side_by_side_has_both_languages_and_fits_its_column() -> None:
    text = (DOCS / "crashpad.md").read_text(encoding="utf-8")
    pairs = re.findall(r"^::::\{container\} side-by-side\n(.*?)^::::$", text, re.M | re.S)
    assert len(pairs) > 5
    for pair in pairs:
        languages = re.findall(r"^```(cpp|python)$", pair, re.M)
        assert languages == ["cpp", "python"] * (len(languages) // 2) != []
        assert [line for line in pair.splitlines() if len(line) > 64] == []


def test_every_page_is_in_the_table_of_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = {line.strip() for line in index.splitlines()}
    missing = [str(page) for page in PAGES if str(page.with_suffix("")) not in listed]
    assert missing == ["index.md"]
