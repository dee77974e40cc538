"""The checks of `doctor`. Each tries what it is about, and none needs another to have held."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from .. import _child_port, bootstrap
from .._child_port import CheckIn, MachError, PeerGone, SendRight, check_in, pid_for_task
from .._errors import HandshakeError
from .._secrets import random_service_name
from .._server import Server
from .._spawn import Popen, Transport

_DEADLINE_S = 20.0
# Where each right takes some, and where only each child does.
_FEW_DESCRIPTORS = 256
_FEW_FOR_CHILDREN = 32

# A program that fails in any other way says so on its standard error.
_EXPECTED = (MachError, PeerGone, HandshakeError, OSError, ValueError)
_CHILD = (
    "import sys, child_port as cp; cp.check_in_to_parent(cp.task_self(), timeout=20); "
    "sys.stdin.read()"
)


@dataclass
class Finding:
    what: str
    status: Literal["ok", "warning", "failed"]
    detail: str
    advice: str = ""


def about() -> dict[str, str]:
    """What runs here."""
    from importlib.metadata import version

    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = platform.mac_ver()[0] if sys.platform == "darwin" else platform.release()
    return {
        "child_port": version("child-port"),
        "python": f"{python}{'' if gil else ', without a GIL'}, {sys.executable}",
        "system": f"{platform.system()} {system}, {platform.machine()}",
        "ports": {"linux": "mach_linux, on Unix sockets", "darwin": "the kernel's"}.get(
            _child_port.PLATFORM, _child_port.PLATFORM
        ),
        "stubs": f"by {_child_port.MIG}",
    }


def all_checks() -> Iterator[Finding]:
    yield _descriptors()
    yield _names()
    yield _inheritance()
    yield _main_job()
    yield _sandbox()


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/dev/fd"))
    what = "descriptors (RLIMIT_NOFILE)"
    shown = "no limit" if soft == resource.RLIM_INFINITY else f"{soft}"
    most = "no limit" if hard == resource.RLIM_INFINITY else f"{hard}"
    detail = f"{used} open, limit {shown}, which this process may raise to {most}"
    few = _FEW_DESCRIPTORS if _child_port.PLATFORM == "linux" else _FEW_FOR_CHILDREN
    if soft != resource.RLIM_INFINITY and soft - used < few:
        return Finding(
            what,
            "warning",
            detail,
            "on Linux each right takes two or more, and so does each child anywhere: raise it with "
            "ulimit -n or resource.setrlimit()",
        )
    return Finding(what, "ok", detail)


def _names() -> Finding:
    """A service name, claimed, looked up and used."""
    what = "service names (bootstrap)"
    name = random_service_name()
    try:
        with Server(service_name=name) as server, bootstrap.look_up(name) as right:
            check_in(right, server.token, None, timeout=_DEADLINE_S)
            with server.accept(_DEADLINE_S):
                pass
    except _EXPECTED as error:
        return Finding(
            what,
            "warning",
            str(error),
            'Popen falls back to transport="inherited"; serve, bootstrap and processes that the '
            "parent does not start itself need names",
        )
    return Finding(what, "ok", "a name was claimed, looked up, and used for a check-in")


def _start(transport: Transport) -> Popen[bytes]:
    return Popen(
        [sys.executable, "-c", _CHILD],
        transport=transport,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _accept(child: Popen[bytes]) -> CheckIn:
    """The child's check-in; if it ends instead, what it said of that is in the error."""
    try:
        return child.accept(_DEADLINE_S)
    except PeerGone as error:
        assert child.stderr is not None
        said = child.stderr.read().decode(errors="replace").strip().splitlines()
        raise PeerGone(f"{error}: {said[-1]}" if said else str(error)) from None


def _inheritance() -> Finding:
    what = "rights that a child inherits (mach_ports_register)"
    try:
        with _start("inherited") as child, _accept(child):
            child.kill()
    except _EXPECTED as error:
        return Finding(
            what, "warning", str(error), 'Popen(transport="inherited") would fail in this way'
        )
    return Finding(what, "ok", "a child checked in over a right that it inherited")


def _main_job() -> Finding:
    what = "a child that hands its task port to its parent"
    try:
        with _start("auto") as child, _accept(child) as accepted:
            try:
                return _judge(child, accepted, what)
            finally:
                child.kill()
    except _EXPECTED as error:
        return Finding(
            what, "failed", str(error), "Popen and check_in_to_parent would fail in this way"
        )


def _judge(child: Popen[bytes], accepted: CheckIn, what: str) -> Finding:
    task = accepted.port
    if not isinstance(task, SendRight) or pid_for_task(task) != child.pid:
        return Finding(what, "failed", f"what came is {task!r}, and not the child's task port")
    how = {"bootstrap": "by a service name", "inherited": "by inheritance"}
    detail = f"process {child.pid} did, {how.get(child.transport, child.transport)}"
    if _child_port.PLATFORM != "linux":
        return Finding(what, "ok", detail)
    try:
        # What process_vm_readv and a debugger ask the kernel for, too.
        open(f"/proc/{child.pid}/mem", "rb").close()
    except OSError as error:
        scope = _read("/proc/sys/kernel/yama/ptrace_scope")
        said = f"; /proc/sys/kernel/yama/ptrace_scope is {scope}" if scope else ""
        return Finding(
            what,
            "warning",
            f"{detail}; but its memory may not be read: {error.strerror}{said}",
            "on Linux a task port is an identity: reading memory is ptrace's to allow "
            "(CAP_SYS_PTRACE, prctl(PR_SET_PTRACER) in the child)",
        )
    return Finding(what, "ok", f"{detail}; ptrace's rules let this process read its memory")


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""


def _sandbox() -> Finding:
    """What confines this process, as far as it can tell. By itself none of it is a fault."""
    found = []
    if os.environ.get("APP_SANDBOX_CONTAINER_ID"):
        found.append(f"the App Sandbox of {os.environ['APP_SANDBOX_CONTAINER_ID']}")
    status = dict(
        line.split(":", 1) for line in _read("/proc/self/status").splitlines() if ":" in line
    )
    if status.get("Seccomp", "0").strip() != "0":
        found.append("a seccomp filter")
    if status.get("NoNewPrivs", "0").strip() != "0":
        found.append("no_new_privs")
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        found.append("a container")
    profile = _read("/proc/self/attr/current").strip("\0")
    if profile and profile != "unconfined":
        found.append(f"the security profile {profile}")
    return Finding("confinement", "ok", ", ".join(found) if found else "none that shows")
