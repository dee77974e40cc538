"""The programs of the processes that the demo starts, each by exec.

Their standard output carries what they did, an event a line, for the parent's transcript.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import child_port as cp

from .transcript import Event

DEADLINE = 30.0
# A port that is handed over in private needs no secret: whoever has the right may use it.
NO_SECRET = 0


def say(who: str, what: str, right: cp.Right | None = None) -> None:
    print(Event.now(who, what, right).to_json(), flush=True)


def hand_over_task() -> None:
    with cp.task_self() as task:
        say("child", "checks in with its task, token hidden", task)
        cp.check_in_to_parent(task, timeout=DEADLINE)
    sys.stdin.read()  # the task lives for as long as the parent looks at it


def hand_over_service() -> None:
    with cp.Server(token=NO_SECRET, expected_pid=os.getppid()) as server:
        right = server.make_send()
        say("child", "checks in with a service of its own, token hidden", right)
        cp.check_in_to_parent(right, cp.Disposition.MOVE_SEND, timeout=DEADLINE)
        with server.accept(DEADLINE) as check_in:
            say("child", f"its service got a right from pid {check_in.sender.pid}", check_in.port)
            answer(check_in)


def answer(check_in: cp.CheckIn) -> None:
    """Use the right that came: check in there, with no port."""
    assert isinstance(check_in.port, cp.SendRight)
    cp.check_in(check_in.port, NO_SECRET, None, timeout=DEADLINE)


def serve(count: str) -> None:
    received = cp.receive_from_parent(DEADLINE)
    assert isinstance(received.port, cp.ReceiveRight)
    say("child", "received a receive right, and serves at it", received.port)
    with cp.Server(received.port, token=NO_SECRET) as server:
        for _ in range(int(count)):
            with server.accept(DEADLINE) as check_in:
                answer(check_in)
    say("child", f"served {count} check-ins")


def wait_then_hand_over_task() -> None:
    sys.stdin.readline()
    hand_over_task()


def try_tokens(service_name: str, count: str) -> None:
    with cp.bootstrap.look_up(service_name) as server, cp.task_self() as task:
        say("stranger", "found the service by its name", server)
        for guess in range(int(count)):
            cp.check_in(server, guess, task, timeout=DEADLINE)
        say("stranger", f"checked in with {count} wrong tokens", task)


def die() -> None:
    say("child", "dies before it checks in")
    os._exit(3)


ROLES: dict[str, Callable[..., None]] = {
    role.__name__: role
    for role in (
        hand_over_task,
        hand_over_service,
        serve,
        wait_then_hand_over_task,
        try_tokens,
        die,
    )
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
