"""check_in(): what is handed over, what stays with the caller, and what every bad argument gets."""

from __future__ import annotations

import errno
import signal
import threading
import time
from collections.abc import Iterator

import pytest
from child_port import _child_port as ext
from ext_support import (
    COPY_SEND,
    DEAD,
    GENEROUS,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_RECEIVE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    TOKEN,
    drain_references,
    fill_queue,
    open_descriptors,
    port_of,
    signal_main_thread,
)


class Pair:
    """A server's port and a send right to it."""

    def __init__(self) -> None:
        self.rx = ext.ReceiveRight()
        self.tx = self.rx.make_send()
        self.core = ext.ServerCore(self.rx, TOKEN)

    def accept(self) -> ext.CheckIn:
        return self.core.accept(GENEROUS)

    def close(self) -> None:
        self.tx.close()
        self.rx.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


@pytest.fixture
def other() -> Iterator[ext.ReceiveRight]:
    with ext.ReceiveRight() as rx:
        yield rx


def test_a_send_right_is_copied_by_default(pair: Pair, other: ext.ReceiveRight) -> None:
    with other.make_send() as tx:
        ext.check_in(pair.tx, TOKEN, tx)
        assert not tx.closed
        with pair.accept() as check_in:
            assert type(check_in.port) is ext.SendRight
            assert check_in.port is check_in.port
            assert check_in.port.name == other.name
            assert check_in.disposition == 17
            assert check_in.token == TOKEN
            check_in.port.detach()
        assert drain_references(ext.SendRight, other.name) == 2
        tx.detach()


def test_move_send_closes_the_object(pair: Pair, other: ext.ReceiveRight) -> None:
    tx = other.make_send()
    ext.check_in(pair.tx, TOKEN, tx, MOVE_SEND)
    assert tx.closed
    port_of(pair.accept(), ext.SendRight).detach()
    assert drain_references(ext.SendRight, other.name) == 1


def test_a_send_once_right_is_moved_by_default(pair: Pair, other: ext.ReceiveRight) -> None:
    once = other.make_send_once()
    ext.check_in(pair.tx, TOKEN, once)
    assert once.closed
    with pair.accept() as check_in:
        assert type(check_in.port) is ext.SendOnceRight
        assert check_in.disposition == 18


@pytest.mark.parametrize(
    ("disposition", "kind", "arrives"),
    [(MAKE_SEND, "SendRight", 17), (MAKE_SEND_ONCE, "SendOnceRight", 18)],
)
def test_rights_are_made_from_a_receive_right_that_stays(
    pair: Pair, other: ext.ReceiveRight, disposition: int, kind: str, arrives: int
) -> None:
    ext.check_in(pair.tx, TOKEN, other, disposition)
    assert not other.closed
    with pair.accept() as check_in:
        assert type(check_in.port).__name__ == kind
        assert check_in.disposition == arrives


def test_a_receive_right_is_moved_with_its_queue(pair: Pair) -> None:
    rx = ext.ReceiveRight()
    with rx.make_send() as tx:
        ext.check_in(tx, 7, None)
        ext.check_in(pair.tx, TOKEN, rx, MOVE_RECEIVE)
        assert rx.closed
        with pair.accept() as check_in:
            assert type(check_in.port) is ext.ReceiveRight
            assert check_in.disposition == 16
            assert ext.ServerCore(check_in.port, 7).accept(GENEROUS).port is None


def test_no_port_arrives_as_none(pair: Pair) -> None:
    ext.check_in(pair.tx, TOKEN, None)
    ext.check_in(pair.tx, TOKEN, None, MOVE_RECEIVE)
    with pair.accept() as first, pair.accept() as second:
        assert first.port is None and first.disposition == 17
        assert second.port is None and second.disposition == 16


