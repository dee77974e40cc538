"""Port sets: many receive rights, one wait."""

from __future__ import annotations

import select
import threading
import weakref
from collections.abc import Iterator

import child_port as cp
import pytest
from ext_support import fill_queue
from support import DEADLINE, SOON, cancelled_soon, received


@pytest.fixture
def ports() -> Iterator[cp.PortSet]:
    with cp.PortSet() as ports:
        yield ports


@pytest.fixture
def members(ports: cp.PortSet) -> Iterator[list[cp.ReceiveRight]]:
    members = [cp.ReceiveRight() for _ in range(3)]
    for member in members:
        ports.add(member)
    yield members
    for member in members:
        member.close()


def test_a_message_says_which_member_it_came_to(
    ports: cp.PortSet, members: list[cp.ReceiveRight]
) -> None:
    for number in (2, 0, 1, 2):
        with members[number].make_send() as send:
            send.send(str(number).encode())
        message = ports.receive(DEADLINE)
        assert isinstance(message, cp.Message)
        assert message.port is members[number] and message.data == str(number).encode()


def test_members_come_and_go(ports: cp.PortSet, members: list[cp.ReceiveRight]) -> None:
    assert set(ports.members) == set(members)
    ports.remove(members[0])
    members[1].close()
    assert ports.members == (members[2],)
    with members[0].make_send() as send:
        send.send(b"not for the set")
    with pytest.raises(cp.TimedOut):
        ports.receive(SOON)
    assert isinstance(members[0].receive(0), cp.Message)
    with pytest.raises(cp.MachError) as caught:
        ports.remove(members[0])
    assert caught.value.symbol == "KERN_NOT_IN_SET"


def test_members_that_are_closed_are_forgotten(ports: cp.PortSet) -> None:
    kept = cp.ReceiveRight()
    ports.add(kept)
    alive: weakref.WeakSet[cp.ReceiveRight] = weakref.WeakSet()
    for _ in range(200):
        with cp.ReceiveRight() as member:
            ports.add(member)
            alive.add(member)
    del member
    assert len(alive) < 50
    assert ports.members == (kept,)
    assert len(alive) == 0
    kept.close()


def test_a_member_that_is_closed_can_be_removed_once(
    ports: cp.PortSet, members: list[cp.ReceiveRight]
) -> None:
    members[0].close()
    ports.remove(members[0])
    with pytest.raises(ValueError, match="closed"):
        ports.remove(members[0])
    gone = weakref.ref(members.pop(0))
    assert gone() is None
    assert set(ports.members) == set(members)


def test_a_member_is_not_added_twice(ports: cp.PortSet, members: list[cp.ReceiveRight]) -> None:
    with pytest.raises(cp.MachError) as caught:
        ports.add(members[0])
    assert caught.value.symbol == "KERN_ALREADY_IN_SET"


def test_a_member_added_during_the_wait_is_heard(ports: cp.PortSet) -> None:
    with cp.ReceiveRight() as late, late.make_send() as send:
        send.send(b"early")
        timer = threading.Timer(SOON, ports.add, [late])
        timer.start()
        message = ports.receive(DEADLINE)
        timer.join()
        assert isinstance(message, cp.Message) and message.data == b"early"


def test_waits_end_in_every_way(ports: cp.PortSet) -> None:
    with pytest.raises(cp.TimedOut):
        ports.receive(SOON)
    with cancelled_soon() as token, pytest.raises(cp.Cancelled):
        ports.receive(DEADLINE, cancel=token)
    timer = threading.Timer(SOON, ports.close)
    timer.start()
    with pytest.raises(cp.PortChanged):
        ports.receive(DEADLINE)
    timer.join()
    with pytest.raises(ValueError, match="closed"):
        ports.receive(0)


def test_closing_a_set_leaves_its_members(
    ports: cp.PortSet, members: list[cp.ReceiveRight]
) -> None:
    with members[0].make_send() as send:
        send.send(b"kept")
        ports.close()
    assert isinstance(members[0].receive(0), cp.Message)


def test_a_new_right_under_an_old_members_name_is_no_member(ports: cp.PortSet) -> None:
    member = cp.ReceiveRight()
    ports.add(member)
    name = member.name
    cp.ReceiveRight.adopt(member.detach()).close()
    others = []
    for _ in range(20000):
        other = cp.ReceiveRight()
        if other.name == name:
            others.append(other)
            break
        other.close()
    assert ports.members == ()
    for other in others:
        other.close()


def test_its_descriptor_tells_of_messages(
    ports: cp.PortSet, members: list[cp.ReceiveRight]
) -> None:
    fd = ports.fileno()
    assert fd == ports.fileno()
    assert select.select([fd], [], [], 0)[0] == []
    with members[1].make_send() as send:
        send.send(b"")
    assert select.select([fd], [], [], DEADLINE)[0] == [fd]
    assert isinstance(ports.receive(0), cp.Message)


def test_only_receive_rights_are_members(ports: cp.PortSet) -> None:
    with cp.ReceiveRight() as port, port.make_send() as send, pytest.raises(TypeError):
        ports.add(send)  # type: ignore[arg-type]


def test_a_set_cannot_be_sent(ports: cp.PortSet) -> None:
    with (
        cp.ReceiveRight() as port,
        port.make_send() as send,
        pytest.raises(TypeError, match="PortSet"),
    ):
        cp.check_in(send, 0, ports)


def test_a_set_that_native_code_had_for_a_while_works(members: list[cp.ReceiveRight]) -> None:
    with cp.PortSet.adopt(cp.PortSet().detach()) as ports:
        assert not ports.members
        ports.add(members[0])
        assert ports.members == (members[0],)
        with members[0].make_send() as send:
            send.send(b"x", timeout=DEADLINE)
        assert received(ports).port is members[0]
        ports.remove(members[0])


@pytest.mark.parametrize("looked_at", [False, True])
def test_a_port_whose_send_failed_is_in_no_set(
    ports: cp.PortSet, members: list[cp.ReceiveRight], looked_at: bool
) -> None:
    member = members[0]
    with cp.ReceiveRight(qlimit=1) as full, full.make_send() as server:
        fill_queue(server)
        with pytest.raises(cp.TimedOut):
            server.send(b"", [(member, cp.Disposition.MOVE_RECEIVE)], timeout=0)
    if looked_at:
        assert member not in ports.members and set(ports.members) == set(members[1:])
    with pytest.raises(cp.MachError, match="KERN_NOT_IN_SET"):
        ports.remove(member)
    ports.add(member)
    with member.make_send() as send:
        send.send(b"x", timeout=DEADLINE)
    assert received(ports).port is member


def test_a_closed_set_has_no_members(members: list[cp.ReceiveRight]) -> None:
    ports = cp.PortSet()
    ports.add(members[0])
    ports.close()
    with pytest.raises(ValueError, match="closed"):
        ports.members  # noqa: B018
