"""A sampling memory reader: a parent watches a counter in its child's memory.

The child gives its task port away and counts. The parent reads the counter's eight bytes, again and
again, without the child's help: with mach_vm_read_overwrite on macOS, where the task port is the
right to do so, and with process_vm_readv on Linux, where the port says who the process is and the
kernel asks whether the parent may trace it.
"""

import ctypes
import sys
import time

import child_port as cp

COUNT_TO = 5_000_000


def child() -> None:
    counter = ctypes.c_uint64(0)
    with cp.ReceiveRight() as commands:
        with cp.task_self() as task:
            cp.check_in_to_parent(task, key="task", timeout=30)
        with commands.make_send() as right:
            cp.check_in_to_parent(right, key="commands", timeout=30)
        with commands.receive(timeout=30) as message:
            message.reply.send(ctypes.addressof(counter).to_bytes(8, sys.byteorder))
        while counter.value < COUNT_TO:
            counter.value += 1
        commands.receive(timeout=30).close()  # stay until the parent has seen the end


class Region(ctypes.Structure):
    """struct iovec."""

    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def read_uint64(task: cp.SendRight, address: int) -> int:
    """Eight bytes of another process's memory."""
    value = ctypes.c_uint64(0)
    system = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin":
        size = ctypes.c_uint64(0)
        result = system.mach_vm_read_overwrite(
            ctypes.c_uint32(task.name),
            ctypes.c_uint64(address),
            ctypes.c_uint64(8),
            ctypes.c_uint64(ctypes.addressof(value)),
            ctypes.byref(size),
        )
        if result != 0:
            raise OSError(f"mach_vm_read_overwrite: {result}")
    else:
        here, there = Region(ctypes.addressof(value), 8), Region(address, 8)
        pid = cp.pid_for_task(task)
        if system.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0) != 8:
            raise OSError(ctypes.get_errno(), "process_vm_readv")
    return value.value


def parent() -> None:
    with cp.Popen([sys.executable, __file__, "child"]) as process:
        rights = process.collect({"task": cp.SendRight, "commands": cp.SendRight}, timeout=30)
        with rights["task"] as task, rights["commands"] as commands:
            with commands.request(b"where is it?", timeout=30) as answer:
                address = int.from_bytes(answer.data, sys.byteorder)
            samples = [read_uint64(task, address)]
            while samples[-1] < COUNT_TO:
                time.sleep(0.01)
                samples.append(read_uint64(task, address))
            print(f"{len(samples)} samples, rising: {samples == sorted(samples)}")
            print("the last one:", samples[-1])
            commands.send(b"seen")


if __name__ == "__main__":
    child() if sys.argv[1:] == ["child"] else parent()
