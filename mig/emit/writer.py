"""A small text buffer for generating C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class Writer:
    """Collects lines. ``block`` indents what is written inside it by one tab."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._indent = 0

    def line(self, text: str = "") -> None:
        """Write one line at the current indentation; preprocessor lines go to the margin."""
        if text.startswith("#") or not text:
            self._lines.append(text)
        else:
            self._lines.append("\t" * self._indent + text)

    def lines(self, *texts: str) -> None:
        """Write several lines."""
        for text in texts:
            self.line(text)

    def blank(self) -> None:
        """Write an empty line, but never two in a row."""
        if self._lines and self._lines[-1]:
            self._lines.append("")

    @contextmanager
    def block(self, opening: str = "{", closing: str = "}") -> Iterator[None]:
        """Write ``opening``, what is inside the ``with`` indented, and ``closing``."""
        self.line(opening)
        self._indent += 1
        yield
        self._indent -= 1
        self.line(closing)

    @contextmanager
    def conditional(self, condition: str) -> Iterator[None]:
        """Put what is inside the ``with`` between a preprocessor condition and its #endif."""
        self.line(condition)
        yield
        self.line(f"#endif /* {condition.split(None, 1)[1]} */")

    def default(self, name: str, parameters: str = "", body: str = "") -> None:
        """Define a macro unless the program has defined it."""
        self.line(f"#ifndef {name}")
        self.line(f"#define {name}{parameters} {body}".rstrip())
        self.line("#endif")
        self.blank()

    def text(self) -> str:
        """Everything written, ending with one newline."""
        return "\n".join(self._lines).rstrip("\n") + "\n"
