"""Serves a name: prints each check-in that comes, and releases what came with it.

Ends with Ctrl-C, after --count check-ins, or after --timeout seconds; with both, it exits with 1 if
fewer came in time. A client needs the token, which is random unless it is given.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from functools import partial

from ._output import number_of, print_json, seconds, service_name, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._child_port import CheckIn
    from .._server import Server

NAME = "serve"
HELP = "serve a name, and show the check-ins that come"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=service_name, metavar="NAME", help="the service name")
    parser.add_argument(
        "--count",
        type=partial(number_of, least=1, most=2**63 - 1),
        metavar="N",
        help="end after N check-ins",
    )
    parser.add_argument(
        "--timeout", type=seconds, metavar="SECONDS", help="end after this time in any case"
    )
    parser.add_argument(
        "--token",
        type=partial(number_of, least=0, most=2**64 - 1),
        help="what a check-in must carry",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, one line for each event")


def _show_start(server: Server, name: str, as_json: bool) -> None:
    if as_json:
        print_json({"event": "serving", "service": name, "token": server.token}, indent=None)
        return
    print(f"serving {styled(name, 'bold')} with the token {server.token:#x}; Ctrl-C ends it")
    print("to check in from another shell:")
    client = (
        f"import child_port as cp; cp.check_in(cp.bootstrap.look_up({json.dumps(name)}), "
        f"{server.token:#x}, cp.task_self())"
    )
    print(" ", shlex.join([sys.executable, "-c", client]), flush=True)


def _show_check_in(check_in: CheckIn, as_json: bool) -> None:
    from ._describe import describe

    port = None if check_in.port is None else describe(check_in.port)
    if as_json:
        event = {"event": "check-in", "sender": check_in.sender.pid, "port": port}
        print_json(event | {"disposition": check_in.disposition}, indent=None)
        return
    who = styled(f"process {check_in.sender.pid}", "cyan")
    if port is None:
        what = "no port"
    else:
        whose = f", the task port of process {port['pid']}" if port["pid"] else ""
        what = f"{port['kind']} 0x{port['name']:x}{whose}"
    print(f"{who} checked in: {what}", flush=True)


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from .._child_port import TimedOut
    from .._deadline import Deadline
    from .._server import Server

    deadline = Deadline(options.timeout)
    accepted = 0
    status = 0
    with Server(service_name=options.name, token=options.token) as server:
        try:
            _show_start(server, options.name, options.json)
            while options.count is None or accepted < options.count:
                with server.accept(deadline.left()) as check_in:
                    accepted += 1
                    _show_check_in(check_in, options.json)
        except TimedOut:
            status = 0 if options.count is None else 1
        except KeyboardInterrupt:
            pass
        refused = server.stats["bad_token"] + server.stats["malformed"]
        if options.json:
            end = {"event": "end", "accepted": accepted, "refused": refused}
            print_json(end, indent=None)
        else:
            print(f"{accepted} accepted, {refused} refused")
    return status
