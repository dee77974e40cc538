"""Docstrings are plain text, written for help(): this makes reStructuredText of them.

Characters that would be markup are escaped; a paragraph of lines like `name: what it is`, with
further lines indented, becomes a list of parameters, and what stands between ``` a code block.
"""

import re

import signatures

PARAMETER = re.compile(r"^(\w+): (?=\S)")


def escaped(line: str) -> str:
    return re.sub(r"([*`|\\])", r"\\\1", re.sub(r"(\w)_(?!\w)", r"\1\\_", line))


def is_list(paragraph: list[str]) -> bool:
    """Whether every line begins a parameter or goes on with one."""
    if not PARAMETER.match(paragraph[0]):
        return False
    rest = [line for line in paragraph[1:] if not line.startswith("    ")]
    return len(paragraph) > 1 and all(PARAMETER.match(line) for line in rest)


def to_rest(lines: list[str]) -> list[str]:
    made: list[str] = []
    for text in "\n".join(lines).split("\n\n"):
        paragraph = text.splitlines()
        if paragraph and paragraph[0] == "```":
            made += [".. code-block:: python", "", *("    " + x for x in paragraph[1:-1]), ""]
            continue
        if paragraph and is_list(paragraph):
            paragraph = [
                PARAMETER.sub(r":param \1: ", line) if PARAMETER.match(line) else line
                for line in map(escaped, paragraph)
            ]
        else:
            paragraph = [escaped(line) for line in paragraph]
        made += [*paragraph, ""]
    return made


def process(
    app: object, what: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Sphinx's event autodoc-process-docstring: change the lines in place."""
    lines[:] = to_rest(lines) + signatures.type_line(what, value)
