"""README.md says what is so."""

import importlib.util
import operator
import re
import subprocess
import sys
from pathlib import Path

import child_port

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEADLINE = 60.0


def examples() -> dict[str, str]:
    blocks = re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL)
    return dict(blocks)


def test_the_example_runs_as_it_is_printed(tmp_path: Path) -> None:
    assert set(examples()) == {"parent.py", "child.py"}
    for name, text in examples().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "parent.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stderr
    handed_over, sender = re.findall(r" (\d+)$", result.stdout, re.MULTILINE)
    assert handed_over == sender


def is_public(name: str) -> bool:
    try:
        operator.attrgetter(name)(child_port)
    except AttributeError:
        return importlib.util.find_spec(f"child_port.{name}") is not None
    return True


def test_every_name_in_the_table_of_pieces_is_public() -> None:
    table = README.split("## The pieces")[1].split("\n## ")[0]
    rows = [line.rsplit("|", 2)[1] for line in table.splitlines() if line.startswith("| ")]
    names = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert {"SendRight", "bootstrap", "Popen.collect", "child_port.sharing"} <= names
    names -= {"child_port_capi.h"}
    assert [name for name in sorted(names) if not is_public(name.removeprefix("child_port."))] == []


def test_the_transcript_and_the_table_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "render_readme.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert result.returncode == 0, result.stderr
