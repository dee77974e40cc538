"""A program that is started inherits its parent's registered ports, as on macOS.

There the kernel passes them on, and nobody who starts a program has to know. mach_linux keeps them
in descriptors, which subprocess would close: here they are added to those that stay open. (exec by
itself closes none of them.) A Mach library without mach_linux_inherited_fds needs nothing of this.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

FDS_TO_KEEP = 3
"""Which argument of _posixsubprocess.fork_exec says what stays open."""
MOST = 64


def install(mach: Callable[[], ctypes.CDLL | None]) -> None:
    """`mach` gives the library, once it is in this process."""
    import _posixsubprocess

    original: Callable[..., int] = _posixsubprocess.fork_exec

    def fork_exec(*arguments: Any) -> int:
        keep = {*arguments[FDS_TO_KEEP], *_inherited(mach())}
        rest = arguments[FDS_TO_KEEP + 1 :]
        return original(*arguments[:FDS_TO_KEEP], tuple(sorted(keep)), *rest)

    _posixsubprocess.fork_exec = fork_exec
    # From Python 3.13 on subprocess goes another way where there is this, which macOS has not.
    if hasattr(os, "POSIX_SPAWN_CLOSEFROM"):
        del os.POSIX_SPAWN_CLOSEFROM
    if "subprocess" in sys.modules:
        imported = {"_fork_exec": fork_exec, "_HAVE_POSIX_SPAWN_CLOSEFROM": False}
        vars(sys.modules["subprocess"]).update(imported)


def _inherited(mach: ctypes.CDLL | None) -> list[int]:
    if mach is None or not hasattr(mach, "mach_linux_inherited_fds"):
        return []
    fds = (ctypes.c_int * MOST)()
    count = mach.mach_linux_inherited_fds(fds, MOST)
    return list(fds[:count])