def test_names_do_for_objects(pair: Pair, other: ext.ReceiveRight) -> None:
    with other.make_send() as tx:
        ext.check_in(pair.tx.name, TOKEN, tx.name, COPY_SEND)
        port_of(pair.accept(), ext.SendRight).close()
        ext.check_in(pair.tx.name, TOKEN, other.name, MAKE_SEND)
        port_of(pair.accept(), ext.SendRight).close()
        assert not tx.dead


def test_a_dead_right_arrives_as_mach_port_dead(pair: Pair) -> None:
    gone = ext.ReceiveRight()
    tx = gone.make_send()
    gone.close()
    dead = ext.DeadName.adopt(tx.detach())
    name = dead.name
    ext.check_in(pair.tx, TOKEN, dead)
    ext.check_in(pair.tx, TOKEN, dead, MOVE_SEND)
    assert dead.closed
    assert drain_references(ext.DeadName, name) == 0
    for _ in range(2):
        with pair.accept() as check_in:
            assert type(check_in.port) is ext.DeadName
            assert check_in.port.name == DEAD


def test_a_right_that_dies_on_its_way_is_reported_as_dead(pair: Pair) -> None:
    gone = ext.ReceiveRight()
    ext.check_in(pair.tx, TOKEN, gone, MAKE_SEND)
    gone.close()
    with pair.accept() as check_in:
        if type(check_in.port) is ext.SendRight:
            assert check_in.port.dead
        else:
            assert type(check_in.port) is ext.DeadName


def test_a_send_once_server_is_used_up_by_one_check_in(pair: Pair) -> None:
    once = pair.rx.make_send_once()
    ext.check_in(once, TOKEN, None)
    assert once.closed
    assert pair.accept().port is None


def test_the_servers_own_right_can_be_handed_to_it(pair: Pair) -> None:
    tx = pair.tx.copy()
    ext.check_in(tx, TOKEN, tx)
    ext.check_in(tx, TOKEN, tx, MOVE_SEND)
    assert tx.closed
    for _ in range(2):
        with pair.accept() as check_in:
            assert port_of(check_in, ext.SendRight).name == pair.rx.name


@pytest.mark.parametrize("token", [0, 1, 2**63, 2**64 - 1, True])
def test_tokens_cross_unchanged(token: int) -> None:
    with ext.ReceiveRight() as rx, rx.make_send() as tx:
        ext.check_in(tx, token, None)
        assert ext.ServerCore(rx, token).accept(GENEROUS).token == token


