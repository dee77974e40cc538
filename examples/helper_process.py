"""A helper-process architecture: a service that moves into a helper, and survives its crashes.

The parent makes the service's port, so that clients have a send right before there is a helper.
The receive right moves into the helper, with the requests that wait. The helper does dangerous
work: when it dies, the port dies with it, the client whose request it had taken is told so, and the
parent starts another helper for a new port. Clients that give up, on the other hand, do the helper
no harm; it ends when the last of them is gone.
"""

import subprocess
import sys
from contextlib import suppress

import child_port as cp


def answer(request: cp.Message, data: bytes) -> None:
    """To whoever still waits for it."""
    if isinstance(request.reply, (cp.SendOnceRight, cp.SendRight)):
        with suppress(cp.MachError):  # who asked is gone, or does not read its answers
            request.reply.send(data, timeout=1)


def serve(port: cp.ReceiveRight) -> None:
    port.notify_no_senders(port, sync=0)
    while True:
        try:
            request = port.receive()
        except cp.ResourceShortage:  # it had more rights than this process has room for
            continue
        with request:
            if isinstance(request, cp.NoSenders):
                return
            if isinstance(request, cp.Message):
                # What makes it worth a process of its own: this may crash.
                answer(request, str(1000 // int(request.data)).encode())


def helper() -> None:
    with cp.receive_from_parent(timeout=30) as check_in:
        serve(check_in.port)


class Service:
    """A helper and the right to send it requests."""

    def __init__(self) -> None:
        port = cp.ReceiveRight()
        self.right = port.make_send()
        self.process = cp.Popen([sys.executable, __file__, "helper"], stderr=subprocess.DEVNULL)
        self.process.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=30)

    def divide(self, number: str) -> str:
        with self.right.request(number.encode(), timeout=30) as reply:
            return reply.data.decode()

    def divide_in_a_hurry(self, number: str) -> None:
        """Ask, and go away before there is an answer."""
        with cp.ReceiveRight() as answers:
            self.right.send(number.encode(), reply_to=answers)

    def close(self) -> None:
        self.right.close()
        with self.process:
            pass


def parent() -> None:
    service = Service()
    service.divide_in_a_hurry("16")
    for number in ("8", "0", "4"):
        try:
            print(f"1000 / {number} =", service.divide(number))
        except (cp.PeerGone, cp.InvalidDestination):
            print(f"1000 / {number} crashed the helper; here is another one")
            service.close()
            service = Service()
    service.close()


if __name__ == "__main__":
    helper() if sys.argv[1:] == ["helper"] else parent()
