"""One routine's arguments: defaults, the ones MIG adds, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mig import syntax
from mig.diagnostics import Diagnostics, MigError
from mig.model import Argument, Role, Routine, Timeout
from mig.names import field_names, is_reserved, needed_names
from mig.types import (
    MOVE_SEND,
    MOVE_SEND_ONCE,
    POLYMORPHIC,
    PORT_BITS,
    TypeTable,
    integer_type,
    reply_port_type,
)

if TYPE_CHECKING:
    from mig.analysis import Settings

# Trailer keywords: the field of the trailer, its size in bytes, and who receives it.
_TRAILERS = {
    "msgseqno": ("msgh_seqno", 4, False, True),
    "sectoken": ("msgh_sender", 8, True, True),
    "serversectoken": ("msgh_sender", 8, False, True),
    "usersectoken": ("msgh_sender", 8, True, False),
    "audittoken": ("msgh_audit", 32, True, True),
    "serveraudittoken": ("msgh_audit", 32, False, True),
    "useraudittoken": ("msgh_audit", 32, True, False),
    "servercontexttoken": ("msgh_context", 8, False, True),
}
_PORT_ROLES = {
    "requestport": (Role.REQUEST_PORT, True, True),
    "replyport": (Role.REPLY_PORT, True, True),
    "sreplyport": (Role.REPLY_PORT, False, True),
    "ureplyport": (Role.REPLY_PORT, True, False),
}
_USER_ROLES = {
    "waittime": Role.WAIT_TIME,
    "sendtime": Role.SEND_TIME,
    "msgoption": Role.MSG_OPTION,
}


def build_routine(
    node: syntax.Routine,
    number: int,
    types: TypeTable,
    settings: Settings,
    diagnostics: Diagnostics,
) -> Routine:
    """Build one routine, or raise at the first argument that cannot be generated."""
    return _Builder(node, types, settings, diagnostics).build(number)


class _Builder:
    def __init__(
        self,
        node: syntax.Routine,
        types: TypeTable,
        settings: Settings,
        diagnostics: Diagnostics,
    ) -> None:
        self._node = node
        self._types = types
        self._settings = settings
        self._diagnostics = diagnostics
        self._arguments: list[Argument] = []
        self._special: dict[Role, Argument] = {}
        self._unused: list[Argument] = []
        self._ret_code: Argument | None = None

    def build(self, number: int) -> Routine:
        node, settings = self._node, self._settings
        for argument in node.arguments:
            self._add(argument)
        self._check_names()
        request_port = self._special.get(Role.REQUEST_PORT)
        if request_port is None:
            kind = "SimpleRoutine" if node.simple else "Routine"
            raise MigError(node.where, f"{kind} {node.name} doesn't have a server port argument")
        reply_port = self._special.get(Role.REPLY_PORT) or Argument(
            node.where, "", reply_port_type(not node.simple), Role.REPLY_PORT
        )
        option = self._special.get(Role.MSG_OPTION)
        routine = Routine(
            where=node.where,
            name=node.name,
            number=number,
            one_way=node.simple,
            user_name=settings.user_prefix + node.name,
            server_name=settings.server_prefix + node.name,
            arguments=self._arguments,
            request_port=request_port,
            reply_port=reply_port,
            message_option=option.name if option else settings.message_option,
            timeout=self._timeout(),
            error_procedure=settings.error_procedure,
            unused=self._all_unused(),
        )
        self._settle_ret_code(routine)
        self._check_needed_names(routine)
        return routine

    def _all_unused(self) -> list[Argument]:
        """What the user stub takes and does not use: the compiler of C is to know."""
        unused = list(self._unused)
        wait = self._special.get(Role.WAIT_TIME)
        send = self._special.get(Role.SEND_TIME)
        if wait is not None and send is not None:
            unused.append(send)
        unused += [a.poly for a in unused if a.poly is not None]
        return [a for a in unused if a.user_arg]

    def _timeout(self) -> Timeout | None:
        wait = self._special.get(Role.WAIT_TIME)
        send = self._special.get(Role.SEND_TIME)
        if wait:
            return Timeout(wait.name, send_only=False)
        if send:
            return Timeout(send.name, send_only=True)
        if self._settings.wait_time:
            return Timeout(self._settings.wait_time, send_only=False)
        if self._settings.send_time:
            return Timeout(self._settings.send_time, send_only=True)
        return None

    def _check_names(self) -> None:
        seen: set[str] = set()
        fields = {name for argument in self._arguments for name in field_names(argument)}
        for argument in self._arguments:
            if argument.role is Role.COUNT_IN_OUT:
                continue
            if argument.name in seen:
                raise MigError(argument.where, f"argument {argument.name} is declared twice")
            if is_reserved(argument.name) or argument.name in fields:
                raise _name_is_used(argument)
            seen.add(argument.name)

    def _check_needed_names(self, routine: Routine) -> None:
        needed = needed_names(routine)
        for argument in routine.arguments:
            if any(use is not argument for use in needed.get(argument.name, ())):
                raise _name_is_used(argument)

    # -- one argument ---------------------------------------------------------------------------

    def _add(self, node: syntax.Argument) -> None:
        it = self._types.argument_type(node.type)
        argument = Argument(node.where, node.name, it)
        direction = node.direction
        if not direction:
            direction = "in" if Role.REQUEST_PORT in self._special else "requestport"
        if direction in ("serverimpl", "userimpl"):
            raise MigError(node.where, f"{direction} arguments are not generated")
        if direction in _TRAILERS:
            self._trailer(argument, direction)
        elif direction in _PORT_ROLES:
            self._header_port(argument, direction)
        elif direction in _USER_ROLES:
            self._user_value(argument, direction)
        else:
            argument.user_arg = argument.server_arg = True
            argument.sent = direction in ("in", "inout")
            argument.returned = direction in ("out", "inout")
            if argument.returned and self._node.simple:
                raise MigError(node.where, f"SimpleRoutine {self._node.name} has OUT argument")
            self._check_generated(argument)
        self._warn_if_untranslated(argument)
        self._flags(argument, node.flags)
        self._arguments.append(argument)
        self._add_implied(argument)

    def _header_port(self, argument: Argument, direction: str) -> None:
        role, argument.user_arg, argument.server_arg = _PORT_ROLES[direction]
        argument.role = role
        it = argument.type
        allowed = {MOVE_SEND, MOVE_SEND_ONCE, POLYMORPHIC}
        what = "request" if role is Role.REQUEST_PORT else "reply"
        proper = (
            (it.received in allowed or (role is Role.REPLY_PORT and it.received == 0))
            and it.number == 1
            and it.bits == PORT_BITS
            and it.inline
            and it.struct
            and it.port
        )
        if not proper or it.varying:
            raise MigError(argument.where, f"argument {argument.name} isn't a proper {what} port")
        if it.sent == POLYMORPHIC and not argument.user_arg:
            raise MigError(
                argument.where, f"{argument.name}: the user stub can't tell its disposition"
            )
        self._set_special(argument)

    def _user_value(self, argument: Argument, direction: str) -> None:
        argument.role = _USER_ROLES[direction]
        argument.user_arg = True
        self._check_integer(argument)
        self._set_special(argument)

    def _set_special(self, argument: Argument) -> None:
        """Of several arguments for one thing the last holds; the others stay parameters."""
        earlier = self._special.get(argument.role)
        if earlier is not None:
            name = self._node.name
            self._diagnostics.warn(
                argument.where,
                f"{name} has several arguments of this kind; {earlier.name} won't be used",
            )
            self._unused.append(earlier)
        self._special[argument.role] = argument

    def _check_integer(self, argument: Argument) -> None:
        it = argument.type
        proper = it.sent == it.received == 2 and it.number == 1 and it.inline and it.struct
        if not proper or it.bits != 32 or it.varying:
            raise MigError(argument.where, f"argument {argument.name} isn't a proper integer")

    def _trailer(self, argument: Argument, direction: str) -> None:
        field, size, user, server = _TRAILERS[direction]
        argument.role = Role.TRAILER
        argument.trailer_field = field
        argument.user_arg, argument.server_arg = user, server
        it = argument.type
        if direction == "msgseqno":
            self._check_integer(argument)
        elif it.size != size or it.is_descriptor or not it.struct or it.varying:
            raise MigError(argument.where, f"argument {argument.name} isn't a proper Token")
        if user and self._node.simple:
            raise MigError(argument.where, f"SimpleRoutine {self._node.name} has OUT argument")

    def _check_generated(self, argument: Argument) -> None:
        """Refuse what parses but has no code generator."""
        it, where = argument.type, argument.where
        if it.native:
            raise MigError(where, f"{argument.name}: native C types are not generated")
        if it.inline_emulated:
            raise MigError(
                where, f"{argument.name}: indefinite arrays are not generated: use ^array[]"
            )
        if it.is_descriptor and (it.is_array or it.is_descriptor_array):
            what = "ports" if it.inline else "out-of-line data"
            raise MigError(where, f"{argument.name}: arrays of {what} are not generated")
        if it.port and it.received == 0:
            raise MigError(where, f"{argument.name}: only a reply port can be received as 0")
        if it.port and it.inline and it.number != 1:
            raise MigError(where, f"{argument.name}: structures of ports are not generated")
        if not it.inline and (it.in_trans or it.out_trans or it.destructor):
            raise MigError(
                where, f"{argument.name}: translations of out-of-line data are not generated"
            )
        if it.is_array and (it.in_trans or it.out_trans or it.trans_type != it.server_type):
            raise MigError(where, f"{argument.name}: translations of arrays are not generated")
        if it.is_varying_inline and argument.sent and argument.returned:
            raise MigError(
                where, f"{argument.name}: Inline variable-sized arguments can't be InOut"
            )
        element = it.element
        if it.is_varying_inline and not it.string and element is not None and not element.user_type:
            raise MigError(
                where, f"{argument.name}: the elements of a variable array need a named type"
            )
        of_element = it.bits * (element.number if element is not None else 1)
        if (it.number * it.bits) % 8 or (it.varying and of_element % 8):
            raise MigError(where, f"{argument.name}: the size is not a whole number of bytes")
        if it.varying and of_element == 0:
            raise MigError(where, f"{argument.name}: the elements of the array have no size")

    def _warn_if_untranslated(self, argument: Argument) -> None:
        """Two C types on the server and no function between them: right only if C converts them."""
        it = argument.type
        if not argument.server_arg or it.trans_type == it.server_type:
            return
        arrives = argument.sent or argument.role in (Role.REQUEST_PORT, Role.REPLY_PORT)
        for direction, used, function in (
            ("in", arrives, it.in_trans),
            ("out", argument.returned, it.out_trans),
        ):
            if used and not function:
                self._diagnostics.warn(
                    argument.where,
                    f"{argument.name}: argument has no {direction}-translation function",
                )

    # -- flags and implied arguments ------------------------------------------------------------

    def _flags(self, argument: Argument, flags: tuple[syntax.Flag, ...]) -> None:
        names: set[str] = set()
        for flag in flags:
            if flag.name in names:
                self._diagnostics.warn(flag.where, "redundant IPC flag ignored")
            elif flag.indexed and flag.name != "dealloc":
                self._diagnostics.warn(flag.where, "only Dealloc is variable")
            elif self._flag(argument, flag):
                names.add(flag.name)
        argument.flags = frozenset(names)
        self._settle_dealloc(argument, flags)

    def _settle_dealloc(self, argument: Argument, flags: tuple[syntax.Flag, ...]) -> None:
        """Dealloc, NotDealloc and Dealloc[]: what becomes of the sender's out-of-line memory."""
        if argument.type.inline or "dealloc" not in argument.flags:
            return
        indexed = any(f.name == "dealloc" and f.indexed for f in flags)
        if "notdealloc" in argument.flags and not indexed:
            self._diagnostics.warn(
                argument.where, f"{argument.name}: Dealloc and NotDealloc cancel out"
            )
            return
        argument.dealloc = "maybe" if indexed else "yes"

    def _flag(self, argument: Argument, flag: syntax.Flag) -> bool:
        """Whether the flag holds for this argument; a meaningless one is ignored, said aloud."""
        it, name = argument.type, argument.name
        complaint = ""
        match flag.name:
            case "countinout" if not argument.returned:
                complaint = "CountInOut is ignored: argument must be Out"
            case "countinout" if it.is_varying_inline and it.string:
                raise MigError(flag.where, f"{name}: CountInOut of a string is not generated")
            case "countinout" if not it.is_varying_inline:
                complaint = "CountInOut is ignored: argument isn't variable or in-line"
            case "dealloc" if it.inline and not it.port:
                complaint = "Dealloc is ignored: it is meaningless for that type of argument"
            case "dealloc" if it.inline and flag.indexed:
                complaint = "Dealloc[] is ignored: the argument is not out of line"
            case "physicalcopy" if it.inline:
                complaint = "PhysicalCopy is ignored, argument copied inline anyway"
            case "physicalcopy" if it.port:
                complaint = "PhysicalCopy is ignored, it does not apply to arrays of ports"
            case "overwrite" if it.inline or not argument.returned or argument.sent:
                complaint = "Overwrite is ignored - it must be Out AND Ool!"
            case "overwrite":
                raise MigError(flag.where, f"{name}: Overwrite is not generated")
            case "auto" if not it.inline and (it.port or argument.returned):
                raise MigError(
                    flag.where,
                    f"{name}: Auto out of line is not generated but for data that comes in",
                )
            case "samecount" if not it.varying:
                complaint = "SameCount is ignored - the argument is not variable"
            case "samecount":
                raise MigError(flag.where, f"{name}: SameCount is not generated")
            case "retcode":
                return self._ret_code_flag(argument, flag)
        if complaint:
            self._diagnostics.warn(flag.where, f"{name}: {complaint}")
        return not complaint

    def _ret_code_flag(self, argument: Argument, flag: syntax.Flag) -> bool:
        it = argument.type
        if not it.inline or not it.struct or it.bits != 32 or it.number != 1 or it.port:
            self._diagnostics.warn(
                flag.where,
                f"{argument.name}: RetCode is ignored - the type doesn't match a MIG RetCode",
            )
            return False
        if not self._node.simple:
            raise MigError(
                flag.where, f"{argument.name}: RetCode is allowed only for SimpleRoutines"
            )
        if self._ret_code is not None:
            self._diagnostics.warn(
                flag.where,
                f"{argument.name}: RetCode is ignored"
                " - only one argument can be flagged as RetCode",
            )
            return False
        self._ret_code = argument
        return True

    def _settle_ret_code(self, routine: Routine) -> None:
        """In a complex request a RetCode has no field: it travels as a whole message instead."""
        argument = self._ret_code
        if argument is None or not any(a.is_descriptor and a.sent for a in routine.arguments):
            return
        argument.role = Role.RET_CODE
        argument.sent = False
        routine.ret_code_arg = argument

    def _add_implied(self, parent: Argument) -> None:
        """Add the parameters that come with an argument, in MIG's order."""
        it = parent.type
        if it.is_polymorphic and parent.role is not Role.TRAILER:
            self._add_poly(parent)
        if parent.role is not Role.NORMAL:
            return
        if it.varying:
            self._add_count(parent)
        if parent.dealloc == "maybe":
            self._add_dealloc(parent)

    def _add_count(self, parent: Argument) -> None:
        it = parent.type
        if "countinout" in parent.flags:
            offered = Argument(
                parent.where,
                f"{parent.name}Cnt",
                integer_type("mach_msg_type_number_t"),
                Role.COUNT_IN_OUT,
                sent=True,
            )
            offered.parent, parent.count_in_out = parent, offered
            self._arguments.append(offered)
        count = Argument(
            parent.where, f"{parent.name}Cnt", integer_type("mach_msg_type_number_t"), Role.COUNT
        )
        count.parent, parent.count = parent, count
        count.user_arg = count.server_arg = not it.string
        if not it.inline:
            # The count of an array in the body lies just before it; this one has its own field.
            count.sent, count.returned = parent.sent, parent.returned
        self._arguments.append(count)

    def _add_dealloc(self, parent: Argument) -> None:
        dealloc = Argument(
            parent.where, f"{parent.name}Dealloc", integer_type("boolean_t"), Role.DEALLOC
        )
        dealloc.user_arg = dealloc.sent = parent.sent
        dealloc.server_arg = dealloc.returned = parent.returned
        dealloc.parent, parent.dealloc_arg = parent, dealloc
        self._arguments.append(dealloc)

    def _add_poly(self, parent: Argument) -> None:
        it = parent.type
        poly = Argument(
            parent.where, f"{parent.name}Poly", integer_type("mach_msg_type_name_t"), Role.POLY
        )
        poly.parent, parent.poly = parent, poly
        in_header = parent.role in (Role.REQUEST_PORT, Role.REPLY_PORT)
        sent, returned = parent.sent or in_header, parent.returned
        poly.sent, poly.returned = sent, returned
        user_in = sent and it.sent == POLYMORPHIC and parent.user_arg
        server_in = sent and it.received == POLYMORPHIC and parent.server_arg
        user_out = returned and it.received == POLYMORPHIC
        server_out = returned and it.sent == POLYMORPHIC
        poly.user_arg = user_in or user_out
        poly.server_arg = server_in or server_out
        self._arguments.append(poly)


def _name_is_used(argument: Argument) -> MigError:
    return MigError(argument.where, f"argument name {argument.name} is used by the generated code")
