"""A signal handler that raises, wherever it strikes, leaves nothing behind that others wait for."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

import child_port as cp
import pytest
from child_port._deadline import Deadline
from child_port._shelf import Shelf
from child_port._turn import Turn
from support import DEADLINE, SOON, TOKEN, running

if TYPE_CHECKING:
    from conftest import StartChild

TRIES = 1500
SHORTEST_S, LONGEST_S = 2e-5, 3e-4


class StruckError(Exception):
    """What the handler raises."""


@pytest.fixture
def storm() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Calls something again and again, each time until the handler's exception comes out of it.

    The handler may strike anywhere in the call, more than once on its way out, and not elsewhere.
    """
    inside = False

    def strike(number: int, frame: object) -> None:
        if inside:
            raise StruckError

    def under_storm(call: Callable[[], object]) -> None:
        nonlocal inside
        for _ in range(TRIES):
            with suppress(StruckError):
                try:
                    inside = True
                    first = random.uniform(SHORTEST_S, LONGEST_S)
                    signal.setitimer(signal.ITIMER_REAL, first, SHORTEST_S)
                    while True:
                        call()
                finally:
                    inside = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, strike)
    yield under_storm
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


Storm = Callable[[Callable[[], object]], None]


def test_after_a_storm_of_signals_a_keyed_server_still_accepts(storm: Storm) -> None:
    def poll() -> None:
        with suppress(cp.TimedOut):
            server.accept(0)

    with cp.KeyedServer(token=TOKEN) as server, server.make_send() as client:
        storm(poll)
        cp.check_in(client, cp.key_token(TOKEN, "other"), None)
        cp.check_in(client, TOKEN, None)
        with running(lambda: server.accept(DEADLINE)):
            pass
        assert server.accept(DEADLINE, key="other").port is None


def test_after_a_storm_of_signals_other_threads_still_send_to_the_child(
    start: StartChild, storm: Storm
) -> None:
    child = start("cp.receive_from_parent(DEADLINE)\nprint('received')\n", text=True, stdout=-1)
    link = child._link
    assert link is not None

    def poll() -> None:
        with suppress(cp.TimedOut):
            link._turn.during(lambda: None, Deadline(0), None, "sending")

    storm(poll)
    with running(lambda: child.send_right(None, timeout=DEADLINE)):
        pass
    assert child.communicate(timeout=DEADLINE)[0] == "received\n"


def test_a_turn_that_a_storm_takes_from_many_is_free_in_the_end(storm: Storm) -> None:
    turn, stop = Turn(), threading.Event()

    def compete() -> None:
        while not stop.is_set():
            with suppress(cp.TimedOut):
                turn.during(lambda: None, Deadline(SOON), None, "competing")

    def poll() -> None:
        with suppress(cp.TimedOut):
            turn.during(lambda: None, Deadline(SHORTEST_S), None, "competing")

    with running(compete), running(compete):
        storm(poll)
        stop.set()
    assert turn.taken == {}
    assert turn.during(lambda: "mine", Deadline(0), None, "competing") == "mine"


def test_a_thread_has_its_turn_within_its_turn() -> None:
    turn = Turn()

    def again() -> str:
        return turn.during(lambda: "inner", Deadline(0), None, "waiting")

    def elsewhere() -> None:
        with pytest.raises(cp.TimedOut, match=r"^waiting, after another thread"):
            again()

    def outer() -> str:
        assert again() == "inner"
        with running(elsewhere):
            pass
        return "outer"

    assert turn.during(outer, Deadline(0), None, "waiting") == "outer"


def test_who_waits_for_a_turn_has_it_as_soon_as_it_is_free() -> None:
    turn, waiting, order = Turn(), threading.Event(), list[str]()

    def second() -> None:
        waiting.set()
        turn.during(lambda: order.append("second"), Deadline(DEADLINE), None, "waiting")

    def first() -> None:
        thread.start()
        waiting.wait(DEADLINE)
        order.append("first")

    thread = threading.Thread(target=second)
    turn.during(first, Deadline(DEADLINE), None, "waiting")
    thread.join(DEADLINE)
    assert order == ["first", "second"]


def test_what_is_put_on_a_closed_shelf_is_released() -> None:
    with cp.Server(token=TOKEN) as server, server.make_send() as client:
        cp.check_in(client, TOKEN, client)
        arrived = server.accept(DEADLINE)
        shelf = Shelf()
        shelf.close()
        shelf.put_back(arrived)
        assert arrived.port is not None
        assert arrived.port.closed
        assert shelf.total() == 0
