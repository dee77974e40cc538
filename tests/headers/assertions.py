"""The C file that compares two header sets, made from what one of them declares.

Every assertion carries the name it is about. Constants and sizes are evaluated by the compiler, so
that nothing here has to understand C.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headers.samples import ABSENT_HEADERS, SAMPLES, UNDECLARED
from headers.surface import Record, Surface, include_all, read_surface
from headers.toolchain import HeaderSet


@dataclass(frozen=True)
class Item:
    """One name and what is asserted of it, with the header that it comes from."""

    kind: str
    name: str
    header: str
    lines: tuple[str, ...]


@dataclass
class Comparison:
    """All names of a header set, for one architecture."""

    items: list[Item] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)  # macros that are no constants: a use each

    def count(self) -> Counter[str]:
        return Counter(item.kind for item in self.items)


def headers_below(include: Path) -> list[str]:
    """The headers with Apple's names."""
    folders = ("mach", "servers", "bsm")
    found = (path for folder in folders for path in (include / folder).rglob("*.h"))
    return sorted(path.relative_to(include).as_posix() for path in found)


def compare(where: HeaderSet, include: Path) -> Comparison:
    headers = headers_below(include)
    surface = read_surface(headers, where, include)
    evaluator = _Evaluator(where, headers)
    comparison = Comparison()
    _macros(comparison, surface, evaluator)
    _types(comparison, surface, evaluator)
    _records(comparison, surface, evaluator)
    for function in surface.functions:
        lines = (
            _assert(
                f"__builtin_types_compatible_p(__typeof__({function.name}), {function.type})",
                function.name,
            ),
            f"__typeof__({function.type}) *const use_{function.name} = {function.name};",
        )
        comparison.items.append(Item("functions", function.name, function.header, lines))
    for variable in surface.variables:
        line = f"__typeof__({variable.type}) *const use_{variable.name} = &{variable.name};"
        comparison.items.append(Item("variables", variable.name, variable.header, (line,)))
    return comparison


def _assert(condition: str, name: str) -> str:
    return f'_Static_assert({condition}, "{name}");'


_DIAGNOSTIC = re.compile(r"^(.+?):(\d+):\d+: (error|warning|note):", re.MULTILINE)


class _Evaluator:
    """Asks the compiler for the values of constant expressions."""

    def __init__(self, where: HeaderSet, headers: list[str]) -> None:
        self._where = where
        self._prefix = include_all(headers)

    def constant(self, expressions: list[str]) -> list[str]:
        """Those that are integer constant expressions."""
        source = self._prefix + "".join(
            f'#line {i} "candidate"\n_Static_assert(({e}) == ({e}), "");\n'
            for i, e in enumerate(expressions, 1)
        )
        flags = ("-fsyntax-only", "-pedantic-errors", "-ferror-limit=0")
        result = self._where.clang(*flags, source=source)
        wrong: set[int] = set()
        failing = False
        # An error inside a macro is reported where the macro is defined, with a note at its use.
        for place, line, kind in _DIAGNOSTIC.findall(result.stderr):
            failing = kind == "error" or (failing and kind == "note")
            if failing and place == "candidate":
                wrong.add(int(line))
        return [e for i, e in enumerate(expressions, 1) if i not in wrong]

    def values(self, expressions: list[str]) -> list[int]:
        source = self._prefix + "".join(
            f"enum {{ value_{i} = ({e}) }};\n" for i, e in enumerate(expressions)
        )
        flags = ("-fsyntax-only", "-Xclang", "-ast-dump=json")
        result = self._where.clang(*flags, source=source)
        if result.returncode != 0:
            raise RuntimeError(result.stderr)
        values = {}
        for node in json.loads(result.stdout)["inner"]:
            for inner in node.get("inner", []):
                if inner.get("name", "").startswith("value_"):
                    values[inner["name"]] = int(_value(inner))
        return [values[f"value_{i}"] for i in range(len(expressions))]


def _value(node: dict[str, object]) -> str:
    """The value of an enumerator: on the first node below it that has one."""
    inner = node.get("inner")
    assert isinstance(inner, list)
    for child in inner:
        if "value" in child:
            return str(child["value"])
        return _value(child)
    raise RuntimeError(f"no value for {node.get('name')}")


def _signed(expression: str) -> str:
    return f"((__typeof__({expression}))-1 < (__typeof__({expression}))1)"


def _number(value: int) -> str:
    return f"{value}ull" if value > 0x7FFFFFFFFFFFFFFF else f"{value}ll"


