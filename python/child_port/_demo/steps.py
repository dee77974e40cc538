"""The five steps, from the parent's side."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import child_port as cp

from .children import DEADLINE, NO_SECRET
from .transcript import Step

WRONG_TOKENS = 3
QUEUED_BEFORE, SENT_AFTER = 3, 2


def command(role: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "child_port._demo.children", role, *arguments]


@contextmanager
def child_of(step: Step, role: str, *arguments: str) -> Iterator[cp.Popen[str]]:
    """A child that is gone, and whose events are in the transcript, when the block is left."""
    step.say(f"starts a child: {role.replace('_', ' ')}")
    with cp.Popen(
        command(role, *arguments), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        try:
            yield child
            output, _ = child.communicate(timeout=DEADLINE)
        except BaseException:
            child.kill()
            raise
        step.hear(output)


def a_task(step: Step) -> None:
    with child_of(step, "hand_over_task") as child:
        with child.accept(DEADLINE) as check_in:
            step.say("accepts", check_in.port)
            assert isinstance(check_in.port, cp.SendRight)
            pid = cp.pid_for_task(check_in.port)
            sender = check_in.sender.pid
        step.check(f"pid_for_task says {pid}, the child is {child.pid}", pid == child.pid)
        step.check(f"the audit token says {sender}", sender == child.pid)


def b_service(step: Step) -> None:
    with child_of(step, "hand_over_service") as child, cp.Server(token=NO_SECRET) as answers:
        with child.accept(DEADLINE) as check_in:
            assert isinstance(check_in.port, cp.SendRight)
            step.say("accepts, and checks a right in there", check_in.port)
            with answers.make_send() as right:
                cp.check_in(check_in.port, NO_SECRET, right, timeout=DEADLINE)
        sender = answers.accept(DEADLINE).sender.pid
        step.say("is answered at the right that it checked in", answers.port)
        step.check(f"the answer came from {sender}, the child", sender == child.pid)


def c_move(step: Step) -> None:
    count = QUEUED_BEFORE + SENT_AFTER
    with (
        child_of(step, "serve", str(count)) as child,
        cp.Server(token=NO_SECRET) as answers,
        cp.ReceiveRight() as port,
        port.make_send() as right,
        answers.make_send() as answer_to,
    ):
        for _ in range(QUEUED_BEFORE):
            cp.check_in(right, NO_SECRET, answer_to, timeout=DEADLINE)
        step.say(f"queues {QUEUED_BEFORE} check-ins at a port", port)
        child.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=DEADLINE)
        step.say("gives the receive right away, keeps a send right", right)
        moved = port.closed
        for _ in range(SENT_AFTER):
            cp.check_in(right, NO_SECRET, answer_to, timeout=DEADLINE)
        step.say(f"sends {SENT_AFTER} more", right)
        senders = [answers.accept(DEADLINE).sender.pid for _ in range(count)]
        step.say(f"got {count} answers", answers.port)
        step.check("the parent's receive right is gone", moved)
        step.check(
            f"the child answered all {count}, those from before the move included",
            senders == [child.pid] * count,
        )


def d_stranger(step: Step) -> None:
    with child_of(step, "wait_then_hand_over_task") as child:
        assert child.stdin is not None and child.server.service_name is not None
        arguments = command("try_tokens", child.server.service_name, str(WRONG_TOKENS))
        done = subprocess.run(
            arguments, stdout=subprocess.PIPE, text=True, timeout=DEADLINE, check=True
        )
        step.hear(done.stdout)
        child.stdin.write("go\n")
        child.stdin.flush()
        with child.accept(DEADLINE) as check_in:
            step.say("accepts the child all the same", check_in.port)
            sender = check_in.sender.pid
        stats = child.server.stats
        step.check(
            f"{stats['bad_token']} wrong tokens were counted", stats["bad_token"] == WRONG_TOKENS
        )
        step.check(
            f"{stats['accepted']} check-in was accepted, from the child ({sender})",
            (stats["accepted"], sender) == (1, child.pid),
        )


def e_death(step: Step) -> None:
    with child_of(step, "die") as child:
        before = time.monotonic()
        try:
            child.accept(DEADLINE)
            gone = False
        except cp.PeerGone:
            gone = True
        waited = time.monotonic() - before
        step.say(f"its wait ends; the child's status is {child.wait(DEADLINE)}")
        step.check("the wait ended with PeerGone", gone)
        step.check(f"at once: not at the deadline of {DEADLINE:.0f} s", waited < DEADLINE / 2)


STEPS: list[tuple[str, Callable[[Step], None]]] = [
    ("A child hands its parent a send right to its task", a_task),
    ("A child hands its parent a service of its own, and the parent checks in there", b_service),
    ("A parent moves a receive right to a child, with what is queued on it", c_move),
    ("A stranger tries wrong tokens before the child checks in", d_stranger),
    ("A child dies before it checks in", e_death),
]


def run_step(letter: str, title: str, act: Callable[[Step], None]) -> Step:
    step = Step(letter, title)
    try:
        act(step)
    except Exception as error:
        step.check(f"no error: {type(error).__name__}: {error}", False)
    return step
