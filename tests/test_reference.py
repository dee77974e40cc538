"""The reference has every public name with its types, the page on the command line every command
with what it prints; and what is fenced in a docstring runs, after what it takes for granted."""

from __future__ import annotations

import ast
import inspect
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import BuiltinFunctionType, GetSetDescriptorType, MethodDescriptorType
from typing import Any

import child_port
import pytest
from child_port._cli import COMMANDS

DOCS = Path(__file__).resolve().parent.parent / "docs"
DEADLINE = 60.0

sys.path.insert(0, str(DOCS))
signatures: Any = import_module("signatures")
transcripts: Any = import_module("transcripts")


def documented(directive: str) -> set[str]:
    """What the reference has by that directive, within child_port."""
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    return set(re.findall(rf"{directive}:: child_port\.(\w+)", text))


def test_every_public_name_is_in_the_reference() -> None:
    assert sorted(set(child_port.__all__) - documented(r"auto\w+")) == []


def public_modules() -> set[str]:
    package = pkgutil.iter_modules(child_port.__path__)
    return {module.name for module in package if not module.name.startswith("_")}


def public_names(module: ast.Module) -> dict[str, str | None]:
    """Each public name that the module defines, with its docstring."""
    found: dict[str, str | None] = {}
    for node, after in zip(module.body, [*module.body[1:], None], strict=True):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = ast.get_docstring(node)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            described = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            found[node.targets[0].id] = str(after.value.value) if described else None  # type: ignore[union-attr]
    internal = {"TYPE_CHECKING"}
    return {name: text for name, text in found.items() if name[0] != "_" and name not in internal}


def test_every_public_name_of_every_public_module_is_in_the_reference() -> None:
    # automodule shows what has a docstring, and passes over the rest.
    assert documented("automodule") == public_modules() == {"bootstrap", "sharing"}
    for name in public_modules():
        module = import_module(f"child_port.{name}")
        assert module.__doc__
        found = public_names(ast.parse(inspect.getsource(module)))
        assert set(getattr(module, "__all__", found)) <= set(found)
        assert [f"{name}.{one}" for one, text in found.items() if not text] == []


def test_types_are_known_of_everything_that_is_written_in_c() -> None:
    known = set(signatures.KNOWN)
    for name in child_port.__all__:
        value = getattr(child_port, name)
        if isinstance(value, BuiltinFunctionType):
            assert name in known
        if not isinstance(value, type) or value.__module__ != "child_port":
            continue
        members = [
            member
            for member, one in vars(value).items()
            if member[0] != "_" and isinstance(one, (MethodDescriptorType, GetSetDescriptorType))
        ]
        assert [member for member in members if f"{name}.{member}" not in known] == []
    assert signatures.known(child_port.SendRight.send) == (
        "(data: Buffer=b'', rights: Iterable[Right | tuple[Right, int]]=(), *, id: int=0, "
        "reply_to: SendRight | SendOnceRight | ReceiveRight | None=None, "
        "timeout: float | None=None, cancel: CancelToken | None=None)",
        "None",
    )
    assert signatures.known(child_port.Popen) is None


def test_the_page_on_the_command_line_has_every_subcommand_and_what_it_prints() -> None:
    page = (DOCS / "command-line.md").read_text(encoding="utf-8")
    made = transcripts.transcripts()
    assert set(re.findall(r"_generated/([\w-]+)\.txt", page)) == set(made)
    for command in COMMANDS:
        assert f"\n## `{command.NAME}`: " in page
        assert {command.NAME, f"{command.NAME}-help"} & set(made)
        assert command.HELP.split()[0] in made["help"]
    assert all(text.startswith("$ python -m child_port ") for text in made.values())
    assert "all 9 checks held" in made["demo"]
    assert "1 accepted, 0 refused" in made["serve"]
    assert "SendRight 0x" in made["look-up"]
    assert str(DOCS.parent) not in "".join(made.values())


# For each piece of code in a docstring, by the object's name: what is there before it.
TAKEN_FOR_GRANTED = {
    "_spawn.Popen.collect": """
import sys
from child_port import Popen, ReceiveRight, SendRight
program = (
    "import sys, child_port as cp; "
    "cp.check_in_to_parent(cp.task_self(), key='task'); port = cp.ReceiveRight(); "
    "cp.check_in_to_parent(port, cp.Disposition.MOVE_RECEIVE, key='service'); "
    "sys.stdin.read()"
)
child = Popen([sys.executable, "-c", program], stdin=-1)
""",
    "_handshake.Handshake.inheriting": """
import os, subprocess, sys
from child_port import Handshake
handshake = Handshake(transport="inherited")
program = (
    "import sys, child_port as cp; cp.Handshake.run_client_for_fd("
    f"{handshake.client_read_fd}, cp.task_self(), timeout=30); sys.stdin.read()"
)
command = [sys.executable, "-c", program]
""",
}
AFTERWARDS = {
    "_spawn.Popen.collect": """
assert {key: type(right) for key, right in rights.items()} == {
    "task": SendRight, "service": ReceiveRight
}
for right in rights.values():
    right.close()
with child:
    pass
""",
    "_handshake.Handshake.inheriting": """
right.close()
assert child.wait() == 0
""",
}


def in_docstrings() -> dict[str, str]:
    """The code that is fenced in docstrings of the package."""
    found = {}
    package = Path(child_port.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        module = ".".join(path.relative_to(package).with_suffix("").parts)
        for name, text in docstrings_of(tree, module):
            for code in re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S):
                assert name not in found, f"{name} has two"
                found[name] = code
    return found


def docstrings_of(node: ast.AST, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        yield name, ast.get_docstring(node) or ""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from docstrings_of(child, f"{name}.{child.name}")


def test_each_docstring_with_code_in_it_is_run() -> None:
    assert set(in_docstrings()) == set(TAKEN_FOR_GRANTED) == set(AFTERWARDS)


@pytest.mark.parametrize("name", TAKEN_FOR_GRANTED)
def test_the_code_in_a_docstring_runs(name: str, tmp_path: Path) -> None:
    program = f"{TAKEN_FOR_GRANTED[name]}\n{in_docstrings()[name]}\n{AFTERWARDS[name]}"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    assert (result.returncode, result.stderr) == (0, "")
