"""What Mach does with rights, from its rules alone: names, references, queues, notifications.

A `World` has some `Space`s, one a task, in which names stand for `Entry`s, and the `Port`s that
those and the queued messages refer to. What a right is on its way in a message is a `Right`. Each
method is one rule; it changes the world and gives the code that the call returns.

Which name a new one will be only the library can say: `name_for` gives None for it, and whoever
asked tells `give` what it was.

Linux differs in some points, which the model allows (tests/mach/differences.txt): messages through
send-once rights keep no order with the others (`Port.loose`), the queue limit is in bytes (no test
fills a queue), and neither a killed process nor a queue that dies tells anybody of what it had
(`World.forget_destroyed`), and of a receive right in a message it is only known at its arrival that
there are no senders (`Port.late`).
"""

from dataclasses import dataclass, field

RECEIVE, SEND, SEND_ONCE = MOVE_RECEIVE, MOVE_SEND, MOVE_SEND_ONCE = 16, 17, 18
COPY_SEND, MAKE_SEND, MAKE_SEND_ONCE = 19, 20, 21
DISPOSITIONS = tuple(range(16, 22))
DEAD = 0xFFFFFFFF

KERN_SUCCESS, KERN_INVALID_NAME, KERN_INVALID_RIGHT, KERN_INVALID_VALUE = 0, 15, 17, 18
KERN_INVALID_ARGUMENT, KERN_NAME_EXISTS, KERN_INVALID_CAPABILITY = 4, 13, 20
KERN_RIGHT_EXISTS, KERN_ALREADY_IN_SET, KERN_NOT_IN_SET = 21, 11, 12
SEND_INVALID_DEST, SEND_INVALID_REPLY, SEND_INVALID_RIGHT = 0x10000003, 0x10000009, 0x1000000A

PORT_DELETED, PORT_DESTROYED, NO_SENDERS, UNUSED, DEAD_NAME = 65, 69, 70, 71, 72

# The kinds of right as mach_port_mod_refs counts them.
RIGHT_SEND, RIGHT_RECEIVE, RIGHT_SEND_ONCE, RIGHT_SET, RIGHT_DEAD = range(5)


def arrives(disposition: int) -> int:
    """What a right that was sent with this disposition is on its way, and at the receiver."""
    return {COPY_SEND: SEND, MAKE_SEND: SEND, MAKE_SEND_ONCE: SEND_ONCE}.get(
        disposition, disposition
    )


@dataclass(eq=False)
class Port:
    alive: bool = True
    queue: "list[Message]" = field(default_factory=list)  # in their order
    loose: "list[Message]" = field(default_factory=list)  # came through send-once rights
    senders: int = 0  # send rights, in names and in messages
    onces: int = 0  # send-once rights, and the messages that came through them
    made: int = 0  # the make-send count
    taken: int = 0  # the sequence number
    no_senders: "Port | None" = None  # where to tell of it
    destroyed: "Port | None" = None
    late: bool = False  # the last sender went while the receive right was in a message

    def waiting(self) -> "list[Message]":
        return self.queue + self.loose


@dataclass(eq=False)
class Right:
    kind: int  # RECEIVE, SEND or SEND_ONCE
    port: Port | None  # None: sent as a dead name

    def port_if_alive(self) -> Port | None:
        return self.port if self.port is not None and self.port.alive else None


@dataclass(eq=False)
class Message:
    id: int
    number: int = 0  # in the body of a notification: a name or a count
    rights: list[Right] = field(default_factory=list)
    reply: Right | None = None

    def receives(self) -> list[Port]:
        """The ports whose receive rights it has."""
        return [r.port for r in self.rights if r.kind == RECEIVE and r.port is not None]


@dataclass
class Entry:
    """A port with send and receive rights, a send-once right, a dead name or a set."""

    port: Port | None = None
    send: int = 0
    receive: bool = False
    once: bool = False
    dead: int = 0
    members: set[int] | None = None
    watcher: Port | None = None  # where to tell of the port's death

    @property
    def is_set(self) -> bool:
        return self.members is not None

    def the_port(self) -> Port:
        assert self.port is not None
        return self.port


