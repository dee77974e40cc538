"""A process id that is used again, which is made to happen in a namespace of its own (Linux)."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from support import DEADLINE, python

NAMESPACE = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
SETTABLE = ["sh", "-c", "echo 300 > /proc/sys/kernel/ns_last_pid"]

PROGRAM = """
import subprocess

def start_with(pid):
    # What the kernel gave last; the next number that is free comes after it.
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(pid - 1))
    return subprocess.Popen([sys.executable, "-c", STRANGER], stdin=-1, stdout=-1)

STRANGER = '''
import sys
import child_port as cp
name, token = sys.stdin.readline().split()
with cp.bootstrap.look_up(name) as server, cp.task_self() as task:
    cp.check_in(server, int(token), task, timeout=30)
print("sent", flush=True)
sys.stdin.read()
'''

def send(stranger, server, token):
    stranger.stdin.write(f"{server.service_name} {token}\\n".encode())
    stranger.stdin.flush()
    assert stranger.stdout.readline() == b"sent\\n"

child = cp.Popen([sys.executable, "-c", "pass"])
os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
"""


@pytest.fixture(scope="module", autouse=True)
def _namespace() -> None:
    if sys.platform != "linux" or not shutil.which("unshare"):
        pytest.skip("needs Linux, and the program unshare")
    asked = subprocess.run([*NAMESPACE, *SETTABLE], capture_output=True, check=False)
    if asked.returncode != 0:
        pytest.skip("this kernel or container gives no namespaces")


def in_a_namespace(program: str) -> None:
    result = subprocess.run(
        [*NAMESPACE, *python(PROGRAM + program)],
        stderr=subprocess.PIPE,
        text=True,
        timeout=2 * DEADLINE,
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_a_childs_id_is_its_own_until_its_status_was_taken() -> None:
    in_a_namespace(
        "with start_with(child.pid) as stranger:\n"
        "    assert stranger.pid != child.pid\n"
        "    send(stranger, child.server, child.server.token)\n"
        "    try: child.accept(DEADLINE)\n"
        "    except cp.PeerGone: pass\n"
        "    else: raise AssertionError\n"
        "    assert child.server.stats['wrong_sender'] == 1\n"
        "with child: pass\n"
    )


def test_the_next_process_with_a_childs_id_is_not_taken_for_a_child_that_lives() -> None:
    in_a_namespace(
        "assert subprocess.Popen.wait(child) == 0\n"
        "with start_with(child.pid) as stranger:\n"
        "    assert stranger.pid == child.pid\n"
        "    send(stranger, child.server, child.server.token ^ 1)\n"
        "    try: child.accept(DEADLINE)\n"
        "    except cp.PeerGone: pass\n"
        "    else: raise AssertionError\n"
        "    assert child.server.stats['bad_token'] == 1\n"
        "with child: pass\n"
    )
