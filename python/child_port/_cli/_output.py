"""What the commands print with: colours on a terminal, one-line errors, checked arguments."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from contextlib import suppress
from typing import TextIO

PROGRAM = "python -m child_port"

_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def wants_colour(stream: TextIO) -> bool:
    """Only a terminal gets colours, and none does if NO_COLOR is set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    if not wants_colour(sys.stdout if stream is None else stream):
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def print_json(value: object, *, indent: int | None = 2) -> None:
    print(json.dumps(value, indent=indent), flush=True)


def print_error(command: str, text: str) -> None:
    label = styled("error:", "red", sys.stderr)
    print(f"{PROGRAM} {command}: {label} {text}", file=sys.stderr)


def seconds(text: str) -> float:
    """A timeout, as an argument."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (0 <= value < math.inf):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def service_name(text: str) -> str:
    """A service name, as an argument; the same bounds as the bootstrap server's."""
    try:
        length = len(text.encode())
    except UnicodeEncodeError:
        length = 0
    if not 1 <= length <= 127:
        raise argparse.ArgumentTypeError("a service name has 1 to 127 bytes in UTF-8")
    return text


def number_of(text: str, *, least: int, most: int) -> int:
    """A whole number, as an argument, in decimal or with 0x."""
    try:
        value = int(text, 0)
    except ValueError:
        value = least - 1
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
    return value


def die_of_interrupt() -> int:
    """End as Ctrl-C ends a process, which is what a shell looks at, and without a traceback."""
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    return 128 + signal.SIGINT
