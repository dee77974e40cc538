"""A helper-process architecture: a service that moves into a helper, and survives its crashes.

The parent makes the service's port, so that clients have a send right before there is a helper.
The receive right moves into the helper, with the requests that wait. The helper does dangerous
work: when it dies, the port dies with it, the client whose request it had taken is told so, and the
parent starts another helper for a new port.
"""

import subprocess
import sys

import child_port as cp


def helper() -> None:
    with cp.receive_from_parent(timeout=30) as check_in:
        port = check_in.port
        while True:
            with port.receive() as request:
                if request.data == b"stop":
                    return
                # What makes it worth a process of its own: this may crash.
                number = 1000 // int(request.data)
                request.reply.send(str(number).encode())


class Service:
    """A helper and the right to send it requests."""

    def __init__(self) -> None:
        port = cp.ReceiveRight()
        self.right = port.make_send()
        self.process = cp.Popen([sys.executable, __file__, "helper"], stderr=subprocess.DEVNULL)
        self.process.send_right(port, cp.Disposition.MOVE_RECEIVE, timeout=30)

    def divide(self, number: str) -> str:
        with self.right.request(number.encode(), timeout=30) as answer:
            return answer.data.decode()

    def close(self) -> None:
        if not self.right.dead:
            self.right.send(b"stop")
        with self.process, self.right:
            pass


def parent() -> None:
    service = Service()
    for number in ("8", "0", "4"):
        try:
            print(f"1000 / {number} =", service.divide(number))
        except cp.PeerGone:
            print(f"1000 / {number} crashed the helper; here is another one")
            service.close()
            service = Service()
    service.close()


if __name__ == "__main__":
    helper() if sys.argv[1:] == ["helper"] else parent()
