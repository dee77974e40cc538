"""Two tasks driven at random through the Mach API, against a reference model of it.

The model knows send and receive rights: what a name denotes in each task, its user references, what
is queued at each port, what the death of a port or of a task does to all of it, and which
notifications that brings to those who asked for them.
`MODEL_EXAMPLES` sets how many sequences are tried.
"""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

HERE = Path(__file__).resolve().parent
LIBRARY = HERE.parent.parent / "ext" / "mach_linux"
SEND, RECEIVE, DEAD, WATCHED = 0x10000, 0x20000, 0x100000, 0x80000000
MOVE_RECEIVE, MOVE_SEND, COPY_SEND, MAKE_SEND = 16, 17, 19, 20
INVALID_RIGHT, INVALID_CAPABILITY = 17, 20
RCV_TIMED_OUT, RCV_INVALID_NAME = 0x10004003, 0x10004002
QUEUE_LIMIT = 5
PORT_DELETED, NO_SENDERS, SEND_ONCE, DEAD_NAME = 65, 70, 71, 72
PROMPT_MS = 30_000

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="drives the Linux library"),
    pytest.mark.timeout(3600),
]


@dataclass(eq=False)
class Port:
    alive: bool = True
    queue: list[tuple[int, int, "Port | None"]] = field(default_factory=list)
    made: int = 0  # the make-send count
    armed: "Task | None" = None  # who asked to be told that nobody can send any more
    kept: int = 0  # send rights that are no name: a special port
    had_senders: bool = False


@dataclass
class Entry:
    port: Port
    send: int = 0
    receive: bool = False
    watched: bool = False  # its task asked to be told of its death


@dataclass(eq=False)
class Task:
    socket: socket.socket
    stream: TextIO
    pid: int = 0
    names: dict[int, Entry] = field(default_factory=dict)
    notify: int = 0  # where it wants to be told
    expected: list[tuple[int, int]] = field(default_factory=list)

    def ask(self, *words: object) -> list[int]:
        self.socket.sendall((" ".join(map(str, words)) + "\n").encode())
        return self.answer()

    def answer(self) -> list[int]:
        return [int(word) for word in self.stream.readline().split()]

    def name_of(self, port: Port) -> int | None:
        return next((name for name, entry in self.names.items() if entry.port is port), None)


