"""What has to be done to load a Mach-O image.

macho.py reads it from the file. It is written down as JSON once, because reading the file takes
longer than loading it, and a run of the tests loads it in hundreds of processes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

POINTER = 8
FLAT = "*"
"""In place of a library's name: any may have the symbol (-undefined dynamic_lookup)."""


class UnsupportedImageError(Exception):
    """The image needs something that this loader does not do."""


@dataclass(frozen=True)
class Segment:
    """A part of the file and where it goes. What the file does not have of it is zeros."""

    address: int
    size: int
    file_offset: int
    file_size: int
    protection: int


@dataclass(frozen=True)
class Rebase:
    """A pointer into the image itself."""

    address: int
    target: int


@dataclass(frozen=True)
class Binding:
    """A pointer to a symbol of another library."""

    address: int
    symbol: str
    addend: int
    library: str


@dataclass(frozen=True)
class ThreadLocals:
    """The image's thread-local variables: their descriptors, and the content of a new block."""

    descriptors: list[int]
    template: int
    size: int


@dataclass(frozen=True)
class Image:
    """All addresses are those that the image has when it is loaded at 0."""

    path: str
    segments: list[Segment]
    rebases: list[Rebase]
    bindings: list[Binding]
    exports: dict[str, int]
    thread_locals: ThreadLocals | None

    @property
    def size(self) -> int:
        return max(segment.address + segment.size for segment in self.segments)

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def read_description(path: Path) -> Image:
    """The image that Image.write wrote down."""
    parts = json.loads(path.read_text(encoding="utf-8"))
    local = parts.pop("thread_locals")
    return Image(
        path=parts["path"],
        segments=[Segment(**part) for part in parts["segments"]],
        rebases=[Rebase(**part) for part in parts["rebases"]],
        bindings=[Binding(**part) for part in parts["bindings"]],
        exports=parts["exports"],
        thread_locals=ThreadLocals(**local) if local else None,
    )
