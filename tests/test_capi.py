"""The C API, by an extension of its own that is built here against the header."""

from __future__ import annotations

import gc
import importlib.util
import os
import shutil
import subprocess
import sys
import weakref
from pathlib import Path
from types import ModuleType

import child_port as cp
import pytest
from child_port import _child_port as ext
from support import DEADLINE, TOKEN

EXAMPLE = Path(__file__).parent / "capi_example"
SEND, SEND_ONCE, RECEIVE, DEAD_NAME, PORT_SET, NONE = 0, 1, 2, 3, 4, -1


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    if cp.PLATFORM == "darwin" and sys.platform != "darwin":
        pytest.skip("the example is not of the extension's platform")
    folder = tmp_path_factory.mktemp("capi") / "source"
    shutil.copytree(EXAMPLE, folder)
    result = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(cp.__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stdout
    (built,) = folder.glob("capi_example*.so")
    spec = importlib.util.spec_from_file_location("capi_example", built)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_header_is_where_get_include_says() -> None:
    assert (Path(cp.get_include()) / "child_port_capi.h").is_file()


def test_the_table_has_the_version_of_the_header(example: ModuleType) -> None:
    assert example.version() == (1, 0, 1)


def test_a_newer_version_than_there_is_is_an_import_error(example: ModuleType) -> None:
    with pytest.raises(ImportError, match=r"version 1\.0 of its C API, and 1\.1 is needed"):
        example.ask_for_more()


def test_a_name_goes_from_python_to_native_code_and_back(example: ModuleType) -> None:
    with cp.ReceiveRight() as port:
        right = port.make_send()
        name = example.detach(right)
        assert right.closed and name == port.name
        with example.adopt(SEND, name) as back:
            assert isinstance(back, cp.SendRight) and back.name == name


def test_only_a_right_that_is_there_is_adopted(example: ModuleType) -> None:
    with cp.ReceiveRight() as port:
        with pytest.raises(cp.InvalidRight):
            example.adopt(SEND_ONCE, port.name)
        for kind in (NONE, 5):
            with pytest.raises(ValueError, match="no kind of right"):
                example.adopt(kind, port.name)


def test_kinds_are_told_apart(example: ModuleType) -> None:
    with cp.ReceiveRight() as port, port.make_send() as send, port.make_send_once() as once:
        assert [example.kind(right) for right in (send, once, port)] == [SEND, SEND_ONCE, RECEIVE]
        with cp.PortSet() as ports:
            assert example.kind(ports) == PORT_SET
        assert example.kind(port.name) == example.kind(None) == NONE


def test_a_pinned_right_stays_until_it_is_unpinned(example: ModuleType) -> None:
    with cp.ReceiveRight() as port:
        right = port.make_send()

        def while_pinned(name: int) -> bool:
            with pytest.raises(ValueError, match="in use"):
                right.detach()
            right.close()
            (entry,) = [entry for entry in cp.ledger() if entry.name == name]
            return entry.references.get("send") == 1

        assert example.pinned(right, while_pinned) is True
        (entry,) = [entry for entry in cp.ledger() if entry.name == port.name]
        assert "send" not in entry.references
        with pytest.raises(ValueError, match="closed"):
            example.pinned(right, while_pinned)


def test_what_is_no_right_is_a_type_error(example: ModuleType) -> None:
    with pytest.raises(TypeError, match="a right object is needed"):
        example.detach(5)
    with pytest.raises(TypeError, match="a right object is needed"):
        example.pinned(None, print)


def test_a_check_in_from_native_code_to_native_code(example: ModuleType) -> None:
    with example.serve(TOKEN) as server, server.make_send() as right, cp.ReceiveRight() as port:
        assert isinstance(server, cp.Server) and server.token == TOKEN
        example.hand_over(right, TOKEN, port, cp.Disposition.MAKE_SEND, DEADLINE)
        example.hand_over(right, TOKEN, None, NONE, DEADLINE)
        kind, name, token, sender, disposition = example.take(server, DEADLINE)
        assert (kind, name, token, sender) == (SEND, port.name, TOKEN, os.getpid())
        assert disposition == cp.Disposition.MOVE_SEND
        cp.SendRight.adopt(name).close()
        assert example.take(server, DEADLINE)[:2] == (NONE, 0)


def test_a_receive_right_is_moved_and_a_server_made_of_it(example: ModuleType) -> None:
    port = cp.ReceiveRight()
    with example.serve(TOKEN) as server, server.make_send() as right:
        example.hand_over(right, TOKEN, port, cp.Disposition.MOVE_RECEIVE, DEADLINE)
        assert port.closed
        kind, name, *_ = example.take(server, DEADLINE)
        assert kind == RECEIVE
    moved = example.adopt(RECEIVE, name)
    with example.serve(1, moved) as second:
        assert second.port is moved
    assert moved.closed


def test_what_fails_is_the_exception_of_python_and_the_right_stays(example: ModuleType) -> None:
    with example.serve(TOKEN) as server, cp.ReceiveRight() as port:
        with pytest.raises(cp.TimedOut):
            example.take(server, 0)
        with server.make_send() as right:
            server.close()
            with pytest.raises(cp.InvalidDestination):
                example.hand_over(right, 1, port, cp.Disposition.MOVE_RECEIVE, DEADLINE)
        assert not port.closed


def test_a_table_stays_until_its_interpreter_goes() -> None:
    spec = ext.__spec__
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is not None
