"""The pytest plugin: a test that leaves rights behind fails, and is told which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import child_port as cp
import pytest
from child_port._leaks import RightLeaks, _has_more
from child_port._ledger import LedgerEntry
from support import DEADLINE, running

PLUGIN = Path(cp.__file__).parent.parent


def outcome(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    """pytest with the plugin and one file of tests."""
    (folder / "test_it.py").write_text(test)
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ["-p", "_child_port_pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-q"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_it.py"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(PLUGIN), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE,
    )


def test_a_test_that_leaves_a_right_behind_fails_and_is_told_where_it_was_made(
    tmp_path: Path,
) -> None:
    result = outcome(
        tmp_path,
        "import child_port as cp\n"
        "kept = []\n"
        "def make():\n"
        "    kept.append(cp.ReceiveRight())\n"
        "def test_leaks(no_right_leaks):\n"
        "    make()\n"
        "def test_holds(no_right_leaks):\n"
        "    with cp.ReceiveRight() as port, port.make_send(): pass\n"
        "def test_cleans_up():\n"
        "    kept.pop().close()\n",
    )
    assert result.returncode == 1
    assert "3 passed, 1 error" in result.stdout
    assert "owned by a ReceiveRight" in result.stdout
    assert "test_it.py:4 in make" in result.stdout


def test_a_test_that_fails_by_itself_is_not_blamed_for_what_its_traceback_keeps(
    tmp_path: Path,
) -> None:
    result = outcome(
        tmp_path,
        "import child_port as cp, pytest\n"
        "def test_fails(no_right_leaks):\n"
        "    port = cp.ReceiveRight()\n"
        "    assert port.closed\n"
        "@pytest.fixture\n"
        "def broken(no_right_leaks):\n"
        "    port = cp.ReceiveRight()\n"
        "    raise ValueError\n"
        "def test_cannot_begin(broken): pass\n",
    )
    assert "1 failed, 1 error" in result.stdout
    assert "rights are left" not in result.stdout


def test_a_detached_name_is_a_leak_of_no_object(tmp_path: Path) -> None:
    result = outcome(
        tmp_path,
        "import child_port as cp\n"
        "def test_leaks(no_right_leaks):\n"
        "    cp.ReceiveRight().detach()\n",
    )
    assert result.returncode == 1
    assert "1 owned by no right object (native code, or detached)" in result.stdout


def test_who_does_not_use_the_fixture_does_not_import_the_package(tmp_path: Path) -> None:
    result = outcome(
        tmp_path, "import sys\ndef test_it():\n    assert 'child_port' not in sys.modules\n"
    )
    assert result.returncode == 0, result.stdout


def test_a_second_reference_to_a_known_name_is_a_leak() -> None:
    with cp.ReceiveRight() as port, port.make_send():
        leaks = RightLeaks()
        assert leaks.now() == []
        with port.make_send() as second:
            (told,) = leaks.settled(0)
            assert f"name 0x{second.name:x}" in told
            assert told.count("owned by a") == 1, "only what is new"
        assert leaks.settled(0) == []


def test_another_right_under_a_name_that_was_given_up_is_a_leak() -> None:
    def entry(**references: int) -> LedgerEntry:
        kinds = {kind.replace("_", "-"): count for kind, count in references.items()}
        return LedgerEntry(0x103, kinds, ())

    assert _has_more(entry(receive=1), entry(send=1))
    assert _has_more(entry(send=1, receive=1), entry(send=2))
    assert not _has_more(entry(dead_name=2), entry(send=2)), "its port died"
    assert not _has_more(entry(send=1), entry(send=1, receive=1))


def test_what_another_thread_is_about_to_release_is_no_leak() -> None:
    leaks = RightLeaks()
    port = cp.ReceiveRight()

    def release() -> None:
        while not leaks.now():  # until it was seen
            pass
        port.close()

    with running(release):
        assert leaks.settled(DEADLINE) == []


def test_the_plugin_is_found_by_pytest_where_the_package_is_installed() -> None:
    from importlib.metadata import entry_points

    found = [entry.value for entry in entry_points(group="pytest11") if entry.name == "child_port"]
    if not found:
        pytest.skip("the package is not installed here, only on the path")
    assert found == ["_child_port_pytest"]
