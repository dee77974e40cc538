"""Compare ext/mach_linux/include with Apple's headers: every name in ours must be Apple's.

    python tests/headers/parity.py              compare, print the counts, exit 1 on a difference
    python tests/headers/parity.py --write F    also keep the generated C file, to be compiled with
                                                any other header set
    python tests/headers/parity.py --only-write F   only make that file: for a Mac's whole SDK, say

The other direction is not asked: ours leave out what this platform cannot honour.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from headers.assertions import Comparison, c_file, compare, headers_below
from headers.samples import ABSENT_HEADERS, NOT_IN_LIBSYSTEM, UNDECLARED
from headers.surface import Record, bit_offsets, include_all, read_surface
from headers.toolchain import ARCHITECTURES, INCLUDE, HeaderSet, apple, apple_exports, ours, ziglang

_STRICT = ("-Werror=incompatible-pointer-types", "-Wno-deprecated-declarations")


@dataclass
class Report:
    """What was compared, and what differs."""

    compared: Counter[str] = field(default_factory=Counter)
    elsewhere: list[str] = field(default_factory=list)  # names of headers that Apple's set lacks
    differences: list[str] = field(default_factory=list)

    def text(self) -> str:
        lines = [f"{count:5} {kind}" for kind, count in sorted(self.compared.items())]
        lines.append(f"{self.compared.total():5} names compared on {', '.join(ARCHITECTURES)}")
        for name, reason in UNDECLARED.items():
            lines.append(f"not declared by Apple: {name} ({reason})")
        for header, reason in ABSENT_HEADERS.items():
            lines.append(f"compared only with a whole SDK: {header} ({reason})")
        lines += [f"difference: {difference}" for difference in self.differences]
        lines.append(f"differences: {len(self.differences)}")
        return "\n".join(lines)


def run(include: Path = INCLUDE, write: Path | None = None) -> Report:
    report = Report()
    headers = headers_below(include)
    report.differences += _missing(headers, apple(ARCHITECTURES[0]))
    if report.differences:
        return report
    comparisons = _comparisons(include)
    text = c_file(comparisons, headers)
    if write is not None:
        write.write_text(text)
    _count(report, comparisons)
    for architecture, comparison in comparisons.items():
        own = ours(architecture, include)
        for where in (own, apple(architecture)):
            report.differences += _compile(where, text)
        report.differences += _texts(comparison, headers, own, apple(architecture))
        report.differences += _bit_fields(headers, own, apple(architecture), include)
    report.differences += _host_compile(text, include)
    report.differences += _exports(comparisons)
    return report


def _comparisons(include: Path) -> dict[str, Comparison]:
    return {a: compare(ours(a, include), include) for a in ARCHITECTURES}


def _count(report: Report, comparisons: dict[str, Comparison]) -> None:
    """A name counts once, however many assertions and architectures it takes."""
    counted: set[tuple[str, str]] = set()
    for comparison in comparisons.values():
        for item in comparison.items:
            if item.name in UNDECLARED or (item.kind, item.name) in counted:
                continue
            counted.add((item.kind, item.name))
            if item.header in ABSENT_HEADERS:
                report.elsewhere.append(item.name)
            else:
                report.compared[item.kind] += 1


def _missing(headers: list[str], other: HeaderSet) -> Iterator[str]:
    source = "".join(f"#if !__has_include(<{h}>)\n@{h}@\n#endif\n" for h in headers)
    for header in re.findall("@(.*)@", other.clang("-E", "-P", source=source).stdout):
        if header not in ABSENT_HEADERS:
            yield f"{other.name} headers have no <{header}>"


def _compile(where: HeaderSet, text: str) -> Iterator[str]:
    result = where.clang("-fsyntax-only", "-ferror-limit=0", *_STRICT, source=text)
    title = f"{where.name} headers, {where.architecture}"
    yield from _errors(title, result.returncode, result.stderr)


def _host_compile(text: str, include: Path) -> Iterator[str]:
    """Ours with the compiler of this machine, as a program would be."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "parity.c"
        source.write_text(text)
        command = [*compiler, "-std=gnu11", f"-I{include}", *_STRICT, "-fsyntax-only", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    yield from _errors(f"our headers, {compiler[0]}", done.returncode, done.stderr)


def _errors(title: str, returncode: int, stderr: str) -> list[str]:
    errors = [f"{title}: {message}" for message in re.findall(r"error: (.*)", stderr)]
    if returncode != 0 and not errors:
        errors.append(f"{title}: {stderr}")
    return errors


def _texts(
    comparison: Comparison, headers: list[str], own: HeaderSet, other: HeaderSet
) -> Iterator[str]:
    """Macros that are no constants expand to the same tokens."""
    expansions = []
    for where in (own, other):
        present = [h for h in headers if where is own or h not in ABSENT_HEADERS]
        uses = "".join(f"@@{i}@@ {use}\n" for i, use in enumerate(comparison.texts.values()))
        result = where.clang("-E", "-P", source=include_all(present) + uses)
        found = re.findall(r"@@\d+@@([^@]*)", result.stdout)
        expansions.append(["".join(text.split()) for text in found])
    for name, mine, theirs in zip(comparison.texts, *expansions, strict=True):
        if mine != theirs:
            yield f"{other.architecture}: {name} expands to {theirs}, ours to {mine}"


def _bit_fields(
    headers: list[str], own: HeaderSet, other: HeaderSet, include: Path
) -> Iterator[str]:
    """C cannot assert where a bit-field lies; the compiler's own account of the layout can."""
    mine = read_surface(headers, own, include).records
    present = [h for h in headers if h not in ABSENT_HEADERS]
    theirs = read_surface(present, other, None).records
    names = [r.name for r in mine if any(f.bits is not None for f in r.fields)]
    places = [
        _placed(mine, bit_offsets(headers, names, own)),
        _placed(theirs, bit_offsets(present, names, other)),
    ]
    for key, place in places[0].items():
        if places[1].get(key) != place:
            yield f"{other.architecture}: {key} is at {places[1].get(key)}, ours at {place}"


def _placed(records: list[Record], offsets: dict[str, list[int]]) -> dict[str, tuple[object, ...]]:
    """Offset and width in bits, and type, of the bit-fields."""
    return {
        f"{record.name}.{member.name}": (offset, member.bits, member.type)
        for record in records
        for member, offset in zip(record.fields, offsets.get(record.name, ()), strict=False)
        if member.bits is not None
    }


def _exports(comparisons: dict[str, Comparison]) -> Iterator[str]:
    """What no header can vouch for is at least a symbol that a program can link to."""
    exported = set(re.findall(r"\b_(\w+)", apple_exports()))
    for item in comparisons[ARCHITECTURES[0]].items:
        absent = item.header in ABSENT_HEADERS or item.name in UNDECLARED
        if item.kind != "functions" or not absent or item.name.startswith(NOT_IN_LIBSYSTEM):
            continue
        if item.name not in exported:
            yield f"libSystem does not export {item.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--include", type=Path, default=INCLUDE, help="the headers to compare")
    parser.add_argument("--write", type=Path, help="where to keep the generated C file")
    parser.add_argument("--only-write", type=Path, help="where to write it, comparing nothing")
    arguments = parser.parse_args()
    if ziglang() is None:
        parser.error("Apple's headers come with ziglang: python -m pip install ziglang")
    include = arguments.include.resolve()
    if arguments.only_write is not None:
        arguments.only_write.write_text(c_file(_comparisons(include), headers_below(include)))
        return 0
    report = run(include, arguments.write)
    print(report.text())
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
