"""Tokens to syntax nodes: a hand-written recursive-descent parser.

It accepts the language of Apple's migcom. A statement with an error is skipped up to its
semicolon, so that one run reports more than one error. Nesting is bounded, so that no input can
exhaust the stack.
"""

from __future__ import annotations

from collections.abc import Iterator

from mig import syntax
from mig.diagnostics import Diagnostics, Location, MigError
from mig.lexer import MAX_NUMBER, Kind, Token

MAX_DEPTH = 64
MAX_ARGUMENTS = 1024

_DIRECTIONS = frozenset(
    [
        "in",
        "out",
        "inout",
        "requestport",
        "replyport",
        "sreplyport",
        "ureplyport",
        "waittime",
        "sendtime",
        "msgoption",
        "sectoken",
        "serversectoken",
        "usersectoken",
        "audittoken",
        "serveraudittoken",
        "useraudittoken",
        "servercontexttoken",
        "msgseqno",
        "serverimpl",
        "userimpl",
    ]
)
_NAME_SETTINGS = frozenset(("error", "serverprefix", "userprefix", "serverdemux"))
_RAW_SETTINGS = frozenset(("msgoption", "waittime", "sendtime", "rcsid"))
_NUMBER_SETTINGS = frozenset(("usertypelimit", "onstacklimit"))
_BARE_SETTINGS = frozenset(("nowaittime", "nosendtime"))
_IMPORTS = frozenset(("import", "uimport", "simport", "iimport", "dimport"))
_CTYPE_CLAUSES = frozenset(("ctype", "cusertype", "cservertype"))
_ROUTINES = frozenset(("routine", "simpleroutine", "function", "procedure", "simpleprocedure"))


