"""What happened, who did it, and whether it was right. Events of all processes share one clock."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import child_port as cp


@dataclass
class Event:
    """One thing that one process did. At: microseconds on the machine's monotonic clock."""

    at: int
    who: str
    pid: int
    what: str
    right: str = ""
    name: int | None = None

    @classmethod
    def now(cls, who: str, what: str, right: cp.Right | None = None) -> Event:
        kind = "" if right is None else type(right).__name__
        name = None if right is None or right.closed else right.name
        return cls(time.monotonic_ns() // 1000, who, os.getpid(), what, kind, name)

    def line(self, start: int) -> str:
        right = self.right if self.name is None else f"{self.right} {self.name:#x}"
        return (
            f"  {self.at - start:>8} us  {self.who:<8} {self.pid:>7}  {self.what:<50} {right}"
        ).rstrip()

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass
class Check:
    """A claim, and whether it held."""

    claim: str
    held: bool

    def line(self) -> str:
        return f"  {'ok    ' if self.held else 'FAILED'}  {self.claim}"


@dataclass
class Step:
    """The transcript of one step."""

    letter: str
    title: str
    events: list[Event] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)

    def say(self, what: str, right: cp.Right | None = None) -> None:
        self.events.append(Event.now("parent", what, right))

    def check(self, claim: str, held: bool) -> None:
        self.checks.append(Check(claim, held))

    def hear(self, output: str) -> None:
        """The events that another process wrote to its standard output."""
        self.events += [Event(**json.loads(line)) for line in output.splitlines()]

    @property
    def held(self) -> bool:
        return bool(self.checks) and all(check.held for check in self.checks)

    def in_order(self) -> list[Event]:
        return sorted(self.events, key=lambda event: event.at)

    def text(self) -> str:
        events = self.in_order()
        start = events[0].at if events else 0
        lines = [f"{self.letter}. {self.title}"]
        lines += [event.line(start) for event in events]
        lines += [check.line() for check in self.checks]
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        events = [asdict(event) for event in self.in_order()]
        return asdict(self) | {"events": events, "held": self.held}
