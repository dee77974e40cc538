"""Rights against a model of Mach's rules, in random sequences of operations.

The model knows of each port whether it lives and what is queued there, and of each object which
right it is to which port. After each step all objects must agree with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import child_port as cp
from child_port._child_port import ServerCore
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support import TOKEN

D = cp.Disposition
QUEUE_LIMIT = 16
ANY = st.integers(0, 2**16)

# What a disposition of an object becomes at the receiver.
ARRIVES = {
    D.MOVE_RECEIVE: cp.ReceiveRight,
    D.MOVE_SEND: cp.SendRight,
    D.COPY_SEND: cp.SendRight,
    D.MAKE_SEND: cp.SendRight,
    D.MOVE_SEND_ONCE: cp.SendOnceRight,
    D.MAKE_SEND_ONCE: cp.SendOnceRight,
}
POSSIBLE = {
    cp.ReceiveRight: [D.MOVE_RECEIVE, D.MAKE_SEND, D.MAKE_SEND_ONCE],
    cp.SendRight: [D.MOVE_SEND, D.COPY_SEND],
    cp.SendOnceRight: [D.MOVE_SEND_ONCE],
}


@dataclass(eq=False)
class Port:
    """A port in the model, and what is queued on it: types of right, and to which port."""

    alive: bool = True
    queue: list[tuple[type[cp.Right], Port]] = field(default_factory=list)

    def die(self) -> None:
        """With it die the ports whose receive rights are in its queue."""
        self.alive = False
        queue, self.queue = self.queue, []
        for kind, port in queue:
            if kind is cp.ReceiveRight:
                port.die()

    def holds(self, other: Port) -> bool:
        """Whether the other's receive right is in this queue, or in the queue of one that is."""
        inside = [port for kind, port in self.queue if kind is cp.ReceiveRight]
        return other in inside or any(port.holds(other) for port in inside)


@dataclass(eq=False)
class Held:
    """An object, and the port that it is a right to."""

    right: cp.Right
    port: Port


class RightsAgainstModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.held: list[Held] = []

    def of(self, kind: type[cp.Right], *, alive: bool | None = None) -> list[Held]:
        return [
            held
            for held in self.held
            if type(held.right) is kind and (alive is None or held.port.alive == alive)
        ]

    def add(self, right: cp.Right, port: Port) -> None:
        self.held.append(Held(right, port))

    def drop(self, held: Held) -> None:
        """The object is gone; the right too if it was a receive right that went nowhere."""
        self.held.remove(held)
        assert held.right.closed

    @rule()
    @precondition(lambda self: len(self.of(cp.ReceiveRight)) < 6)
    def new_port(self) -> None:
        self.add(cp.ReceiveRight(QUEUE_LIMIT), Port())

    @rule(which=ANY, once=st.booleans())
    @precondition(lambda self: self.of(cp.ReceiveRight))
    def make(self, which: int, once: bool) -> None:
        choices = self.of(cp.ReceiveRight)
        held = choices[which % len(choices)]
        assert isinstance(held.right, cp.ReceiveRight)
        made = held.right.make_send_once() if once else held.right.make_send()
        self.add(made, held.port)

    @rule(which=ANY)
    @precondition(lambda self: self.of(cp.SendRight, alive=True))
    def copy(self, which: int) -> None:
        choices = self.of(cp.SendRight, alive=True)
        held = choices[which % len(choices)]
        assert isinstance(held.right, cp.SendRight)
        self.add(held.right.copy(), held.port)

    @rule(which=ANY)
    @precondition(lambda self: self.held)
    def close(self, which: int) -> None:
        held = self.held[which % len(self.held)]
        held.right.close()
        held.right.close()
        if type(held.right) is cp.ReceiveRight:
            held.port.die()
        self.drop(held)

    @rule(which=ANY)
    @precondition(lambda self: any(held.port.alive for held in self.held))
    def detach_and_adopt(self, which: int) -> None:
        choices = [held for held in self.held if held.port.alive]
        held = choices[which % len(choices)]
        name = held.right.detach()
        self.drop(held)
        self.add(type(held.right).adopt(name), held.port)

    @rule(to=ANY, which=ANY, how=ANY)
    @precondition(lambda self: self.of(cp.SendRight))
    def check_in(self, to: int, which: int, how: int) -> None:
        servers = self.of(cp.SendRight)
        server = servers[to % len(servers)]
        goods = self.held[which % len(self.held)]
        choices = POSSIBLE[type(goods.right)]
        disposition = choices[how % len(choices)]
        moves_into_itself = disposition == D.MOVE_RECEIVE and (
            goods.port is server.port or goods.port.holds(server.port)
        )
        if moves_into_itself or len(server.port.queue) == QUEUE_LIMIT or goods is server:
            return
        assert isinstance(server.right, cp.SendRight)
        try:
            cp.check_in(server.right, TOKEN, goods.right, disposition, timeout=0)
        except cp.InvalidDestination:
            assert not server.port.alive
            assert not goods.right.closed
            return
        assert server.port.alive
        server.port.queue.append((ARRIVES[disposition], goods.port))
        if disposition in (D.MOVE_RECEIVE, D.MOVE_SEND, D.MOVE_SEND_ONCE):
            self.drop(goods)

    @rule(which=ANY)
    @precondition(lambda self: self.of(cp.ReceiveRight))
    def accept(self, which: int) -> None:
        choices = self.of(cp.ReceiveRight)
        held = choices[which % len(choices)]
        assert isinstance(held.right, cp.ReceiveRight)
        # Not a Server, which would take the port over.
        core = ServerCore(held.right, TOKEN)
        try:
            check_in = core.accept(0)
        except cp.TimedOut:
            assert held.port.queue == []
            return
        kind, port = held.port.queue.pop(0)
        right = check_in.port
        if kind is not cp.ReceiveRight and not port.alive:
            assert type(right) is cp.DeadName
            right.close()
            return
        assert type(right) is kind
        self.add(right, port)

    @invariant()
    def objects_agree_with_the_model(self) -> None:
        names: dict[int, Port] = {}
        once: set[int] = set()
        for held in self.held:
            assert not held.right.closed
            if type(held.right) is cp.SendOnceRight:
                assert held.right.name not in once
                once.add(held.right.name)
                continue
            # One name for all rights to a port, and for no other.
            assert names.setdefault(held.right.name, held.port) is held.port
            if isinstance(held.right, cp.SendRight):
                assert held.right.dead == (not held.port.alive)
        assert not once & names.keys()
        assert len(names) == len(set(map(id, names.values())))

    def teardown(self) -> None:
        for held in self.held:
            held.right.close()


TestRights = RightsAgainstModel.TestCase
TestRights.settings = settings(
    max_examples=200,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
