"""A line chart as SVG text: a number of things on a logarithmic axis, a cost on a linear one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 200, 64, 60
COLOURS = ("#0b6e99", "#c2571a", "#5b7f2b", "#7a4fa3")


@dataclass(frozen=True)
class Line:
    """One series of a chart."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """Where a pair of values lies in the picture."""

    x_from: float
    x_to: float
    y_to: float

    def x(self, value: float) -> float:
        span = math.log10(self.x_to) - math.log10(self.x_from)
        part = (math.log10(value) - math.log10(self.x_from)) / span if span else 0.5
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - value / self.y_to * (HEIGHT - TOP - BOTTOM)


def step_for(highest: float) -> float:
    """The distance of grid lines: 1, 2 or 5 times a power of ten, five lines or so."""
    rough = highest / 5
    power = 10.0 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)


def scale_for(lines: Sequence[Line]) -> tuple[Scale, float]:
    xs = [x for line in lines for x, _ in line.points]
    highest = max(y for line in lines for _, y in line.points)
    step = step_for(highest)
    return Scale(min(xs), max(xs), step * math.ceil(highest / step)), step


def text(x: float, y: float, content: str, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(content)}</text>"
    )


def axes(scale: Scale, step: float, x_label: str, y_label: str) -> list[str]:
    parts = []
    for i in range(round(scale.y_to / step) + 1):
        y = scale.y(i * step)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 8, y + 4, f"{i * step:g}", "end"))
    exponent = math.ceil(math.log10(scale.x_from))
    while 10**exponent <= scale.x_to:
        x = scale.x(10**exponent)
        parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#333"/>')
        parts.append(text(x, HEIGHT - BOTTOM + 20, f"{10**exponent:,}", "middle"))
        exponent += 1
    parts.append(f'<path d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}" stroke="#333"/>')
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, x_label, "middle"))
    parts.append(text(LEFT - 8, TOP - 12, y_label, "end"))
    return parts


def series(scale: Scale, line: Line, colour: str, row: int) -> list[str]:
    points = [(scale.x(x), scale.y(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
    at = TOP + 10 + 22 * row
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>',
        *dots,
        f'<path d="M{WIDTH - RIGHT + 16} {at}h18" stroke="{colour}" stroke-width="2"/>',
        text(WIDTH - RIGHT + 40, at + 4, line.label),
    ]


def chart(title: str, subtitle: str, x_label: str, y_label: str, lines: Sequence[Line]) -> str:
    """The whole picture, as the text of an SVG file."""
    scale, step = scale_for(lines)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" fill="#222">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(16, 22, title, size=15),
        text(16, 40, subtitle, size=11),
        *axes(scale, step, x_label, y_label),
    ]
    for row, line in enumerate(lines):
        parts += series(scale, line, COLOURS[row % len(COLOURS)], row)
    return "\n".join([*parts, "</svg>", ""])
