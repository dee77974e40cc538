"""The code signature of a Mach-O file: on arm64 the kernel kills a process that runs unsigned code.

An "ad hoc" signature, which linkers write, names no signer. It is a table of hashes, one for each
page of the file, the code directory; what changes the file afterwards must sign it anew. The
layout is that of CS_SuperBlob and CS_CodeDirectory in XNU's osfmk/kern/cs_blobs.h, big-endian.
"""

from __future__ import annotations

import hashlib
import struct
from typing import NamedTuple

import lief

from tools.cross_macos.target import Target

EMBEDDED_SIGNATURE = 0xFADE0CC0
CODE_DIRECTORY = 0xFADE0C02
SLOT_CODE_DIRECTORY = 0
HASH_SHA256 = 2
# magic, length, version, flags, hashOffset, identOffset, nSpecialSlots, nCodeSlots, codeLimit,
# hashSize, hashType, platform, log2 of the page's size
DIRECTORY = struct.Struct(">9I4B")


class SignatureError(Exception):
    """The signature cannot be read; the text says why."""


class CodeDirectory(NamedTuple):
    hashes: list[bytes]
    covered: int
    page_size: int


def _directory_offset(blob: bytes) -> int:
    magic, _length, count = struct.unpack_from(">3I", blob)
    if magic != EMBEDDED_SIGNATURE:
        raise SignatureError(f"does not begin as a signature does: {magic:#x}")
    for index in range(count):
        slot, offset = struct.unpack_from(">2I", blob, 12 + 8 * index)
        if slot == SLOT_CODE_DIRECTORY:
            return int(offset)
    raise SignatureError("has no code directory")


def read_code_directory(blob: bytes) -> CodeDirectory:
    try:
        start = _directory_offset(blob)
        fields = DIRECTORY.unpack_from(blob, start)
    except struct.error as error:
        raise SignatureError("is cut off") from error
    magic, _length, _version, _flags, first, _identifier, _special, slots, covered = fields[:9]
    hash_size, hash_type, _platform, page_bits = fields[9:]
    if magic != CODE_DIRECTORY or hash_type != HASH_SHA256:
        raise SignatureError(f"has a code directory {magic:#x} with hashes of kind {hash_type}")
    begin = start + first
    hashes = [blob[begin + i * hash_size : begin + (i + 1) * hash_size] for i in range(slots)]
    return CodeDirectory(hashes, covered, 1 << page_bits)


def signature_problems(binary: lief.MachO.Binary, data: bytes, target: Target) -> list[str]:
    """What is wrong with the signature of a file, of which data is all the bytes."""
    command = binary.code_signature
    if command is None:
        needed = target.arch == "arm64"
        return ["has no code signature, without which arm64 runs nothing"] if needed else []
    start = command.data_offset
    try:
        directory = read_code_directory(data[start : start + command.data_size])
    except SignatureError as error:
        return [f"has a code signature that {error}"]
    if directory.covered != start:
        return [f"is signed up to {directory.covered:#x}, but the signature is at {start:#x}"]
    pages = range(0, start, directory.page_size)
    found = [
        hashlib.sha256(data[page : min(page + directory.page_size, start)]).digest()
        for page in pages
    ]
    if found != directory.hashes:
        return ["has been changed after it was signed"]
    return []
