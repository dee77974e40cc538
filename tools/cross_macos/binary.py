"""What a Mac would make of a built extension: reads a Mach-O file and tells all that is wrong.

A Mach-O import says which library it is bound to (two-level namespace). Python's symbols are not
bound to one, since the interpreter that loads the extension has them: "dynamic lookup", which the
linker grants to any name that it finds nowhere. A misspelt name would thus be noticed on a Mac
only, when the extension is loaded; so each such import must be in the stable ABI.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import abi3info
import lief
from abi3info.models import PyVersion, Symbol

from tools.cross_macos.signature import signature_problems
from tools.cross_macos.target import BINARY, Target

lief.logging.disable()

EXPORT = "_PyInit__child_port"
# zig's linker gives these two, the address of the file's own header, to every library.
LINKERS_OWN = {"__mh_dylib_header", "___dso_handle"}
LIBRARIES = {"/usr/lib/libSystem.B.dylib", "/usr/lib/libbsm.0.dylib"}
DYNAMIC_LOOKUP = -2
STABLE_ABI = PyVersion(3, 11)
KINDS = (lief.MachO.Header.FILE_TYPE.DYLIB, lief.MachO.Header.FILE_TYPE.BUNDLE)
CPU_TYPES = {
    "arm64": lief.MachO.Header.CPU_TYPE.ARM64,
    "x86_64": lief.MachO.Header.CPU_TYPE.X86_64,
}
LINKED = (lief.MachO.LoadCommand.TYPE.LOAD_DYLIB, lief.MachO.LoadCommand.TYPE.LOAD_WEAK_DYLIB)
# A path of two parts or more, as long as it is not the end of something else.
PATH = re.compile(rb"(?<![\w.@/<-])/[\w.@+-]{2,}(?:/[\w.@+ -]{2,})+")
SYSTEM_PATHS = {b"/usr/lib/dyld", *(name.encode() for name in LIBRARIES)}


def in_stable_abi(name: str) -> bool:
    """If the symbol is one that every Python since the floor exports."""
    symbol = Symbol(name)
    entry = abi3info.FUNCTIONS.get(symbol) or abi3info.DATAS.get(symbol)
    return entry is not None and entry.added <= STABLE_ABI


def _minimum(binary: lief.MachO.Binary) -> list[int] | None:
    """The oldest macOS that the file is for; there are two ways to say it."""
    older, newer = binary.version_min, binary.build_version
    if older is not None and older.command == lief.MachO.LoadCommand.TYPE.VERSION_MIN_MACOSX:
        return list(older.version)
    if newer is not None and newer.platform == lief.MachO.BuildVersion.PLATFORMS.MACOS:
        return list(newer.minos)
    return None


def _header_problems(binary: lief.MachO.Binary, target: Target) -> Iterator[str]:
    kind = binary.header.file_type
    if kind not in KINDS:
        yield f"is neither a bundle nor a library, but {kind}"
    cpu = binary.header.cpu_type
    if cpu != CPU_TYPES[target.arch]:
        yield f"is for {cpu}, not for {target.arch}"
    minimum = _minimum(binary)
    if minimum is None or minimum[:2] != list(target.minimum):
        said = "no minimum" if minimum is None else ".".join(map(str, minimum))
        yield f"is for macOS from {said}, not from {target.version}"


def _symbol_problems(binary: lief.MachO.Binary) -> Iterator[str]:
    exports = {str(symbol.name) for symbol in binary.exported_symbols}
    if EXPORT not in exports:
        yield f"does not export {EXPORT}"
    for name in sorted(exports - {EXPORT} - LINKERS_OWN):
        yield f"exports {name}"
    for symbol in binary.imported_symbols:
        name = str(symbol.name)
        binding = symbol.binding_info
        if binding is None:
            yield f"imports {name} without saying how it is bound"
            continue
        ordinal = binding.library_ordinal
        # Mach-O puts an underscore before every name of C.
        if ordinal == DYNAMIC_LOOKUP and not in_stable_abi(name.removeprefix("_")):
            yield (
                f"imports {name}, which is in no library and not in the stable ABI of Python "
                f"{STABLE_ABI}"
            )
        elif ordinal != DYNAMIC_LOOKUP and ordinal <= 0:
            yield f"imports {name} from the special place {ordinal}"


def _library_problems(binary: lief.MachO.Binary) -> Iterator[str]:
    linked = [library for library in binary.libraries if library.command in LINKED]
    names = {str(library.name) for library in linked}
    if "/usr/lib/libSystem.B.dylib" not in names:
        yield "is not linked with libSystem"
    for name in sorted(names - LIBRARIES):
        yield f"is linked with {name}"
    for library in binary.libraries:
        if library.command not in LINKED and library.name != f"@rpath/{BINARY}":
            yield f"has the install name {library.name}, not @rpath/{BINARY}"
    for rpath in binary.rpaths:
        yield f"searches {rpath.path} for libraries"


def _path_problems(data: bytes) -> Iterator[str]:
    for path in sorted({match[0] for match in PATH.finditer(data)} - SYSTEM_PATHS):
        yield f"has the absolute path {path.decode(errors='replace')} in it"


def import_counts(data: bytes) -> Counter[str]:
    """How many names a Mach-O file imports from Python and from each library."""
    counts: Counter[str] = Counter()
    # It owns what the loop is over, and must outlive it.
    fat = lief.MachO.parse(data)
    for binary in fat or ():
        for symbol in binary.imported_symbols:
            library = symbol.binding_info.library if symbol.binding_info else None
            counts[str(library.name) if library else "Python"] += 1
    return counts


def extension_problems(data: bytes, target: Target) -> list[str]:
    """All that is wrong with a Mach-O file of one architecture."""
    fat = lief.MachO.parse(data)
    binary = fat.at(0) if fat is not None and fat.size == 1 else None
    if binary is None:
        return ["is not a Mach-O file of one architecture"]
    return [
        *_header_problems(binary, target),
        *_symbol_problems(binary),
        *_library_problems(binary),
        *_path_problems(data),
        *signature_problems(binary, data, target),
    ]
