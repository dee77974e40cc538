"""Checks in with the parent, then runs a Python program in this process.

The parent starts this with child_port.Popen and takes the rights with accept(); the program needs
no code for it. It is run as by python itself: it is __main__, has its own sys.argv and sys.path,
and its exit status is this command's. It may still call check_in_to_parent() for more rights, and
receive_from_parent().

Each right is one check-in, in the order given. Without any, the task port is handed over:

  task           this process's task port
  none           no port: only that the program is about to run
  service:NAME   a send right to the service of that name

The program is a file, a folder or zip archive with a __main__.py in it, a module (-m), a text (-c),
or what standard input has (-).

Exits with 125 if a check-in fails; then the program has not been started. A program that cannot be
found is a usage error, 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from ._output import die_of_interrupt, seconds, service_name

NAME = "run"
HELP = "run a Python program, with its check-in with the parent done"

CHECK_IN_FAILED = 125
"""As of env and timeout, which run programs too: a status that few programs exit with."""


def right_spec(text: str) -> str:
    kind, colon, name = text.partition(":")
    if kind == "service" and colon:
        service_name(name)
    elif text not in ("task", "none"):
        raise argparse.ArgumentTypeError(f"{text!r} is not task, none or service:NAME")
    return text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        f"{parser.prog} [--task-port] [--right WHAT]... [--timeout SECONDS]\n"
        "       {script.py | -m module | -c code | -} [arguments of the program ...]"
    )
    parser.add_argument(
        "--task-port",
        action="append_const",
        dest="rights",
        const="task",
        help="hand over the task port; short for --right task",
    )
    parser.add_argument(
        "--right",
        action="append",
        dest="rights",
        type=right_spec,
        metavar="WHAT",
        help="hand this over; as often as there are rights",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="SECONDS",
        help="for all check-ins together (30)",
    )


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is for this command, and the program with what is for it, whatever that looks like.

    By hand: argparse takes a "--" out of the program's own arguments in some versions of Python.
    """
    at = 0
    while at < len(arguments):
        argument = arguments[at]
        if argument == "--":
            return list(arguments[:at]), list(arguments[at + 1 :])
        if not argument.startswith("-") or argument == "-" or argument[:2] in ("-m", "-c"):
            break
        at += 2 if argument in ("--right", "--timeout") else 1
    return list(arguments[:at]), list(arguments[at:])


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from . import _check_in, _program

    try:
        program = _program.find(options.program)
    except _program.ProgramError as error:
        parser.error(str(error))
    try:
        if not _check_in.check_in(options.rights or ["task"], options.timeout):
            return CHECK_IN_FAILED
    except KeyboardInterrupt:
        return die_of_interrupt()
    return _program.run(program)
