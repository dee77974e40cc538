"""Helpers for the tests of rights that are inherited: a sandbox without names, registered ports."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import child_port as cp
import pytest
from child_port import _child_port as ext
from child_port._registered import SLOTS

fork_passes_on = pytest.mark.skipif(
    cp.PLATFORM == "darwin", reason="libSystem empties the registered ports before a fork"
)
fork_takes_away = pytest.mark.skipif(cp.PLATFORM != "darwin", reason="libSystem's way of forking")


def refuse_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No service name can be registered or found: what a sandbox does on macOS.

    Here the directory of the services is one that mach_linux refuses, because others can reach it.
    """
    if sys.platform != "linux":
        pytest.skip("the sandbox is made of a directory that mach_linux refuses")
    (tmp_path / "mach-bootstrap").mkdir(mode=0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(cp.NotPrivileged):
        cp.bootstrap.check_in("child_port.test.sandbox")


@contextmanager
def all_slots_in_use() -> Iterator[list[cp.SendRight]]:
    """Something else in this process has registered ports in all the slots."""
    ports = [cp.ReceiveRight() for _ in SLOTS]
    rights = [port.make_send() for port in ports]
    for slot, right in zip(SLOTS, rights, strict=True):
        assert ext.registered_replace(slot, right) is None
    yield rights
    for slot in SLOTS:
        was = ext.registered_replace(slot, None)
        if was is not None:
            was.close()
    for right in rights:
        right.close()
    for port in ports:
        port.close()


NOTHING = [None] * len(SLOTS)


def registered_names() -> list[int | None]:
    """In the slots that are anybody's: what is in slot 0 on macOS is libxpc's."""
    names = []
    for right in ext.registered_lookup():
        names.append(None if right is None else right.name)
        if right is not None:
            right.close()
    return [names[slot] for slot in SLOTS]
