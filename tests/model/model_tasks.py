"""The processes that the model test drives, what they say of their names, and what they should."""

import os
import select
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from model_rights import Entry, Space

SEND, RECEIVE, ONCE, SET, DEAD, WATCHED = 0x10000, 0x20000, 0x40000, 0x80000, 0x100000, 0x80000000


@dataclass(eq=False)
class Task:
    """One process: `ask` sends it a command (see task.c) and gives the numbers it answers."""

    socket: socket.socket
    stream: TextIO
    pid: int = 0

    def ask(self, *words: object) -> list[int]:
        return [int(word) for word in self.ask_for_words(*words)]

    def ask_for_words(self, *words: object) -> list[str]:
        self.socket.sendall((" ".join(map(str, words)) + "\n").encode())
        return self.answer()

    def answer(self) -> list[str]:
        return self.stream.readline().split()

    def look(self) -> dict[int, str]:
        """All names, each with what is there."""
        code, *found = self.ask_for_words("look")
        assert code == "0"
        names = {int(name): rest for name, rest in (word.split(":", 1) for word in found)}
        assert len(names) == len(found), "a name is listed twice"
        return names

    def kill(self) -> None:
        """Kills it, and waits until the kernel has closed what it had open."""
        pidfd = os.pidfd_open(self.pid)
        os.kill(self.pid, signal.SIGKILL)
        select.select([pidfd], [], [])
        os.close(pidfd)
        self.close()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()


def start(program: Path, number: int) -> tuple[subprocess.Popen[bytes], list[Task], int]:
    """So many tasks, and what the first calls its port, which the others have inherited."""
    pairs = [socket.socketpair() for _ in range(number)]
    theirs = [other.fileno() for _, other in pairs]
    process = subprocess.Popen(
        [program, *map(str, theirs)], pass_fds=theirs, stdin=subprocess.DEVNULL
    )
    tasks = []
    for ours, other in pairs:
        other.close()
        ours.settimeout(60)
        tasks.append(Task(ours, ours.makefile("r")))
    greetings = [task.answer() for task in tasks]
    for task in tasks:
        task.pid = task.ask("pid")[1]
    return process, tasks, int(greetings[0][1])


def rights(entry: Entry) -> str:
    """What a task should say of a name: its type, twice, and its references."""
    port = SEND * bool(entry.send) | RECEIVE * entry.receive | ONCE * entry.once
    kind = port | SET * entry.is_set | DEAD * bool(entry.dead)
    kind |= WATCHED * (entry.watcher is not None)
    return f"{kind}:{kind}:{entry.send}:{entry.dead}"


def status(space: Space, name: int, entry: Entry) -> str:
    """The same of the members of a set, or of the state of a port."""
    if not entry.receive:
        return "".join(f":{member}" for member in sorted(entry.members or ()))
    port = entry.the_port()
    flags = [bool(space.sets_of(name)), port.no_senders is not None, port.destroyed is not None]
    numbers = [port.made, port.taken, len(port.waiting()), port.onces, *map(int, flags)]
    return "".join(f":{number}" for number in numbers)


def parts(words: str) -> tuple[str, str]:
    """What `rights` and what `status` speak of, in what a task says of a name."""
    fields = words.split(":")
    rest = fields[4:] if int(fields[0]) & RECEIVE else sorted(fields[4:], key=int)
    return ":".join(fields[:4]), "".join(f":{field}" for field in rest)
