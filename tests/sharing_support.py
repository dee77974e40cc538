"""Helpers for the tests of rights in multiprocessing; children import this module too."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import child_port as cp
from support import DEADLINE

METHODS = ["spawn", "forkserver"]


def start_what_is_made_once() -> None:
    """The fork server, and the process that tracks what is left over."""
    for method in METHODS:
        context: Any = multiprocessing.get_context(method)
        process = context.Process(target=os.getpid)
        process.start()
        process.join(DEADLINE)
        process.close()


def serve_once(port: cp.ReceiveRight) -> None:
    with port, port.receive(DEADLINE) as message:
        assert isinstance(message, cp.Message) and isinstance(message.reply, cp.SendOnceRight)
        message.reply.send(message.data.upper(), timeout=DEADLINE)


def run(process: Any) -> None:
    process.start()
    process.join(DEADLINE)
    code = process.exitcode
    process.close()
    assert code == 0


def dumps(right: cp.Right) -> bytes:
    from multiprocessing.reduction import ForkingPickler

    return bytes(ForkingPickler.dumps(right))
