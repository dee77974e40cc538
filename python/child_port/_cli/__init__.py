"""The command line. One module for each subcommand; each imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Protocol

from .._child_port import Cancelled, MachError, PeerGone
from . import demo, doctor, ledger, look_up, run, serve
from ._output import PROGRAM, die_of_interrupt, print_error

FAILED = 1
"""The exit status when a command could not do what it is for; 2 is for a usage error."""


class Command(Protocol):
    """What a subcommand's module has."""

    NAME: str
    HELP: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def execute(self, options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
        """The exit status."""


COMMANDS: tuple[Command, ...] = (demo, run, serve, look_up, doctor, ledger)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Hand Mach port rights between processes.",
        epilog=f"{PROGRAM} COMMAND --help says more of each.",
    )
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, title="commands"
    )
    for command in COMMANDS:
        one = commands.add_parser(
            command.NAME,
            help=command.HELP,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.add_arguments(one)
        one.set_defaults(execute=command.execute, parser=one)
    given = list(sys.argv[1:] if arguments is None else arguments)
    program: list[str] = []
    if given[:1] == [run.NAME]:
        given[1:], program = run.split(given[1:])
    options = parser.parse_args(given, argparse.Namespace(program=program))
    try:
        return int(options.execute(options, options.parser))
    except KeyboardInterrupt:
        if options.command == run.NAME:
            raise  # the program's, and the interpreter's to show
        return die_of_interrupt()
    except (MachError, PeerGone, Cancelled) as error:
        print_error(options.command, str(error))
        return FAILED
    except BrokenPipeError:
        # Whoever read this, a pager or head, wants no more. Nor must the interpreter try at exit.
        sys.stdout = None
        return FAILED