class Tasks(RuleBasedStateMachine):
    program: Path

    def __init__(self) -> None:
        super().__init__()
        pairs = [socket.socketpair() for _ in range(2)]
        theirs = [pair[1].fileno() for pair in pairs]
        self.process = subprocess.Popen(
            [self.program, *map(str, theirs)], pass_fds=theirs, stdin=subprocess.DEVNULL
        )
        self.tasks = []
        for ours, other in pairs:
            other.close()
            ours.settimeout(30)
            self.tasks.append(Task(ours, ours.makefile("r")))
        first = Port(made=1, kept=1)
        _, name = self.tasks[0].answer()
        self.tasks[1].answer()
        self.tasks[0].names[name] = Entry(first, receive=True)
        # The special port itself is the send right that the parent keeps.
        _, inherited = self.tasks[1].ask("bootstrap")
        self.tasks[1].names[inherited] = Entry(first, send=1)
        first.kept += 1  # the child has a special port as well
        for task in self.tasks:
            task.pid = task.ask("pid")[1]
            task.notify = task.ask("allocate")[1]
        self.next_id = 1000

    def teardown(self) -> None:
        for task in self.tasks:
            task.stream.close()
            task.socket.close()
        self.process.wait(30)

    # --- what one thing brings about ------------------------------------------------------------

    def queues(self) -> list[tuple[int, int, "Port | None"]]:
        """All messages that wait at ports that live."""
        ports = {id(port): port for port in self.named_ports()}
        todo, found = list(ports.values()), []
        while todo:
            port = todo.pop()
            for message in port.queue if port.alive else []:
                found.append(message)
                carried = message[2]
                if carried is not None and id(carried) not in ports:
                    ports[id(carried)] = carried
                    todo.append(carried)
        return found

    def senders(self, port: Port) -> int:
        named = sum(
            entry.send for t in self.tasks for entry in t.names.values() if entry.port is port
        )
        sent = sum(to is port and kind != MOVE_RECEIVE for _, kind, to in self.queues())
        # A message has the right that it was sent through until it is received.
        return named + sent + port.kept + len(port.queue)

    def named_ports(self) -> list[Port]:
        ports = {id(entry.port): entry.port for t in self.tasks for entry in t.names.values()}
        return list(ports.values())

    def look_for_senders(self) -> None:
        """Whose last sender is gone since the last look?"""
        for port in self.named_ports():
            has = self.senders(port) != 0
            if port.alive and port.armed is not None and port.had_senders and not has:
                port.armed.expected.append((NO_SENDERS, port.made))
                port.armed = None
            port.had_senders = has

    def kill_port(self, port: Port) -> None:
        """A port dies with its queue, and with the receive rights in that queue."""
        port.alive = False
        if port.armed is not None:
            port.armed.expected.append((SEND_ONCE, 0))  # the request's right is dropped
            port.armed = None
        for task in self.tasks:
            for name, entry in task.names.items():
                if entry.port is port and entry.watched:
                    entry.watched = False
                    entry.send += 1
                    task.expected.append((DEAD_NAME, name))
        queue, port.queue = port.queue, []
        for _, disposition, carried in queue:
            if carried is not None and disposition == MOVE_RECEIVE and carried.alive:
                self.kill_port(carried)

    def delete(self, task: Task, name: int) -> None:
        if task.names.pop(name).watched:
            task.expected.append((PORT_DELETED, name))

    def pick(self, which: int, pick: int) -> tuple[Task, int, Entry] | None:
        task = self.tasks[which % len(self.tasks)]
        if not task.names:
            return None
        name = sorted(task.names)[pick % len(task.names)]
        return task, name, task.names[name]

    @rule(which=st.integers(0, 1))
    def allocate(self, which: int) -> None:
        task = self.tasks[which % len(self.tasks)]
        kr, name = task.ask("allocate")
        assert kr == 0 and name not in task.names
        task.names[name] = Entry(Port(), receive=True)

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7), made=st.booleans())
    def insert(self, which: int, pick: int, made: bool) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, entry = found
        if not entry.port.alive:
            expected = INVALID_CAPABILITY
        else:
            expected = 0 if (entry.receive if made else entry.send) else INVALID_RIGHT
        assert task.ask("insert", name, MAKE_SEND if made else COPY_SEND)[0] == expected
        entry.send += expected == 0
        entry.port.made += made and expected == 0

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7))
    def deallocate(self, which: int, pick: int) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, entry = found
        expected = 0 if entry.send else INVALID_RIGHT
        assert task.ask("deallocate", name)[0] == expected
        entry.send -= expected == 0
        if not entry.send and not entry.receive:
            self.delete(task, name)

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7), whole=st.booleans())
    def destroy(self, which: int, pick: int, whole: bool) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, entry = found
        if whole:
            assert task.ask("destroy", name)[0] == 0
            self.delete(task, name)
        else:
            expected = 0 if entry.receive else INVALID_RIGHT
            assert task.ask("mod_refs", name, 1, -1)[0] == expected
            if entry.receive and not entry.send:
                self.delete(task, name)
        if entry.receive:
            entry.receive = False
            self.kill_port(entry.port)

    @rule(
        which=st.integers(0, 1),
        to=st.integers(0, 7),
        pick=st.integers(0, 7),
        disposition=st.sampled_from([0, MOVE_RECEIVE, MOVE_SEND, COPY_SEND, MAKE_SEND]),
    )
    def send(self, which: int, to: int, pick: int, disposition: int) -> None:
        target, what = self.pick(which, to), self.pick(which, pick)
        if target is None or what is None:
            return
        (task, name, destination), (_, carried, entry) = target, what
        port = destination.port
        if not port.alive or not destination.send or len(port.queue) >= QUEUE_LIMIT:
            return
        needs = entry.receive if disposition in (MOVE_RECEIVE, MAKE_SEND) else entry.send
        # A port within its own queue, and a name used twice, are cases of the conformance suite.
        if disposition and (not needs or not entry.port.alive or entry.port is port):
            return
        if disposition == MOVE_RECEIVE and any(
            kind == MOVE_RECEIVE for _, kind, _ in entry.port.queue
        ):
            return
        self.next_id += 1
        assert task.ask("send", name, COPY_SEND, self.next_id, carried, disposition)[0] == 0
        port.queue.append((self.next_id, disposition, entry.port if disposition else None))
        entry.port.made += disposition == MAKE_SEND
        if disposition == MOVE_RECEIVE:
            entry.receive = False
            entry.port.made = 0
        entry.send -= disposition == MOVE_SEND
        if not entry.send and not entry.receive:
            self.delete(task, carried)

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7))
    def receive(self, which: int, pick: int) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, holder = found
        kr, identifier, carried, disposition = task.ask("receive", name)
        if not holder.receive:
            assert kr == RCV_INVALID_NAME
            return
        if not holder.port.queue:
            assert kr == RCV_TIMED_OUT
            return
        expected, sent, port = holder.port.queue.pop(0)
        assert (kr, identifier) == (0, expected)
        arrives = MOVE_SEND if sent in (COPY_SEND, MAKE_SEND) else sent
        assert disposition == arrives
        if port is None:
            return
        if not port.alive:
            assert carried == 0xFFFFFFFF
            return
        held = task.name_of(port)
        assert carried == held if held is not None else carried not in task.names
        entry = task.names.setdefault(carried, Entry(port))
        entry.send += arrives == MOVE_SEND
        entry.receive = entry.receive or arrives == MOVE_RECEIVE

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7))
    def watch(self, which: int, pick: int) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, entry = found
        assert task.ask("request", name, DEAD_NAME, 1, task.notify)[0] == 0
        if not entry.port.alive:
            entry.send += 1
            task.expected.append((DEAD_NAME, name))
            return
        if entry.watched:
            task.expected.append((SEND_ONCE, 0))
        entry.watched = True

    @rule(which=st.integers(0, 1), pick=st.integers(0, 7))
    def ask_for_no_senders(self, which: int, pick: int) -> None:
        if (found := self.pick(which, pick)) is None:
            return
        task, name, entry = found
        port = entry.port
        if not entry.receive:
            return
        assert task.ask("request", name, NO_SENDERS, 1, task.notify)[0] == 0
        if port.armed is not None:
            port.armed.expected.append((SEND_ONCE, 0))
        port.armed = None
        if port.made >= 1 and self.senders(port) == 0:
            task.expected.append((NO_SENDERS, port.made))
        else:
            port.armed = task

    @rule(sure=st.integers(0, 9))
    def kill_the_second_task(self, sure: int) -> None:
        if sure or len(self.tasks) == 1:
            return
        ports = self.named_ports()
        task = self.tasks.pop()
        os.kill(task.pid, signal.SIGKILL)
        assert task.stream.readline() == ""
        task.stream.close()
        task.socket.close()
        for port in ports:
            if port.armed is task:
                port.armed = None  # asked by a task that is no more
        for entry in task.names.values():
            if entry.receive:
                self.kill_port(entry.port)
        for port in ports:
            if port.kept:
                port.kept -= 1

    # Invariants are looked at in the order of their names. This one comes first: a look at a name
    # tells that its port has died, which nobody needs for a notification to come.
    @invariant()
    def first_the_notifications_arrive(self) -> None:
        self.look_for_senders()
        for task in self.tasks:
            told = [task.ask("notified", task.notify, PROMPT_MS)[1:] for _ in task.expected]
            assert sorted(map(tuple, told)) == sorted(task.expected)
            task.expected.clear()
            assert task.ask("notified", task.notify, 0)[0] == RCV_TIMED_OUT

    @invariant()
    def then_names_types_and_references_agree(self) -> None:
        for task in self.tasks:
            for name, entry in task.names.items():
                bits = SEND * bool(entry.send) | RECEIVE * entry.receive | WATCHED * entry.watched
                expected = bits if entry.port.alive else DEAD
                assert task.ask("type", name) == [0, expected]
                right = 0 if entry.port.alive else 4
                assert task.ask("refs", name, right) == [0, entry.send]


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


def test_two_tasks_do_what_the_model_does(program: Path) -> None:
    Tasks.program = program
    profile = settings(
        max_examples=int(os.environ.get("MODEL_EXAMPLES", "40")),
        stateful_step_count=40,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Tasks, settings=profile)