def _macros(comparison: Comparison, surface: Surface, evaluator: _Evaluator) -> None:
    uses: dict[str, list[str]] = {}
    for macro in surface.macros:
        if macro.parameters is None:
            uses[macro.name] = [macro.name]
        elif macro.name in SAMPLES:
            uses[macro.name] = [f"{macro.name}({sample})" for sample in SAMPLES[macro.name]]
        else:
            raise RuntimeError(f"{macro.header}: {macro.name} needs sample arguments")
    every = [use for group in uses.values() for use in group]
    constant = evaluator.constant(every)
    questions = [q for use in constant for q in (use, f"sizeof({use})", _signed(use))]
    answers = iter(evaluator.values(questions))
    facts = {use: (next(answers), next(answers), next(answers)) for use in constant}
    for macro in surface.macros:
        lines = []
        for use in uses[macro.name]:
            if use not in facts:
                comparison.texts[macro.name] = use
                continue
            value, size, signed = facts[use]
            lines += [
                _assert(f"({use}) == {_number(value)}", use),
                _assert(f"sizeof({use}) == {size}", use),
                _assert(f"{_signed(use)} == {signed}", use),
            ]
        kind = "constants" if macro.parameters is None else "macros with parameters"
        if macro.name in comparison.texts:
            kind = "macros by their text"
        comparison.items.append(Item(kind, macro.name, macro.header, tuple(lines)))


def _types(comparison: Comparison, surface: Surface, evaluator: _Evaluator) -> None:
    names = [declared.name for declared in surface.types]
    integers = evaluator.constant([f"({name})1" for name in names])
    ask: Callable[[str], int] = _asker(
        evaluator,
        [f"sizeof({n})" for n in names]
        + [f"_Alignof({n})" for n in names]
        + [_signed(f"({n})0") for n in names if f"({n})1" in integers],
    )
    anonymous = {record.name for record in surface.records}
    for declared in surface.types:
        name = declared.name
        questions = [f"sizeof({name})", f"_Alignof({name})"]
        if f"({name})1" in integers:
            questions.append(_signed(f"({name})0"))
        lines = [_assert(f"{question} == {ask(question)}", name) for question in questions]
        if name not in anonymous:
            same = f"__builtin_types_compatible_p({name}, {declared.type})"
            lines.append(_assert(same, name))
        comparison.items.append(Item("types", name, declared.header, tuple(lines)))


def _asker(evaluator: _Evaluator, questions: list[str]) -> Callable[[str], int]:
    answers = dict(zip(questions, evaluator.values(questions), strict=True))
    return answers.__getitem__


def _records(comparison: Comparison, surface: Surface, evaluator: _Evaluator) -> None:
    questions = [f"sizeof({record.name})" for record in surface.records]
    for record in surface.records:
        questions += [
            q for f in record.fields if f.bits is None for q in _questions(record, f.name)
        ]
    ask = _asker(evaluator, questions)
    for record in surface.records:
        size = f"sizeof({record.name})"
        line = _assert(f"{size} == {ask(size)}", record.name)
        comparison.items.append(Item("structures", record.name, record.header, (line,)))
        for member in record.fields:
            name = f"{record.name}.{member.name}"
            lines = []
            if member.bits is None:
                whole = f"(({record.name} *)0)->{member.name}"
                same = f"__builtin_types_compatible_p(__typeof__({whole}), {member.type})"
                lines = [_assert(f"{q} == {ask(q)}", name) for q in _questions(record, member.name)]
                lines.append(_assert(same, name))
            kind = "fields" if member.bits is None else "bit-fields"
            comparison.items.append(Item(kind, name, record.header, tuple(lines)))


def _questions(record: Record, member: str) -> tuple[str, str]:
    return (
        f"__builtin_offsetof({record.name}, {member})",
        f"sizeof((({record.name} *)0)->{member})",
    )


_CONDITIONS = {"x86_64": "__x86_64__", "aarch64": "__aarch64__"}


def c_file(comparisons: dict[str, Comparison], headers: list[str]) -> str:
    """One file for all architectures; what differs between them is conditional."""
    out = [
        "/* Generated by tests/headers/parity.py: what the Mach headers for Linux declare, to be",
        "   compiled with Apple's headers and with ours. Every line must hold in both. */",
    ]
    for header in headers:
        out += _guarded(header, [f"#include <{header}>"])
    lines: dict[tuple[str, str], dict[str, tuple[str, ...]]] = {}
    for architecture, comparison in comparisons.items():
        for item in comparison.items:
            if item.name not in UNDECLARED:
                lines.setdefault((item.header, item.name), {})[architecture] = item.lines
    for (header, _), by_architecture in lines.items():
        variants = set(by_architecture.values())
        if len(variants) == 1 and len(by_architecture) == len(comparisons):
            out += _guarded(header, list(variants.pop()))
            continue
        for architecture, variant in by_architecture.items():
            condition = [f"#if defined({_CONDITIONS[architecture]})", *variant, "#endif"]
            out += _guarded(header, condition)
    return "\n".join(out) + "\n"


def _guarded(header: str, lines: list[str]) -> list[str]:
    if header not in ABSENT_HEADERS or not lines:
        return lines
    return [f"#if __has_include(<{header}>)", *lines, "#endif"]
