"""Three tasks driven at random through the Mach API, against a reference model of it.

The model (`model_rights`, `model_calls`) knows what each name denotes in each task, what is queued
at each port, what the death of a port or of a task does to all of it, and which notifications that
brings to those who asked for them. `MODEL_EXAMPLES` sets how many sequences are tried.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from model_calls import count
from model_driver import TASKS, Driver, Side
from model_rights import (
    COPY_SEND,
    DEAD_NAME,
    DISPOSITIONS,
    KERN_INVALID_RIGHT,
    KERN_SUCCESS,
    MAKE_SEND,
    MAKE_SEND_ONCE,
    MOVE_SEND,
    MOVE_SEND_ONCE,
    NO_SENDERS,
    PORT_DESTROYED,
    RECEIVE,
    RIGHT_RECEIVE,
    RIGHT_SET,
    Entry,
    Message,
    Port,
    Right,
)

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent.parent / "ext" / "mach_linux"
RCV_INVALID_NAME = 0x10004002
QUEUE_LIMIT = 5
MANY = 12  # messages through send-once rights, which know no limit

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="drives the Linux library"),
    pytest.mark.timeout(3600),
]

which = st.integers(0, TASKS - 1)
picks = st.integers(0, 15)
apt = st.sampled_from([True] * 5 + [False])  # a name of the kind that the call needs, or any
aims = st.integers(0, 1023)
TO_SEND_WITH = COPY_SEND, MOVE_SEND, MAKE_SEND, MOVE_SEND_ONCE, MAKE_SEND_ONCE
TO_BE_TOLD = MAKE_SEND_ONCE, MOVE_SEND_ONCE


class Tasks(Driver, RuleBasedStateMachine):
    program: Path

    def __init__(self) -> None:
        RuleBasedStateMachine.__init__(self)
        Driver.__init__(self, self.program)
        self.steps = 0
        self.look_every = 1

    @initialize(every=st.sampled_from([1, 1, 3, 10]))
    def look_so_often(self, every: int) -> None:
        self.look_every = every

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self.look()
                self.take_all()
                self.look()
        finally:
            self.end()

    def side(self, which: int) -> Side:
        return self.sides[which % len(self.sides)]

    def pick(
        self, which: int, pick: int, apt: Callable[[Entry], bool] | None = None
    ) -> tuple[Side, int, Entry] | None:
        side = self.side(which)
        names = [n for n, e in side.space.names.items() if n != side.notify and (not apt or apt(e))]
        if not names:
            return None
        name = names[pick % len(names)]
        return side, name, side.space.names[name]

    def aim(self, side: Side, pick: int, allowed: Sequence[int]) -> tuple[int, int] | None:
        """A name and a disposition; mostly one that the name has what it needs for."""
        entries = [(n, e) for n, e in side.space.names.items() if n != side.notify]
        apt = [(n, d) for n, e in entries for d in allowed if e.port and self.world.has(e, d)]
        if apt and pick % 8:
            return apt[pick // 8 % len(apt)]
        if not entries:
            return None
        return entries[pick // 8 % len(entries)][0], allowed[pick // 16 % len(allowed)]

    # --- names -----------------------------------------------------------------------------------

    @rule(which=which, kind=st.sampled_from([RIGHT_RECEIVE, RIGHT_RECEIVE, RIGHT_SET]))
    def allocate(self, which: int, kind: int) -> None:
        self.allocate_in(self.side(which), kind)

    @rule(which=which, pick=aims, fresh=st.booleans())
    def insert(self, which: int, pick: int, fresh: bool) -> None:
        side = self.side(which)
        if (aimed := self.aim(side, pick, DISPOSITIONS)) is None:
            return
        name, disposition = aimed
        entry, at = side.space.names[name], name
        if fresh and not entry.dead:  # of a dead name it is not said
            kr, at, _ = side.task.ask("fresh")
            assert kr == KERN_SUCCESS and at not in side.space.names
        elif entry.watcher is not None and disposition not in (MAKE_SEND, COPY_SEND):
            return  # whether a name that is moved to itself was given up meanwhile is not said
        self.insert_at(side, at, name, disposition)

    @rule(which=which, pick=aims)
    def extract(self, which: int, pick: int) -> None:
        side = self.side(which)
        if (aimed := self.aim(side, pick, DISPOSITIONS)) is None:
            return
        name, disposition = aimed
        kr, got, poly = side.task.ask("extract", name, disposition)
        right = self.world.take(side.space, name, disposition)
        assert kr == (KERN_INVALID_RIGHT if right is None else KERN_SUCCESS)
        if right is not None:
            assert poly == right.kind and (got != name or name in side.space.names)
            self.check_name(side.space, right, got)

    @rule(
        which=which,
        pick=picks,
        how=st.sampled_from(["deallocate", "mod_refs", "mod_refs", "destroy"]),
        right=st.integers(0, 4),
        delta=st.sampled_from([-1, -1, -1, 1, 2, -2, 0]),
        apt=apt,
    )
    def give_up(self, which: int, pick: int, how: str, right: int, delta: int, apt: bool) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        side, name, entry = found
        if how == "deallocate":
            expected = self.world.deallocate(side.space, name)
        elif how == "mod_refs":
            if apt:
                right = next(i for i in (right, 0, 1, 2, 3, 4) if count(entry, i))
            expected = self.world.mod_refs(side.space, name, right, delta)
        elif entry.receive and entry.send and entry.the_port().no_senders is not None:
            return  # whether its last sender or the port goes first is not said
        else:
            expected = self.world.destroy(side.space, name)
        assert side.task.ask(how, name, right, delta)[0] == expected

    # --- sets ------------------------------------------------------------------------------------

    @rule(
        which=which,
        member=picks,
        into=picks,
        verb=st.sampled_from(["insert_member", "insert_member", "extract_member", "move_member"]),
        apt=apt,
        nowhere=st.booleans(),
    )
    def change_member(
        self, which: int, member: int, into: int, verb: str, apt: bool, nowhere: bool
    ) -> None:
        one = self.pick(which, member, lambda e: not apt or e.receive)
        other = self.pick(which, into, lambda e: not apt or e.is_set)
        if one is None or other is None:
            return
        side, name, _ = one
        to = 0 if verb == "move_member" and nowhere else other[1]
        self.change_member_of(side, verb, name, to)

    # --- messages --------------------------------------------------------------------------------

    @rule(which=which, to=aims, reply=st.none() | aims, carried=st.lists(aims, max_size=2))
    def send(self, which: int, to: int, reply: int | None, carried: list[int]) -> None:
        side = self.side(which)
        destination = self.aim(side, to, TO_SEND_WITH)
        answer = None if reply is None else self.aim(side, reply, TO_SEND_WITH)
        rest = [self.aim(side, pick, DISPOSITIONS) for pick in carried]
        aimed = [pair for pair in rest if pair is not None]
        if destination is None or self.is_unclear(side, destination, answer, aimed):
            return
        self.post(side, destination, answer, aimed)

    @rule(which=which, to=aims, right=aims)
    def send_a_right(self, which: int, to: int, right: int) -> None:
        self.send(which, to, None, [right])

    def is_unclear(
        self,
        side: Side,
        to: tuple[int, int],
        reply: tuple[int, int] | None,
        carried: list[tuple[int, int]],
    ) -> bool:
        """Sends that the rules leave open, or that fill a queue."""
        entry = side.space.names[to[0]]
        if entry.dead:
            # A send-once right whose port has died is known to be dead once somebody has looked.
            side.task.ask("mod_refs", to[0], 4, 0)
        if entry.port is not None:
            through_queue = to[1] in (COPY_SEND, MOVE_SEND, MAKE_SEND)
            if len(entry.port.waiting()) >= (QUEUE_LIMIT if through_queue else MANY):
                return True
        if self.dies_in_itself(side, to, carried):
            return True
        if reply is None:
            return False
        if side.space.names[reply[0]].dead:
            return True
        return reply[0] == to[0] and MOVE_SEND in (to[1], reply[1]) and entry.send < 2

    def dies_in_itself(
        self, side: Side, to: tuple[int, int], carried: list[tuple[int, int]]
    ) -> bool:
        """Is a port to be sent into itself, other than at once and with nobody who asked to get it
        then? When the kernel finds that two ports are in each other's queues cannot be told."""
        receives = [
            e.port for e, d in ((side.space.names[n], d) for n, d in carried) if d == RECEIVE
        ]
        message = Message(0, rights=[Right(RECEIVE, port) for port in receives])
        asked = [port.destroyed for port in self.every_port() if port.destroyed is not None]
        if any(port in asked for port in receives):
            return True
        destination = side.space.names[to[0]].port
        return (
            destination is not None
            and self.world.would_be_within_itself(message, destination)
            and (bool(asked) or destination not in receives)
        )

    @rule(which=which, pick=picks, apt=apt, destroyed=st.sampled_from([False, False, False, True]))
    def receive(self, which: int, pick: int, apt: bool, destroyed: bool) -> None:
        found = self.pick(which, pick, self.something_waits if apt else None)
        if found is None:
            return
        side, name, _ = found
        if self.world.sources(side.space, name) is None:
            assert side.task.ask("receive", name, 0, 0) == [RCV_INVALID_NAME]
        else:
            self.receive_from(side, name, destroyed)

    def something_waits(self, entry: Entry) -> bool:
        if entry.members is not None:
            return bool(entry.members)
        return entry.receive and bool(entry.the_port().waiting())

    # --- requests --------------------------------------------------------------------------------

    @rule(
        which=which,
        pick=picks,
        kind=st.sampled_from([DEAD_NAME, NO_SENDERS, PORT_DESTROYED]),
        sync=st.integers(0, 1),
        notify=st.none() | st.just(-1) | aims,
        apt=apt,
    )
    def request(
        self,
        which: int,
        pick: int,
        kind: int,
        sync: int,
        notify: int | None,
        apt: bool,
    ) -> None:
        found = self.pick(which, pick, lambda e: not apt or kind == DEAD_NAME or e.receive)
        if found is None:
            return
        side, name, entry = found
        to = None
        if notify is not None:
            to = (
                self.aim(side, notify, TO_BE_TOLD) if notify >= 0 else (side.notify, MAKE_SEND_ONCE)
            )
            if to is None or to[0] == name or not self.world.has(side.space.names[to[0]], to[1]):
                return
        sync = 0 if kind == PORT_DESTROYED else sync
        if to is None and entry.dead:
            return  # not said
        if kind == PORT_DESTROYED and to is not None:
            port = side.space.names[to[0]].the_port()
            if port is entry.port or not self.may_be_told(port):
                return
        self.ask_for(side, name, kind, sync, to)

    def may_be_told(self, port: Port) -> bool:
        """Of a destroyed port: of one at a time, for two would look alike, and where it is, so that
        what it is told of cannot be in its way there."""
        return self.world.is_held(port) and not (
            any(message.id == PORT_DESTROYED for message in port.loose)
            or any(other.destroyed is port for other in self.every_port())
        )

    @rule(sure=st.integers(0, 9))
    def kill_a_task(self, sure: int) -> None:
        if sure == 5 and len(self.sides) > 1:
            self.kill()

    # --- what must always be so ------------------------------------------------------------------

    @invariant()
    def all_is_as_the_model_says(self) -> None:
        self.steps += 1
        if self.steps % self.look_every == 0:
            self.look()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build = tmp_path_factory.mktemp("model")
    clean = os.environ | {"MAKEFLAGS": "", "MFLAGS": ""}
    library = ["make", "-s", "-C", str(LIBRARY), f"BUILD={build / 'library'}"]
    subprocess.run(library, check=True, env=clean)
    task = build / "task"
    flags = ["-std=c11", "-D_GNU_SOURCE", "-g", f"-I{LIBRARY / 'include'}"]
    archive = build / "library" / "libmach_linux.a"
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run(
        [*compiler, *flags, str(HERE / "task.c"), str(archive), "-lpthread", "-o", str(task)],
        check=True,
    )
    return task


def test_tasks_do_what_the_model_does(program: Path) -> None:
    Tasks.program = program
    profile = settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", "120")),
        stateful_step_count=80,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Tasks, settings=profile)