class Parser:
    """Parses one stream of tokens. Use ``parse``."""

    def __init__(self, tokens: Iterator[Token], diagnostics: Diagnostics) -> None:
        self._tokens = tokens
        self._diagnostics = diagnostics
        self._depth = 0
        self._token = self._next()

    # -- tokens ---------------------------------------------------------------------------------

    def _next(self) -> Token:
        """The next token from the lexer, after reporting what is none."""
        token = next(self._tokens)
        while token.kind is Kind.ERROR:
            self._diagnostics.error(MigError(token.where, token.value))
            token = next(self._tokens)
        return token

    def _advance(self) -> Token:
        token = self._token
        if token.kind is not Kind.END:
            self._token = self._next()
        return token

    def _is(self, value: str) -> bool:
        return self._token.kind in (Kind.PUNCT, Kind.KEYWORD) and self._token.value == value

    def _accept(self, value: str) -> bool:
        if self._is(value):
            self._advance()
            return True
        return False

    def _expect(self, value: str) -> Token:
        if not self._is(value):
            raise self._wanted(f"'{value}'")
        return self._advance()

    def _expect_kind(self, kind: Kind, what: str) -> Token:
        if self._token.kind is not kind:
            raise self._wanted(what)
        return self._advance()

    def _identifier(self, what: str) -> Token:
        return self._expect_kind(Kind.IDENT, what)

    def _wanted(self, what: str) -> MigError:
        return MigError(
            self._token.where, f"syntax error: expected {what} before {self._token.describe()}"
        )

    # -- statements -----------------------------------------------------------------------------

    def parse(self) -> list[syntax.Statement]:
        """Parse the whole input. Errors go to the diagnostics."""
        statements: list[syntax.Statement] = []
        while self._token.kind is not Kind.END:
            try:
                if self._accept(";"):
                    continue
                statement = self._statement()
                self._expect(";")
                if statement is not None:
                    statements.append(statement)
            except MigError as error:
                self._diagnostics.error(error)
                self._skip_statement()
        return statements

    def _skip_statement(self) -> None:
        """After an error, go on after the semicolon that ends the statement."""
        nesting = 0
        while self._token.kind is not Kind.END:
            token = self._advance()
            if token.value == "(" and token.kind is Kind.PUNCT:
                nesting += 1
            elif token.value == ")" and token.kind is Kind.PUNCT:
                nesting = max(0, nesting - 1)
            elif token.value == ";" and token.kind is Kind.PUNCT and nesting == 0:
                return

    def _statement(self) -> syntax.Statement | None:
        token = self._token
        if token.kind is not Kind.KEYWORD:
            raise self._wanted("a statement")
        word = token.value
        if word == "subsystem":
            return self._subsystem()
        if word == "type":
            self._advance()
            return syntax.TypeDecl(token.where, self._named_type(self._identifier("a type name")))
        if word in _ROUTINES:
            return self._routine()
        if word == "skip":
            self._advance()
            return syntax.Skip(token.where)
        if word in _IMPORTS:
            self._advance()
            name = self._expect_kind(Kind.FILENAME, "a file name")
            return syntax.Import(token.where, word, name.value)
        return self._setting()

    def _setting(self) -> syntax.Statement:
        token = self._advance()
        word = token.value
        if word in _NAME_SETTINGS:
            value = self._identifier("a name").value
        elif word in _RAW_SETTINGS:
            kind = Kind.QSTRING if word == "rcsid" else Kind.STRING
            value = self._expect_kind(kind, "a word").value
        elif word in _NUMBER_SETTINGS or word == "usespecialreplyport":
            value = self._expect_kind(Kind.NUMBER, "a number").value
        elif word == "consumeonsenderror":
            value = self._identifier("None, Timeout or Any").value
        elif word in _BARE_SETTINGS:
            value = ""
        else:
            raise MigError(
                token.where, f"syntax error: expected a statement before '{token.value}'"
            )
        return syntax.Setting(token.where, word, value)

    def _subsystem(self) -> syntax.Subsystem:
        where = self._advance().where
        modifiers = []
        while self._is("kerneluser") or self._is("kernelserver"):
            token = self._advance()
            modifiers.append(syntax.Clause(token.where, token.value, ()))
        name = self._identifier("the subsystem's name")
        base = self._expect_kind(Kind.NUMBER, "the subsystem's first message id")
        return syntax.Subsystem(where, name.value, int(base.value), tuple(modifiers))

    # -- types ----------------------------------------------------------------------------------

    def _named_type(self, name: Token) -> syntax.NamedType:
        self._expect("=")
        spec = self._type_spec()
        clauses = []
        while self._token.kind is Kind.KEYWORD and (
            self._token.value in _CTYPE_CLAUSES
            or self._token.value in ("intran", "outtran", "destructor")
        ):
            clauses.append(self._clause())
        return syntax.NamedType(name.where, name.value, spec, tuple(clauses))

    def _clause(self) -> syntax.Clause:
        keyword = self._advance()
        self._expect(":")
        names = [self._identifier("a C type or function name").value]
        if keyword.value not in _CTYPE_CLAUSES:
            if keyword.value != "destructor":
                names.append(self._identifier("a function name").value)
            self._expect("(")
            names.append(self._identifier("a C type name").value)
            self._expect(")")
        return syntax.Clause(keyword.where, keyword.value, tuple(names))

    def _nest(self, where: Location) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise MigError(where, f"nested more than {MAX_DEPTH} levels deep")

    def _type_spec(self) -> syntax.TypeSpec:
        token = self._token
        depth = self._depth
        self._nest(token.where)
        try:
            return self._type_spec_inner(token)
        finally:
            self._depth = depth

    def _type_spec_inner(self, token: Token) -> syntax.TypeSpec:
        if self._accept("array"):
            return self._array(token)
        if self._accept("struct"):
            self._expect("[")
            count = self._integer()
            self._expect("]")
            self._expect("of")
            return syntax.StructType(token.where, count, self._type_spec())
        if self._accept("^"):
            return syntax.PointerType(token.where, self._type_spec())
        if self._accept("c_string"):
            self._expect("[")
            varying = self._accept("*")
            if varying:
                self._expect(":")
            count = self._integer()
            self._expect("]")
            return syntax.CStringType(token.where, count, varying)
        if self._is("pointerto") or self._is("pointertoifnot") or self._is("valueof"):
            return self._native()
        if token.kind is Kind.IDENT:
            self._advance()
            return syntax.NamedRef(token.where, token.value)
        if token.kind in (Kind.SYMTYPE, Kind.NUMBER):
            return self._basic()
        if self._is("("):
            raise MigError(token.where, "Long form type declarations aren't allowed any longer")
        raise self._wanted("a type")

    def _array(self, token: Token) -> syntax.ArrayType:
        self._expect("[")
        if self._accept("]"):
            count, varying = 0, True
        elif self._accept("*"):
            varying = True
            count = 0
            if self._accept(":"):
                where = self._token.where
                count = self._integer()
                if count == 0:
                    raise MigError(where, "an array bound must not be 0")
            self._expect("]")
        else:
            varying = False
            count = self._integer()
            self._expect("]")
        self._expect("of")
        return syntax.ArrayType(token.where, count, varying, self._type_spec())

    def _basic(self) -> syntax.BasicType:
        sent = self._advance()
        received = sent
        if self._accept("|"):
            if self._token.kind not in (Kind.SYMTYPE, Kind.NUMBER):
                raise self._wanted("an IPC type")
            received = self._advance()
        return syntax.BasicType(sent.where, sent.value, received.value)

    def _native(self) -> syntax.NativeType:
        keyword = self._advance()
        self._expect("(")
        ctype = self._phrase()
        bad_value = None
        if keyword.value == "pointertoifnot":
            self._expect(",")
            bad_value = self._phrase()
        self._expect(")")
        return syntax.NativeType(keyword.where, ctype, keyword.value != "valueof", bad_value)

    def _phrase(self) -> str:
        words = [self._identifier("a C type name").value]
        while self._token.kind is Kind.IDENT:
            words.append(self._advance().value)
        return " ".join(words)

    # -- integer expressions --------------------------------------------------------------------

    def _integer(self) -> int:
        where = self._token.where
        value = self._sum()
        if value < 0:
            raise MigError(where, f"value {value} is out of range: it must not be negative")
        return value

    def _sum(self) -> int:
        value = self._product()
        while self._is("+") or self._is("-"):
            operator = self._advance()
            right = self._product()
            value = value + right if operator.value == "+" else value - right
            self._check_range(operator.where, value)
        return value

    def _product(self) -> int:
        value = self._primary()
        while self._is("*") or self._is("/"):
            operator = self._advance()
            right = self._primary()
            if operator.value == "*":
                value *= right
            elif right == 0:
                raise MigError(operator.where, "division by zero")
            else:
                value = abs(value) // abs(right) * (1 if (value < 0) == (right < 0) else -1)
            self._check_range(operator.where, value)
        return value

    def _check_range(self, where: Location, value: int) -> None:
        if abs(value) > MAX_NUMBER:
            raise MigError(where, "the value of this expression is out of range")

    def _primary(self) -> int:
        token = self._token
        if self._accept("("):
            depth = self._depth
            self._nest(token.where)
            value = self._sum()
            self._expect(")")
            self._depth = depth
            return value
        return int(self._expect_kind(Kind.NUMBER, "a number").value)

    # -- routines -------------------------------------------------------------------------------

    def _routine(self) -> syntax.Routine:
        keyword = self._advance()
        name = self._identifier("the routine's name")
        self._expect("(")
        arguments: list[syntax.Argument] = []
        if not self._accept(")"):
            arguments.append(self._argument())
            while self._accept(";"):
                arguments.append(self._argument())
                if len(arguments) > MAX_ARGUMENTS:
                    raise MigError(self._token.where, f"more than {MAX_ARGUMENTS} arguments")
            self._expect(")")
        result = None
        if keyword.value == "function":
            self._expect(":")
            result = self._argument_type()
        return syntax.Routine(name.where, keyword.value, name.value, tuple(arguments), result)

    def _argument(self) -> syntax.Argument:
        direction = ""
        if self._token.kind is Kind.KEYWORD and self._token.value in _DIRECTIONS:
            direction = self._advance().value
        name = self._identifier("an argument's name")
        self._expect(":")
        argument_type = self._argument_type()
        return syntax.Argument(name.where, direction, name.value, argument_type, self._flags())

    def _argument_type(self) -> syntax.NamedRef | syntax.NamedType | syntax.NativeType:
        if self._token.kind is Kind.IDENT:
            type_name = self._advance()
            if self._is("="):
                return self._named_type(type_name)
            return syntax.NamedRef(type_name.where, type_name.value)
        if self._is("pointerto") or self._is("pointertoifnot") or self._is("valueof"):
            return self._native()
        raise self._wanted("a type name")

    def _flags(self) -> tuple[syntax.Flag, ...]:
        flags = []
        while self._accept(","):
            token = self._expect_kind(Kind.FLAG, "an IPC flag")
            indexed = self._accept("[")
            if indexed:
                self._expect("]")
            flags.append(syntax.Flag(token.where, token.value, indexed))
        return tuple(flags)
