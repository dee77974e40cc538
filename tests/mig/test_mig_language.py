"""Every construct of the language is what the table says: generated, ignored or refused."""

from __future__ import annotations

from pathlib import Path

import language
import parity
import pytest

from mig.compiler import compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import Names
from mig.model import Interface
from mig.preprocess import Preprocessor

FLAGS = ("-Wall", "-Wextra", "-Werror", "-fsyntax-only")


def preprocessed(text: str, folder: Path) -> str:
    source = folder / "sample.defs"
    source.write_text(text)
    return Preprocessor().run(source)


@pytest.mark.parametrize("row", language.ROWS, ids=lambda r: f"{r.group}: {r.construct[:40]}")
def test_the_construct_is_what_the_table_says(row: language.Row, tmp_path: Path) -> None:
    text = preprocessed(language.PRELUDE + row.text + "\n", tmp_path)
    diagnostics = Diagnostics()
    if row.outcome in (language.Outcome.REFUSED, language.Outcome.ERROR):
        with pytest.raises(CompilationError) as caught:
            compile_text(text, "sample.defs", diagnostics)
        first, *rest = str(caught.value).splitlines()
        line = language.PRELUDE.count("\n") + 1
        assert first.startswith(f"{tmp_path / 'sample.defs'}:{line}:")
        assert row.says in first
        assert rest[1].strip() == "^"
        return
    interface = compile_text(text, "sample.defs", diagnostics)
    if row.outcome is language.Outcome.IGNORED:
        assert row.says in "\n".join(diagnostics.warnings)
    else:
        assert diagnostics.warnings == []
    compile_c(interface, tmp_path)


def compile_c(interface: Interface, folder: Path) -> None:
    """The generated text is C."""
    outputs = generate(interface, Names("sample.h", "sampleS.h"), None)
    files = {
        "sample_types.h": f"#pragma once\n{language.TYPES}",
        "sample.h": outputs.header,
        "sampleS.h": outputs.sheader,
        "u.c": outputs.user,
        "s.c": outputs.server,
    }
    for name, content in files.items():
        (folder / name).write_text(content)
    include = [f"-I{parity.HEADERS}", f"-I{folder}"]
    parity.run(["cc", *FLAGS, *include, str(folder / "u.c"), str(folder / "s.c")])


def test_the_readmes_table_is_this_one() -> None:
    assert language.main(["--check"]) == 0


def test_keywords_are_read_in_any_case(tmp_path: Path) -> None:
    text = language.PRELUDE + "ROUTINE r(RequestPort s : mach_port_t; InOut n : int);\n"
    interface = compile_text(preprocessed(text, tmp_path), "sample.defs", Diagnostics())
    assert [a.name for a in interface.routines[0].arguments] == ["s", "n"]
