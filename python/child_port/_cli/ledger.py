"""Shows child_port.ledger() of a process at work: this one, with a child and a few rights.

Each row is a port name with its user references, the right objects that own them, and the line
that made each. Names without an owner are the system's or native code's.
"""

from __future__ import annotations

import argparse
import os
import sys

from ._output import print_json, styled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._ledger import LedgerEntry

NAME = "ledger"
HELP = "show the port names of a process at work, and who owns each"

_CHILD = (
    "import sys, child_port as cp; cp.check_in_to_parent(cp.task_self(), timeout=20); "
    "sys.stdin.read()"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print it as JSON")


def _table(rows: list[tuple[str, str, str, str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[column].ljust(widths[column]) for column in range(3)]
        line = "  ".join([*cells, row[3]]).rstrip()
        lines.append(styled(line, "bold") if number == 0 else line)
    return "\n".join(lines)


def _rows(entries: list[LedgerEntry]) -> list[tuple[str, str, str, str]]:
    rows = [("NAME", "REFERENCES", "OWNER", "MADE AT")]
    for entry in entries:
        name = f"0x{entry.name:x}"
        counts = ", ".join(f"{count} {kind}" for kind, count in entry.references.items())
        owners = [
            (owner.kind, _place(owner.created[0]) if owner.created else "")
            for owner in entry.owners
        ]
        if entry.not_owned:
            owners.append((f"{entry.not_owned} not owned", ""))
        for kind, place in owners or [("", "")]:
            rows.append((name, counts, kind, place))
            name = counts = ""
    return rows


def _place(line: str) -> str:
    """The file without its folder."""
    path, _, where = line.rpartition(":")
    return f"{os.path.basename(path)}:{where}"


def _at_work() -> list[LedgerEntry]:
    """The ledger while rights of each kind are there."""
    from .._child_port import PortSet, ReceiveRight
    from .._ledger import ledger, trace_rights
    from .._spawn import Popen

    traced = trace_rights(True)
    try:
        with (
            ReceiveRight() as port,
            port.make_send(),
            port.make_send(),
            port.make_send_once(),
            PortSet() as ports,
            Popen([sys.executable, "-c", _CHILD], stdin=-1) as child,
        ):
            ports.add(port)
            try:
                with child.accept(20):
                    return ledger()
            finally:
                child.kill()
                assert child.stdin is not None
                child.stdin.close()
    finally:
        trace_rights(traced)


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from dataclasses import asdict

    entries = _at_work()
    if options.json:
        print_json({"pid": os.getpid(), "names": [asdict(entry) for entry in entries]})
    else:
        print(f"process {os.getpid()}, with a child that has checked in\n")
        print(_table(_rows(entries)))
    return 0
