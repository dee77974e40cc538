"""The calls of the Mach API on the reference model: each gives the code that it returns."""

from model_rights import (
    DEAD_NAME,
    KERN_ALREADY_IN_SET,
    KERN_INVALID_ARGUMENT,
    KERN_INVALID_CAPABILITY,
    KERN_INVALID_NAME,
    KERN_INVALID_RIGHT,
    KERN_INVALID_VALUE,
    KERN_NAME_EXISTS,
    KERN_NOT_IN_SET,
    KERN_RIGHT_EXISTS,
    KERN_SUCCESS,
    MOVE_SEND_ONCE,
    NO_SENDERS,
    PORT_DELETED,
    RECEIVE,
    RIGHT_DEAD,
    RIGHT_RECEIVE,
    RIGHT_SEND,
    RIGHT_SEND_ONCE,
    RIGHT_SET,
    SEND_INVALID_DEST,
    SEND_INVALID_REPLY,
    SEND_INVALID_RIGHT,
    SEND_ONCE,
    Entry,
    Message,
    Port,
    Right,
    Space,
    World,
)


class Calls(World):
    # --- names -----------------------------------------------------------------------------------

    def deallocate(self, space: Space, name: int) -> int:
        entry = space.names[name]
        for right in (RIGHT_SEND, RIGHT_SEND_ONCE, RIGHT_SET, RIGHT_DEAD):
            if count(entry, right):
                self.drop(space, name, right)
                return KERN_SUCCESS
        return KERN_INVALID_RIGHT

    def mod_refs(self, space: Space, name: int, right: int, delta: int) -> int:
        entry = space.names[name]
        held = count(entry, right)
        if not held:
            return KERN_INVALID_RIGHT
        if held + delta < 0 or (delta > 0 and right not in (RIGHT_SEND, RIGHT_DEAD)):
            return KERN_INVALID_VALUE
        if delta > 0 and right == RIGHT_SEND:
            entry.send += delta
            entry.the_port().senders += delta
        elif delta > 0:
            entry.dead += delta
        for _ in range(-delta):
            self.drop(space, name, right)
        return KERN_SUCCESS

    def destroy(self, space: Space, name: int) -> int:
        entry = space.names.pop(name)
        if entry.watcher is not None:
            self.use_once(entry.watcher, Message(PORT_DELETED, name))
        self.leave_sets(space, name)
        if entry.once:
            self.drop_once(entry.the_port())
        for _ in range(entry.send):
            self.release_send(entry.the_port())
        if entry.receive:
            self.lose_receive(entry.the_port())
        return KERN_SUCCESS

    def place(self, space: Space, name: int, right: Right | None) -> int:
        """Inserts a right that was taken out of some name at this one."""
        if right is None:
            return KERN_INVALID_RIGHT
        if right.port_if_alive() is None:
            return KERN_INVALID_CAPABILITY
        known = self.name_for(space, right)
        taken = space.names.get(name)
        if right.kind == SEND_ONCE and taken is not None:
            self.destroy_right(right)
            return KERN_NAME_EXISTS
        if (known is None and taken is not None) or known not in (None, name):
            self.destroy_right(right)
            return KERN_RIGHT_EXISTS
        self.give(space, right, name)
        return KERN_SUCCESS

    # --- sets ------------------------------------------------------------------------------------

    def change_member(self, space: Space, verb: str, member: int, name: int) -> int:
        """insert_member, extract_member or move_member, which alone takes no set (0)."""
        entry, into = space.names[member], space.names.get(name)
        if not entry.receive or (into is None and verb != "move_member"):
            return KERN_INVALID_RIGHT
        if into is not None and into.members is None:
            return KERN_INVALID_RIGHT
        members = set() if into is None or into.members is None else into.members
        if verb == "move_member":
            self.leave_sets(space, member)
        if verb == "extract_member":
            if member not in members:
                return KERN_NOT_IN_SET
            members.discard(member)
        elif member in members:
            return KERN_ALREADY_IN_SET
        else:
            members.add(member)
        return KERN_SUCCESS

    # --- messages --------------------------------------------------------------------------------

    def check_header(self, space: Space, to: tuple[int, int], reply: tuple[int, int] | None) -> int:
        """A header that is refused consumes nothing."""
        name, disposition = to
        same = reply is not None and reply[0] == name
        if not self.can_send(space, *to) or (same and disposition == MOVE_SEND_ONCE):
            return SEND_INVALID_DEST
        if reply is not None and not self.can_send(space, *reply):
            return SEND_INVALID_REPLY
        return KERN_SUCCESS

    def can_send(self, space: Space, name: int, disposition: int) -> bool:
        entry = space.names.get(name)
        return entry is not None and entry.port is not None and self.has(entry, disposition)

    def send(
        self,
        space: Space,
        to: tuple[int, int],
        reply: tuple[int, int] | None,
        carried: list[tuple[int, int]],
        identifier: int,
    ) -> int:
        if (code := self.check_header(space, to, reply)) != KERN_SUCCESS:
            return code
        via = self.take(space, *to)
        assert via is not None and via.port is not None
        message = Message(identifier)
        message.reply = self.take(space, *reply) if reply is not None else None
        for name, disposition in carried:
            right = self.take(space, name, disposition)
            if right is None:
                self.destroy_message(message)
                self.destroy_right(via)
                return SEND_INVALID_RIGHT
            message.rights.append(right)
        if via.kind == SEND_ONCE and via.port not in message.receives():
            self.use_once(via.port, message)
        elif self.would_be_within_itself(message, via.port):
            self.destroy_message(message)
            self.destroy_right(via)
        else:
            via.port.queue.append(message)
        return KERN_SUCCESS

    def sources(self, space: Space, name: int) -> dict[int, Port] | None:
        """What is received from under a name, by the names of the ports. None: it cannot be."""
        entry = space.names.get(name)
        if entry is not None and entry.members is not None:
            return {member: space.names[member].the_port() for member in entry.members}
        if entry is not None and entry.receive:
            return {name: entry.the_port()}
        return None

    def received(self, port: Port, message: Message) -> None:
        """A message has been taken out of its queue, and its rights are given."""
        port.taken += 1
        if message in port.loose:
            port.loose.remove(message)
            port.onces -= 1
        else:
            port.queue.remove(message)
            self.release_send(port)

    def destroy_received(self, space: Space, right: Right, name: int) -> None:
        """What mach_msg_destroy does to a right that arrived."""
        if name not in space.names:
            return
        if right.kind != RECEIVE:
            self.deallocate(space, name)
        elif space.names[name].receive:
            self.drop(space, name, RIGHT_RECEIVE)

    # --- requests --------------------------------------------------------------------------------

    def request(
        self, space: Space, name: int, kind: int, sync: int, notify: tuple[int, int] | None
    ) -> tuple[int, Port | None]:
        """The code, and the port of the send-once right of an earlier request."""
        right = self.take(space, *notify) if notify is not None else None
        if notify is not None and right is None:
            return KERN_INVALID_RIGHT, None
        to = right.port if right is not None else None
        if notify is not None and to is None:
            return KERN_INVALID_CAPABILITY, None
        entry = space.names.get(name)
        if entry is None:
            code: int = KERN_INVALID_NAME
        else:
            code, previous = self.arm(name, entry, kind, sync, to)
            if code == KERN_SUCCESS:
                return code, previous
        if to is not None:
            self.drop_once(to)
        return code, None

    def arm(
        self, name: int, entry: Entry, kind: int, sync: int, to: Port | None
    ) -> tuple[int, Port | None]:
        if kind == DEAD_NAME and entry.dead:
            if sync == 0 or to is None:
                return KERN_INVALID_ARGUMENT, None
            entry.dead += 1
            self.use_once(to, Message(DEAD_NAME, name))
            return KERN_SUCCESS, None
        if entry.port is None or (kind != DEAD_NAME and not entry.receive):
            return KERN_INVALID_RIGHT, None
        port = entry.port
        if kind == DEAD_NAME:
            previous, entry.watcher = entry.watcher, to
        elif kind != NO_SENDERS:
            previous, port.destroyed = port.destroyed, to
        else:
            previous, port.no_senders = port.no_senders, to
            if to is not None and port.senders == 0 and sync <= port.made:
                self.tell_no_senders(port)
        return KERN_SUCCESS, previous


def count(entry: Entry, right: int) -> int:
    """How many references of one right a name has."""
    return [entry.send, int(entry.receive), int(entry.once), int(entry.is_set), entry.dead][right]


def message_bits(message: Message, via: int) -> int:
    """msgh_bits as they arrive."""
    remote = message.reply.kind if message.reply is not None else 0
    return remote | via << 8 | (0x80000000 if message.rights else 0)
