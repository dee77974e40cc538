"""Helpers for the tests of the C layer: counting references, filling queues, a stranger in C."""

from __future__ import annotations

import os
import shlex
import signal
import struct
import subprocess
import sys
import sysconfig
import threading
import uuid
from functools import cache
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any, TypeVar

import pytest
from child_port import _child_port as ext

ROOT = Path(__file__).resolve().parent.parent
GENEROUS = 30.0
TOKEN = 0xFEDCBA9876543210
DEAD = 0xFFFFFFFF

MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE, COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE = range(16, 22)


RightType = TypeVar("RightType", bound=ext.Right)


def port_of(check_in: ext.CheckIn, kind: type[RightType]) -> RightType:
    """The check-in's port, which must be of this kind."""
    port = check_in.port
    assert type(port) is kind
    return port


def signal_main_thread(number: int) -> None:
    ident = threading.main_thread().ident
    assert ident is not None
    signal.pthread_kill(ident, number)


def drain_references(kind: type[ext.Right], name: int) -> int:
    """Release every user reference that the name has of this kind, and say how many there were."""
    count = 0
    while True:
        try:
            kind.adopt(name).close()
        except ext.InvalidRight:
            return count
        count += 1


@cache
def _second_module() -> Any:
    spec = ext.__spec__
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask_behind_its_back(right: ext.Right, notify: ext.ReceiveRight) -> None:
    """Have the kernel notify the port of a right's end, as others can who have a right to the port.

    Another module object asks, with a table of its own, so that ext knows nothing of it.
    """
    other = _second_module()
    target = other.ReceiveRight.adopt(notify.name)
    subject = getattr(other, type(right).__name__).adopt(right.name)
    if isinstance(right, ext.ReceiveRight):
        subject.notify_no_senders(target)
    else:
        subject.notify_dead(target)
    subject.detach()
    target.detach()


def fill_queue(server: ext.SendRight, token: int = TOKEN) -> int:
    """Check in without a port until the queue is full; how many messages it took."""
    for count in range(100_000):
        try:
            ext.check_in(server, token, None, timeout=0)
        except ext.TimedOut:
            return count
    raise AssertionError("the queue has no end")


def open_descriptors() -> int:
    folder = "/proc/self/fd" if sys.platform == "linux" else "/dev/fd"
    return len(os.listdir(folder))


def check_in_body(
    name: int = 0,
    disposition: int = COPY_SEND,
    token: int = TOKEN,
    *,
    count: int = 1,
    kind: int = 0,
) -> bytes:
    """The body of a child_port_check_in message: count, descriptor, NDR record, token."""
    descriptor = struct.pack("=IIHBB", name, 0, 0, disposition, kind)
    return (
        struct.pack("=I", count)
        + descriptor
        + bytes([0, 0, 0, 0, 1, 0, 0, 0])
        + struct.pack("=Q", token)
    )


class Service:
    """A bootstrap service with a ServerCore at it."""

    def __init__(self, expected_pid: int | None = None) -> None:
        self.name = f"child_port.test.{uuid.uuid4()}"
        self.rx = ext.bootstrap_check_in(self.name)
        self.tx = ext.bootstrap_look_up(self.name)
        self.core = ext.ServerCore(self.rx, TOKEN, expected_pid)

    def reject(self) -> dict[str, int]:
        """Handle what is queued, none of which is a check-in; what has been counted."""
        with pytest.raises(ext.TimedOut):
            self.core.accept(0)
        return {key: value for key, value in self.core.stats.items() if value}

    def close(self) -> None:
        self.core.close()
        self.tx.close()
        self.rx.close()


class Stranger:
    """A process that speaks bare mach_msg: sends whatever it is told to a bootstrap service."""

    def __init__(self, program: Path, service: str) -> None:
        self._process = subprocess.Popen(
            [program, service], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(
        self,
        body: bytes,
        *,
        message_id: int = 10011,
        is_complex: bool = True,
        port_at: int = -1,
        memory: int = 0,
        reply: bool = False,
    ) -> int:
        """One message; port_at: where in the body the stranger puts a port of its own; memory: how
        many of its descriptors get a megabyte of the stranger's."""
        assert self._process.stdin and self._process.stdout
        text = body.hex() or "-"
        numbers = (message_id, int(is_complex), port_at, memory, int(reply))
        self._process.stdin.write(f"{' '.join(map(str, numbers))} {text}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(GENEROUS)


def build_stranger(folder: Path) -> Path:
    """Compile ext_stranger.c against the platform's Mach."""
    program = folder / "stranger"
    source = str(ROOT / "tests" / "ext_stranger.c")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    compiler += shlex.split(os.environ.get("CFLAGS", ""))
    if sys.platform == "darwin":
        command = [*compiler, "-std=c11", source, "-o", str(program)]
    else:
        library = sorted(str(path) for path in (ROOT / "ext" / "mach_linux").glob("*.c"))
        command = [
            *compiler,
            "-std=c11",
            "-D_GNU_SOURCE",
            "-I",
            str(ROOT / "ext" / "mach_linux" / "include"),
            source,
            *library,
            "-pthread",
            "-o",
            str(program),
        ]
    subprocess.run(command, check=True)
    return program
