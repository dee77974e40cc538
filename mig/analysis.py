"""Syntax to model: what each statement means, and the arguments that MIG adds.

Statements act in the order written: a ``serverprefix`` or ``waittime`` holds for the routines
after it. Everything that can be parsed but not generated is refused here, at its place, so that
no emitter ever sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from mig import syntax
from mig.arguments import build_routine
from mig.diagnostics import Diagnostics, Location, MigError
from mig.layout import MAX_MESSAGE, reply_layout, request_layout
from mig.model import Import, Interface, Routine
from mig.names import C_KEYWORDS
from mig.types import TypeTable

MAX_ID = 0x7FFFFFFF


# The scanner takes any word here, a path too; only what C can evaluate may reach a stub.
_EXPRESSION = re.compile(r"-?\w[\w$.]*(?:[-/]\w[\w$.]*)*", re.ASCII)


def _expression(node: syntax.Setting) -> str:
    if not _EXPRESSION.fullmatch(node.value):
        raise MigError(node.where, f"{node.keyword} {node.value}: this is no expression of C")
    return node.value


@dataclass
class Settings:
    """The statements in force at one point of the source."""

    user_prefix: str = ""
    server_prefix: str = ""
    server_demux: str = ""
    message_option: str = "MACH_MSG_OPTION_NONE"
    wait_time: str = ""
    send_time: str = ""
    error_procedure: str = ""
    rcs_id: str = ""
    max_on_stack: int | None = None


@dataclass
class _Analyser:
    diagnostics: Diagnostics
    settings: Settings = field(default_factory=Settings)
    imports: list[Import] = field(default_factory=list)
    routines: list[Routine] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    subsystem: syntax.Subsystem | None = None
    number: int = 0

    def __post_init__(self) -> None:
        self.types = TypeTable(self.diagnostics)

    def statement(self, node: syntax.Statement) -> None:
        match node:
            case syntax.Subsystem():
                self._subsystem(node)
            case syntax.Setting():
                self._setting(node)
            case syntax.Import():
                self.imports.append(Import(node.keyword, node.filename))
            case syntax.TypeDecl():
                self.types.declare(node)
            case syntax.Skip():
                self.number += 1
            case syntax.Routine():
                self._routine(node)

    def _subsystem(self, node: syntax.Subsystem) -> None:
        if self.subsystem is not None:
            self.diagnostics.warn(
                node.where,
                f"previous Subsystem decl (of {self.subsystem.name}) will be ignored",
            )
        for modifier in node.modifiers:
            spelled = {"kerneluser": "KernelUser", "kernelserver": "KernelServer"}
            raise MigError(
                modifier.where,
                f"{spelled[modifier.keyword]} subsystems are not generated:"
                " they are for stubs inside the kernel",
            )
        self.subsystem = node

    def _setting(self, node: syntax.Setting) -> None:
        settings, value = self.settings, node.value
        match node.keyword:
            case "userprefix":
                settings.user_prefix = value
            case "serverprefix":
                settings.server_prefix = value
            case "serverdemux":
                settings.server_demux = value
            case "msgoption":
                settings.message_option = _expression(node)
            case "waittime":
                settings.wait_time = _expression(node)
            case "sendtime":
                settings.send_time = _expression(node)
            case "nowaittime":
                settings.wait_time = ""
            case "nosendtime":
                settings.send_time = ""
            case "error":
                settings.error_procedure = value
            case "rcsid":
                if settings.rcs_id:
                    self.diagnostics.warn(node.where, "previous RCS decl will be ignored")
                settings.rcs_id = value
            case "usertypelimit":
                self.diagnostics.warn(node.where, "UserTypeLimit is ignored")
            case "onstacklimit":
                settings.max_on_stack = int(value)
            case "usespecialreplyport":
                if value != "0":
                    raise MigError(node.where, "UseSpecialReplyPort is not generated")
            case "consumeonsenderror":
                if value.lower() != "none":
                    raise MigError(node.where, "ConsumeOnSendError is not generated")

    def _routine(self, node: syntax.Routine) -> None:
        number = self.number
        self.number += 1
        if node.keyword not in ("routine", "simpleroutine"):
            raise MigError(
                node.where,
                f"a {node.keyword} is not generated: use a routine or a simpleroutine",
            )
        if node.name in C_KEYWORDS:
            raise MigError(node.where, f"routine name {node.name} is a word of C")
        if node.name in self.names:
            raise MigError(node.where, f"routine {node.name} is already declared")
        self.names.add(node.name)
        routine = build_routine(node, number, self.types, self.settings, self.diagnostics)
        if max(request_layout(routine).size, reply_layout(routine).size) > MAX_MESSAGE:
            raise MigError(node.where, f"the messages of {node.name} are too large to be sent")
        self.routines.append(routine)


def analyse(
    statements: list[syntax.Statement], diagnostics: Diagnostics, end: Location
) -> Interface:
    """Give the statements their meaning. Raises ``CompilationError`` if there was any error."""
    analyser = _Analyser(diagnostics)
    for node in statements:
        try:
            analyser.statement(node)
        except MigError as error:
            diagnostics.error(error)
    subsystem = analyser.subsystem
    if subsystem is None:
        diagnostics.check()
        raise MigError(end, "no SubSystem declaration")
    if subsystem.base + analyser.number + 100 > MAX_ID:
        diagnostics.error(MigError(subsystem.where, "message ids exceed the range of msgh_id"))
    diagnostics.check()
    settings = analyser.settings
    return Interface(
        name=subsystem.name,
        base=subsystem.base,
        user_prefix=settings.user_prefix,
        server_prefix=settings.server_prefix,
        server_demux=settings.server_demux or f"{subsystem.name}_server",
        rcs_id=settings.rcs_id,
        imports=analyser.imports,
        routines=analyser.routines,
        slots=analyser.number,
        max_on_stack=settings.max_on_stack,
    )
