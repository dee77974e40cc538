"""Text to tokens.

The scanner reads the preprocessor's output. Line markers (``# 12 "file"``) set where the
following lines came from; other directives that survive preprocessing (``#pragma``, ``#ident``)
are skipped. Keywords and IPC flags are recognised in any case, as MIG always did, but for those in
``EXACT``; a keyword where a name is wanted is not accepted as a name. The words of MIG's past in
``OLD_FORMS`` are keywords only where a statement begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from mig.diagnostics import Location


class Kind(Enum):
    """What a token is."""

    KEYWORD = auto()
    IDENT = auto()
    NUMBER = auto()
    SYMTYPE = auto()
    FLAG = auto()
    PUNCT = auto()
    STRING = auto()
    QSTRING = auto()
    FILENAME = auto()
    ERROR = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token. ``value`` is its canonical spelling: lower case for keywords and flags."""

    kind: Kind
    value: str
    where: Location

    def describe(self) -> str:
        """How an error message names this token."""
        return "end of file" if self.kind is Kind.END else f"'{self.value}'"


KEYWORDS = frozenset(
    [
        "routine",
        "simpleroutine",
        "subsystem",
        "kerneluser",
        "kernelserver",
        "skip",
        "msgoption",
        "msgseqno",
        "waittime",
        "sendtime",
        "nowaittime",
        "nosendtime",
        "error",
        "serverprefix",
        "userprefix",
        "serverdemux",
        "rcsid",
        "import",
        "uimport",
        "simport",
        "iimport",
        "dimport",
        "in",
        "out",
        "inout",
        "userimpl",
        "serverimpl",
        "requestport",
        "replyport",
        "sreplyport",
        "ureplyport",
        "type",
        "array",
        "struct",
        "of",
        "intran",
        "outtran",
        "destructor",
        "ctype",
        "cusertype",
        "cservertype",
        "c_string",
        "sectoken",
        "serversectoken",
        "usersectoken",
        "audittoken",
        "serveraudittoken",
        "useraudittoken",
        "servercontexttoken",
        "usespecialreplyport",
        "consumeonsenderror",
    ]
)

EXACT = frozenset(("PointerTo", "PointerToIfNot", "ValueOf", "UserTypeLimit", "OnStackLimit"))
OLD_FORMS = frozenset(("function", "procedure", "simpleprocedure"))

FLAGS = frozenset(
    [
        "dealloc",
        "notdealloc",
        "countinout",
        "samecount",
        "retcode",
        "physicalcopy",
        "overwrite",
        "auto",
        "const",
    ]
)

# After these keywords MIG reads a raw word, a quoted string or a file name, not ordinary tokens.
_RAW_AFTER = {
    "msgoption": Kind.STRING,
    "waittime": Kind.STRING,
    "sendtime": Kind.STRING,
    "rcsid": Kind.QSTRING,
    "import": Kind.FILENAME,
    "uimport": Kind.FILENAME,
    "simport": Kind.FILENAME,
    "iimport": Kind.FILENAME,
    "dimport": Kind.FILENAME,
}
_RAW_PATTERN = {
    Kind.STRING: re.compile(r"[-/._$A-Za-z0-9]+"),
    Kind.QSTRING: re.compile(r'"[^"\n]*"'),
    Kind.FILENAME: re.compile(r'"[^"\n]*"|<[^>\n]*>'),
}
_RAW_NAME = {Kind.STRING: "a word", Kind.QSTRING: "a quoted string", Kind.FILENAME: "a file name"}

_TOKEN = re.compile(
    r"(?P<space>[ \t\r\f\v]+)"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<punct>[:;,+\-*/()=^~<>\[\]|{}])"
)
_LINE_MARKER = re.compile(r'[ \t]*#[ \t]*(?:line[ \t]+)?([0-9]+)(?:[ \t]+"((?:[^"\\]|\\.)*)")?')
_DIRECTIVE = re.compile(r"[ \t]*#")
_SYMBOLIC = re.compile(r"MACH_MSG_TYPE_[A-Z0-9_]+\Z")
MAX_NUMBER = 0x7FFFFFFF


def tokenize(text: str, filename: str) -> Iterator[Token]:
    """Yield the tokens of preprocessed ``text``, ending with one END token.

    What is no token yields an ERROR token whose value is the message, and the scan goes on.
    """
    file, line = filename, 0
    raw: Kind | None = None
    nesting = 0  # a semicolon between parentheses separates arguments, not statements
    statement_start = True
    where = Location(filename, 1, 1)
    for text_line in text.split("\n"):
        line += 1
        if _DIRECTIVE.match(text_line):
            marker = _LINE_MARKER.match(text_line)
            if marker:
                line = int(marker[1][:9]) - 1
                if marker[2] is not None:
                    file = re.sub(r"\\(.)", r"\1", marker[2])
            continue
        position = 0
        while position < len(text_line):
            where = Location(file, line, position + 1, text_line)
            if raw is not None and not text_line[position].isspace():
                kind, raw = raw, None
                match = _RAW_PATTERN[kind].match(text_line, position)
                if match is None:
                    yield Token(Kind.ERROR, f"expected {_RAW_NAME[kind]}", where)
                    continue
                yield Token(kind, match[0], where)
                position = match.end()
                continue
            match = _TOKEN.match(text_line, position)
            if match is None:
                yield Token(Kind.ERROR, f"illegal character {text_line[position]!r}", where)
                position += 1
                continue
            position = match.end()
            if match.lastgroup == "space":
                continue
            if match.lastgroup == "number" and not _fits(match[0]):
                yield Token(Kind.ERROR, f"number too large: {match[0][:24]}", where)
            token = _ordinary_token(match, where, statement_start)
            if statement_start and token.kind is Kind.KEYWORD:
                raw = _RAW_AFTER.get(token.value)
            nesting = max(0, nesting + (token.value == "(") - (token.value == ")"))
            statement_start = token.value == ";" and nesting == 0
            yield token
    yield Token(Kind.END, "", where)


def _fits(digits: str) -> bool:
    digits = digits.lstrip("0") or "0"
    return len(digits) <= 10 and int(digits) <= MAX_NUMBER


def _ordinary_token(match: re.Match[str], where: Location, statement_start: bool) -> Token:
    value = match[0]
    if match.lastgroup == "number":
        digits = value.lstrip("0") or "0"
        return Token(Kind.NUMBER, digits if _fits(value) else "1", where)
    if match.lastgroup == "punct":
        return Token(Kind.PUNCT, value, where)
    lower = value.lower()
    if lower in KEYWORDS or value in EXACT or (statement_start and lower in OLD_FORMS):
        return Token(Kind.KEYWORD, lower, where)
    if lower in FLAGS:
        return Token(Kind.FLAG, lower, where)
    if lower == "polymorphic" or _SYMBOLIC.match(value):
        return Token(Kind.SYMTYPE, lower if lower == "polymorphic" else value, where)
    return Token(Kind.IDENT, value, where)
