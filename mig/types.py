"""IPC types: sizes, port dispositions, the C types that carry them.

The rules are migcom's. A type made from another copies its shape but none of its C types,
translations or destructor; an array also keeps the type it was made of as ``element``. A type is
*inline* (its bytes lie in the message body) or *kernel-processed* (ports and out-of-line data: a
descriptor before the body).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mig import syntax
from mig.diagnostics import Diagnostics, Location, MigError

POLYMORPHIC = 0xFFFFFFFF
STRING_C = 12
MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE = 16, 17, 18
COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE = 19, 20, 21
PORT_BITS = 32
MAX_BYTES = 0x7FFFFFF0  # beyond this no message could carry it


@dataclass(frozen=True)
class _Symbol:
    """What a symbolic IPC type stands for: how it is sent and received, and its size in bits."""

    sent: int
    sent_name: str
    received: int
    received_name: str
    bits: int


def _plain(name: str, number: int, bits: int) -> tuple[str, _Symbol]:
    full = f"MACH_MSG_TYPE_{name}"
    return full, _Symbol(number, full, number, full, bits)


def _port(name: str, sent: int, received_name: str, received: int) -> tuple[str, _Symbol]:
    full = f"MACH_MSG_TYPE_{name}"
    return full, _Symbol(sent, full, received, f"MACH_MSG_TYPE_{received_name}", PORT_BITS)


def _any_port(name: str, received: int) -> tuple[str, _Symbol]:
    """A right named by what arrives: the sender says with each message how it gives it."""
    full = f"MACH_MSG_TYPE_{name}"
    return full, _Symbol(POLYMORPHIC, "MACH_MSG_TYPE_POLYMORPHIC", received, full, PORT_BITS)


SYMBOLS: dict[str, _Symbol] = dict(
    (
        _plain("UNSTRUCTURED", 0, 0),
        _plain("BIT", 0, 1),
        _plain("BOOLEAN", 0, 32),
        _plain("INTEGER_8", 9, 8),
        _plain("INTEGER_16", 1, 16),
        _plain("INTEGER_32", 2, 32),
        _plain("INTEGER_64", 3, 64),
        _plain("CHAR", 8, 8),
        _plain("BYTE", 9, 8),
        _plain("REAL_32", 10, 32),
        _plain("REAL_64", 11, 64),
        _plain("STRING", STRING_C, 0),
        _plain("STRING_C", STRING_C, 0),
        _plain("PORT_NAME", 15, PORT_BITS),
        _port("MOVE_RECEIVE", MOVE_RECEIVE, "PORT_RECEIVE", MOVE_RECEIVE),
        _any_port("PORT_RECEIVE", MOVE_RECEIVE),
        _port("MOVE_SEND", MOVE_SEND, "PORT_SEND", MOVE_SEND),
        _any_port("PORT_SEND", MOVE_SEND),
        _port("COPY_SEND", COPY_SEND, "PORT_SEND", MOVE_SEND),
        _port("MAKE_SEND", MAKE_SEND, "PORT_SEND", MOVE_SEND),
        _port("MOVE_SEND_ONCE", MOVE_SEND_ONCE, "PORT_SEND_ONCE", MOVE_SEND_ONCE),
        _any_port("PORT_SEND_ONCE", MOVE_SEND_ONCE),
        _port("MAKE_SEND_ONCE", MAKE_SEND_ONCE, "PORT_SEND_ONCE", MOVE_SEND_ONCE),
    )
)
_POLYMORPHIC = _Symbol(
    POLYMORPHIC, "MACH_MSG_TYPE_POLYMORPHIC", POLYMORPHIC, "MACH_MSG_TYPE_POLYMORPHIC", PORT_BITS
)
SYMBOLS["polymorphic"] = SYMBOLS["MACH_MSG_TYPE_POLYMORPHIC"] = _POLYMORPHIC


@dataclass
class IpcType:
    """One type, with everything that layout and code generation ask of it."""

    name: str = ""
    sent: int = 0
    sent_name: str = "0"
    received: int = 0
    received_name: str = "0"
    bits: int = 0  # of one basic element
    number: int = 1  # basic elements; the maximum if varying
    descriptors: int = 0  # how many kernel-processed descriptors carry it
    inline: bool = True
    inline_emulated: bool = False  # array[]: looks inline to the callers, goes out of line
    port: bool = False
    struct: bool = True  # passed and assigned by value in C
    string: bool = False
    varying: bool = False
    native: bool = False
    native_pointer: bool = False
    bad_value: str | None = None
    element: IpcType | None = None
    user_type: str = ""
    server_type: str = ""
    trans_type: str = ""
    in_trans: str = ""
    out_trans: str = ""
    destructor: str = ""

    @property
    def is_descriptor(self) -> bool:
        """Carried by descriptors that the kernel processes, not in the body."""
        return self.port or not self.inline

    @property
    def descriptor_kind(self) -> str:
        """Which descriptor carries it: port, ool (data) or ool_ports."""
        if self.inline:
            return "port"
        return "ool_ports" if self.port else "ool"

    @property
    def is_descriptor_array(self) -> bool:
        """Several descriptors for one argument: an inline array of ports, say."""
        return self.descriptors > 1

    @property
    def is_varying_inline(self) -> bool:
        """In the body, with a count before it and as long as the count says."""
        return self.varying and self.inline and not self.port

    @property
    def size(self) -> int:
        """Bytes in the message: the data alone, at its longest."""
        if self.is_descriptor:
            return 12 * max(1, self.descriptors)
        return (self.number * self.bits + 7) // 8

    @property
    def pad(self) -> int:
        """Bytes that follow the data to reach a multiple of four."""
        return 0 if self.is_descriptor else -self.size % 4

    @property
    def element_size(self) -> int:
        """Bytes of one element as C counts them: of an array, what its element type takes."""
        return self.element.size if self.element is not None else (self.bits + 7) // 8

    @property
    def element_count(self) -> int:
        """How many C elements a (maximal) array of this type has."""
        if self.element is not None and self.element.number:
            return self.number // self.element.number
        return self.number

    @property
    def is_array(self) -> bool:
        """A C array: passed by address."""
        return not self.struct

    @property
    def is_polymorphic(self) -> bool:
        """The caller or the receiver, or both, deal with the disposition as an argument."""
        return POLYMORPHIC in (self.sent, self.received)

    def settle_names(self) -> None:
        """Fill in the C types that were not given: they are the type's own name."""
        self.user_type = self.user_type or self.name
        self.server_type = self.server_type or self.name
        self.trans_type = self.trans_type or self.server_type


