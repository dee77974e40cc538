"""Audit events: what is told, and that a hook that raises stops the operation with nothing lost.

An audit hook stays for good, so each test has a process of its own.
"""

from __future__ import annotations

import subprocess

from support import DEADLINE, python

HOOK = """
events = []
forbidden = set()
def hook(event, arguments):
    if event.startswith("child_port."):
        events.append((event, arguments))
        if event in forbidden:
            raise PermissionError("not here")
sys.addaudithook(hook)
server = cp.Server(token=5)
send = server.make_send()
port = cp.ReceiveRight()
"""


def in_a_process(program: str) -> None:
    result = subprocess.run(
        python(HOOK + program + "\nport.close()\nserver.close()\n"),
        stderr=subprocess.PIPE,
        text=True,
        timeout=DEADLINE,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_check_in_and_an_accept_are_told_with_names_and_no_token() -> None:
    in_a_process(
        "cp.check_in(send, 5, port, cp.Disposition.MAKE_SEND, timeout=30)\n"
        "cp.check_in(send.name, 5, None, timeout=30)\n"
        "assert server.accept(30).port.name == port.name\n"
        "assert events == [\n"
        "    ('child_port.check_in', (send.name, port.name, cp.Disposition.MAKE_SEND)),\n"
        "    ('child_port.check_in', (send.name, 0, cp.Disposition.COPY_SEND)),\n"
        "    ('child_port.accept', (server.port.name,)),\n"
        "], events\n"
    )


def test_a_hook_that_forbids_a_check_in_leaves_the_right_with_its_object() -> None:
    in_a_process(
        "forbidden.add('child_port.check_in')\n"
        "try: cp.check_in(send, 5, port, cp.Disposition.MOVE_RECEIVE, timeout=30)\n"
        "except PermissionError: pass\n"
        "else: raise AssertionError\n"
        "try: server.accept(0)\n"
        "except cp.TimedOut: pass\n"
        "else: raise AssertionError\n"
        "assert not port.closed and not send.closed\n"
        "forbidden.clear()\n"
        "cp.check_in(send, 5, port, cp.Disposition.MOVE_RECEIVE, timeout=30)\n"
        "assert port.closed\n"
        "with server.accept(30): pass\n"
    )


def test_a_hook_that_forbids_an_accept_leaves_the_check_in_in_the_queue() -> None:
    in_a_process(
        "cp.check_in(send, 5, port, cp.Disposition.MAKE_SEND, timeout=30)\n"
        "forbidden.add('child_port.accept')\n"
        "try: server.accept(30)\n"
        "except PermissionError: pass\n"
        "else: raise AssertionError\n"
        "assert server.stats['accepted'] == 0\n"
        "forbidden.clear()\n"
        "with server.accept(0) as check_in: assert check_in.port.name == port.name\n"
    )


def test_bad_arguments_are_no_event() -> None:
    in_a_process(
        "try: cp.check_in(send, -1, port)\nexcept OverflowError: pass\nassert events == []\n"
    )
