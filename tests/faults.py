"""Killing a process at each step of what it does, one after the other, until it gets to its end.

A step is a line of the package, or, under faults.c, a call of the C library. Nothing of it is in
the package: the victim is a forked process that is traced, and dies by SIGKILL before the step.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import child_port

PACKAGE = str(Path(child_port.__file__).parent)
NEVER = 1 << 30

Arm = Callable[[int], None]
disarms: list[Callable[[], object]] = [lambda: sys.settrace(None)]
Start = Callable[[Callable[[], object]], int]
"""Runs the victim in a forked process, whose pid it returns."""
Play = Callable[[Start], str]
"""Starts the victim, plays the other role, and says how that ended."""


def kill_before_line(step: int) -> None:
    """This process dies before it runs that line of the package, counted from now on."""
    left = step

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def fork(run: Callable[[], object]) -> int:
    """A process that runs this and nothing else."""
    pid = os.fork()
    if pid != 0:
        return pid
    for disarm in disarms:  # what its parent was to die of
        disarm()
    status = 1
    try:
        run()
        status = 0
    except BaseException:
        sys.settrace(None)
        traceback.print_exc()
    finally:
        os._exit(status)


def kill_at_every_step(play: Play, arm: Arm = kill_before_line) -> list[str]:
    """How each round of the play ended: with the victim killed at its first step, its second, ….

    The last round is the one in which it got to its end.
    """
    endings = []
    for step in count(1):
        assert step < 5000
        start = _Starter(arm, step)
        endings.append(play(start))
        status = os.waitstatus_to_exitcode(os.waitpid(start.pid, 0)[1])
        if status == 0:
            return endings
        assert status == -signal.SIGKILL, f"the victim failed at step {step}"
    raise AssertionError


class _Starter:
    def __init__(self, arm: Arm, step: int) -> None:
        self._arm, self._step = arm, step
        self.pid = -1

    def __call__(self, victim: Callable[[], object]) -> int:
        def run() -> None:
            self._arm(self._step)
            victim()
            self._arm(NEVER)

        self.pid = fork(run)
        return self.pid
