"""Makes `import child_port` take the Mac's extension, and the Python code's half for macOS.

Every module of the package is found here and nowhere else: there is no way to the extension that
was built for this platform, so no test can run on that by mistake.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import TYPE_CHECKING, Any

from . import inheritance, kqueue

if TYPE_CHECKING:
    from .loader import Loaded
    from .symbols import Symbols

PACKAGE = "child_port"
EXTENSION = "child_port._child_port"
ENTRY = "PyInit__child_port"
PYTHON_API_VERSION = 1013


class _ForMac(ast.NodeTransformer):
    """sys.platform is "darwin" in the package, and nowhere else: the interpreter is Linux's."""

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and (node.value.id, node.attr) == ("sys", "platform"):
            return ast.copy_location(ast.Constant("darwin"), node)
        return node


class SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles a module as a Mac would run it. Nothing is cached: the cache is the host's."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        tree = ast.parse(self.get_data(path), path)
        return compile(_ForMac().visit(tree), path, "exec", dont_inherit=True)


class ExtensionLoader(Loader):
    """Makes the module by multi-phase initialisation, as importlib does with a shared library."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        entry = ctypes.PYFUNCTYPE(ctypes.c_void_p)(self._finder.image().address(ENTRY))
        create = ctypes.pythonapi.PyModule_FromDefAndSpec2
        create.restype = ctypes.py_object
        create.argtypes = [ctypes.c_void_p, ctypes.py_object, ctypes.c_int]
        module: ModuleType = create(entry(), spec, PYTHON_API_VERSION)
        return module

    def exec_module(self, module: ModuleType) -> None:
        definition = ctypes.pythonapi.PyModule_GetDef
        definition.restype = ctypes.c_void_p
        definition.argtypes = [ctypes.py_object]
        execute = ctypes.pythonapi.PyModule_ExecDef
        execute.argtypes = [ctypes.py_object, ctypes.c_void_p]
        execute(module, definition(module))


class Finder(MetaPathFinder):
    """What is where: the package's folder, the image's description, the libraries."""

    def __init__(self, package: Path, description: Path, shim: Path, mach: Path) -> None:
        self._package, self._description = package, description
        self._shim, self._mach = shim, mach
        self._symbols: Symbols | None = None
        self._image: Loaded | None = None

    def symbols(self) -> Symbols:
        if self._symbols is None:
            from .symbols import Symbols

            self._symbols = Symbols(self._shim, self._mach)
        return self._symbols

    def symbols_in_use(self) -> Symbols | None:
        """The same, if they are in use already."""
        return self._symbols

    def image(self) -> Loaded:
        """Loaded once in a process: dyld does so too, for all the interpreters in it."""
        if self._image is None:
            from .image import read_description
            from .loader import load

            self._image = load(read_description(self._description), self.symbols())
        return self._image

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == EXTENSION:
            return ModuleSpec(fullname, ExtensionLoader(self), origin=self._description.name)
        if fullname == PACKAGE:
            kqueue.install(lambda: self.symbols().shim, lambda: self._symbols is not None)
            inheritance.install(self.symbols_in_use)
        elif not fullname.startswith(f"{PACKAGE}."):
            return None
        place = self._package.parent.joinpath(*fullname.split("."))
        if place.is_dir():
            return _source_spec(fullname, place / "__init__.py", [str(place)])
        return _source_spec(fullname, place.with_suffix(".py"), None)


def _source_spec(fullname: str, file: Path, locations: list[str] | None) -> ModuleSpec | None:
    if not file.is_file():
        return None
    loader = SourceLoader(fullname, str(file))
    return importlib.util.spec_from_file_location(
        fullname, file, loader=loader, submodule_search_locations=locations
    )


def install(**places: Any) -> Finder:
    finder = Finder(**{name: Path(place) for name, place in places.items()})
    sys.meta_path.insert(0, finder)
    return finder
