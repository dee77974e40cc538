"""Many threads at the same objects: each right is released once, no name is taken for another.

A free-threaded interpreter shows what a GIL hides. What comes out must be the same on both.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import TypeVar

import child_port as cp
import pytest
from child_port import _child_port as ext
from ext_support import drain_references
from support import DEADLINE, TOKEN, right_of

ROUNDS = 60
KERN_NOT_IN_SET = 12
D = cp.Disposition
Kind = TypeVar("Kind")


def together(*acts: Callable[[], object]) -> list[object]:
    """Run all of them at once, each in its thread; what they return or raise, in their order."""
    barrier = threading.Barrier(len(acts))
    results: list[object] = [None] * len(acts)

    def run(index: int) -> None:
        barrier.wait(DEADLINE)
        try:
            results[index] = acts[index]()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    return results


def of_kind(results: list[object], kind: type[Kind]) -> list[Kind]:
    return [result for result in results if isinstance(result, kind)]


def next_message(port: cp.ReceiveRight | cp.PortSet) -> cp.Message:
    message = port.receive(DEADLINE)
    assert isinstance(message, cp.Message)
    return message


def references(right: cp.SendRight) -> int:
    """User references to the name of a right that nothing else owns any more; all are released."""
    return drain_references(cp.SendRight, right.detach())


def test_each_of_many_deaths_that_threads_ask_about_at_once_is_told() -> None:
    with cp.ReceiveRight() as notify:

        def watch() -> int:
            told = 0
            for _ in range(ROUNDS):
                with cp.ReceiveRight() as own, cp.ReceiveRight() as port, port.make_send() as right:
                    right.notify_dead(own)
                    right.notify_dead(notify)
                    if told % 2:
                        right.notify_dead(None)
                        right.notify_dead(notify)
                    port.close()
                    told += 1
            return told

        results = together(*[watch] * 4)
        assert results == [ROUNDS] * 4
        deaths = 0
        while deaths < 4 * ROUNDS:
            with notify.receive(DEADLINE) as message:
                deaths += isinstance(message, cp.Died)
        assert notify.dropped == 0


def test_a_right_that_is_copied_closed_and_detached_at_once_is_released_once() -> None:
    for _ in range(ROUNDS):
        with cp.ReceiveRight() as port:
            right, kept = port.make_send(), port.make_send()
            name = right.name
            results = together(
                *[right.copy] * 3,
                *[right.close] * 2,
                *[right.detach] * 2,
                partial(getattr, right, "dead"),
            )
            copies, detached = of_kind(results, cp.SendRight), of_kind(results[5:7], int)
            failed = of_kind(results, Exception)
            assert all(type(error) is ValueError for error in failed)
            assert right.closed and len(detached) <= 1 and set(detached) <= {name}
            assert {copy.detach() for copy in copies} <= {name}
            assert references(kept) == 1 + len(copies) + len(detached)


def test_a_right_is_moved_by_one_check_in_alone() -> None:
    for _ in range(ROUNDS):
        with cp.Server(token=TOKEN) as server, server.make_send() as client:
            port = cp.ReceiveRight()
            kept = port.make_send()

            def move(port: cp.ReceiveRight = port, client: cp.SendRight = client) -> str:
                cp.check_in(client, TOKEN, port, D.MOVE_RECEIVE, timeout=DEADLINE)
                return "moved"

            results = together(*[move] * 4)
            assert results.count("moved") == 1 and len(of_kind(results, ValueError)) == 3
            assert port.closed
            with server.accept(DEADLINE) as check_in:
                assert right_of(check_in).name == kept.name
            with pytest.raises(cp.TimedOut):
                server.accept(0)
            assert kept.dead
            kept.close()


def test_a_right_closed_during_check_ins_arrives_as_often_as_they_say() -> None:
    for _ in range(ROUNDS):
        with (
            cp.ReceiveRight() as port,
            cp.Server(token=TOKEN) as server,
            server.make_send() as client,
        ):
            right, kept = port.make_send(), port.make_send()

            def check_in(right: cp.SendRight = right, client: cp.SendRight = client) -> str:
                cp.check_in(client, TOKEN, right, timeout=DEADLINE)
                return "sent"

            results = together(*[check_in] * 4, right.close)
            sent = results.count("sent")
            assert sent + len(of_kind(results, ValueError)) == 4
            for _ in range(sent):
                with server.accept(DEADLINE) as arrived:
                    assert right_of(arrived).name == kept.name
            assert server.stats["accepted"] == sent
            assert references(kept) == 1


def test_rights_made_while_their_port_is_closed_are_there_or_were_refused() -> None:
    for _ in range(ROUNDS):
        port = cp.ReceiveRight()
        results = together(*[port.make_send] * 3, *[port.make_send_once] * 3, *[port.close] * 2)
        sends, onces = of_kind(results, cp.SendRight), of_kind(results, cp.SendOnceRight)
        assert len(sends) + len(onces) + len(of_kind(results, ValueError)) == 6
        assert port.closed and all(send.dead for send in sends)
        for right in (*sends, *onces):
            name = right.name
            right.close()
            if right in onces or right is sends[-1]:
                assert drain_references(cp.DeadName, name) == 0


def test_each_check_in_goes_to_one_of_the_threads_that_accept() -> None:
    total, threads = 200, 4
    with cp.Server(token=TOKEN) as server, server.make_send() as client:

        def send() -> list[int]:
            names = []
            for _ in range(total // threads):
                port = cp.ReceiveRight()
                names.append(port.name)
                cp.check_in(client, TOKEN, port, D.MOVE_RECEIVE, timeout=DEADLINE)
            return names

        def accept() -> list[cp.CheckIn]:
            return [server.accept(DEADLINE) for _ in range(total // threads)]

        results = together(*[send] * threads, *[accept] * threads)
        assert of_kind(results, Exception) == []
        check_ins = [one for result in results[threads:] for one in of_kind([result], list)]
        arrived = [check_in for part in check_ins for check_in in part]
        assert len(arrived) == total == server.stats["accepted"]
        # While they are all held, each has a name of its own.
        assert len({right_of(check_in).name for check_in in arrived}) == total
        for check_in in arrived:
            right_of(check_in).close()


def test_a_wait_at_a_port_that_is_closed_takes_nothing_from_a_newer_one() -> None:
    for _ in range(ROUNDS):
        old = cp.Server(token=TOKEN)
        newer: list[cp.Server] = []

        def replace(old: cp.Server = old, newer: list[cp.Server] = newer) -> None:
            old.close()
            for token in range(4):
                newer.append(cp.Server(token=token))
                with newer[-1].make_send() as client:
                    cp.check_in(client, token, None, timeout=DEADLINE)

        results = together(replace, *[partial(old.accept, DEADLINE)] * 3)
        assert all(type(error) in (cp.PortChanged, ValueError) for error in results[1:])
        for token, server in enumerate(newer):
            with server:
                assert server.accept(DEADLINE).token == token
                assert server.stats == server.stats | {"accepted": 1, "bad_token": 0}


def test_a_check_in_left_by_several_threads_is_released_once() -> None:
    for _ in range(ROUNDS):
        with (
            cp.ReceiveRight() as port,
            cp.Server(token=TOKEN) as server,
            server.make_send() as client,
        ):
            kept = port.make_send()
            cp.check_in(client, TOKEN, kept, timeout=DEADLINE)
            check_in = server.accept(DEADLINE)

            def leave(check_in: cp.CheckIn = check_in) -> None:
                check_in.__exit__(None, None, None)

            assert together(*[leave] * 3, right_of(check_in).close) == [None] * 4
            assert references(kept) == 1


def test_threads_that_ask_for_the_descriptor_get_the_same_one() -> None:
    for _ in range(ROUNDS):
        with cp.Server() as server:
            assert len(set(together(*[server.fileno] * 4))) == 1
        server = cp.Server()
        results = together(*[server.fileno] * 3, server.close)
        assert all(type(result) in (int, ValueError) for result in results[:3])
        assert results[3] is None


def test_a_server_is_initialised_by_one_thread_alone() -> None:
    for _ in range(ROUNDS):
        core = ext.ServerCore.__new__(ext.ServerCore)
        ports = [cp.ReceiveRight() for _ in range(4)]
        results = together(
            *[
                partial(ext.ServerCore.__init__, core, port, token, token)
                for token, port in enumerate(ports, 1)
            ]
        )
        assert results.count(None) == 1 and len(of_kind(results, RuntimeError)) == 3
        winner = results.index(None)
        assert core.port is ports[winner]
        assert core.token == winner + 1 == core.expected_pid
        for port in ports:
            port.close()


def test_a_token_cancelled_by_several_threads_ends_every_wait_once() -> None:
    for _ in range(ROUNDS // 3):
        cancel = cp.CancelToken()
        with cp.Server() as one, cp.Server() as other:
            waits = [
                partial(server.accept, DEADLINE, cancel=cancel) for server in (one, one, other)
            ]
            results = together(*waits, *[cancel.cancel] * 3)
        assert [type(result) for result in results[:3]] == [cp.Cancelled] * 3
        assert results[3:] == [None] * 3 and cancel.cancelled


def test_weak_references_are_followed_while_the_last_strong_one_goes() -> None:
    for _ in range(ROUNDS):
        with cp.ReceiveRight() as port:
            kept = port.make_send()
            holder = [kept.copy()]
            weak = weakref.ref(holder[0])

            def follow(weak: weakref.ref[cp.SendRight] = weak) -> int | None:
                right = weak()
                return None if right is None else right.name

            results = together(*[follow] * 4, holder.clear)
            assert set(results) <= {kept.name, None}
            gc.collect()
            assert weak() is None
            assert references(kept) == 1


def test_everything_at_once_leaves_every_reference_counted() -> None:
    """Copies, moves, check-ins, and their acceptance, of one right, in every thread."""
    threads, steps = 4, 100
    with cp.ReceiveRight() as port, cp.Server(token=TOKEN) as server:
        kept, client = port.make_send(), server.make_send()

        def work() -> int:
            for step in range(steps):
                right = kept.copy()
                move = D.MOVE_SEND if step % 2 else D.COPY_SEND
                cp.check_in(client, TOKEN, right, move, timeout=DEADLINE)
                assert right.closed == (move == D.MOVE_SEND)
                right.close()
                with server.accept(DEADLINE) as check_in:
                    assert right_of(check_in).name == kept.name
            return steps

        assert together(*[work] * threads) == [steps] * threads
        assert server.stats["accepted"] == threads * steps
        assert references(client) == 1
        assert references(kept) == 1


def test_the_ends_of_a_handshake_are_closed_once() -> None:
    """A second close would be that of whatever has the number by then."""
    for _ in range(ROUNDS):
        handshake = cp.Handshake()
        runs = [partial(handshake.run_server, timeout=0) for _ in range(3)]
        results = together(*[handshake.close] * 3, *runs)
        assert results[:3] == [None] * 3
        ran = [error for error in results[3:] if type(error) is not ValueError]
        # Its other end is closed: by the one that runs, or by close() just before.
        assert len(ran) <= 1 and all(type(error) in (cp.PeerGone, cp.TimedOut) for error in ran)


def test_a_set_knows_its_members_whoever_adds_and_removes_them() -> None:
    for _ in range(ROUNDS):
        with cp.PortSet() as ports, cp.ReceiveRight() as port, port.make_send() as send:

            def change(add: bool, ports: cp.PortSet = ports, port: cp.ReceiveRight = port) -> None:
                for _ in range(20):
                    # It is a member already, or is none any more.
                    with suppress(cp.MachError):
                        (ports.add if add else ports.remove)(port)

            acts = [partial(change, add) for add in (True, False, True, False)]
            assert together(*acts) == [None] * 4
            send.send(b"to whom it may concern")
            if ports.members:
                with next_message(ports) as message:
                    assert message.port is port
            else:
                with pytest.raises(cp.MachError) as caught:
                    ports.remove(port)
                assert caught.value.code == KERN_NOT_IN_SET
                next_message(port).close()


def test_each_message_to_a_set_goes_to_one_of_the_threads_that_receive() -> None:
    total, threads = 200, 4
    with ExitStack() as stack:
        ports = stack.enter_context(cp.PortSet())
        members = [stack.enter_context(cp.ReceiveRight()) for _ in range(threads)]
        for port in members:
            ports.add(port)

        def send(port: cp.ReceiveRight) -> None:
            with port.make_send() as right, cp.ReceiveRight() as goods:
                for number in range(total // threads):
                    rights = [(goods, D.MAKE_SEND), (goods, D.MAKE_SEND_ONCE)]
                    right.send(number.to_bytes(4, "big"), rights, timeout=DEADLINE)

        def receive() -> list[tuple[int, int]]:
            found = []
            for _ in range(total // threads):
                with next_message(ports) as message:
                    assert len(message.rights) == 2 and message.port is not None
                    number = int.from_bytes(message.data, "big")
                    found.append((members.index(message.port), number))
            return found

        results = together(*[partial(send, port) for port in members], *[receive] * threads)
        assert of_kind(results, Exception) == []
        parts = of_kind(results, list)
        numbers = range(total // threads)
        everything = {(index, number) for index in range(threads) for number in numbers}
        assert sorted(found for part in parts for found in part) == sorted(everything)


def test_a_message_closed_by_several_threads_releases_each_right_once() -> None:
    for _ in range(ROUNDS):
        with cp.ReceiveRight() as port, port.make_send() as send:
            kept = port.make_send()
            send.send(b"", [kept, kept])
            message = next_message(port)
            one, other = message.rights
            assert isinstance(one, cp.SendRight) and isinstance(other, cp.SendRight)
            assert together(*[message.close] * 3, one.close, other.close) == [None] * 5
            assert references(kept) == 1 + 1  # `send`
            send.detach()


def test_threads_that_request_get_their_own_answers() -> None:
    threads, requests = 4, 50
    with cp.ReceiveRight() as port, port.make_send() as send:

        def answer() -> int:
            for _ in range(requests):
                with next_message(port) as message:
                    assert isinstance(message.reply, cp.SendOnceRight)
                    message.reply.send(message.data[::-1])
            return requests

        def ask(who: int) -> int:
            for number in range(requests):
                question = f"{who} {number}".encode()
                with send.request(question, timeout=DEADLINE) as told:
                    assert told.data == question[::-1]
            return requests

        asks = [partial(ask, who) for who in range(threads)]
        assert together(*asks, *[answer] * threads) == [requests] * 2 * threads


def test_a_descriptor_asked_for_while_the_right_is_closed_is_not_left_open() -> None:
    """The fixture for all tests looks."""
    for _ in range(ROUNDS):
        port = cp.ReceiveRight()
        results = together(*[port.fileno] * 3, port.close)
        assert all(type(result) in (int, ValueError) for result in results[:3])
