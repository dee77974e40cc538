"""Starting a program, as on macOS: what it inherits, and what a fork does to that.

The kernel there passes the registered ports on, and nobody who starts a program has to know.
mach_linux keeps them in descriptors, which subprocess would close: here they are added to those
that stay open. (exec by itself closes none of them.) A Mach library without
mach_linux_inherited_fds needs nothing of this.

And what libSystem does before a fork (shim/fork.c) happens whenever the Mac's subprocess would
fork. Linux's has vfork for that, which is no fork to the C library: here it is not used.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .symbols import Symbols

FDS_TO_KEEP = 3
"""Which argument of _posixsubprocess.fork_exec says what stays open."""
MOST = 64


def install(symbols: Callable[[], Symbols | None]) -> None:
    """`symbols` gives the libraries, once they are in this process."""
    import _posixsubprocess

    original: Callable[..., int] = _posixsubprocess.fork_exec

    def fork_exec(*arguments: Any) -> int:
        libraries = symbols()
        if libraries is not None:
            # Now, so that the descriptors are those that there will be.
            libraries.shim.machorun_before_fork()
        keep = {*arguments[FDS_TO_KEEP], *inherited_descriptors(libraries)}
        # The last one allows vfork, which runs no handlers.
        rest = (*arguments[FDS_TO_KEEP + 1 : -1], False)
        return original(*arguments[:FDS_TO_KEEP], tuple(sorted(keep)), *rest)

    _posixsubprocess.fork_exec = fork_exec
    # From Python 3.13 on subprocess goes another way where there is this, which macOS has not.
    if hasattr(os, "POSIX_SPAWN_CLOSEFROM"):
        del os.POSIX_SPAWN_CLOSEFROM
    if "subprocess" in sys.modules:
        imported = {"_fork_exec": fork_exec, "_HAVE_POSIX_SPAWN_CLOSEFROM": False}
        vars(sys.modules["subprocess"]).update(imported)


def inherited_descriptors(libraries: Symbols | None) -> list[int]:
    """Those that hold the registered ports."""
    if libraries is None or not hasattr(libraries.mach, "mach_linux_inherited_fds"):
        return []
    fds = (ctypes.c_int * MOST)()
    count = libraries.mach.mach_linux_inherited_fds(fds, MOST)
    return list(fds[:count])
