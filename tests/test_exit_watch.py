"""Descriptors that tell of a process's end and of a pipe's; macOS's half with a stand-in kqueue."""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
import types
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from child_port import _exit_watch
from child_port._invitation import InvitationReader, readable_now

GENEROUS_MS = 30_000


class Kqueue:
    """What select.kqueue does for a process of which the kernel knows nothing."""

    made: list[Kqueue]

    def __init__(self) -> None:
        self.closed = False
        self.made.append(self)

    def control(self, changes: list[Any], most: int) -> list[Any]:
        raise self.error

    def close(self) -> None:
        self.closed = True

    error: OSError


@pytest.fixture
def darwin(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module as macOS imports it."""
    names = ("KQ_FILTER_PROC", "KQ_FILTER_READ", "KQ_EV_ADD", "KQ_NOTE_EXIT")
    Kqueue.made = []
    fake = types.SimpleNamespace(
        kqueue=Kqueue, kevent=lambda *_, **__: object(), **dict.fromkeys(names, 0)
    )
    monkeypatch.setattr(sys, "platform", "darwin")
    assert _exit_watch.__file__ is not None
    spec = importlib.util.spec_from_file_location("_exit_watch_of_darwin", _exit_watch.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "select", fake)
    return module


def test_a_child_that_has_ended_before_it_is_watched_is_known_on_macos(
    darwin: ModuleType,
) -> None:
    Kqueue.error = ProcessLookupError(3, "No such process")
    watch = darwin.watch_process(1)
    assert readable_now(watch.fileno())
    assert os.read(watch.fileno(), 1) == b""
    watch.close()
    assert [queue.closed for queue in Kqueue.made] == [True]


def test_a_child_that_cannot_be_watched_on_macos_has_no_watch(darwin: ModuleType) -> None:
    Kqueue.error = OSError(24, "Too many open files")
    assert darwin.watch_process(1) is None


def test_a_child_that_has_been_waited_for_before_it_is_watched_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    watch = _exit_watch.watch_process(child.pid)
    assert watch is not None and readable_now(watch.fileno())
    watch.close()


@pytest.fixture
def zombie() -> Iterator[int]:
    """A child that has ended and has not been waited for."""
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        yield child.pid


def test_a_child_that_has_ended_before_it_is_watched_is_known(zombie: int) -> None:
    watch = _exit_watch.watch_process(zombie)
    assert watch is not None
    assert readable_now(watch.fileno())
    watch.close()


def test_the_loss_of_a_pipes_reader_is_seen_at_its_write_end() -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        process = _exit_watch.watch_process(child.pid)
        assert process is not None
        either = _exit_watch.watch_either(process, write_end)
        assert not readable_now(either.fileno())
        os.write(write_end, b"unread")
        assert not readable_now(either.fileno())
        os.close(read_end)
        poller = select.poll()
        poller.register(either.fileno(), select.POLLIN)
        assert poller.poll(GENEROUS_MS)
        either.close()
        process.close()
        child.communicate(b"\n")
    os.close(write_end)


def test_an_invitations_pipe_has_ended_when_its_writer_is_gone_and_not_before() -> None:
    read_end, write_end = os.pipe()
    reader = InvitationReader(read_end)
    assert not reader.ended()
    os.write(write_end, b"unread")
    assert not reader.ended()
    os.close(write_end)
    assert reader.ended()
    reader.close()
