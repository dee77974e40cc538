"""A shared-memory frame exchange: a renderer fills frames, a viewer looks at them, nobody copies.

The pixels lie in a file that both have mapped. What travels is the turn: a message says which
buffer is full, and carries a send-once right by which the viewer gives it back. If the viewer dies,
that right dies with it, and the renderer is told so instead of waiting for ever.
"""

import mmap
import struct
import sys
import tempfile

import child_port as cp

WIDTH, HEIGHT, FRAMES, BUFFERS = 320, 200, 12, 2
SIZE = WIDTH * HEIGHT
TURN = struct.Struct("=II")  # a buffer and a frame; when it comes back, a buffer and a brightness


def view() -> None:
    """The child: looks at each pixel."""
    with cp.ReceiveRight() as port:
        cp.check_in_to_parent(port, cp.Disposition.MAKE_SEND, timeout=30)
        with port.receive(timeout=30) as message, open(message.data, "rb") as file:
            memory = mmap.mmap(file.fileno(), SIZE * BUFFERS, prot=mmap.PROT_READ)
        for _ in range(FRAMES):
            with port.receive(timeout=30) as message:
                buffer, _ = TURN.unpack(message.data)
                brightness = sum(memory[buffer * SIZE : (buffer + 1) * SIZE]) // SIZE
                message.reply.send(TURN.pack(buffer, brightness))


def take_back(returned: cp.ReceiveRight) -> tuple[int, int]:
    """A buffer that is free again, and how bright the viewer found it."""
    message = returned.receive(timeout=30)
    if isinstance(message, cp.SendOnce):
        raise SystemExit("the viewer is gone")
    return TURN.unpack(message.data)


def render() -> None:
    with tempfile.NamedTemporaryFile() as file:
        file.truncate(SIZE * BUFFERS)
        memory = mmap.mmap(file.fileno(), SIZE * BUFFERS)
        free, seen = list(range(BUFFERS)), []
        with (
            cp.Popen([sys.executable, __file__, "view"]) as viewer,
            viewer.accept(timeout=30) as check_in,
            cp.ReceiveRight() as returned,
        ):
            check_in.port.send(file.name.encode())
            for frame in range(FRAMES):
                if not free:
                    buffer, brightness = take_back(returned)
                    free.append(buffer)
                    seen.append(brightness)
                buffer = free.pop()
                memory[buffer * SIZE : (buffer + 1) * SIZE] = bytes([frame * 20]) * SIZE
                check_in.port.send(TURN.pack(buffer, frame), reply_to=returned)
            while len(seen) < FRAMES:
                seen.append(take_back(returned)[1])
        print(f"{FRAMES} frames of {WIDTH}x{HEIGHT}, each as bright as rendered:", end=" ")
        print(sorted(seen) == [frame * 20 for frame in range(FRAMES)])


if __name__ == "__main__":
    view() if sys.argv[1:] == ["view"] else render()
