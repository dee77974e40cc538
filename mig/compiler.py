"""The pipeline: preprocessed text to the text of each generated file."""

from __future__ import annotations

from dataclasses import dataclass

from mig.analysis import analyse
from mig.diagnostics import CompilationError, Diagnostics, Location, MigError
from mig.emit.common import Names
from mig.emit.header import user_header
from mig.emit.iheader import defines_header, internal_header
from mig.emit.server import server_source
from mig.emit.sheader import server_header
from mig.emit.user import user_source
from mig.lexer import tokenize
from mig.model import Interface
from mig.parser import Parser


def compile_text(text: str, filename: str, diagnostics: Diagnostics) -> Interface:
    """Compile preprocessed text. Raises ``CompilationError``; nothing else, whatever the text."""
    try:
        parser = Parser(tokenize(text, filename), diagnostics)
        statements = parser.parse()
        return analyse(statements, diagnostics, Location(filename, 1, 1))
    except MigError as error:
        diagnostics.error(error)
        raise CompilationError(diagnostics.errors) from error


@dataclass(frozen=True)
class Outputs:
    """The text of every file that can be asked for."""

    user: str
    server: str
    header: str
    sheader: str
    iheader: str
    dheader: str


def generate(interface: Interface, names: Names, max_on_stack: int | None) -> Outputs:
    """Generate every file."""
    return Outputs(
        user=user_source(interface, names, max_on_stack),
        server=server_source(interface, names),
        header=user_header(interface),
        sheader=server_header(interface),
        iheader=internal_header(interface),
        dheader=defines_header(interface),
    )
