"""Runs a Python program in this process, as the interpreter itself would.

Not by runpy.run_path, which puts the old __main__ back: a program may leave threads and atexit
functions behind that look for theirs. Nor by a new interpreter (exec), whose task is another one.
"""

from __future__ import annotations

import builtins
import errno
import importlib.machinery
import importlib.util
import io
import os
import pkgutil
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class ProgramError(Exception):
    """There is nothing to run; says why."""


class _ModuleError(Exception):
    """A module that turns out not to be a program once its packages are imported."""


@dataclass
class Program:
    """What to run. load makes the code and what __main__ is to know of itself."""

    argv: list[str]
    path: str
    """What sys.path begins with."""
    load: Callable[[types.ModuleType], types.CodeType]
    always_on_path: bool = False
    """Even if sys.flags.safe_path asks for nothing that is not safe: it is the program itself."""


def find(arguments: Sequence[str]) -> Program:
    """The program that the arguments name. Nothing of it has run when this returns."""
    if not arguments:
        raise ProgramError("a program is missing: script.py, -m module, -c code or -")
    first = arguments[0]
    if first == "-":
        return _compiled_program(arguments, sys.stdin.read(), "<stdin>", path="")
    if first[:2] not in ("-m", "-c"):
        return _script_program(arguments)
    option, value = first[:2], [first[2:]] if first[2:] else []
    given = [*value, *arguments[1:]]
    if not given:
        raise ProgramError(f"argument expected for {option}")
    return _module_program(given) if option == "-m" else _text_program(given)


def _compiled_program(argv: Sequence[str], source: str, name: str, path: str) -> Program:
    def load(main: types.ModuleType) -> types.CodeType:
        # Here, so that an error in the program's text is reported as the program's.
        return compile(source, name, "exec", dont_inherit=True)

    return Program(list(argv), path, load)


def _text_program(code: Sequence[str]) -> Program:
    return _compiled_program(["-c", *code[1:]], code[0], "<string>", path="")


def _script_program(script: Sequence[str]) -> Program:
    file = script[0]
    if not os.path.isfile(file) or _is_archive(file):
        return _folder_program(script)
    try:
        with io.open_code(os.path.abspath(file)) as stream:
            source = stream.read()
    except OSError as error:
        raise ProgramError(f"cannot open {file!r}: {error.strerror}") from None
    if source.startswith(importlib.util.MAGIC_NUMBER):
        raise ProgramError(f"{file!r} is compiled code; run its source")

    path = os.path.abspath(file)

    def load(main: types.ModuleType) -> types.CodeType:
        main.__file__ = path
        main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
        return compile(source, path, "exec", dont_inherit=True)

    return Program(list(script), os.path.dirname(os.path.realpath(file)), load)


def _is_archive(file: str) -> bool:
    try:
        return pkgutil.get_importer(file) is not None
    except ImportError:
        return False


def _folder_program(script: Sequence[str]) -> Program:
    """A folder or an archive with a __main__ in it."""
    file = script[0]
    path = os.path.abspath(file)
    if not os.path.exists(path):
        raise ProgramError(f"cannot open {file!r}: {os.strerror(errno.ENOENT)}")
    importer = pkgutil.get_importer(path)
    spec = importer.find_spec("__main__") if importer is not None else None
    if spec is None:
        raise ProgramError(f"cannot find '__main__' module in {file!r}")
    found = spec
    return Program(list(script), path, lambda main: _load_spec(main, found), always_on_path=True)


def _module_program(module: Sequence[str]) -> Program:
    name = module[0]
    program = Program(["-m", *module[1:]], os.getcwd(), lambda main: _load_module(main, name))
    # What is found by the top-level name runs nothing; the rest may, and so comes after check-in.
    top = name.partition(".")[0]
    previous = sys.path[:]
    _set_path(program)
    try:
        known = bool(top) and importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        known = top in sys.modules
    finally:
        sys.path[:] = previous
    if not known:
        raise ProgramError(f"no module named {top!r}" if top else f"{name!r} is no module's name")
    return program


def _load_module(main: types.ModuleType, name: str) -> types.CodeType:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(name + ".__main__")
            if spec is None:
                raise _ModuleError(f"{name!r} is a package and cannot be directly executed")
    except ModuleNotFoundError as error:
        raise _ModuleError(str(error)) from None
    if spec is None:
        raise _ModuleError(f"no module named {name}")
    if spec.origin is not None:
        sys.argv[0] = spec.origin
    return _load_spec(main, spec)


def _load_spec(main: types.ModuleType, spec: importlib.machinery.ModuleSpec) -> types.CodeType:
    get_code = getattr(spec.loader, "get_code", None)
    code = get_code(spec.name) if get_code is not None else None
    if not isinstance(code, types.CodeType):
        raise _ModuleError(f"no code object available for {spec.name}")
    main.__spec__ = spec
    main.__loader__ = spec.loader
    main.__package__ = spec.parent
    if spec.origin is not None:
        main.__file__ = spec.origin
    if spec.cached is not None:
        main.__cached__ = spec.cached  # type: ignore[attr-defined]
    return code


def _set_path(program: Program) -> None:
    """`python -m child_port` has put this folder first, unless it was told to be safe."""
    if not sys.flags.safe_path:
        sys.path[0] = program.path
    elif program.always_on_path:
        sys.path.insert(0, program.path)


def run(program: Program) -> int:
    """The exit status. SystemExit and KeyboardInterrupt pass, for the interpreter to act on."""
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    main.__doc__ = None
    sys.modules["__main__"] = main
    sys.argv[:] = program.argv
    _set_path(program)
    try:
        code = program.load(main)
        exec(code, main.__dict__)
    except _ModuleError as error:
        print(f"{sys.executable}: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        # The program's own part of the traceback; what is above it is none of its business.
        traceback = error.__traceback__
        while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
            traceback = traceback.tb_next
        sys.excepthook(type(error), error.with_traceback(traceback), traceback)
        return 1
    return 0
