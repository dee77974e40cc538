"""The demo: five steps, each checked, and a failure shows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from child_port._demo.run import run
from child_port._demo.steps import run_step
from child_port._demo.transcript import Step

DEADLINE = 100.0


def demo(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "child_port", "demo", *arguments],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def test_every_check_of_every_step_holds() -> None:
    result = demo("--json")
    assert (result.returncode, result.stderr) == (0, "")
    report = json.loads(result.stdout)
    assert report["held"]
    assert [step["letter"] for step in report["steps"]] == list("abcde")
    for step in report["steps"]:
        assert step["held"] and step["checks"]
        processes = {(event["who"], event["pid"]) for event in step["events"]}
        assert len(processes) >= 2, "a step is between processes"
        assert len({pid for _, pid in processes}) == len(processes)
        times = [event["at"] for event in step["events"]]
        assert times == sorted(times)


def test_the_transcript_says_who_did_what_when_with_which_right() -> None:
    result = demo()
    assert (result.returncode, result.stderr) == (0, "")
    steps = re.split(r"^(?=[a-e]\. )", result.stdout, flags=re.MULTILINE)[1:]
    assert [step[0] for step in steps] == list("abcde")
    event = re.compile(r"^ +\d+ us  (parent|child|stranger) +\d+  \w.*$", re.MULTILINE)
    right = re.compile(r" (SendRight|ReceiveRight) 0x[0-9a-f]+$", re.MULTILINE)
    for step in steps:
        assert event.search(step)
        assert re.search(r"^  ok  ", step, re.MULTILINE)
    assert all(right.search(step) for step in steps[:4])
    assert "token hidden" in result.stdout
    assert "FAILED" not in result.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="breaks the bootstrap of mach_linux")
def test_a_demo_that_cannot_work_fails() -> None:
    result = demo(XDG_RUNTIME_DIR="/proc")  # where nobody can make a folder
    assert result.returncode == 1
    # How many steps can do without names depends on what the kernel says to it.
    assert "FAILED" in result.stdout


def test_a_step_fails_if_a_check_does_or_it_raises_or_checks_nothing() -> None:
    def wrong(step: Step) -> None:
        step.check("right", True)
        step.check("wrong", False)

    def raises(step: Step) -> None:
        step.check("right", True)
        raise LookupError("reason")

    for act in (wrong, raises, lambda step: None):
        step = run_step("x", "title", act)
        assert not step.held
    assert "FAILED  wrong" in run_step("x", "title", wrong).text()
    assert "LookupError: reason" in run_step("x", "title", raises).text()


def test_one_failure_is_the_demos(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def step(held: bool) -> tuple[str, Callable[[Step], None]]:
        return "title", lambda step: step.check("claim", held)

    monkeypatch.setattr("child_port._demo.run.STEPS", [step(index != 3) for index in range(5)])
    assert run(as_json=False) == 1
    assert "5 checks, 1 failed" in capsys.readouterr().out
