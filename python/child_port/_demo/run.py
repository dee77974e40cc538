"""Runs the steps and shows their transcript."""

from __future__ import annotations

import json

from .. import _child_port
from .steps import STEPS, run_step


def run(as_json: bool) -> int:
    """The exit status: 0 if every check of every step held."""
    steps = []
    if not as_json:
        print(f"child_port on {_child_port.PLATFORM}, stubs by {_child_port.MIG}", flush=True)
    for letter, (title, act) in zip("abcde", STEPS, strict=True):
        steps.append(run_step(letter, title, act))
        if not as_json:
            print(f"\n{steps[-1].text()}", flush=True)
    held = all(step.held for step in steps)
    if as_json:
        about = {"platform": _child_port.PLATFORM, "mig": _child_port.MIG, "held": held}
        print(json.dumps(about | {"steps": [step.data() for step in steps]}, indent=2))
    else:
        count = sum(len(step.checks) for step in steps)
        failed = sum(not check.held for step in steps for check in step.checks)
        print(f"\n{count} checks, {failed} failed" if failed else f"\nall {count} checks held")
    return 0 if held else 1
