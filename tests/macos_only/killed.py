"""Sends what macOS kills a process for, with nothing of child_port's: ctypes and mach_msg.

Run by test_expected_kill.py with several interpreters, Apple's own among them, which is older than
what child_port supports: so this is for Python 3.9.

    killed.py [--library PATH] harmless | own-task | to-own-task | to-host | to-child |
        plain-answer | reply-port | platform-binary

harmless     hands a send right to a new port to itself
own-task     hands its task port to itself
to-own-task  sends a message to its task port as if a task were a server
to-host      sends one to the host's port, which the kernel serves too
to-child     sends one to the task port of a child, which child_port handed over
plain-answer sends to a port that wants answers to go to reply ports, and offers an ordinary one
reply-port   sends to such a port, and offers a reply port

It prints "sending", sends, and prints "returned CODE" if it is still there. With platform-binary it
only says whether the kernel takes it for a program that Apple ships: "platform-binary True".
"""

import argparse
import ctypes
import os
import sys

MACH_PORT_RIGHT_RECEIVE = 1
MACH_MSG_TYPE_COPY_SEND = 19
MACH_MSG_TYPE_MAKE_SEND = 20
MACH_MSG_TYPE_MAKE_SEND_ONCE = 21
MPO_INSERT_SEND_RIGHT = 0x10
MPO_REPLY_PORT = 0x1000
MPO_ENFORCE_REPLY_PORT_SEMANTICS = 0x2000
MACH_MSGH_BITS_COMPLEX = 0x80000000
MACH_SEND_MSG = 1
MACH_SEND_TIMEOUT = 0x10
TIMEOUT_MS = 1000
CS_OPS_STATUS = 0
CS_PLATFORM_BINARY = 0x04000000

WHAT = [
    "harmless",
    "own-task",
    "to-own-task",
    "to-host",
    "to-child",
    "plain-answer",
    "reply-port",
    "platform-binary",
]


class Message(ctypes.Structure):
    """A mach_msg_header_t, a body of one descriptor, and a mach_msg_port_descriptor_t."""

    _fields_ = (
        ("msgh_bits", ctypes.c_uint32),
        ("msgh_size", ctypes.c_uint32),
        ("msgh_remote_port", ctypes.c_uint32),
        ("msgh_local_port", ctypes.c_uint32),
        ("msgh_voucher_port", ctypes.c_uint32),
        ("msgh_id", ctypes.c_int32),
        ("msgh_descriptor_count", ctypes.c_uint32),
        ("name", ctypes.c_uint32),
        ("pad1", ctypes.c_uint32),
        ("pad2", ctypes.c_uint16),
        ("disposition", ctypes.c_uint8),
        ("type", ctypes.c_uint8),
    )


def own_task(library: ctypes.CDLL) -> int:
    """mach_task_self(), which is a macro over a variable in Apple's headers."""
    try:
        return int(ctypes.c_uint32.in_dll(library, "mach_task_self_").value)
    except ValueError:
        return int(library.mach_task_self())


def new_port(library: ctypes.CDLL, task: int) -> int:
    """A receive right with a send right under the same name."""
    name = ctypes.c_uint32()
    made = library.mach_port_allocate(task, MACH_PORT_RIGHT_RECEIVE, ctypes.byref(name))
    if made == 0:
        made = library.mach_port_insert_right(task, name.value, name.value, MACH_MSG_TYPE_MAKE_SEND)
    if made != 0:
        sys.exit(f"no port: {made}")
    return name.value


def construct(library: ctypes.CDLL, task: int, flags: int) -> int:
    """A port of this kind."""
    options = (ctypes.c_uint64 * 3)(flags)  # a mach_port_options_t: the flags, and nothing else
    name = ctypes.c_uint32()
    arguments = (ctypes.byref(options), ctypes.c_uint64(0), ctypes.byref(name))
    made = library.mach_port_construct(task, *arguments)
    if made != 0:
        sys.exit(f"no port: {made}")
    return name.value


def send(library: ctypes.CDLL, server: int, name: int, reply: int = 0) -> int:
    """Hand the name's send right to the server, and offer a port for the answer: the result."""
    local = MACH_MSG_TYPE_MAKE_SEND_ONCE << 8 if reply else 0
    message = Message(
        msgh_bits=MACH_MSGH_BITS_COMPLEX | local | MACH_MSG_TYPE_COPY_SEND,
        msgh_size=ctypes.sizeof(Message),
        msgh_remote_port=server,
        msgh_local_port=reply,
        msgh_id=10011,
        msgh_descriptor_count=1,
        name=name,
        disposition=MACH_MSG_TYPE_COPY_SEND,
    )
    library.mach_msg.argtypes = [ctypes.c_void_p] + [ctypes.c_uint32] * 6
    options = MACH_SEND_MSG | MACH_SEND_TIMEOUT
    size = ctypes.sizeof(message)
    return int(library.mach_msg(ctypes.byref(message), options, size, 0, 0, TIMEOUT_MS, 0))


def child_task() -> int:
    """The name of a child's task port; the child ends with this process."""
    import child_port

    program = "import sys, child_port as c; c.check_in_to_parent(c.task_self()); sys.stdin.read()"
    child = child_port.Popen([sys.executable, "-c", program], stdin=-1)
    port = child.accept(TIMEOUT_MS / 100).port
    assert isinstance(port, child_port.SendRight)
    return port.detach()


def destination(library: ctypes.CDLL, what: str, port: int) -> int:
    if what == "to-own-task":
        return own_task(library)
    if what == "to-host":
        return int(library.mach_host_self())
    return child_task() if what == "to-child" else port


def is_platform_binary(library: ctypes.CDLL) -> bool:
    flags = ctypes.c_uint32()
    arguments = (os.getpid(), CS_OPS_STATUS, ctypes.byref(flags), ctypes.c_size_t(4))
    if library.csops(*arguments) != 0:
        sys.exit("csops failed")
    return bool(flags.value & CS_PLATFORM_BINARY)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    parser.add_argument("what", choices=WHAT)
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    if arguments.what == "platform-binary":
        print("platform-binary", is_platform_binary(library))
        return
    task = own_task(library)
    port = new_port(library, task)
    server = destination(library, arguments.what, port)
    name = task if arguments.what == "own-task" else port
    reply = 0
    if arguments.what in ("plain-answer", "reply-port"):
        flags = MPO_INSERT_SEND_RIGHT | MPO_ENFORCE_REPLY_PORT_SEMANTICS
        server = construct(library, task, flags)
        reply = construct(library, task, MPO_REPLY_PORT if arguments.what == "reply-port" else 0)
    print("sending", flush=True)
    print("returned", send(library, server, name, reply) & 0xFFFFFFFF, flush=True)


if __name__ == "__main__":
    main()