@dataclass(eq=False)
class Space:
    names: dict[int, Entry] = field(default_factory=dict)
    special: Port | None = None  # the bootstrap special port: a send right without a name

    def name_of(self, port: Port) -> int | None:
        """The name that send rights and the receive right of a port share."""
        return next((n for n, e in self.names.items() if e.port is port and not e.once), None)

    def sets_of(self, name: int) -> list[set[int]]:
        return [
            e.members for e in self.names.values() if e.members is not None and name in e.members
        ]


class World:
    def __init__(self) -> None:
        self.spaces: list[Space] = []

    # --- what happens to rights without a name ---------------------------------------------------

    def release_send(self, port: Port) -> None:
        port.senders -= 1
        if not port.alive or port.senders or port.no_senders is None:
            return
        if self.is_held(port):
            self.tell_no_senders(port)
        else:
            port.late = True

    def is_held(self, port: Port) -> bool:
        """Has a task its receive right? Otherwise it is in a message."""
        return any(e.receive and e.port is port for s in self.spaces for e in s.names.values())

    def tell_no_senders(self, port: Port) -> None:
        assert port.no_senders is not None
        notify, port.no_senders = port.no_senders, None
        self.use_once(notify, Message(NO_SENDERS, port.made))

    def use_once(self, port: Port, message: Message) -> None:
        """A send-once right is used for a message, or for the news that it will not be."""
        if port.alive and not self.would_be_within_itself(message, port):
            port.loose.append(message)
        else:
            self.destroy_message(message)

    def drop_once(self, port: Port) -> None:
        self.use_once(port, Message(UNUSED))

    def destroy_right(self, right: Right) -> None:
        if (port := right.port_if_alive()) is None:
            return
        if right.kind == SEND:
            self.release_send(port)
        elif right.kind == SEND_ONCE:
            self.drop_once(port)
        else:
            self.lose_receive(port)

    def destroy_message(self, message: Message) -> None:
        for right in [*message.rights, message.reply]:
            if right is not None:
                self.destroy_right(right)

    def would_be_within_itself(self, message: Message, port: Port) -> bool:
        """Does the message carry the receive right of the port that it is sent to, or of one whose
        queue that is in?"""
        carried = message.receives()
        return port in carried or any(
            self.would_be_within_itself(m, port) for inner in carried for m in inner.waiting()
        )

    # --- the death of ports and tasks ------------------------------------------------------------

    def lose_receive(self, port: Port) -> None:
        """Nobody has the receive right any more: the port dies, unless somebody asked for it."""
        if port.destroyed is None:
            self.die(port)
            return
        notify, port.destroyed = port.destroyed, None
        port.made = port.taken = 0
        self.use_once(notify, Message(PORT_DESTROYED, rights=[Right(RECEIVE, port)]))

    def die(self, port: Port) -> None:
        port.alive = False
        waiting = port.waiting()
        port.queue, port.loose = [], []
        if port.no_senders is not None:
            self.drop_once(port.no_senders)
        for space in self.spaces:
            for name, entry in space.names.items():
                if entry.port is port:
                    self.turn_dead(name, entry)
        for message in waiting:
            for inner in message.receives():
                self.forget_destroyed(inner)
            self.destroy_message(message)

    def turn_dead(self, name: int, entry: Entry) -> None:
        entry.dead = 1 if entry.once else entry.send
        entry.port, entry.send, entry.once = None, 0, False
        if entry.watcher is not None:
            notify, entry.watcher = entry.watcher, None
            entry.dead += 1
            self.use_once(notify, Message(DEAD_NAME, name))

    def kill(self, space: Space) -> None:
        """A task is killed. What was to be told of by it is not: the send-once rights that it was
        to be told through are dropped, and a receive right that somebody asked for dies."""
        self.spaces.remove(space)
        entries = list(space.names.values())
        for entry in entries:
            if entry.watcher is not None:
                self.drop_once(entry.watcher)
        for entry in entries:
            if entry.receive:
                self.forget_destroyed(entry.the_port())
                self.die(entry.the_port())
        for entry in entries:
            if entry.once:
                self.drop_once(entry.the_port())
            for _ in range(entry.send):
                self.release_send(entry.the_port())
        if space.special is not None:
            self.release_send(space.special)

    def forget_destroyed(self, port: Port) -> None:
        if port.destroyed is not None:
            notify, port.destroyed = port.destroyed, None
            self.drop_once(notify)
        for message in port.waiting():
            for inner in message.receives():
                self.forget_destroyed(inner)

    # --- names -----------------------------------------------------------------------------------

    def tidy(self, space: Space, name: int) -> None:
        """A name that stands for nothing any more is given back."""
        entry = space.names[name]
        if entry.send or entry.receive or entry.once or entry.dead or entry.is_set:
            return
        del space.names[name]
        if entry.watcher is not None:
            self.use_once(entry.watcher, Message(PORT_DELETED, name))

    def leave_sets(self, space: Space, name: int) -> None:
        for members in space.sets_of(name):
            members.discard(name)

    def take(self, space: Space, name: int, disposition: int) -> Right | None:
        """Takes a right out of a name, for a message. None: it is not there."""
        entry = space.names.get(name)
        if entry is None or entry.is_set:
            return None
        if entry.dead:
            if disposition not in (MOVE_SEND, MOVE_SEND_ONCE, COPY_SEND):
                return None
            entry.dead -= disposition != COPY_SEND
            self.tidy(space, name)
            return Right(arrives(disposition), None)
        if not self.has(entry, disposition):
            return None
        port = entry.the_port()
        if disposition == MOVE_RECEIVE:
            entry.receive = False
            port.made = port.taken = 0
            self.leave_sets(space, name)
        elif disposition == MOVE_SEND:
            entry.send -= 1
        elif disposition == MOVE_SEND_ONCE:
            entry.once = False
        elif disposition == MAKE_SEND_ONCE:
            port.onces += 1
        else:
            port.senders += 1
            port.made += disposition == MAKE_SEND
        self.tidy(space, name)
        return Right(arrives(disposition), port)

    def has(self, entry: Entry, disposition: int) -> bool:
        """Is there what a right of this disposition is taken or made from?"""
        if disposition in (MOVE_SEND, COPY_SEND):
            return entry.send > 0
        return entry.once if disposition == MOVE_SEND_ONCE else entry.receive

    def name_for(self, space: Space, right: Right) -> int | None:
        """The name that a right will get; None for a new one."""
        if (port := right.port_if_alive()) is None:
            return DEAD
        return None if right.kind == SEND_ONCE else space.name_of(port)

    def give(self, space: Space, right: Right, name: int) -> None:
        """Puts a right that arrived under its name."""
        if (port := right.port_if_alive()) is None:
            return
        entry = space.names.setdefault(name, Entry(port))
        entry.send += right.kind == SEND
        if right.kind == RECEIVE:
            entry.receive = True
            if port.late and port.no_senders is not None and not port.senders:
                self.tell_no_senders(port)
            port.late = False
        entry.once = entry.once or right.kind == SEND_ONCE

    def drop(self, space: Space, name: int, right: int) -> None:
        """One reference less of what the name has."""
        entry = space.names[name]
        if right == RIGHT_SEND:
            entry.send -= 1
            port = entry.the_port()
            self.tidy(space, name)
            self.release_send(port)
        elif right == RIGHT_RECEIVE:
            port, entry.receive = entry.the_port(), False
            self.leave_sets(space, name)
            self.tidy(space, name)
            self.lose_receive(port)
        elif right == RIGHT_SEND_ONCE:
            port, entry.once = entry.the_port(), False
            self.tidy(space, name)
            self.drop_once(port)
        else:
            entry.members = None
            entry.dead -= right == RIGHT_DEAD
            self.tidy(space, name)
