"""Where each symbol comes from that a Mac image imports.

In this order: the shim, which has what Darwin does otherwise than Linux; the Mach library; the C
library, for the few functions that are the same on both in every respect, errno included; and the
interpreter. A name that none of these has is an error: an import that is ignored or guessed would
make the run prove less than it seems to.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from .image import FLAT, Binding, UnsupportedImageError

SYSTEM = "/usr/lib/libSystem.B.dylib"
BSM = "/usr/lib/libbsm.0.dylib"

# They touch no errno and take no number or structure that differs between the two systems.
SAME_IN_BOTH = frozenset(
    [
        *("bsearch", "dlclose", "dlsym", "getpid", "memcmp", "memcpy", "memmove", "memset"),
        *("qsort", "snprintf", "strlen", "strncmp"),
    ]
)
_MACH_NAMES = re.compile(
    "(mach|mig|bootstrap|task|vm)_.*|audit_token_to_.*|pid_for_task|NDR_record"
)


class Symbols:
    """The libraries that an image is bound to."""

    def __init__(self, shim: Path, mach: Path) -> None:
        # The shim asks the Mach library for the descriptors behind ports.
        self.mach = ctypes.CDLL(str(mach), mode=ctypes.RTLD_GLOBAL)
        self.shim = ctypes.CDLL(str(shim))
        self._host = ctypes.CDLL(None)

    def addresses(self, bindings: Iterable[Binding]) -> dict[tuple[str, str], int]:
        """Of each (library, symbol)."""
        found: dict[tuple[str, str], int] = {}
        missing: list[str] = []
        for library, symbol in sorted({(b.library, b.symbol) for b in bindings}):
            address = self._find(library, symbol)
            if address is None:
                missing.append(f"{symbol} of {library}")
            else:
                found[library, symbol] = address
        if missing:
            raise UnsupportedImageError(f"nothing stands for {', '.join(missing)}")
        return found

    def _find(self, library: str, symbol: str) -> int | None:
        places: dict[str, list[Callable[[str], int | None]]] = {
            FLAT: [self._in_shim, self._in_interpreter],
            SYSTEM: [self._in_shim, self._in_mach, self._in_c_library],
            BSM: [self._in_mach],
        }
        for place in places.get(library, []):
            address = place(symbol)
            if address is not None:
                return address
        return None

    def _in_shim(self, symbol: str) -> int | None:
        return _address(self.shim, f"darwin_{symbol}")

    def _in_mach(self, symbol: str) -> int | None:
        # What the library itself depends on, the C library say, would be found through it too.
        return _address(self.mach, symbol) if _MACH_NAMES.fullmatch(symbol) else None

    def _in_c_library(self, symbol: str) -> int | None:
        return _address(self._host, symbol) if symbol in SAME_IN_BOTH else None

    def _in_interpreter(self, symbol: str) -> int | None:
        if not symbol.startswith(("Py", "_Py")):
            return None
        return _address(ctypes.pythonapi, symbol)


def _address(library: ctypes.CDLL, symbol: str) -> int | None:
    try:
        # For a variable too this is its address.
        return ctypes.addressof(ctypes.c_char.in_dll(library, symbol))
    except ValueError:
        return None
