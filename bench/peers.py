"""The streams between two Python processes.

    python -m bench.peers STREAM COUNT WARM_UP RECEIVER_CPU SENDER_CPU

is the receiver: it starts the sender, and prints the nanoseconds a message took. The sender lives
until the receiver has all, so that what it handed over does not die on the way.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import repeat
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from typing import Protocol

import child_port

PAYLOAD = bytes(48)
TOKEN = 0x5EED
HANDED_OVER = "handed over"
DEADLINE = 60.0


class Receiver(Protocol):
    """Receives and releases; `channel` is what the sender needs to find it."""

    channel: str

    def start(self, command: list[str], stdin: int) -> "subprocess.Popen[bytes]": ...

    def receive(self, count: int) -> None: ...


class CheckInReceiver:
    """At a port that the sender is handed: both processes have one thread, like the others."""

    channel = HANDED_OVER

    def __init__(self) -> None:
        self.server = child_port.Server(token=TOKEN)

    def start(self, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
        sender = child_port.Popen(command, stdin=stdin, transport="inherited")
        with self.server.make_send() as right:
            sender.send_right(right, timeout=DEADLINE)
        return sender

    def receive(self, count: int) -> None:
        accept = self.server.accept
        for _ in repeat(None, count):
            accept().close()


class NamedCheckInReceiver(CheckInReceiver):
    """At a service with a name: a second thread answers who looks it up."""

    def __init__(self) -> None:
        self.channel = f"child_port.bench.{os.getpid()}"
        self.server = child_port.Server(token=TOKEN, service_name=self.channel)

    def start(self, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(command, stdin=stdin)


def send_check_ins(channel: str, count: int) -> None:
    check_in = child_port.check_in
    if channel == HANDED_OVER:
        handed_over = child_port.receive_from_parent(timeout=DEADLINE).port
        assert isinstance(handed_over, child_port.SendRight)
        server = handed_over
    else:
        server = child_port.bootstrap.look_up(channel)
    port = child_port.ReceiveRight()
    right = port.make_send()
    for _ in repeat(None, count):
        check_in(server, TOKEN, right)
    wait_for_receiver()
    port.close()


def start_with(end: socket.socket, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
    """Start the sender, who gets this end for good."""
    with end:
        return subprocess.Popen(command, stdin=stdin, pass_fds=(end.fileno(),))


class FdsReceiver:
    """socket.recv_fds from a SEQPACKET pair."""

    def __init__(self) -> None:
        self.socket, self.other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = str(self.other.fileno())

    def start(self, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
        return start_with(self.other, command, stdin)

    def receive(self, count: int) -> None:
        ours, recv_fds, close = self.socket, socket.recv_fds, os.close
        for _ in repeat(None, count):
            close(recv_fds(ours, 64, 1)[1][0])


def send_fds(channel: str, count: int) -> None:
    send = socket.send_fds
    payload, (end, _other) = [PAYLOAD], socket.socketpair()
    fds = [end.fileno()]
    with socket.socket(fileno=int(channel)) as ours:
        for _ in repeat(None, count):
            send(ours, payload, fds)
        wait_for_receiver()


class HandleReceiver:
    """multiprocessing.reduction.recv_handle, with the payload by the same connection."""

    def __init__(self) -> None:
        ours, other = socket.socketpair()
        self.connection = Connection(ours.detach())
        self.other = other
        self.channel = str(other.fileno())

    def start(self, command: list[str], stdin: int) -> "subprocess.Popen[bytes]":
        return start_with(self.other, command, stdin)

    def receive(self, count: int) -> None:
        connection, close = self.connection, os.close
        for _ in repeat(None, count):
            connection.recv_bytes()
            close(recv_handle(connection))


def send_handles(channel: str, count: int) -> None:
    end, _other = socket.socketpair()
    handle, receiver = end.fileno(), os.getppid()
    with Connection(int(channel)) as connection:
        for _ in repeat(None, count):
            connection.send_bytes(PAYLOAD)
            send_handle(connection, handle, receiver)
        wait_for_receiver()


RECEIVERS: dict[str, Callable[[], Receiver]] = {
    "check_in": CheckInReceiver,
    "check_in_named": NamedCheckInReceiver,
    "send_fds": FdsReceiver,
    "send_handle": HandleReceiver,
}
SENDERS = {
    "check_in": send_check_ins,
    "check_in_named": send_check_ins,
    "send_fds": send_fds,
    "send_handle": send_handles,
}


def wait_for_receiver() -> None:
    sys.stdin.buffer.read()


def run_on_cpu(cpu: int) -> None:
    if cpu >= 0:
        os.sched_setaffinity(0, {cpu})


def receive(stream: str, count: int, warm_up: int, sender_cpu: int) -> float:
    """Nanoseconds a message."""
    receiver = RECEIVERS[stream]()
    command = [sys.executable, "-m", "bench.peers", "send", stream, receiver.channel]
    # Both ends stay open: a gap would keep the two descriptors of a right apart.
    end, hold = os.pipe()
    with receiver.start([*command, str(count + warm_up), str(sender_cpu)], end) as sender:
        receiver.receive(warm_up)
        start = time.perf_counter_ns()
        receiver.receive(count)
        elapsed = time.perf_counter_ns() - start
        os.close(hold)
    if sender.returncode != 0:
        raise SystemExit(f"the sender exited with {sender.returncode}")
    return elapsed / count


def main(arguments: list[str]) -> None:
    if arguments[0] == "send":
        _, stream, channel, count, cpu = arguments
        run_on_cpu(int(cpu))
        SENDERS[stream](channel, int(count))
        return
    stream, count, warm_up, receiver_cpu, sender_cpu = arguments
    run_on_cpu(int(receiver_cpu))
    print(f"{receive(stream, int(count), int(warm_up), int(sender_cpu)):.1f}")


if __name__ == "__main__":
    main(sys.argv[1:])
