"""How subprocess is told to start a program by posix_spawn, for a child that inherits a right.

On macOS a program that is started by fork has lost the registered ports of its parent: libc's fork
calls libSystem_atfork_prepare (Apple's Libsystem, init.c), and through it libxpc registers a port
of its own in slot 0 and nothing in the others. posix_spawn does no such thing, and the child has
what the parent registered.

subprocess uses posix_spawn when it is asked for nothing that this cannot do. The program's place
must be known, and descriptors are passed on by their own flag, so that what else is inheritable in
this process goes to the child as well. (Nothing is, unless somebody has made it so: PEP 446.)
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

# What subprocess forks for, and the values that ask for nothing.
_ASKS_FOR_FORK = {
    "preexec_fn": None,
    "cwd": None,
    "start_new_session": False,
    "process_group": None,
    "user": None,
    "group": None,
    "extra_groups": None,
    "umask": -1,
}
_FIRST_FD = 3


@contextmanager
def by_posix_spawn(command: Any, options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The options of subprocess.Popen, changed so that it uses posix_spawn. Start it in the block.

    Raises ValueError if they ask for something that only a fork can do.
    """
    refused = [name for name, none in _ASKS_FOR_FORK.items() if options.get(name, none) != none]
    if refused:
        raise ValueError(
            f"a child that inherits the right to its parent's port is started by posix_spawn on "
            f'macOS, which has no {", ".join(refused)}; do without, or use transport="bootstrap"'
        )
    changed = dict(options) | {"close_fds": False}
    program = changed.get("executable")
    if program is not None or not changed.get("shell"):
        changed["executable"] = _place(_first(command) if program is None else program, options)
    with ExitStack() as stack:
        for stream in ("stdin", "stdout", "stderr"):
            changed[stream] = _out_of_the_way(stream, changed, stack)
        _pass_on(changed.pop("pass_fds", ()), stack)
        yield changed


def _first(command: Any) -> Any:
    return command if isinstance(command, str | bytes | os.PathLike) else command[0]


def _place(program: Any, options: Mapping[str, Any]) -> str:
    """Where the program is, as subprocess would find it."""
    name = os.fsdecode(program)
    if os.path.dirname(name):
        return name
    found = shutil.which(name, path=os.pathsep.join(os.get_exec_path(options.get("env"))))
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return os.path.abspath(found)


def _out_of_the_way(stream: str, options: Mapping[str, Any], stack: ExitStack) -> Any:
    """What the stream is to be, but not a standard descriptor, for which subprocess forks."""
    wanted = options.get(stream)
    if wanted is None or (isinstance(wanted, int) and wanted < 0):
        if wanted != subprocess.STDOUT or options.get("stdout") is not None:
            return wanted
        wanted = 1  # where the child's standard output goes: to this process's
    fd = wanted if isinstance(wanted, int) else wanted.fileno()
    if fd >= _FIRST_FD:
        return wanted
    copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _FIRST_FD)
    stack.callback(os.close, copy)
    return copy


def _pass_on(fds: Iterable[int], stack: ExitStack) -> None:
    """Inheritable for the time of the block."""
    for fd in fds:
        if not os.get_inheritable(fd):
            os.set_inheritable(fd, True)
            stack.callback(os.set_inheritable, fd, False)
