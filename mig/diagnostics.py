"""Places in the source, and the errors and warnings that point at them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the text that the compiler reads: where a caret can be put.

    ``text`` is the line as the compiler saw it, after the preprocessor; ``file`` and ``line`` are
    where that line came from, according to the preprocessor's line markers.
    """

    file: str
    line: int
    column: int
    text: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class MigError(Exception):
    """One error in the source, at one place. ``str()`` is the whole message, caret included."""

    def __init__(self, where: Location, message: str) -> None:
        super().__init__(message)
        self.where = where
        self.message = message

    def __str__(self) -> str:
        return render("error", self.where, self.message)


class CompilationError(Exception):
    """The compilation failed; the messages have been collected and are to be printed."""

    def __init__(self, messages: list[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


def render(severity: str, where: Location, message: str) -> str:
    """Format as ``file:line:col: severity: message`` with the line and a caret below it."""
    head = f"{where}: {severity}: {message}"
    if not where.text.strip():
        return head
    if len(where.text) > 400:
        return head
    # Tabs stay tabs in the caret line, so that it lines up whatever a tab's width is.
    lead = "".join("\t" if c == "\t" else " " for c in where.text[: where.column - 1])
    return f"{head}\n{where.text.rstrip()}\n{lead}^"


@dataclass
class Diagnostics:
    """Collects what is said about one source. Too many errors end the compilation early."""

    quiet: bool = False
    limit: int = 20
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def error(self, error: MigError) -> None:
        """Record an error; raises once there are so many that the rest is noise."""
        self.errors.append(str(error))
        if len(self.errors) >= self.limit:
            raise CompilationError([*self.errors, "fatal: too many errors"])

    def warn(self, where: Location, message: str) -> None:
        """Record a warning. Warnings never stop a compilation."""
        if not self.quiet:
            self.warnings.append(render("warning", where, message))

    def check(self) -> None:
        """Raise if any error was recorded."""
        if self.errors:
            raise CompilationError(self.errors)

    def print_warnings(self) -> None:
        """Print the warnings to standard error, once."""
        for warning in self.warnings:
            print(warning, file=sys.stderr)
        self.warnings.clear()