def integer_type(name: str, bits: int = 32) -> IpcType:
    """A plain integer of the compiler's own, such as a count."""
    it = IpcType(name, 2, "MACH_MSG_TYPE_INTEGER_32", 2, "MACH_MSG_TYPE_INTEGER_32", bits)
    it.settle_names()
    return it


def reply_port_type(has_reply: bool) -> IpcType:
    """The type of the reply port that MIG supplies when the routine names none."""
    it = IpcType("mach_port_t", bits=PORT_BITS)
    if has_reply:
        it.sent, it.sent_name = MAKE_SEND_ONCE, "MACH_MSG_TYPE_MAKE_SEND_ONCE"
        it.received, it.received_name = MOVE_SEND_ONCE, "MACH_MSG_TYPE_PORT_SEND_ONCE"
    it.settle_names()
    return it


class TypeTable:
    """The declared types by name, and how to make types from syntax."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        self._types: dict[str, IpcType] = {}
        self._diagnostics = diagnostics

    def declare(self, declaration: syntax.TypeDecl) -> None:
        """Enter ``type name = ...``; a second declaration of a name wins, with a warning."""
        name = declaration.type.name
        it = self.named(declaration.type)
        if name in self._types:
            self._diagnostics.warn(
                declaration.type.where, f"overriding previous definition of {name}"
            )
        self._types[name] = it

    def argument_type(
        self, node: syntax.NamedRef | syntax.NamedType | syntax.NativeType
    ) -> IpcType:
        """The type of an argument: declared, declared on the spot, or native."""
        if isinstance(node, syntax.NamedRef):
            return self._look_up(node)
        if isinstance(node, syntax.NamedType):
            return self.named(node)
        return self._build(node)

    def _look_up(self, node: syntax.NamedRef) -> IpcType:
        it = self._types.get(node.name)
        if it is None:
            raise MigError(node.where, f"type '{node.name}' not defined")
        return it

    def named(self, node: syntax.NamedType) -> IpcType:
        """Make the type of ``name = spec clauses``."""
        it = _without_c_types(self._build(node.spec))
        it.name = node.name
        for clause in node.clauses:
            self._apply(it, clause)
        it.settle_names()
        if it.varying and (it.in_trans or it.out_trans):
            raise MigError(node.where, f"{node.name}: can't translate variable-sized arrays")
        if it.varying and it.destructor:
            raise MigError(node.where, f"{node.name}: can't destroy variable-sized array")
        return it

    def _apply(self, it: IpcType, clause: syntax.Clause) -> None:
        fields = {
            "intran": ("trans_type", "in_trans", "server_type"),
            "outtran": ("server_type", "out_trans", "trans_type"),
            "destructor": ("destructor", "trans_type"),
            "ctype": ("user_type", "server_type"),
            "cusertype": ("user_type",),
            "cservertype": ("server_type",),
        }[clause.keyword]
        names = clause.names * 2 if clause.keyword == "ctype" else clause.names
        what = {
            "trans_type": "translation types",
            "in_trans": "in-translation functions",
            "out_trans": "out-translation functions",
            "server_type": "server types",
            "user_type": "user types",
            "destructor": "destructor functions",
        }
        for field, name in zip(fields, names, strict=True):
            old = getattr(it, field)
            if old and old != name:
                self._diagnostics.warn(clause.where, f"conflicting {what[field]} ({old}, {name})")
            setattr(it, field, name)

    def _build(self, node: syntax.TypeSpec) -> IpcType:
        it = self._build_unchecked(node)
        if it.number * max(it.bits, 1) > MAX_BYTES * 8 or it.size > MAX_BYTES:
            raise MigError(node.where, "the type is too large for any message")
        return it

    def _build_unchecked(self, node: syntax.TypeSpec) -> IpcType:
        match node:
            case syntax.BasicType():
                return _basic(node)
            case syntax.NamedRef():
                return _alias(self._look_up(node))
            case syntax.ArrayType() if node.varying:
                return _varying_array(node.where, node.count, self._build(node.element))
            case syntax.ArrayType():
                return self._fixed_array(node.where, node.count, self._build(node.element))
            case syntax.StructType():
                return self._structure(node.where, node.count, self._build(node.element))
            case syntax.PointerType():
                return _pointer(node.where, self._build(node.element))
            case syntax.CStringType():
                return self._c_string(node)
            case syntax.NativeType():
                return _native(node)

    def _warn_if_empty(self, where: Location, it: IpcType) -> IpcType:
        if it.size == 0 and not it.varying and not it.native:
            self._diagnostics.warn(where, "the size of this type is 0")
        return it

    def _fixed_array(self, where: Location, count: int, old: IpcType) -> IpcType:
        it = _derived(old)
        if not old.inline:
            if old.descriptors != 1:
                raise MigError(where, "IPC type decl is too complicated for Kernel Processed Data")
            it.descriptors, it.number, it.varying = count, 1, False
        elif old.varying:
            raise MigError(where, "IPC type decl is too complicated")
        else:
            it.number *= count
            if it.port:
                it.descriptors *= count
        it.struct = it.string = False
        return self._warn_if_empty(where, it)

    def _structure(self, where: Location, count: int, old: IpcType) -> IpcType:
        if not old.inline or old.varying:
            raise MigError(where, "IPC type decl is too complicated")
        it = _derived(old)
        it.number *= count
        it.struct, it.string = True, False
        return self._warn_if_empty(where, it)

    def _c_string(self, node: syntax.CStringType) -> IpcType:
        if node.count == 0:
            raise MigError(node.where, "a c_string must have room for its terminator")
        name = "MACH_MSG_TYPE_STRING_C"
        char = IpcType("char", STRING_C, name, STRING_C, name, 8, struct=False, string=True)
        char.settle_names()
        it = _derived(char)
        it.number, it.varying = node.count, node.varying
        return it


def _symbol(where: Location, text: str) -> _Symbol:
    if text.isdigit():
        number = int(text)
        return _Symbol(number, text, number, text, 0)
    symbol = SYMBOLS.get(text)
    if symbol is None:
        raise MigError(where, f"unknown IPC type {text}")
    return symbol


def _basic(node: syntax.BasicType) -> IpcType:
    sent, received = _symbol(node.where, node.sent), _symbol(node.where, node.received)
    if sent.bits and received.bits and sent.bits != received.bits:
        raise MigError(node.where, f"sizes in IPCTypes ({sent.bits}, {received.bits}) aren't equal")
    bits = sent.bits or received.bits
    if bits == 0:
        raise MigError(node.where, "must use full IPC type decl")
    it = IpcType("", sent.sent, sent.sent_name, received.received, received.received_name, bits)
    # Only a reply port's right may be received as nothing.
    if _is_port(it.sent) != _is_port(it.received) and not (_is_port(it.sent) and it.received == 0):
        raise MigError(node.where, "a port can't be sent as data, nor data as a port")
    if _is_port(it.sent):
        it.port, it.descriptors = True, 1
    return it


def _is_port(name: int) -> bool:
    return MOVE_RECEIVE <= name <= MAKE_SEND_ONCE or name == POLYMORPHIC


def _without_c_types(it: IpcType) -> IpcType:
    if it.native:
        return it
    return replace(
        it, user_type="", server_type="", trans_type="", in_trans="", out_trans="", destructor=""
    )


def _alias(old: IpcType) -> IpcType:
    """``type new = old``. What is out of line and varies is counted in its own elements still."""
    return replace(old, name="", element=_counted(old) if not old.inline else old)


def _counted(it: IpcType) -> IpcType | None:
    """What a varying array's count counts: the element under all its aliases, which vary too."""
    if not it.varying:
        return it
    element = it.element
    while element is not None and element.varying:
        element = element.element
    return element


