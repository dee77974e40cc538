"""Reads a Mach-O file with lief."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import lief

from .image import (
    FLAT,
    POINTER,
    Binding,
    Image,
    Rebase,
    Segment,
    ThreadLocals,
    UnsupportedImageError,
)

THREAD_DESCRIPTOR = 24
WRITE = 2
_FLAT_ORDINAL = -2


def read_image(path: Path) -> Image:
    lief.logging.disable()
    fat = lief.MachO.parse(str(path))
    binary = fat.take(lief.MachO.Header.CPU_TYPE.X86_64) if fat else None
    if not isinstance(binary, lief.MachO.Binary):
        raise UnsupportedImageError(f"{path} is no Mach-O file with code for x86_64")
    segments = [
        Segment(s.virtual_address, s.virtual_size, s.file_offset, s.file_size, _protection(s))
        for s in binary.segments
    ]
    if binary.imagebase != 0:
        raise UnsupportedImageError("the image has a place of its own: a program, no library")
    exports = {_name(s): s.value for s in binary.exported_symbols}
    return Image(
        path=str(path.resolve()),
        segments=segments,
        rebases=list(_rebases(binary)),
        bindings=list(_bindings(binary)),
        exports=exports,
        thread_locals=_thread_locals(binary),
    )


def _protection(segment: lief.MachO.SegmentCommand) -> int:
    """Pointers that only the loader writes are in segments that are read-only afterwards."""
    read_only = segment.flags & int(lief.MachO.SegmentCommand.FLAGS.READ_ONLY)
    return segment.init_protection & ~(WRITE if read_only else 0)


def _rebases(binary: lief.MachO.Binary) -> Iterator[Rebase]:
    """The linker lists the addresses; the pointers are there, as for an image that is at 0.

    (For macOS 12 and later it can also chain the pointers to each other. It does not for a library
    that is linked with -undefined dynamic_lookup, as extensions of Python are.)
    """
    if binary.has_dyld_chained_fixups:
        raise UnsupportedImageError("chained fixups; build for a macOS before 12")
    for relocation in binary.relocations:
        content = binary.get_content_from_virtual_address(relocation.address, POINTER)
        yield Rebase(relocation.address, int.from_bytes(bytes(content), "little"))


def _bindings(binary: lief.MachO.Binary) -> Iterator[Binding]:
    """Those that dyld would bind when they are first used (lazily) are no different here."""
    for info in binary.bindings:
        symbol = info.symbol
        if symbol is None or info.weak_import:
            raise UnsupportedImageError(f"a weak import or one without a name at {info.address:#x}")
        if info.library_ordinal == _FLAT_ORDINAL:
            library = FLAT
        elif info.library is not None:
            library = str(info.library.name)
        else:
            raise UnsupportedImageError(f"{_name(symbol)} of library {info.library_ordinal}")
        yield Binding(info.address, _name(symbol), info.addend, library)


def _name(symbol: lief.MachO.Symbol) -> str:
    """As C has it: the compiler puts an underscore before each name."""
    return str(symbol.name).removeprefix("_")


def _thread_locals(binary: lief.MachO.Binary) -> ThreadLocals | None:
    kinds = lief.MachO.Section.TYPE
    descriptors: list[int] = []
    blocks = []
    for section in binary.sections:
        if section.type in (
            kinds.MOD_INIT_FUNC_POINTERS,
            kinds.INIT_FUNC_OFFSETS,
            kinds.MOD_TERM_FUNC_POINTERS,
            kinds.THREAD_LOCAL_INIT_FUNCTION_POINTERS,
        ):
            raise UnsupportedImageError(f"functions to run when it is loaded, in {section.name!s}")
        start, end = section.virtual_address, section.virtual_address + section.size
        if section.type == kinds.THREAD_LOCAL_VARIABLES:
            descriptors += range(start, end, THREAD_DESCRIPTOR)
        elif section.type in (kinds.THREAD_LOCAL_REGULAR, kinds.THREAD_LOCAL_ZEROFILL):
            blocks += [start, end]
    if not descriptors:
        return None
    # The sections lie one behind the other: what has a value first, then the zeros.
    return ThreadLocals(descriptors, min(blocks), max(blocks) - min(blocks))
