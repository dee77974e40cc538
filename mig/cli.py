"""The command line: the options of Apple's ``mig``, before or after the file names.

After an error the files that were asked for do not exist, whichever of several sources it is in.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mig import __version__
from mig.compiler import compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import Names
from mig.model import Interface
from mig.outputs import KINDS, clash, is_generated, output_paths, place, remove, write_all
from mig.preprocess import PreprocessError, Preprocessor

_VALUES = (*KINDS, "arch", "target", "maxonstack", "cpp", "cc", "migcom", "isysroot")
_ACCEPTED = frozenset("dqQvVkrSlXTN")
_REFUSED = {
    "i": "one file per user stub",
    "R": "separate send and receive calls",
    "s": "a symbol table",
    "L": "event logging",
    "K": "C of before 1989",
    "t": "the RPC trap",
    "x": "short-circuited calls",
    "n": "NDR conversion",
    "MD": "dependency files",
    "split": "split headers",
}
USAGE = (
    "usage: mig [-q] [-v] [-user F] [-server F] [-header F] [-sheader F] [-iheader F]"
    " [-dheader F]\n           [-arch A] [-target T] [-isysroot DIR] [-cc CC] [-maxonstack N]"
    " [-I DIR] [-D M] [-U M] file.defs ..."
)


class UsageError(Exception):
    """The command line makes no sense."""


@dataclass
class Options:
    """A parsed command line."""

    files: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    preprocessor: Preprocessor = field(default_factory=Preprocessor)
    max_on_stack: int | None = None
    quiet: bool = False
    verbose: bool = False
    version: bool = False


def parse_arguments(arguments: list[str]) -> Options:
    """Parse the command line; what starts with a dash and is not MIG's goes to the preprocessor."""
    options = Options()
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        name = argument[1:]
        if not argument.startswith("-") or argument == "-":
            options.files.append(argument)
        elif name == "version":
            options.version = True
        elif name in _VALUES:
            if not remaining:
                raise UsageError(f"option {argument} needs a value")
            _set_value(options, name, remaining.pop(0))
        elif name in ("I", "D", "U", "include"):
            if not remaining:
                raise UsageError(f"option {argument} needs a value")
            options.preprocessor.flags += [argument, remaining.pop(0)]
        elif name in _REFUSED:
            raise UsageError(f"option {argument} is not supported: {_REFUSED[name]}")
        elif name == "novouchers":
            continue  # no voucher code is generated in any case
        elif len(name) == 1 and name in _ACCEPTED:
            _set_letter(options, name)
        else:
            options.preprocessor.flags.append(argument)
    return options


def _set_letter(options: Options, letter: str) -> None:
    if letter in "qQ":
        options.quiet = letter == "q"
    elif letter in "vV":
        options.verbose = letter == "v"


def _set_value(options: Options, name: str, value: str) -> None:
    if name in KINDS:
        options.outputs[name] = value
    elif name == "maxonstack":
        if not value.lstrip("-").isdigit():
            raise UsageError(f"-maxonstack needs a number, not {value!r}")
        options.max_on_stack = int(value) if int(value) >= 0 else None
    elif name in ("cc", "arch", "target"):
        setattr(options.preprocessor, name, value)
    elif name == "isysroot":
        options.preprocessor.sysroot = value


class _Run:
    """One command: its interfaces in turn, and what has been made so far."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._made: list[Path] = []

    def check(self) -> None:
        """Refuse outputs that would overwrite one another or a source, before anything is made."""
        options = self._options
        chosen = output_paths(dict.fromkeys(KINDS, "") | options.outputs, "")
        if len(options.files) > 1 and chosen:
            kind = next(iter(chosen))
            raise UsageError(f"-{kind} names one file, but there are {len(options.files)} sources")
        self._refuse_clash(chosen)

    def _refuse_clash(self, paths: dict[str, Path]) -> None:
        problem = clash(paths, self._options.files, self._made)
        if problem:
            raise UsageError(problem)

    def compile(self, name: str) -> None:
        """Make one interface's outputs."""
        options, path = self._options, Path(name)
        diagnostics = Diagnostics(quiet=options.quiet)
        names = {path.stem}
        try:
            if not os.access(path, os.R_OK) or not path.is_file():
                raise UsageError(f"cannot read file {name}")
            names.update(_subsystems(path.read_bytes().decode(errors="replace")))
            text = options.preprocessor.run(path)
            names.update(_subsystems(text))
            interface = compile_text(text, name, diagnostics)
            self._write(interface)
        except BaseException:
            self._remove(names)
            raise
        finally:
            diagnostics.print_warnings()

    def _write(self, interface: Interface) -> None:
        options = self._options
        paths = output_paths(options.outputs, interface.name)
        self._refuse_clash(paths)
        headers = ("header", "sheader", "iheader")
        if options.verbose:
            _describe(interface)
        names = Names(**{k: paths[k].name for k in headers if k in paths})
        outputs = generate(interface, names, options.max_on_stack)
        write_all({path: getattr(outputs, kind) for kind, path in paths.items()})
        self._made += paths.values()

    def _remove(self, names: set[str]) -> None:
        """After an error: what was asked for by name, made by this run, or left by an earlier one.

        An earlier run left files with default names, after the subsystem; its name is not known
        for certain when the source has errors, so ``names`` are all that it may be.
        """
        options = self._options
        paths = list(self._made)
        for name in names:
            for kind, path in output_paths(options.outputs, name).items():
                if kind in options.outputs or is_generated(path):
                    paths.append(path)
        sources = {place(Path(name)) for name in options.files}
        remove(path for path in paths if place(path) not in sources)


_SUBSYSTEM = re.compile(r"\bsubsystem\s+(?:kernel(?:user|server)\s+)*([A-Za-z_]\w*)", re.IGNORECASE)


def _subsystems(text: str) -> list[str]:
    """The names of the subsystems that a text may declare, whatever else is in it."""
    return _SUBSYSTEM.findall(text)


def _describe(interface: Interface) -> None:
    print(f"Subsystem {interface.name}: base = {interface.base}\n")
    for routine in interface.routines:
        arguments = "".join(f"\n\t{a.name}: {a.type.name}" for a in routine.arguments)
        print(f"{routine.kind} ({routine.number}) {routine.name}({arguments})\n")


def main(arguments: list[str]) -> int:
    """Run the compiler; returns the exit code."""
    try:
        options = parse_arguments(arguments)
    except UsageError as error:
        print(f"error: {error}\n{USAGE}", file=sys.stderr)
        return 1
    if options.version:
        print(f"mig {__version__}")
        return 0
    if not options.files:
        print(f"error: no input file\n{USAGE}", file=sys.stderr)
        return 1
    run = _Run(options)
    try:
        run.check()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for name in options.files:
        try:
            run.compile(name)
        except CompilationError as failure:
            message = str(failure)
        except (UsageError, PreprocessError) as error:
            text = str(error)
            message = text if "error:" in text else f"error: {text}"
        except OSError as error:
            message = f"error: {error.filename or name}: {error.strerror}"
        else:
            continue
        print(message, file=sys.stderr)
        return 1
    return 0
