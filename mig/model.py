"""What code generation works from: routines whose arguments are complete.

An ``Argument`` is one parameter of a stub or one value in a message, whether the author wrote it or
MIG adds it (a count, a disposition, a timeout). Where a value travels is said by four booleans:
``sent`` and ``returned`` (it lies in the request, in the reply), ``user_arg`` and ``server_arg``
(it is a parameter of the user stub, of the server's callout).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from mig.diagnostics import Location
from mig.types import POLYMORPHIC, IpcType


class Role(Enum):
    """What an argument is for."""

    NORMAL = auto()
    REQUEST_PORT = auto()
    REPLY_PORT = auto()
    WAIT_TIME = auto()
    SEND_TIME = auto()
    MSG_OPTION = auto()
    RET_CODE = auto()  # a simpleroutine's argument flagged RetCode
    COUNT = auto()
    COUNT_IN_OUT = auto()  # the count a caller offers for an out array, in the request
    POLY = auto()
    DEALLOC = auto()
    TRAILER = auto()  # comes from the message's trailer, not from the message


@dataclass
class Argument:
    """One argument. The names of fields and variables are the argument's name."""

    where: Location
    name: str
    type: IpcType
    role: Role = Role.NORMAL
    user_arg: bool = False
    server_arg: bool = False
    sent: bool = False
    returned: bool = False
    trailer_field: str = ""
    flags: frozenset[str] = frozenset()
    dealloc: str = "no"  # for out-of-line data: no, yes, maybe (a parameter says)
    parent: Argument | None = None
    count: Argument | None = None
    count_in_out: Argument | None = None
    poly: Argument | None = None
    dealloc_arg: Argument | None = None

    @property
    def is_descriptor(self) -> bool:
        """Carried by a descriptor in the messages it is in."""
        return self.type.is_descriptor and self.role is Role.NORMAL and (self.sent or self.returned)

    @property
    def by_reference_user(self) -> bool:
        """The user stub's parameter is a pointer to a single value, which the stub sets."""
        if self.role is Role.COUNT and self.parent is not None:
            return self.parent.returned
        if self.role is Role.POLY and self.parent is not None:
            return self.returned and self.parent.type.received == POLYMORPHIC
        if self.role is Role.TRAILER:
            return self.user_arg
        return self.returned and self.type.struct

    @property
    def by_reference_server(self) -> bool:
        """The callout's parameter is a pointer to a single value, which the callout sets."""
        if self.role is Role.COUNT and self.parent is not None:
            return self.parent.returned
        if self.role is Role.POLY and self.parent is not None:
            return self.returned and self.parent.type.sent == POLYMORPHIC
        if self.role is Role.DEALLOC:
            return self.returned
        if self.role is Role.TRAILER:
            return self.user_arg and self.server_arg
        return self.returned and self.type.struct


@dataclass
class Timeout:
    """How long the user stub may wait: a C expression, for sending only or for the whole call."""

    expression: str
    send_only: bool


@dataclass
class Routine:
    """One routine, ready for layout and code generation."""

    where: Location
    name: str
    number: int
    one_way: bool
    user_name: str
    server_name: str
    arguments: list[Argument]
    request_port: Argument
    reply_port: Argument
    message_option: str
    timeout: Timeout | None = None
    ret_code_arg: Argument | None = None
    error_procedure: str = ""
    unused: list[Argument] = field(default_factory=list)  # of the user stub's parameters

    @property
    def kind(self) -> str:
        """The word that the generated comments use."""
        return "SimpleRoutine" if self.one_way else "Routine"

    @property
    def user_trailer(self) -> list[Argument]:
        """Arguments that the user stub takes from the reply's trailer."""
        return [a for a in self.arguments if a.role is Role.TRAILER and a.user_arg]

    @property
    def server_trailer(self) -> list[Argument]:
        """Arguments that the server stub takes from the request's trailer."""
        return [a for a in self.arguments if a.role is Role.TRAILER and a.server_arg]


@dataclass
class Import:
    """A header that the generated files include, and which of them."""

    keyword: str
    filename: str


@dataclass
class Interface:
    """A whole subsystem."""

    name: str
    base: int
    user_prefix: str = ""
    server_prefix: str = ""
    server_demux: str = ""
    rcs_id: str = ""
    imports: list[Import] = field(default_factory=list)
    routines: list[Routine] = field(default_factory=list)
    slots: int = 0  # message ids used, skipped ones included
    max_on_stack: int | None = None  # longer messages of the user stubs live on the heap

    @property
    def server_subsystem(self) -> str:
        """The name of the server's description of the subsystem."""
        return f"{self.server_prefix}{self.name}_subsystem"

    @property
    def user_subsystem(self) -> str:
        """The name that the user header's unions carry."""
        return f"{self.user_prefix}{self.name}_subsystem"

    def message_id(self, routine: Routine) -> int:
        """The msgh_id of a routine's request; its reply's is 100 more."""
        return self.base + routine.number