def _derived(old: IpcType) -> IpcType:
    return replace(_without_c_types(old), name="", element=old)


def _varying_array(where: Location, count: int, old: IpcType) -> IpcType:
    it = _derived(old)
    if not old.inline:
        if old.descriptors != 1 or not count:
            raise MigError(where, "IPC type decl is too complicated for Kernel Processed Data")
        it.descriptors, it.number, it.struct = count, 1, False
    elif old.varying:
        raise MigError(where, "IPC type decl is too complicated")
    elif count:
        it.number *= count
        it.struct = False
        if it.port:
            it.descriptors *= count
    else:
        it.number = 0
        it.inline_emulated, it.inline, it.struct, it.descriptors = True, False, True, 1
    it.varying, it.string = True, False
    return it


def _pointer(where: Location, it: IpcType) -> IpcType:
    if not it.inline and not it.inline_emulated:
        raise MigError(where, "IPC type decl is already defined to be Out-Of-Line")
    element = _counted(it) if it.varying else it.element
    return replace(
        it,
        inline=False,
        struct=True,
        string=False,
        inline_emulated=False,
        descriptors=1,
        element=element,
    )


def _native(node: syntax.NativeType) -> IpcType:
    name = "MACH_MSG_TYPE_BYTE"
    return IpcType(
        node.ctype,
        9,
        name,
        9,
        name,
        native=True,
        native_pointer=node.pointer,
        bad_value=node.bad_value,
        user_type=node.ctype,
        server_type=node.ctype,
        trans_type=node.ctype,
    )