@pytest.mark.parametrize(
    ("token", "error"),
    [
        (-1, OverflowError),
        (2**64, OverflowError),
        ("7", TypeError),
        (1.0, TypeError),
        (None, TypeError),
    ],
)
def test_bad_tokens(pair: Pair, token: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        ext.check_in(pair.tx, token, None)
    with pytest.raises(error):
        ext.ServerCore(pair.rx, token)


@pytest.mark.parametrize("disposition", [-1, 0, 15, 22, 31, 99, 255, 2**31 - 1])
def test_numbers_that_are_no_disposition(
    pair: Pair, other: ext.ReceiveRight, disposition: int
) -> None:
    with other.make_send() as tx:
        for port in (tx, other, tx.name, None):
            with pytest.raises(ValueError, match="disposition"):
                ext.check_in(pair.tx, TOKEN, port, disposition)


def test_dispositions_that_do_not_fit_the_object(pair: Pair, other: ext.ReceiveRight) -> None:
    with other.make_send() as tx, other.make_send_once() as once, ext.DeadName.adopt(DEAD) as dead:
        fits = {
            tx: {MOVE_SEND, COPY_SEND},
            once: {MOVE_SEND_ONCE},
            other: {MOVE_RECEIVE, MAKE_SEND, MAKE_SEND_ONCE},
            dead: {MOVE_SEND, MOVE_SEND_ONCE, COPY_SEND},
        }
        for right, dispositions in fits.items():
            for disposition in set(range(16, 22)) - dispositions:
                with pytest.raises(ValueError, match="does not fit"):
                    ext.check_in(pair.tx, TOKEN, right, disposition)
                assert not right.closed


def test_a_disposition_is_needed_where_none_is_obvious(pair: Pair, other: ext.ReceiveRight) -> None:
    for port in (other, other.name):
        with pytest.raises(TypeError, match="disposition"):
            ext.check_in(pair.tx, TOKEN, port)


def test_bad_argument_types(pair: Pair, other: ext.ReceiveRight) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = [
        ((), {}),
        ((pair.tx,), {}),
        ((pair.tx, TOKEN), {}),
        ((pair.tx, TOKEN, None, None, 1.0), {}),
        ((pair.rx, TOKEN, None), {}),
        (("server", TOKEN, None), {}),
        ((None, TOKEN, None), {}),
        ((pair.tx, TOKEN, "port"), {}),
        ((pair.tx, TOKEN, None, "COPY"), {}),
        ((pair.tx, TOKEN, None), {"timeout": "soon"}),
        ((pair.tx, TOKEN, None), {"cancel": threading.Event()}),
        ((pair.tx, TOKEN, None), {"bogus": 1}),
        ((pair.tx, TOKEN, None), {"token": 1}),
    ]
    for args, kwargs in calls:
        with pytest.raises(TypeError):
            ext.check_in(*args, **kwargs)  # type: ignore[arg-type]
    with pytest.raises(ext.TimedOut):
        pair.core.accept(0)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_timeouts_that_make_no_sense(pair: Pair, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout"):
        ext.check_in(pair.tx, TOKEN, None, timeout=timeout)
    with pytest.raises(ValueError, match="timeout"):
        pair.core.accept(timeout)


@pytest.mark.parametrize("timeout", [None, 0, 0.0, 1, 1e300, float("inf")])
def test_timeouts_that_do(pair: Pair, timeout: float | None) -> None:
    ext.check_in(pair.tx, TOKEN, None, timeout=timeout)
    pair.core.accept(timeout)


@pytest.mark.parametrize("name", [-1, 2**32])
def test_names_out_of_range(pair: Pair, name: int) -> None:
    with pytest.raises(OverflowError):
        ext.check_in(name, TOKEN, None)
    with pytest.raises(OverflowError):
        ext.check_in(pair.tx, TOKEN, name, COPY_SEND)


def test_closed_objects_are_refused(pair: Pair, other: ext.ReceiveRight) -> None:
    tx = other.make_send()
    tx.close()
    with pytest.raises(ValueError, match="closed"):
        ext.check_in(pair.tx, TOKEN, tx)
    with pytest.raises(ValueError, match="closed"):
        ext.check_in(tx, TOKEN, other, MAKE_SEND)
    with other.make_send() as live:
        with pytest.raises(ValueError, match="closed"):
            ext.check_in(tx, TOKEN, live, MOVE_SEND)
        assert not live.closed


@pytest.mark.parametrize("disposition", [COPY_SEND, MOVE_SEND])
def test_a_dead_server_takes_nothing(other: ext.ReceiveRight, disposition: int) -> None:
    gone = ext.ReceiveRight()
    with gone.make_send() as server, other.make_send() as tx:
        gone.close()
        name = tx.name
        with pytest.raises(ext.InvalidDestination) as caught:
            ext.check_in(server, TOKEN, tx, disposition)
        assert caught.value.symbol == "MACH_SEND_INVALID_DEST"
        assert caught.value.code == 0x10000003
        assert caught.value.call == "mach_msg"
        assert not tx.closed and tx.name == name
        assert tx.detach() == name
        assert drain_references(ext.SendRight, name) == 1
        assert server.dead


def test_a_dead_server_takes_no_receive_right() -> None:
    gone = ext.ReceiveRight()
    with gone.make_send() as server, ext.ReceiveRight() as rx:
        gone.close()
        with pytest.raises(ext.InvalidDestination):
            ext.check_in(server, TOKEN, rx, MOVE_RECEIVE)
        with rx.make_send() as tx:
            ext.check_in(tx, TOKEN, None)
        assert ext.ServerCore(rx, TOKEN).accept(GENEROUS).port is None


@pytest.mark.parametrize("server", [0, DEAD, 0x7FFFFF03])
def test_names_that_are_no_server(other: ext.ReceiveRight, server: int) -> None:
    with other.make_send() as tx:
        with pytest.raises(ext.InvalidDestination):
            ext.check_in(server, TOKEN, tx)
        assert drain_references(ext.SendRight, tx.detach()) == 1


@pytest.mark.parametrize("disposition", [MOVE_RECEIVE, MOVE_SEND, COPY_SEND, MAKE_SEND])
def test_a_name_without_the_right_is_refused(pair: Pair, disposition: int) -> None:
    with pytest.raises(ext.InvalidRight) as caught:
        ext.check_in(pair.tx, TOKEN, 0x7FFFFF03, disposition)
    assert caught.value.symbol == "MACH_SEND_INVALID_RIGHT"
    with pytest.raises(ext.TimedOut):
        pair.core.accept(0)


def test_a_full_queue_times_out_and_takes_no_reference(pair: Pair, other: ext.ReceiveRight) -> None:
    assert fill_queue(pair.tx) > 0
    descriptors = []
    with other.make_send() as tx:
        name = tx.name
        for timeout in (0, 0.05, 0, 0):
            with pytest.raises(ext.TimedOut) as caught:
                ext.check_in(pair.tx, TOKEN, tx, timeout=timeout)
            assert caught.value.symbol == "MACH_SEND_TIMED_OUT"
            assert caught.value.errno == errno.ETIMEDOUT
            assert isinstance(caught.value, TimeoutError)
            with pytest.raises(ext.TimedOut):
                ext.check_in(pair.tx, TOKEN, tx, MOVE_SEND, timeout=timeout)
            assert not tx.closed
            with pytest.raises(ext.TimedOut):
                ext.check_in(pair.tx, TOKEN, other, MAKE_SEND, timeout=timeout)
            descriptors.append(open_descriptors())
        assert tx.name == name
        tx.detach()
    assert drain_references(ext.SendRight, name) == 1
    server = pair.tx.detach()
    assert drain_references(ext.SendRight, server) == 1
    assert descriptors[-1] <= descriptors[0]


def test_a_full_queue_gives_a_send_once_and_a_receive_right_back(
    pair: Pair, other: ext.ReceiveRight
) -> None:
    fill_queue(pair.tx)
    once = other.make_send_once()
    rx = ext.ReceiveRight()
    for timeout in (0, 0.05):
        with pytest.raises(ext.TimedOut):
            ext.check_in(pair.tx, TOKEN, once, timeout=timeout)
        with pytest.raises(ext.TimedOut):
            ext.check_in(pair.tx, TOKEN, rx, MOVE_RECEIVE, timeout=timeout)
    assert not once.closed and not rx.closed
    ext.check_in(once, TOKEN, None, timeout=0)
    assert ext.ServerCore(other, TOKEN).accept(GENEROUS).port is None
    with rx, rx.make_send() as tx:
        ext.check_in(tx, TOKEN, None, timeout=0)
        assert ext.ServerCore(rx, TOKEN).accept(GENEROUS).port is None


def test_a_moved_name_that_comes_back_under_another_one_is_told(
    pair: Pair, other: ext.ReceiveRight
) -> None:
    fill_queue(pair.tx)
    name = other.make_send_once().detach()
    with pytest.raises(ext.TimedOut) as caught:
        ext.check_in(pair.tx, TOKEN, name, MOVE_SEND_ONCE, timeout=0)
    with ext.SendOnceRight.adopt(caught.value.name or name) as once:
        ext.check_in(once, TOKEN, None)
    assert ext.ServerCore(other, TOKEN).accept(GENEROUS).port is None


def test_a_blocked_check_in_goes_on_once_there_is_room(pair: Pair, other: ext.ReceiveRight) -> None:
    queued = fill_queue(pair.tx)
    tx = other.make_send()
    thread = threading.Thread(
        target=ext.check_in, args=(pair.tx, TOKEN, tx, MOVE_SEND), kwargs={"timeout": GENEROUS}
    )
    thread.start()
    for _ in range(queued):
        assert pair.accept().port is None
    with pair.accept() as check_in:
        assert port_of(check_in, ext.SendRight).name == other.name
    thread.join()
    assert tx.closed
    assert drain_references(ext.SendRight, other.name) == 0


def test_closing_a_right_during_its_send_takes_effect_after_it(
    pair: Pair, other: ext.ReceiveRight
) -> None:
    fill_queue(pair.tx)
    tx = other.make_send()
    token = ext.CancelToken()

    def send() -> None:
        with pytest.raises(ext.Cancelled):
            ext.check_in(pair.tx, TOKEN, tx, MOVE_SEND, timeout=GENEROUS, cancel=token)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.05)
    tx.close()
    assert tx.closed
    token.cancel()
    thread.join()
    assert tx.closed
    assert drain_references(ext.SendRight, other.name) == 0


def test_cancel_ends_a_blocked_check_in_and_gives_the_right_back(
    pair: Pair, other: ext.ReceiveRight
) -> None:
    fill_queue(pair.tx)
    token = ext.CancelToken()
    timer = threading.Timer(0.05, token.cancel)
    timer.start()
    with other.make_send() as tx:
        with pytest.raises(ext.Cancelled):
            ext.check_in(pair.tx, TOKEN, tx, MOVE_SEND, timeout=GENEROUS, cancel=token)
        assert not tx.closed
        with pytest.raises(ext.Cancelled):
            ext.check_in(pair.tx, TOKEN, tx, timeout=GENEROUS, cancel=token)
    timer.join()


def test_ctrl_c_ends_a_blocked_check_in_and_gives_the_right_back(
    pair: Pair, other: ext.ReceiveRight
) -> None:
    fill_queue(pair.tx)
    timer = threading.Timer(0.05, signal_main_thread, [signal.SIGINT])
    timer.start()
    with other.make_send() as tx:
        with pytest.raises(KeyboardInterrupt):
            ext.check_in(pair.tx, TOKEN, tx, MOVE_SEND, timeout=GENEROUS)
        assert not tx.closed
        name = tx.detach()
    timer.join()
    assert drain_references(ext.SendRight, name) == 1


def test_a_signal_that_is_handled_does_not_end_a_check_in(pair: Pair) -> None:
    fill_queue(pair.tx)
    seen: list[int] = []
    old = signal.signal(signal.SIGUSR1, lambda number, frame: seen.append(number))
    timer = threading.Timer(0.05, signal_main_thread, [signal.SIGUSR1])
    timer.start()
    try:
        started = time.monotonic()
        with pytest.raises(ext.TimedOut):
            ext.check_in(pair.tx, TOKEN, None, timeout=0.3)
        assert time.monotonic() - started >= 0.3
    finally:
        timer.join()
        signal.signal(signal.SIGUSR1, old)
    assert seen == [signal.SIGUSR1]


def test_errors_say_the_call_the_code_and_what_to_do() -> None:
    with pytest.raises(ext.InvalidDestination) as caught:
        ext.check_in(0, TOKEN, None)
    assert str(caught.value) == (
        "mach_msg: MACH_SEND_INVALID_DEST (0x10000003): (ipc/send) invalid destination port; "
        "the server is dead, or the name was never a send right to it"
    )
    assert isinstance(caught.value, OSError)
    assert caught.value.name is None
