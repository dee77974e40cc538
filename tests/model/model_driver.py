"""Three tasks and the model side by side: each call is made on both, and what they say compared."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from model_calls import Calls, message_bits
from model_rights import (
    COPY_SEND,
    DEAD_NAME,
    KERN_INVALID_CAPABILITY,
    KERN_SUCCESS,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_SEND,
    NO_SENDERS,
    PORT_DESTROYED,
    RIGHT_RECEIVE,
    RIGHT_SET,
    SEND_ONCE,
    Entry,
    Port,
    Right,
    Space,
)
from model_tasks import Task, parts, rights, start, status

TASKS = 3
RCV_TIMED_OUT = 0x10004003
PROMPT_MS = int(os.environ.get("MODEL_PROMPT_MS", "30000"))


@dataclass(eq=False)
class Side:
    """A task and what the model knows of it."""

    task: Task
    space: Space
    own: int  # a name that the task had from the beginning: itself
    notify: int  # where it wants to be told; used for nothing else


class Driver:
    def __init__(self, program: Path) -> None:
        self.process, tasks, name = start(program, TASKS)
        self.world = Calls()
        # Each task has the special port; the first has the receive right, the others' names for
        # the special port are made by asking for it.
        port = Port(made=1, senders=TASKS)
        self.sides = [self.met(task, Space(special=port)) for task in tasks]
        self.sides[0].space.names[name] = Entry(port, receive=True)
        for side in self.sides[1:]:
            _, inherited, _ = side.task.ask("bootstrap")
            side.space.names[inherited] = Entry(port, send=1)
            port.senders += 1
        self.next_id = 1000
        self.patient = False  # what the kernel does by and by is waited for
        self.furnish()

    def met(self, task: Task, space: Space) -> Side:
        own = task.ask("self")[1]
        notify = task.ask("allocate", RIGHT_RECEIVE)[1]
        space.names[notify] = Entry(Port(), receive=True)
        self.world.spaces.append(space)
        return Side(task, space, own, notify)

    def furnish(self) -> None:
        """Gives each task a port in a set that the others can send to and one that it wants to have
        when it is destroyed, and asks to be told of their ends."""
        first = self.sides[0]
        (home,) = [n for n, e in first.space.names.items() if e.receive and n != first.notify]
        for side in self.sides[1:]:
            (there,) = [n for n, e in side.space.names.items() if not e.receive]
            port = self.furnish_one(side)
            self.post(side, (there, COPY_SEND), None, [(port, MAKE_SEND)])
            self.receive_from(first, home)
        lent = [name for name, entry in first.space.names.items() if not entry.receive]
        for name, other in zip(lent, reversed(lent), strict=True):
            self.post(first, (name, COPY_SEND), None, [(other, COPY_SEND)])
            self.ask_for(first, name, DEAD_NAME, 0, (first.notify, MAKE_SEND_ONCE))
        for side in self.sides[1:]:
            (port_set,) = [name for name, entry in side.space.names.items() if entry.is_set]
            self.receive_from(side, port_set)

    def furnish_one(self, side: Side) -> int:
        port, other = (self.allocate_in(side, RIGHT_RECEIVE) for _ in range(2))
        port_set = self.allocate_in(side, RIGHT_SET)
        self.change_member_of(side, "insert_member", port, port_set)
        self.ask_for(side, port, NO_SENDERS, 1, (side.notify, MAKE_SEND_ONCE))
        self.ask_for(side, other, PORT_DESTROYED, 0, (side.notify, MAKE_SEND_ONCE))
        self.insert_at(side, other, other, MAKE_SEND)
        return port

    def end(self) -> None:
        for side in self.sides:
            side.task.close()
        self.process.wait(30)

    def every_port(self) -> list[Port]:
        ports: dict[int, Port] = {}
        todo = [e.port for s in self.sides for e in s.space.names.values() if e.port is not None]
        while todo:
            port = todo.pop()
            if id(port) not in ports:
                ports[id(port)] = port
                todo += [r.port for m in port.waiting() for r in m.rights if r.port is not None]
        return list(ports.values())

    def check_name(self, space: Space, right: Right, name: int) -> None:
        """A right has arrived under a name: the one that it should have, and the model notes it."""
        expected = self.world.name_for(space, right)
        if expected is None:
            assert name not in space.names and 0 < name < 0xFFFFFFFF
        else:
            assert name == expected
        self.world.give(space, right, name)

    # --- calls -----------------------------------------------------------------------------------

    def allocate_in(self, side: Side, kind: int) -> int:
        kr, name, _ = side.task.ask("allocate", kind)
        assert kr == KERN_SUCCESS and name not in side.space.names
        is_set = kind == RIGHT_SET
        side.space.names[name] = Entry(members=set()) if is_set else Entry(Port(), receive=True)
        return name

    def change_member_of(self, side: Side, verb: str, member: int, name: int) -> None:
        expected = self.world.change_member(side.space, verb, member, name)
        assert side.task.ask(verb, member, name)[0] == expected

    def insert_at(self, side: Side, at: int, name: int, disposition: int) -> None:
        entry = side.space.names[name]
        if disposition in (MAKE_SEND, COPY_SEND) and entry.dead:
            expected = KERN_INVALID_CAPABILITY
        else:
            right = self.world.take(side.space, name, disposition)
            expected = self.world.place(side.space, at, right)
        assert side.task.ask("insert", at, name, disposition)[0] == expected

    def post(
        self,
        side: Side,
        to: tuple[int, int],
        reply: tuple[int, int] | None,
        carried: list[tuple[int, int]],
    ) -> None:
        self.next_id += 1
        words = [*to, *(reply or (0, 0)), self.next_id, len(carried)]
        got = side.task.ask("send", *words, *(word for pair in carried for word in pair))
        assert got == [self.world.send(side.space, to, reply, carried, self.next_id)]

    def receive_from(self, side: Side, name: int, destroyed: bool = False) -> None:
        """Receives what waits, which mach_msg_destroy may then have."""
        sources = self.world.sources(side.space, name)
        assert sources is not None
        first = [(n, m) for n, port in sources.items() for m in [*port.queue[:1], *port.loose]]
        got = side.task.ask("receive", name, PROMPT_MS if first else 0, int(destroyed))
        if not first:
            assert got == [RCV_TIMED_OUT]
            return
        assert got[0] == KERN_SUCCESS
        identifier, bits, local, remote, number = got[1:6]
        told = [m for n, m in first if (n, m.id, m.number) == (local, identifier, number)]
        assert told, "no such message"
        port, message = sources[local], told[0]
        assert bits == message_bits(message, SEND_ONCE if message in port.loose else MOVE_SEND)
        assert message.reply or remote == 0
        assert got[7::2] == [right.kind for right in message.rights]
        arrived = [*([message.reply] if message.reply else []), *message.rights]
        given = list(zip(arrived, [*([remote] if message.reply else []), *got[6::2]], strict=True))
        for right, under in given:
            self.check_name(side.space, right, under)
        self.world.received(port, message)
        for right, under in given if destroyed else ():
            self.world.destroy_received(side.space, right, under)

    def ask_for(
        self, side: Side, name: int, kind: int, sync: int, to: tuple[int, int] | None
    ) -> None:
        kr, previous, _ = side.task.ask("request", name, kind, sync, *(to or (0, MAKE_SEND_ONCE)))
        expected, earlier = self.world.request(side.space, name, kind, sync, to)
        assert kr == expected
        if earlier is None:
            assert previous == 0
        else:
            self.check_name(side.space, Right(SEND_ONCE, earlier), previous)

    def kill(self) -> None:
        side = self.sides.pop()
        side.task.kill()
        self.world.kill(side.space)
        self.patient = True

    # --- what there is ---------------------------------------------------------------------------

    def take_all(self) -> None:
        """Receives all that waits, and sees that nothing else does."""
        todo = True
        while todo:
            todo = False
            for side in self.sides:
                for name in [n for n, e in side.space.names.items() if e.receive]:
                    while (port := side.space.names[name].the_port()).waiting():
                        self.receive_from(side, name)
                        todo = True
                    assert port is side.space.names[name].port
                    self.receive_from(side, name)

    def look(self) -> None:
        """The notifications come first: a look at a name tells that its port has died, which nobody
        needs for a notification to come."""
        for side in self.sides:
            while side.space.names[side.notify].the_port().loose:
                self.receive_from(side, side.notify)
            self.receive_from(side, side.notify)
        for side in self.sides:
            self.look_at(side)
        self.patient = False

    def look_at(self, side: Side) -> None:
        deadline = time.monotonic() + PROMPT_MS / 1000
        space = side.space
        expected = {n: (rights(e), status(space, n, e)) for n, e in space.names.items()}
        while True:
            names = side.task.look()
            del names[side.own]
            found = {name: parts(words) for name, words in names.items()}
            if found == expected:
                return
            late = time.monotonic() > deadline
            if late or not self.patient:
                assert {n: f[0] for n, f in found.items()} == {n: e[0] for n, e in expected.items()}
            if late:
                assert found == expected
