"""Right objects: ownership, closing, detaching, adopting, leaking."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import warnings
import weakref

import pytest
from child_port import _child_port as ext
from ext_support import DEAD, drain_references, open_descriptors


def test_send_rights_of_one_port_share_its_name_and_count_references() -> None:
    with ext.ReceiveRight() as rx:
        first, second = rx.make_send(), rx.make_send()
        third = second.copy()
        assert first.name == second.name == third.name == rx.name
        name = rx.name
        first.close()
        assert drain_references(ext.SendRight, name) == 2
        second.detach()
        third.detach()


def test_close_is_idempotent_and_use_after_it_is_a_value_error() -> None:
    rx = ext.ReceiveRight()
    tx = rx.make_send()
    for right in (tx, rx):
        assert not right.closed
        right.close()
        right.close()
        assert right.closed
        with pytest.raises(ValueError, match="closed"):
            _ = right.name
        with pytest.raises(ValueError, match="closed"):
            right.detach()
        with pytest.raises(ValueError, match="closed"), right:
            pass
    with pytest.raises(ValueError, match="closed"):
        tx.copy()
    with pytest.raises(ValueError, match="closed"):
        _ = tx.dead
    with pytest.raises(ValueError, match="closed"):
        rx.make_send()
    with pytest.raises(ValueError, match="closed"):
        rx.make_send_once()


def test_detach_and_adopt_pass_one_reference_on() -> None:
    with ext.ReceiveRight() as rx:
        name = rx.make_send().detach()
        with ext.SendRight.adopt(name) as again:
            assert again.name == name
        assert drain_references(ext.SendRight, name) == 0


def test_adopt_refuses_a_name_that_has_another_kind_of_right() -> None:
    with ext.ReceiveRight() as rx, rx.make_send_once() as once:
        for kind, name in [
            (ext.SendRight, rx.name),
            (ext.SendOnceRight, rx.name),
            (ext.DeadName, rx.name),
            (ext.SendRight, once.name),
            (ext.ReceiveRight, once.name),
            (ext.SendRight, 0),
            (ext.SendRight, 0x7FFFFF03),
        ]:
            with pytest.raises(ext.InvalidRight) as caught:
                kind.adopt(name)
            assert caught.value.call == "mach_port_type"
        assert not rx.closed and not once.closed


@pytest.mark.parametrize("name", [-1, 2**32, 2**64, 2**200])
def test_adopt_refuses_what_no_name_can_be(name: int) -> None:
    with pytest.raises(OverflowError):
        ext.SendRight.adopt(name)


@pytest.mark.parametrize("name", ["1", 1.5, None, b"x"])
def test_adopt_refuses_what_is_no_integer(name: object) -> None:
    with pytest.raises(TypeError):
        ext.SendRight.adopt(name)  # type: ignore[arg-type]


def test_adopt_belongs_to_the_kinds() -> None:
    with pytest.raises(TypeError):
        ext.Right.adopt(1)


def test_only_receive_rights_can_be_made_from_nothing() -> None:
    for kind in (ext.Right, ext.SendRight, ext.SendOnceRight, ext.DeadName):
        with pytest.raises(TypeError):
            kind()
        with pytest.raises(TypeError):
            object.__new__(kind)


def test_a_send_right_dies_with_its_port() -> None:
    rx = ext.ReceiveRight()
    with rx.make_send() as tx:
        name = tx.name
        assert not tx.dead
        rx.close()
        assert tx.dead
        with pytest.raises(ext.InvalidRight):
            tx.copy()
        assert tx.detach() == name
        with ext.DeadName.adopt(name) as dead:
            assert dead.name == name
        assert drain_references(ext.DeadName, name) == 0


def test_mach_port_dead_can_be_adopted_and_closed_any_number_of_times() -> None:
    for _ in range(3):
        with ext.DeadName.adopt(DEAD) as dead:
            assert dead.name == DEAD


def test_send_once_rights_have_names_of_their_own() -> None:
    with ext.ReceiveRight() as rx, rx.make_send_once() as first, rx.make_send_once() as second:
        assert len({rx.name, first.name, second.name}) == 3


@pytest.mark.parametrize("qlimit", [None, 0, 1, 5, 1024, True])
def test_queue_limits_that_are_accepted(qlimit: int | None) -> None:
    with ext.ReceiveRight(qlimit) as rx, ext.ReceiveRight(qlimit=qlimit):
        assert rx.name


@pytest.mark.parametrize(
    ("qlimit", "error"),
    [(-1, ValueError), (1025, ValueError), (2**40, OverflowError), ("5", TypeError)],
)
def test_queue_limits_that_are_refused(qlimit: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        ext.ReceiveRight(qlimit)


def test_rights_are_compared_by_identity_and_weakly_referable() -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as one, one.copy() as other:
        assert one != other and one == one
        assert len({one, other}) == 2
        assert weakref.ref(one)() is one


def test_rights_cannot_be_pickled_or_copied() -> None:
    with ext.ReceiveRight() as rx:
        with pytest.raises(TypeError, match="check_in"):
            pickle.dumps(rx)
        with pytest.raises(TypeError, match="check_in"):
            copy.copy(rx)


def test_repr_names_the_kind_and_the_name() -> None:
    with ext.ReceiveRight() as rx:
        assert repr(rx) == f"<child_port.ReceiveRight {rx.name:#x}>"
    assert repr(rx) == "<child_port.ReceiveRight closed>"


def test_a_leaked_receive_right_is_released_with_a_warning() -> None:
    tx = None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rx = ext.ReceiveRight()
        tx = rx.make_send()
        name = rx.name
        del rx
        gc.collect()
    assert [w.category for w in caught] == [ResourceWarning]
    assert f"{name:#x}" in str(caught[0].message)
    assert tx.dead
    tx.close()


def test_a_leaked_send_right_is_released_silently() -> None:
    with ext.ReceiveRight() as rx:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tx = rx.make_send()
            name = tx.name
            del tx
            gc.collect()
        assert drain_references(ext.SendRight, name) == 0


def test_thousands_of_rights_leave_no_descriptor_behind() -> None:
    def cycle() -> None:
        with ext.ReceiveRight() as rx, rx.make_send() as tx, tx.copy(), rx.make_send_once():
            pass

    cycle()
    before = open_descriptors()
    for _ in range(1000):
        cycle()
    assert open_descriptors() <= before + 2


def test_threads_that_close_one_right_release_it_once() -> None:
    with ext.ReceiveRight() as rx:
        for _ in range(50):
            tx = rx.make_send()
            keep = tx.copy()
            barrier = threading.Barrier(4)

            def close(right: ext.SendRight = tx, start: threading.Barrier = barrier) -> None:
                start.wait()
                right.close()

            threads = [threading.Thread(target=close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert drain_references(ext.SendRight, keep.name) == 1
            keep.detach()


def test_task_self_is_a_send_right_to_this_process() -> None:
    with ext.task_self() as task, ext.task_self() as again:
        assert task.name == again.name
        assert ext.pid_for_task(task) == ext.pid_for_task(task.name) == os.getpid()
    with ext.task_self() as task:
        assert ext.pid_for_task(task=task) == os.getpid()


def test_pid_for_task_of_something_else_is_an_error() -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as tx:
        with pytest.raises(ext.MachError) as caught:
            ext.pid_for_task(tx)
        assert caught.value.call == "pid_for_task"
        with pytest.raises(TypeError):
            ext.pid_for_task(rx)  # type: ignore[arg-type]
    with pytest.raises(ext.MachError):
        ext.pid_for_task(0)


def test_a_forked_child_sees_its_parents_rights_closed_and_releases_none() -> None:
    rx = ext.ReceiveRight()
    tx = rx.make_send()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert rx.closed and tx.closed
            for right in (rx, tx):
                with pytest.raises(ValueError, match="fork"):
                    _ = right.name
            right = ext.ReceiveRight()
            rx.close()
            tx.close()
            del tx
            assert right.make_send().name == right.name
            right.close()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not rx.closed and not tx.dead
    tx.close()
    rx.close()
