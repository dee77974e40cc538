"""The nodes that the parser makes: what was written, nothing computed."""

from __future__ import annotations

from dataclasses import dataclass

from mig.diagnostics import Location


@dataclass(frozen=True)
class BasicType:
    """An IPC type by symbol or number, sent as ``sent`` and received as ``received``."""

    where: Location
    sent: str
    received: str


@dataclass(frozen=True)
class NamedRef:
    """A type declared earlier."""

    where: Location
    name: str


@dataclass(frozen=True)
class ArrayType:
    """``array[count]``, or if ``varying`` ``array[*:count]``; ``count`` 0 means unbounded."""

    where: Location
    count: int
    varying: bool
    element: TypeSpec


@dataclass(frozen=True)
class StructType:
    """``struct[count] of element``: like an array, but passed and assigned by value."""

    where: Location
    count: int
    element: TypeSpec


@dataclass(frozen=True)
class PointerType:
    """``^ element``: sent out of line."""

    where: Location
    element: TypeSpec


@dataclass(frozen=True)
class CStringType:
    """``c_string[count]``, or if ``varying`` ``c_string[*:count]``."""

    where: Location
    count: int
    varying: bool


@dataclass(frozen=True)
class NativeType:
    """``pointerto(T)``, ``pointertoifnot(T, bad)`` or ``valueof(T)``: a C type by its own name."""

    where: Location
    ctype: str
    pointer: bool
    bad_value: str | None


TypeSpec = BasicType | NamedRef | ArrayType | StructType | PointerType | CStringType | NativeType


@dataclass(frozen=True)
class Clause:
    """``intran: T f(S)`` and its relatives; ``names`` in the order written."""

    where: Location
    keyword: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class NamedType:
    """``name = spec clauses``, in a type declaration or in an argument."""

    where: Location
    name: str
    spec: TypeSpec
    clauses: tuple[Clause, ...]


@dataclass(frozen=True)
class Flag:
    """An IPC flag after an argument's type; ``indexed`` for ``dealloc[]``."""

    where: Location
    name: str
    indexed: bool


@dataclass(frozen=True)
class Argument:
    """One argument of a routine. ``direction`` is its keyword, or empty."""

    where: Location
    direction: str
    name: str
    type: NamedRef | NamedType | NativeType
    flags: tuple[Flag, ...] = ()


@dataclass(frozen=True)
class Subsystem:
    """``subsystem modifiers name base``."""

    where: Location
    name: str
    base: int
    modifiers: tuple[Clause, ...]


@dataclass(frozen=True)
class Setting:
    """A statement that sets one word or number, such as ``serverprefix`` or ``waittime``."""

    where: Location
    keyword: str
    value: str


@dataclass(frozen=True)
class Import:
    """``import`` and its four variants; ``filename`` with its quotes or angle brackets."""

    where: Location
    keyword: str
    filename: str


@dataclass(frozen=True)
class TypeDecl:
    """``type name = ...``."""

    where: Location
    type: NamedType


@dataclass(frozen=True)
class Skip:
    """``skip``: one message id is left out."""

    where: Location


@dataclass(frozen=True)
class Routine:
    """A routine with its arguments as written; ``keyword`` says which kind.

    Only a ``function`` has a ``result``. It and the two kinds of procedure are of MIG's past.
    """

    where: Location
    keyword: str
    name: str
    arguments: tuple[Argument, ...] = ()
    result: NamedRef | NamedType | NativeType | None = None

    @property
    def simple(self) -> bool:
        """Whether no reply is sent."""
        return self.keyword in ("simpleroutine", "simpleprocedure")


Statement = Subsystem | Setting | Import | TypeDecl | Skip | Routine
