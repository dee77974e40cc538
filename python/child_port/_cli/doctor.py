"""Looks at what child_port needs here: names, inherited rights, a child that checks in, limits.

Every check is done for real, with a child process. Exits with 1 if a child cannot hand its task
port to its parent, which is what child_port is for; what is only a limit is a warning.
"""

from __future__ import annotations

import argparse

from ._output import print_json, styled

NAME = "doctor"
HELP = "check whether child_port can work here, and say what would fail and why"

_STYLES = {"ok": "green", "warning": "yellow", "failed": "red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def execute(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    from ._checks import about, all_checks

    system = about()
    if not options.json:
        for key, value in system.items():
            print(f"{key:<12}{value}")
        print(flush=True)
    findings = []
    for finding in all_checks():
        findings.append(finding)
        if not options.json:
            print(f"{styled(f'{finding.status:<9}', _STYLES[finding.status])}{finding.what}")
            print(f"         {finding.detail}")
            if finding.advice:
                print(f"         {finding.advice}")
            print(end="", flush=True)
    works = all(finding.status != "failed" for finding in findings)
    if options.json:
        told = [vars(finding) for finding in findings]
        print_json({"about": system, "works": works, "checks": told})
    elif works:
        print("\na child can hand its task port to its parent here")
    else:
        print(styled("\na child cannot hand its task port to its parent here", "red"))
    return 0 if works else 1
