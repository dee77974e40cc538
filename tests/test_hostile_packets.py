"""A holder of a send right's descriptors that speaks to the raw socket, which only Linux has.

What it sends is dropped with all that it carries, at once, and the next check-in arrives as if
nothing had been. That nothing stays open is the fixture no_right_leaks' to see.
"""

from __future__ import annotations

import array
import os
import select
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import child_port as cp
import pytest
from support import DEADLINE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="about mach_linux's packets")

MAGIC = 0x31504D4C
NULL, DEAD, SEND, TASK, SEND_ONCE, RECEIVE, RECEIVE_STATE = range(7)
COMPLEX = 0x80000000
PORT_RECEIVE, PORT_SEND, PORT_SEND_ONCE = 16, 17, 18
ARRIVES_AS = {
    SEND: PORT_SEND,
    TASK: PORT_SEND,
    SEND_ONCE: PORT_SEND_ONCE,
    RECEIVE: PORT_RECEIVE,
    RECEIVE_STATE: PORT_RECEIVE,
}


def packet(
    *, fds: int = 0, reply: int = NULL, bits: int = 0, size: int | None = None, body: bytes = b""
) -> bytes:
    """A wire header, a Mach header and what follows."""
    wire = struct.pack("<IHBBII", MAGIC, fds, reply, 0, 0, 0)
    size = 24 + len(body) if size is None else size
    return wire + struct.pack("<IIIIIi", bits, size, 0, 0, 0, 10011) + body


def with_right(carry: int, fds: int) -> bytes:
    """A message with one port descriptor of that kind."""
    disposition = ARRIVES_AS[carry]
    body = struct.pack("<IIIHBB", 1, carry, 0, 0, disposition, 0)
    return packet(fds=fds, bits=COMPLEX, body=body)


@pytest.fixture
def server() -> Iterator[cp.Server]:
    with cp.Server() as server:
        yield server


@pytest.fixture
def sender(server: cp.Server) -> Iterator[socket.socket]:
    """A duplicate of the descriptor that the send right is."""
    with ExitStack() as stack:
        for name in sorted(int(name) for name in os.listdir("/proc/self/fd")):
            if not Path(f"/proc/self/fd/{name}").exists():
                continue
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            candidate = stack.enter_context(socket.socket(fileno=os.dup(name)))
            if candidate.family != socket.AF_UNIX or candidate.type != socket.SOCK_SEQPACKET:
                continue
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED):
                continue  # a receiving end
            candidate.settimeout(0)
            if reaches(candidate, server):
                yield candidate
                return
    pytest.fail("no descriptor leads to the server's port")


def reaches(candidate: socket.socket, server: cp.Server) -> bool:
    """A message of an unknown id is malformed to the server, and counted, if it comes there."""
    before = server.stats["malformed"]
    try:
        candidate.send(packet())
    except OSError:
        return False
    with pytest.raises(TimeoutError):
        server.accept(0)
    return server.stats["malformed"] > before


def still_serves(server: cp.Server) -> None:
    with server.make_send() as client, cp.ReceiveRight() as port:
        cp.check_in(client, server.token, port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
        with server.accept(DEADLINE) as check_in:
            assert isinstance(check_in.port, cp.SendRight)


BROKEN = {
    "empty": b"",
    "one byte": b"x",
    "garbage": b"\xa5" * 4000,
    "a header cut short": packet()[:30],
    "another magic": b"XXXX" + packet()[4:],
    "a size beyond the packet": packet(size=4096),
    "a size below a header": packet(size=8),
    "a size that is not a multiple of four": packet(body=b"abc"),
    "more descriptors than there is room for": packet(
        bits=COMPLEX, body=struct.pack("<I", 0xFFFFFFFF)
    ),
    "complex without a count": packet(bits=COMPLEX),
    "a reply of no known kind": packet(reply=99, bits=PORT_SEND),
    "a reply right without its descriptors": packet(reply=SEND, bits=PORT_SEND),
    "a receive right as a reply": packet(reply=RECEIVE, bits=PORT_RECEIVE),
    "descriptors announced but missing": packet(fds=3),
    "a right without its descriptors": with_right(SEND, 2),
    "a disposition of another kind": packet(
        bits=COMPLEX, body=struct.pack("<IIIHBB", 1, NULL, 0, 0, 77, 0)
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_packet_is_dropped(server: cp.Server, sender: socket.socket, what: str) -> None:
    for _ in range(20):
        sender.send(BROKEN[what])
    still_serves(server)


def lingering() -> list[socket.socket]:
    """A TCP socket that blocks whoever closes it last, and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 2))
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        return [client, peer]


def a_file(stack: ExitStack) -> int:
    return stack.enter_context(Path("/proc/self/maps").open("rb")).fileno()


def a_directory(stack: ExitStack) -> int:
    fd = os.open("/", os.O_RDONLY)
    stack.callback(os.close, fd)
    return fd


def an_epoll(stack: ExitStack) -> int:
    return stack.enter_context(select.epoll()).fileno()


def a_tcp_socket_that_lingers(stack: ExitStack) -> int:
    client, peer = lingering()
    stack.enter_context(peer)
    return stack.enter_context(client).fileno()


def a_netlink_socket(stack: ExitStack) -> int:
    return stack.enter_context(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)).fileno()


def a_stream_socket(stack: ExitStack) -> int:
    return stack.enter_context(socket.socket(socket.AF_UNIX)).fileno()


FOREIGN: list[Callable[[ExitStack], int]] = [
    a_file,
    a_directory,
    an_epoll,
    a_tcp_socket_that_lingers,
    a_netlink_socket,
    a_stream_socket,
]


@pytest.mark.parametrize("carry", [SEND, TASK, SEND_ONCE, RECEIVE, RECEIVE_STATE])
@pytest.mark.parametrize("what", FOREIGN)
def test_descriptors_of_another_kind_are_closed(
    server: cp.Server, sender: socket.socket, what: Callable[[ExitStack], int], carry: int
) -> None:
    count = {SEND: 2, TASK: 1, SEND_ONCE: 1, RECEIVE: 2, RECEIVE_STATE: 3}[carry]
    with ExitStack() as stack:
        fd = what(stack)
        rights = array.array("i", [fd] * count)
        for _ in range(3):
            sender.sendmsg(
                [with_right(carry, count)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            )
        still_serves(server)


def test_a_receive_right_whose_ends_do_not_belong_together_is_refused(
    server: cp.Server, sender: socket.socket
) -> None:
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        rights = array.array("i", [one.fileno(), sender.fileno()])
        sender.sendmsg([with_right(RECEIVE, 2)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        still_serves(server)


def test_more_descriptors_than_a_message_calls_for_are_closed(
    server: cp.Server, sender: socket.socket
) -> None:
    with open("/proc/self/maps", "rb") as file:
        rights = array.array("i", [file.fileno()] * 253)
        for _ in range(5):
            sender.sendmsg([packet()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        still_serves(server)


def test_a_port_that_was_cut_off_ends_the_wait_and_the_sends(
    server: cp.Server, sender: socket.socket
) -> None:
    sender.shutdown(socket.SHUT_RDWR)
    with pytest.raises(cp.PortChanged):
        server.accept(DEADLINE)
    with server.make_send() as client, cp.ReceiveRight() as port:
        with pytest.raises(cp.InvalidDestination):
            cp.check_in(client, server.token, port, cp.Disposition.MAKE_SEND, timeout=DEADLINE)
        assert not port.closed


def test_a_port_whose_buffer_was_shrunk_still_serves(
    server: cp.Server, sender: socket.socket
) -> None:
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for _ in range(20):
        still_serves(server)
