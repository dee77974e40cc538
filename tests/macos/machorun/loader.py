"""Loads an image into this process, as dyld does on a Mac.

One anonymous mapping takes the whole image, so that the segments keep their distances. Each
segment's part of the file is copied to its place. Then the pointers are put right: those into the
image move with it (rebases), those to other libraries get the addresses of their symbols
(bindings), all of them at once. Thread-local variables get a new first word in their descriptors,
and at last each segment gets the protection it asked for.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable

from .image import POINTER, Image, Segment, ThreadLocals
from .symbols import Symbols

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Loaded:
    """An image in memory, where it stays until the process ends."""

    def __init__(self, image: Image, base: int) -> None:
        self.image, self.base = image, base

    def address(self, export: str) -> int:
        return self.base + self.image.exports[export]


def load(image: Image, symbols: Symbols) -> Loaded:
    addresses = symbols.addresses(image.bindings)
    base = _reserve(image.size)
    with open(image.path, "rb") as file:
        for segment in image.segments:
            file.seek(segment.file_offset)
            content = file.read(min(segment.file_size, segment.size))
            ctypes.memmove(base + segment.address, content, len(content))
    for rebase in image.rebases:
        _write(base + rebase.address, base + rebase.target)
    for binding in image.bindings:
        address = addresses[binding.library, binding.symbol]
        _write(base + binding.address, address + binding.addend)
    if image.thread_locals is not None:
        _prepare_thread_locals(image.thread_locals, base, symbols.shim)
    for segment in image.segments:
        _protect(segment, base)
    return Loaded(image, base)


def _reserve(size: int) -> int:
    address = _libc.mmap(
        None,
        _pages(size),
        mmap.PROT_READ | mmap.PROT_WRITE,
        mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
        -1,
        0,
    )
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


def _write(address: int, value: int) -> None:
    ctypes.c_uint64.from_address(address).value = value


def _prepare_thread_locals(local: ThreadLocals, base: int, shim: ctypes.CDLL) -> None:
    """A descriptor is {function, key, offset}. The offset is there; the rest is dyld's to set."""
    make_key: Callable[..., int] = shim.machorun_thread_template
    shim.machorun_thread_template.restype = ctypes.c_size_t
    shim.machorun_thread_template.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    key = make_key(base + local.template, local.size)
    function = ctypes.cast(shim.machorun_thread_local, ctypes.c_void_p).value
    assert function is not None
    for descriptor in local.descriptors:
        _write(base + descriptor, function)
        _write(base + descriptor + POINTER, key)


def _protect(segment: Segment, base: int) -> None:
    """Read, write and execute have the same numbers on both systems."""
    if _libc.mprotect(base + segment.address, _pages(segment.size), segment.protection) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
