"""The diagrams of the documentation, drawn with drawsvg: each function is one picture.

python docs/diagrams.py FOLDER
"""

import sys
from pathlib import Path

import drawsvg as draw

FONT = "Helvetica, Arial, sans-serif"
INK, SOFT, LINE = "#1b1f24", "#5b6670", "#8a949e"
BLUE, GREEN, SAND = "#dbe9f6", "#dff0de", "#f6ecd6"


class Picture:
    """A drawing on a white card, so that it can be read on a dark page as well."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self.drawing = draw.Drawing(width, height, font_family=FONT)
        self.drawing.append_title(title)
        self.drawing.append(draw.Rectangle(0, 0, width, height, rx=8, fill="#ffffff"))
        self.head = draw.Marker(-0.1, -0.5, 0.9, 0.5, scale=9, orient="auto")
        self.head.append(draw.Lines(-0.1, -0.5, -0.1, 0.5, 0.9, 0, fill=SOFT, close=True))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: int = 13,
        anchor: str = "middle",
        color: str = INK,
        bold: bool = False,
        halo: bool = False,
    ) -> None:
        weight = "bold" if bold else "normal"
        self.drawing.append(
            draw.Text(
                text,
                size,
                x,
                y,
                text_anchor=anchor,
                fill=color,
                font_weight=weight,
                # White round the letters, where they cross a line.
                stroke="#ffffff" if halo else "none",
                stroke_width=4,
                paint_order="stroke",
            )
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, *lines: str) -> None:
        """A box with its lines of text in the middle, the first one bold."""
        self.drawing.append(
            draw.Rectangle(x, y, width, height, rx=6, fill=fill, stroke=LINE, stroke_width=1)
        )
        top = y + height / 2 - (len(lines) - 1) * 9 + 5
        for i, line in enumerate(lines):
            self.text(x + width / 2, top + 18 * i, line, bold=i == 0)

    def frame(self, x: float, y: float, width: float, height: float, label: str) -> None:
        """A process: a dashed frame with its name at the top."""
        self.drawing.append(
            draw.Rectangle(
                x, y, width, height, rx=8, fill="none", stroke=LINE, stroke_dasharray="5 4"
            )
        )
        self.text(x + width / 2, y + 20, label, 14, bold=True)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, dashed: bool = False) -> None:
        dash = "5 4" if dashed else "none"
        self.drawing.append(
            draw.Line(
                x1,
                y1,
                x2,
                y2,
                stroke=SOFT,
                stroke_width=1.5,
                stroke_dasharray=dash,
                marker_end=self.head,
            )
        )

    def line(self, x1: float, y1: float, x2: float, y2: float) -> None:
        self.drawing.append(draw.Line(x1, y1, x2, y2, stroke=LINE, stroke_width=1))


def handshake() -> draw.Drawing:
    """Who says what to whom when a child checks in."""
    p = Picture(840, 430, "A child checks in with its parent")
    parent, names, child = 140, 435, 700
    for x, fill, name in (
        (parent, BLUE, "parent"),
        (names, SAND, "bootstrap server"),
        (child, GREEN, "child"),
    ):
        p.box(x - 80, 16, 160, 32, fill, name)
        p.line(x, 48, x, 414)
    steps = (
        (parent, names, "1  claims a random name, gets a receive right"),
        (parent, child, "2  starts the child, with a pipe"),
        (parent, child, "3  through the pipe: a secret token, and the name"),
        (child, names, "4  looks the name up, gets a send right"),
        (child, parent, "5  one Mach message: the token, and the child's right"),
    )
    for i, (start, end, what) in enumerate(steps):
        y = 96 + i * 54
        left, right = min(start, end), max(start, end)
        p.text((left + right) / 2, y - 8, what, halo=True)
        sign = 1 if end > start else -1
        p.arrow(start, y, end - 13 * sign, y)
    p.box(
        parent - 120,
        340,
        240,
        64,
        BLUE,
        "6  accepts",
        "the token is right, and so is",
        "the kernel's word on the sender",
    )
    p.box(
        child - 120,
        340,
        240,
        64,
        GREEN,
        "keeps what it kept",
        "a copied right is one more",
        "a moved one is gone",
    )
    return p.drawing


def inherited() -> draw.Drawing:
    """How a child finds its parent where no name may be registered."""
    p = Picture(840, 400, "A child inherits the right to check in")
    p.frame(16, 16, 330, 368, "parent")
    p.frame(494, 16, 330, 368, "child")
    p.box(40, 56, 282, 46, BLUE, "1  a port without a name", "the receive right stays here")
    p.box(
        40,
        138,
        282,
        64,
        SAND,
        "2  registered ports",
        "a free one of three slots",
        "has a send right to the port",
    )
    p.box(
        518,
        138,
        282,
        64,
        SAND,
        "registered ports",
        "the child has its own copies,",
        "from the moment it is started",
    )
    p.box(40, 238, 282, 46, BLUE, "4  what was in the slot before", "is put back")
    p.box(518, 238, 282, 46, GREEN, "5  takes the right out", "of the slot that the pipe says")
    p.box(40, 318, 282, 46, BLUE, "7  accepts", "the same checks as ever")
    p.box(518, 318, 282, 46, GREEN, "6  checks in", "the token, and its right")
    p.line(181, 102, 181, 138)
    p.arrow(322, 170, 506, 170)
    p.text(414, 160, "inherited", 12, color=SOFT)
    p.arrow(322, 220, 506, 220, dashed=True)
    p.text(414, 210, "3  pipe: token, slot", 12, color=SOFT, halo=True)
    p.line(181, 202, 181, 238)
    p.line(659, 202, 659, 238)
    p.line(659, 284, 659, 318)
    p.arrow(518, 341, 334, 341)
    p.text(426, 331, "one Mach message", 12, color=SOFT)
    return p.drawing


def layers() -> draw.Drawing:
    """What is generated, and what wraps it."""
    p = Picture(760, 324, "From the interface to Python")
    p.box(16, 230, 190, 64, SAND, "child_port.defs", "the interface,", "as Crashpad has it")
    p.arrow(206, 262, 296, 262)
    p.text(248, 252, "mig", 12, color=SOFT)
    p.box(310, 230, 205, 64, SAND, "user stub", "packs and sends:", "child_port_check_in()")
    p.box(
        539,
        230,
        205,
        64,
        SAND,
        "server stub",
        "checks a message, and calls",
        "handle_child_port_check_in()",
    )
    p.box(
        310, 124, 434, 64, GREEN, "ext/*.c: the extension", "rights, deadlines, waiting, ownership"
    )
    p.box(310, 30, 434, 52, BLUE, "python/child_port", "Server, Handshake, Popen: the protocol")
    p.line(527, 82, 527, 124)
    p.arrow(412, 188, 412, 218)
    p.arrow(641, 230, 641, 200)
    return p.drawing


def port() -> draw.Drawing:
    """What a port is made of on Linux."""
    p = Picture(720, 330, "A port on Linux: two channels between processes")
    p.frame(16, 16, 300, 298, "a task with a send right")
    p.frame(404, 16, 300, 298, "the task with the receive right")
    p.box(40, 56, 252, 46, GREEN, "name 0x303: a send right", "user references are counted here")
    p.box(428, 56, 252, 46, BLUE, "name 0x207: the receive right", "sequence numbers, limits")
    p.box(40, 140, 252, 50, SAND, "sending end of a socket", "each task has a duplicate")
    p.box(428, 140, 252, 50, SAND, "receiving end", "its buffer is the queue")
    p.arrow(292, 165, 416, 165)
    p.text(360, 155, "messages", 12, color=SOFT)
    p.box(
        40,
        226,
        252,
        62,
        SAND,
        "read end of a pipe",
        "at its end when the port is dead:",
        "looked at when a right arrives",
    )
    p.box(428, 226, 252, 62, SAND, "write end", "an error when no reader is left:", "no senders")
    p.arrow(416, 257, 292, 257, dashed=True)
    p.text(360, 247, "nothing", 12, color=SOFT)
    p.line(166, 102, 166, 140)
    p.line(554, 102, 554, 140)
    return p.drawing


PICTURES = {"handshake": handshake, "inherited": inherited, "layers": layers, "port": port}


def write_all(folder: Path) -> None:
    """Draw every picture into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        picture().save_svg(str(folder / f"{name}.svg"))


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
