"""Sends what macOS kills a process for, with nothing of child_port's: ctypes and mach_msg.

Run by test_expected_kill.py with several interpreters, Apple's own among them, which is older than
what child_port supports: so this is for Python 3.9.

    killed.py [--library PATH] harmless | own-task | to-own-task | to-host | to-child

harmless     hands a send right to a new port to itself
own-task     hands its task port to itself
to-own-task  sends a message to its task port as if a task were a server
to-host      sends one to the host's port, which the kernel serves too
to-child     sends one to the task port of a child, which child_port handed over

It prints "sending", sends, and prints "returned CODE" if it is still there.
"""

import argparse
import ctypes
import sys

MACH_PORT_RIGHT_RECEIVE = 1
MACH_MSG_TYPE_COPY_SEND = 19
MACH_MSG_TYPE_MAKE_SEND = 20
MACH_MSGH_BITS_COMPLEX = 0x80000000
MACH_SEND_MSG = 1
MACH_SEND_TIMEOUT = 0x10
TIMEOUT_MS = 1000

WHAT = ["harmless", "own-task", "to-own-task", "to-host", "to-child"]


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


def send(library: ctypes.CDLL, server: int, name: int) -> int:
    """Hand the name's send right to the server; mach_msg's result."""
    message = Message(
        msgh_bits=MACH_MSGH_BITS_COMPLEX | MACH_MSG_TYPE_COPY_SEND,
        msgh_size=ctypes.sizeof(Message),
        msgh_remote_port=server,
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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    parser.add_argument("what", choices=WHAT)
    arguments = parser.parse_args()
    library = ctypes.CDLL(arguments.library)
    task = own_task(library)
    port = new_port(library, task)
    server = destination(library, arguments.what, port)
    name = task if arguments.what == "own-task" else port
    print("sending", flush=True)
    print("returned", send(library, server, name) & 0xFFFFFFFF, flush=True)


if __name__ == "__main__":
    main()
