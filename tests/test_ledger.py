"""The ledger: what the kernel counts, who owns it here, and where it was made."""

from __future__ import annotations

import gc
import subprocess
import threading
from collections.abc import Iterator

import child_port as cp
import pytest
from child_port._ledger import LedgerEntry
from support import DEADLINE, python, running


def entry(name: int) -> LedgerEntry | None:
    found = [entry for entry in cp.ledger() if entry.name == name]
    assert len(found) <= 1
    return found[0] if found else None


def present(name: int) -> LedgerEntry:
    found = entry(name)
    assert found is not None
    return found


@pytest.fixture
def tracing() -> Iterator[None]:
    before = cp.trace_rights(True)
    yield
    cp.trace_rights(before)


def test_a_port_is_listed_with_the_references_of_each_kind_of_right() -> None:
    with cp.ReceiveRight() as port:
        assert present(port.name).references == {"receive": 1}
        with port.make_send(), port.make_send(), port.make_send_once() as once:
            assert present(port.name).references == {"receive": 1, "send": 2}
            assert present(once.name).references == {"send-once": 1}
        assert present(port.name).references == {"receive": 1}
        name = port.name
    assert entry(name) is None


def test_dead_names_and_port_sets_are_listed() -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right, cp.PortSet() as ports:
        assert present(ports.name).references == {"port-set": 1}
        assert [owner.kind for owner in present(ports.name).owners] == ["PortSet"]
        port.close()
        assert present(right.name).references == {"dead-name": 1}


def test_each_reference_has_its_owner() -> None:
    with cp.ReceiveRight() as port, port.make_send() as one, port.make_send() as two:
        owners = present(port.name).owners
        assert {(owner.kind, owner.id) for owner in owners} == {
            ("ReceiveRight", id(port)),
            ("SendRight", id(one)),
            ("SendRight", id(two)),
        }
        assert present(port.name).not_owned == 0


def test_what_is_detached_has_no_owner_until_it_is_adopted() -> None:
    with cp.ReceiveRight() as port:
        name = port.make_send().detach()
        assert present(name).not_owned == 1
        assert [owner.kind for owner in present(name).owners] == ["ReceiveRight"]
        with cp.SendRight.adopt(name):
            assert present(name).not_owned == 0


def test_an_object_that_is_collected_leaves_the_ledger() -> None:
    with cp.ReceiveRight() as port:
        port.make_send()
        gc.collect()
        assert [owner.kind for owner in present(port.name).owners] == ["ReceiveRight"]


def test_thousands_of_owners_are_listed() -> None:
    with cp.ReceiveRight() as port:
        rights = [port.make_send() for _ in range(3000)]
        found = present(port.name)
        assert found.references["send"] == 3000
        assert {owner.id for owner in found.owners} == {id(right) for right in [*rights, port]}
        for right in rights[::2]:
            right.close()
        assert len(present(port.name).owners) == 1501


def test_where_a_right_was_made_is_known_while_tracing_is_on(tracing: None) -> None:
    def make() -> cp.ReceiveRight:
        return cp.ReceiveRight()

    with make() as port, cp.Server() as server:
        created = present(port.name).owners[0].created
        assert created is not None
        assert __file__ in created[0] and created[0].endswith("make")
        assert "test_where_a_right_was_made" in created[1]
        made = present(server.port.name).owners[0].created
        assert made is not None and "test_where_a_right" in made[0], "not a line of the package"
        assert cp.trace_rights(False) is True
        with cp.ReceiveRight() as other:
            assert present(other.name).owners[0].created is None


def test_tracing_says_whether_it_was_on() -> None:
    assert cp.trace_rights(True) is False
    assert cp.trace_rights(True) is True
    assert cp.trace_rights(False) is True
    assert cp.trace_rights(False) is False


def test_rights_come_and_go_in_other_threads_while_the_ledger_is_read(tracing: None) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            with cp.ReceiveRight() as port:
                for _ in range(10):
                    port.make_send().close()

    with cp.ReceiveRight() as port, running(work), running(work):
        try:
            for _ in range(50):
                found = present(port.name)
                assert [owner.id for owner in found.owners] == [id(port)]
        finally:
            stop.set()


def test_a_forked_process_begins_a_ledger_of_its_own() -> None:
    program = (
        "port = cp.ReceiveRight()\n"
        "send = port.make_send()\n"
        "if os.fork() == 0:\n"
        "    own = cp.ReceiveRight()\n"
        "    owners = [o.id for entry in cp.ledger() for o in entry.owners]\n"
        "    del send\n"
        "    port.close()\n"
        "    with cp.ReceiveRight():\n"
        "        os._exit(owners != [id(own)])\n"
        "pid, status = os.wait()\n"
        "sys.exit(os.waitstatus_to_exitcode(status))\n"
    )
    result = subprocess.run(python(program), stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert (result.returncode, result.stderr) == (0, "")


def test_an_origin_that_raises_harms_no_right() -> None:
    program = (
        "from child_port import _ledger\n"
        "cp.trace_rights(True)\n"
        "_ledger.os = None\n"
        "port = cp.ReceiveRight()\n"
        "[entry] = [entry for entry in cp.ledger() if entry.name == port.name]\n"
        "assert entry.owners[0].created is None\n"
        "port.close()\n"
    )
    result = subprocess.run(python(program), stderr=subprocess.PIPE, text=True, timeout=DEADLINE)
    assert result.returncode == 0
    assert "AttributeError" in result.stderr
