"""Runs five steps in separate processes, each checked, and shows what every process did when.

Exits with 1 if a check fails.
"""

from __future__ import annotations

import argparse

NAME = "demo"
HELP = "separate processes hand each other port rights, and every step is checked"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the transcript as JSON")


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from .._demo.run import run

    return run(options.json)
