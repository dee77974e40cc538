"""Who owns which right afterwards: every disposition, with every outcome of a check-in."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator

import child_port as cp
import pytest
from ext_support import drain_references
from support import DEADLINE, TOKEN, fill_queue, python, right_of

D = cp.Disposition
DISPOSITIONS = pytest.mark.parametrize("disposition", list(D), ids=lambda d: d.name)
MOVES = {D.MOVE_SEND, D.MOVE_SEND_ONCE, D.MOVE_RECEIVE}


class Goods:
    """A port, and of its rights the one that is handed over. One reference more is kept."""

    def __init__(self, disposition: D) -> None:
        self.disposition = disposition
        self.port = cp.ReceiveRight()
        self.kept = self.port.make_send()
        made: dict[D, Callable[[], cp.Right]] = {
            D.MOVE_SEND: self.port.make_send,
            D.COPY_SEND: self.port.make_send,
            D.MOVE_SEND_ONCE: self.port.make_send_once,
        }
        self.right = made.get(disposition, lambda: self.port)()

    def check_in(self, server: cp.SendRight, token: int = TOKEN, timeout: float = DEADLINE) -> None:
        cp.check_in(server, token, self.right, self.disposition, timeout=timeout)

    def all_there(self) -> bool:
        """As if nothing had been tried: the right works, and no reference is lost or left over."""
        works = self.right.name > 0
        sends = 1 + isinstance(self.right, cp.SendRight)
        return works and self.settle() == sends

    def settle(self) -> int:
        """How many references there are to the send right. All is released."""
        name = self.kept.detach()
        references = drain_references(cp.SendRight, name)
        if references and isinstance(self.right, cp.SendRight) and not self.right.closed:
            self.right.detach()
        self.right.close()
        self.port.close()
        return references


@pytest.fixture
def server() -> Iterator[cp.Server]:
    with cp.Server(token=TOKEN) as server:
        yield server


@pytest.fixture
def client(server: cp.Server) -> Iterator[cp.SendRight]:
    with server.make_send() as right:
        yield right


@DISPOSITIONS
def test_accepted(server: cp.Server, client: cp.SendRight, disposition: D) -> None:
    goods = Goods(disposition)
    goods.check_in(client)
    assert goods.right.closed == (disposition in MOVES)
    with server.accept(DEADLINE) as check_in:
        received = right_of(check_in)
        if disposition == D.MOVE_RECEIVE:
            assert received.name == goods.kept.name
        if isinstance(received, cp.SendRight):
            assert received.name == goods.kept.name and not received.dead
    # A receive right that has come back and is released takes its send rights with it.
    assert goods.kept.dead == (disposition == D.MOVE_RECEIVE)
    if disposition != D.MOVE_RECEIVE:
        assert goods.settle() == 1 + (disposition == D.COPY_SEND)
    goods.kept.close()


@DISPOSITIONS
def test_rejected_by_the_receiver(server: cp.Server, client: cp.SendRight, disposition: D) -> None:
    """Sent is sent: what was moved is gone, and the receiver has destroyed it."""
    goods = Goods(disposition)
    goods.check_in(client, TOKEN ^ 1)
    assert goods.right.closed == (disposition in MOVES)
    with pytest.raises(cp.TimedOut):
        server.accept(0)
    assert server.stats["bad_token"] == 1
    assert goods.kept.dead == (disposition == D.MOVE_RECEIVE)
    if disposition != D.MOVE_RECEIVE:
        assert goods.settle() == 1 + (disposition == D.COPY_SEND)
    goods.kept.close()


@DISPOSITIONS
def test_destroyed_with_the_queue(disposition: D) -> None:
    goods = Goods(disposition)
    with cp.Server(token=TOKEN) as server, server.make_send() as client:
        goods.check_in(client)
    assert goods.kept.dead == (disposition == D.MOVE_RECEIVE)
    if disposition != D.MOVE_RECEIVE:
        assert goods.settle() == 1 + (disposition == D.COPY_SEND)
    goods.kept.close()


@DISPOSITIONS
def test_refused_by_a_dead_server(disposition: D) -> None:
    goods = Goods(disposition)
    port = cp.ReceiveRight()
    with port.make_send() as client:
        port.close()
        with pytest.raises(cp.InvalidDestination):
            goods.check_in(client)
    assert goods.all_there()


@DISPOSITIONS
def test_given_back_by_a_full_queue(
    server: cp.Server, client: cp.SendRight, disposition: D
) -> None:
    fill_queue(client)
    goods = Goods(disposition)
    for timeout in (0, 0.01):
        with pytest.raises(cp.TimedOut):
            goods.check_in(client, timeout=timeout)
    assert goods.all_there()


@DISPOSITIONS
def test_called_off_at_a_full_queue(
    server: cp.Server, client: cp.SendRight, disposition: D
) -> None:
    fill_queue(client)
    goods = Goods(disposition)
    cancel = cp.CancelToken()
    cancel.cancel()
    with pytest.raises(cp.Cancelled):
        cp.check_in(client, TOKEN, goods.right, disposition, timeout=DEADLINE, cancel=cancel)
    assert goods.all_there()


@DISPOSITIONS
def test_killed_with_the_receiver(service_name: str, disposition: D) -> None:
    """The receiving process dies with the check-in in its queue."""
    goods = Goods(disposition)
    program = python(
        f"server = cp.Server(service_name={service_name!r})\nprint(flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline()
            with cp.bootstrap.look_up(service_name) as client:
                goods.check_in(client)
        finally:
            process.kill()
    assert goods.right.closed == (disposition in MOVES)
    assert goods.kept.dead == (disposition == D.MOVE_RECEIVE)
    if disposition != D.MOVE_RECEIVE:
        assert goods.settle() == 1 + (disposition == D.COPY_SEND)
    goods.kept.close()


@pytest.mark.parametrize(
    "disposition", [D.MOVE_SEND, D.COPY_SEND, D.MAKE_SEND], ids=lambda d: d.name
)
def test_dead_on_arrival(server: cp.Server, client: cp.SendRight, disposition: D) -> None:
    goods = Goods(disposition)
    goods.check_in(client)
    goods.port.close()
    with server.accept(DEADLINE) as check_in:
        assert isinstance(check_in.port, cp.DeadName)
        assert check_in.disposition == D.MOVE_SEND
    assert goods.kept.dead
    goods.right.close()
    goods.kept.close()


def test_a_port_sent_through_itself_is_reclaimed() -> None:
    port = cp.ReceiveRight()
    with port.make_send() as right:
        cp.check_in(right, 0, right, timeout=DEADLINE)
        cp.check_in(right, 0, port, D.MOVE_RECEIVE, timeout=DEADLINE)
        assert port.closed and right.dead


def test_ports_sent_through_each_other_are_reclaimed() -> None:
    ports = [cp.ReceiveRight() for _ in range(4)]
    rights = [port.make_send() for port in ports]
    for index, port in enumerate(ports):
        cp.check_in(rights[index - 1], 0, port, D.MAKE_SEND, timeout=DEADLINE)
        cp.check_in(rights[index - 2], 0, port, D.MAKE_SEND_ONCE, timeout=DEADLINE)
    cp.check_in(rights[0], 0, ports[1], D.MOVE_RECEIVE, timeout=DEADLINE)
    cp.check_in(rights[1], 0, ports[0], D.MOVE_RECEIVE, timeout=DEADLINE)
    for right in rights:
        right.close()
    for port in ports:
        port.close()


def test_an_object_that_is_closed_does_not_touch_a_new_right_of_the_same_name() -> None:
    with cp.ReceiveRight() as port:
        closed: dict[int, cp.SendRight] = {}
        for _ in range(10_000):
            other = cp.ReceiveRight()
            right = other.make_send()
            old = closed.get(right.name)
            if old is not None:
                old.close()
                assert old.closed and not right.closed and not right.dead
                with pytest.raises(ValueError, match="closed"):
                    cp.check_in(old, 0, None)
                cp.check_in(right, 0, right, timeout=DEADLINE)
            closed[right.name] = right
            right.close()
            other.close()
            if old is not None:
                break
        else:
            pytest.skip("this platform used no name twice")
        port.make_send().close()


def test_ten_thousand_handshakes_leave_no_memory_behind() -> None:
    """What they leave open, if anything, no_right_leaks sees."""

    def handshake() -> None:
        with cp.Server() as server, server.make_send() as client, cp.ReceiveRight() as port:
            cp.check_in(client, server.token, port, D.MAKE_SEND, timeout=DEADLINE)
            server.accept(DEADLINE).__exit__()

    for _ in range(1000):
        handshake()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(9000):
        handshake()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    unit = 1024 if sys.platform == "linux" else 1
    # 100 bytes a handshake would be 900 kB; one lost right object or message is more.
    assert grown * unit < 900_000
