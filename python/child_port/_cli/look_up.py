"""Looks a service name up and prints the right, and of which process it is if that can be known.

Mach tells whose port it is for a task port alone.
"""

from __future__ import annotations

import argparse

from ._output import print_json, seconds, service_name, styled

NAME = "look-up"
HELP = "look a service name up, and show the right"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=service_name, metavar="NAME", help="the service name")
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="how long to wait for who serves it"
    )
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from .._deadline import Deadline
    from .._transport import find_service
    from ._describe import describe

    with find_service(options.name, Deadline(options.timeout), None) as right:
        found = describe(right)
    if options.json:
        print_json({"service": options.name} | found)
        return 0
    whose = f"the task port of process {found['pid']}" if found["pid"] else "of a process not known"
    print(f"{styled(options.name, 'bold')}: {found['kind']} 0x{found['name']:x}, {whose}")
    return 0
