"""What a set of headers declares: macros, types, structures, functions and variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headers.toolchain import HeaderSet


@dataclass(frozen=True)
class Macro:
    name: str
    parameters: tuple[str, ...] | None  # None: used without parentheses
    body: str
    header: str


@dataclass(frozen=True)
class Field:
    name: str
    type: str
    bits: int | None  # the width of a bit-field


@dataclass(frozen=True)
class Record:
    """A structure or union, under the name by which C code refers to it."""

    name: str
    fields: tuple[Field, ...]
    header: str


@dataclass(frozen=True)
class Declaration:
    """A type's name, a function or a variable, with its type as written."""

    name: str
    type: str
    header: str


@dataclass
class Surface:
    macros: list[Macro] = field(default_factory=list)
    types: list[Declaration] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    functions: list[Declaration] = field(default_factory=list)
    variables: list[Declaration] = field(default_factory=list)


def include_all(headers: list[str]) -> str:
    return "".join(f"#include <{header}>\n" for header in headers)


def read_surface(headers: list[str], where: HeaderSet, include: Path | None) -> Surface:
    """All that the headers below `include` (None: any) declare once `headers` are included."""
    surface = Surface()
    _read_macros(surface, headers, where, include)
    _read_declarations(surface, headers, where, include)
    return surface


def _header_name(path: str, include: Path | None) -> str | None:
    if include is None:
        return path
    try:
        return Path(path).relative_to(include).as_posix()
    except ValueError:
        return None


_MARKER = re.compile(r'# \d+ "([^"]*)"')
_DEFINE = re.compile(r"#define (\w+)(\(([^)]*)\))?\s*(.*)")


def _read_macros(
    surface: Surface, headers: list[str], where: HeaderSet, include: Path | None
) -> None:
    text = _output(where, "-E", "-dD", source=include_all(headers))
    header: str | None = None
    for line in text.splitlines():
        if marker := _MARKER.match(line):
            header = _header_name(marker[1], include)
        elif header is not None and (define := _DEFINE.match(line)):
            parameters = None
            if define[2] is not None:
                parameters = tuple(p.strip() for p in define[3].split(",") if p.strip())
            macro = Macro(define[1], parameters, define[4], header)
            if include is None or not _is_guard(macro, include):
                surface.macros.append(macro)


def _is_guard(macro: Macro, include: Path) -> bool:
    """A macro that only keeps its header from being read twice is no part of the interface."""
    first = re.search(r"^#ifndef (\w+)$", (include / macro.header).read_text(), re.MULTILINE)
    return first is not None and first[1] == macro.name and macro.body in ("", "1")


def _output(where: HeaderSet, *arguments: str, source: str) -> str:
    result = where.clang(*arguments, source=source)
    if result.returncode != 0:
        raise RuntimeError(f"{where.name} headers do not compile:\n{result.stderr}")
    return result.stdout


Node = dict[str, Any]


def _read_declarations(
    surface: Surface, headers: list[str], where: HeaderSet, include: Path | None
) -> None:
    flags = ("-fsyntax-only", "-Xclang", "-ast-dump=json")
    unit = json.loads(_output(where, *flags, source=include_all(headers)))
    seen: set[tuple[str, str]] = set()
    records: dict[str, Node] = {}
    for node, path in _with_files(unit):
        kind, name = node["kind"], node.get("name", "")
        if kind == "RecordDecl" and node.get("completeDefinition"):
            records[node["id"]] = node
        header = _header_name(path, include)
        if header is None or node.get("isImplicit") or (kind, name) in seen:
            continue
        if kind == "TypedefDecl":
            _read_typedef(surface, node, records, header)
        elif kind == "RecordDecl" and name and node.get("completeDefinition"):
            tag = f"{node['tagUsed']} {name}"
            surface.records.append(Record(tag, _fields(node), header))
        elif kind == "FunctionDecl" and node.get("storageClass") != "static":
            surface.functions.append(Declaration(name, node["type"]["qualType"], header))
        elif kind == "VarDecl":
            surface.variables.append(Declaration(name, node["type"]["qualType"], header))
        else:
            continue
        seen.add((kind, name))


def _with_files(unit: Node) -> Iterator[tuple[Node, str]]:
    """Each declaration at the top, with its file: the dump names a file only where it changes."""
    current = ""

    def track(value: Any) -> None:
        nonlocal current
        if isinstance(value, dict):
            if "file" in value and "offset" in value:
                current = value["file"]
            for key, inner in value.items():
                if key != "includedFrom":
                    track(inner)
        elif isinstance(value, list):
            for inner in value:
                track(inner)

    for node in unit["inner"]:
        track(node.get("loc"))
        yield node, current
        track({key: value for key, value in node.items() if key != "loc"})


def _read_typedef(surface: Surface, node: Node, records: dict[str, Node], header: str) -> None:
    name = node["name"]
    surface.types.append(Declaration(name, node["type"]["qualType"], header))
    for inner in node.get("inner", []):
        owned = inner.get("ownedTagDecl") or inner.get("decl") or {}
        record = records.get(owned.get("id", ""))
        if record is not None and not record.get("name"):
            surface.records.append(Record(name, _fields(record), header))


def _fields(record: Node) -> tuple[Field, ...]:
    return tuple(
        Field(node.get("name", ""), node["type"]["qualType"], _bits(node))
        for node in record.get("inner", [])
        if node["kind"] == "FieldDecl"
    )


def _bits(node: Node) -> int | None:
    if not node.get("isBitfield"):
        return None
    return int(node["inner"][0]["value"])


_LAYOUT = re.compile(r"Type: (.+?)\n\nLayout: .*?FieldOffsets: \[([^\]]*)\]", re.DOTALL)


def bit_offsets(headers: list[str], names: list[str], where: HeaderSet) -> dict[str, list[int]]:
    """Where each field of the named structures begins, in bits."""
    uses = "".join(f"extern char use_{i}[sizeof({n})];\n" for i, n in enumerate(names))
    flags = ("-fsyntax-only", "-Xclang", "-fdump-record-layouts-simple")
    text = _output(where, *flags, source=include_all(headers) + uses)
    found = {}
    for layout in _LAYOUT.finditer(text):
        if layout[1] in names:
            found[layout[1]] = [int(offset) for offset in layout[2].split(",")]
    return found
