"""What ports and rights occupy: descriptors, and memory here and in the kernel.

    python -m bench.resources own|foreign       measure, and print one JSON object

The kernel's part is the growth of all its slabs, so other processes disturb it.
"""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import child_port

MOST = 4_000
MOST_FDS_EACH = 4
SPARE_FDS = 200
DEADLINE = 60.0
TOKEN = 0x5EED


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def kernel_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("Slab:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/meminfo has no line Slab")


def occupied(count: int, make: Callable[[], object]) -> tuple[dict[str, float], list[object]]:
    """What each of the things that `make` makes occupies, and the things."""
    things: list[object] = [None] * count
    before = descriptors(), resident_bytes(), kernel_bytes()
    for index in range(count):
        things[index] = make()
    after = descriptors(), resident_bytes(), kernel_bytes()
    names = ("descriptors", "bytes", "kernel_bytes")
    each = {name: (new - old) / count for name, old, new in zip(names, before, after, strict=True)}
    return each, things


def raise_limit() -> int:
    """How many things to make: as many as RLIMIT_NOFILE has room for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = min(hard, 65_536) if hard != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(MOST, (soft - SPARE_FDS) // (2 * MOST_FDS_EACH)))


def own_rights(count: int) -> dict[str, dict[str, float]]:
    figures = {}
    figures["a port: ReceiveRight"], ports = occupied(count, child_port.ReceiveRight)
    receive_rights = iter([port for port in ports if isinstance(port, child_port.ReceiveRight)])
    figures["a send right to a port of one's own"], sends = occupied(
        count, lambda: next(receive_rights).make_send()
    )
    first = sends[0]
    assert isinstance(first, child_port.SendRight)
    figures["one more user reference: copy"], _copies = occupied(count, first.copy)
    return figures


def foreign_rights(count: int) -> dict[str, dict[str, float]]:
    """A child hands over a send right to each of its many ports."""
    name = f"child_port.bench.{os.getpid()}"
    server = child_port.Server(child_port.bootstrap.check_in(name), token=TOKEN)
    command = [sys.executable, "-m", "bench.resources", "send", name, str(count + 1)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as sender:
        with server.accept(timeout=DEADLINE):  # by now the sender has made all its ports
            pass
        figures, _rights = occupied(count, lambda: server.accept(timeout=DEADLINE).port)
        sender.communicate()
    return {"a send right to a port of another process": figures}


def send(name: str, count: int) -> None:
    raise_limit()
    server = child_port.bootstrap.look_up(name)
    ports = [child_port.ReceiveRight() for _ in range(count)]
    for port in ports:
        child_port.check_in(server, TOKEN, port, child_port.Disposition.MAKE_SEND, timeout=DEADLINE)
    sys.stdin.buffer.read()  # until the receiver has all
    for port in ports:
        port.close()


def main(arguments: list[str]) -> None:
    if arguments[0] == "send":
        send(arguments[1], int(arguments[2]))
        return
    measure = {"own": own_rights, "foreign": foreign_rights}[arguments[0]]
    print(json.dumps(measure(raise_limit())))


if __name__ == "__main__":
    main(sys.argv[1:])
