"""The command line: the options of Apple's ``mig``, before or after the file names.

All of a file's outputs are made or none: they are written under other names first and put in
place together, and after an error the files that were asked for do not exist.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from mig import __version__
from mig.compiler import compile_text, generate
from mig.diagnostics import CompilationError, Diagnostics
from mig.emit.common import GENERATED, Names
from mig.model import Interface
from mig.preprocess import PreprocessError, Preprocessor

_OUTPUTS = ("user", "server", "header", "sheader", "iheader", "dheader")
_VALUES = (*_OUTPUTS, "arch", "target", "maxonstack", "cpp", "cc", "migcom", "isysroot")
_ACCEPTED = frozenset("dqQvVkKrSLXTNt")
_REFUSED = {
    "i": "one file per user stub",
    "R": "separate send and receive calls",
    "s": "a symbol table",
    "l": "event logging",
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
    if name in _OUTPUTS:
        options.outputs[name] = value
    elif name == "maxonstack":
        if not value.lstrip("-").isdigit():
            raise UsageError(f"-maxonstack needs a number, not {value!r}")
        options.max_on_stack = int(value) if int(value) >= 0 else None
    elif name in ("cc", "arch", "target"):
        setattr(options.preprocessor, name, value)
    elif name == "isysroot":
        options.preprocessor.sysroot = value


def output_paths(options: Options, interface: str) -> dict[str, Path]:
    """Where each output goes. The three that MIG always makes have default names."""
    defaults = {
        "header": f"{interface}.h",
        "user": f"{interface}User.c",
        "server": f"{interface}Server.c",
    }
    chosen = {**defaults, **options.outputs}
    return {kind: Path(name) for kind, name in chosen.items() if name and name != os.devnull}


def _write_all(texts: dict[Path, str]) -> None:
    """Write the files so that all of them appear, or none."""
    written: list[tuple[str, Path]] = []
    try:
        for path, text in texts.items():
            handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
            written.append((temporary, path))
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text)
            os.chmod(temporary, 0o666 & ~_umask())
        while written:
            temporary, path = written[0]
            os.replace(temporary, path)
            written.pop(0)
    finally:
        for temporary, _ in written:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _remove(options: Options, stem: str) -> None:
    """After an error: what was asked for by name, and what an earlier run left by default."""
    for kind, path in output_paths(options, stem).items():
        try:
            if path.is_file() and (kind in options.outputs or _is_generated(path)):
                path.unlink()
        except OSError:
            pass  # the error that led here is the one to report


def _is_generated(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        return GENERATED in file.read(500)


def _compile(options: Options, name: str) -> None:
    path = Path(name)
    if not os.access(path, os.R_OK) or not path.is_file():
        raise UsageError(f"cannot read file {name}")
    diagnostics = Diagnostics(quiet=options.quiet)
    try:
        interface = compile_text(options.preprocessor.run(path), name, diagnostics)
    finally:
        diagnostics.print_warnings()
    paths = output_paths(options, interface.name)
    names = Names(**{k: paths[k].name for k in ("header", "sheader", "iheader") if k in paths})
    if options.verbose:
        _describe(interface)
    outputs = generate(interface, names, options.max_on_stack)
    _write_all({path: getattr(outputs, kind) for kind, path in paths.items()})


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
    for name in options.files:
        try:
            _compile(options, name)
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
        _remove(options, Path(name).stem)
        return 1
    return 0
