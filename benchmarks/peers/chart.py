"""A bar chart as SVG, written by hand: one scale, in powers of ten or linear, and a group of bars for each thing compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 860, 300, 90
BAR, GAP, GROUP = 18, 5, 30
OURS, THEIRS, INK, GRID = "#1f6feb", "#8c959f", "#1f2328", "#d0d7de"


@dataclass(frozen=True)
class Bar:
    """One figure.

    Attributes:
        name: Who.
        value: How much.
        ours: Drawn in colour.
        note: What stands behind the bar beside the figure.
    """

    name: str
    value: float
    ours: bool
    note: str = ""


@dataclass(frozen=True)
class Scale:
    """Where a figure lies between the ends of the scale.

    Attributes:
        place: Between 0 and 1.
        ticks: What is marked.
        unit: What the figures are.
    """

    place: Callable[[float], float]
    ticks: Sequence[float]
    unit: str


def powers_of_ten(values: Sequence[float]) -> Scale:
    """Values a CPU second, from one power of ten to another."""
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    ticks = [10.0**power for power in range(low, high + 1)]
    return Scale(lambda value: (math.log10(value) - low) / (high - low), ticks, "values per CPU second, one core, logarithmic scale")


def seconds(values: Sequence[float]) -> Scale:
    """Wall seconds from 0 on."""
    step = next(step for power in range(7) for step in (10**power, 2 * 10**power, 5 * 10**power) if max(values) <= 6 * step)
    end = step * math.ceil(max(values) / step)
    room = 0.66  # of the width; behind the bar stands a note
    return Scale(lambda value: room * value / end, [float(tick) for tick in range(0, end + 1, step)], "wall seconds, median; shorter is better")


def chart(title: str, groups: Sequence[tuple[str, Sequence[Bar]]], scale_of: Callable[[Sequence[float]], Scale] = powers_of_ten) -> str:
    """The chart as the text of an SVG file."""
    scale = scale_of([bar.value for _, bars in groups for bar in bars])
    span = WIDTH - LEFT - RIGHT

    def place(value: float) -> float:
        return LEFT + span * scale.place(value)

    parts, y = [_text(20, 28, title, 16, weight="bold")], 48
    body: list[str] = []
    for name, bars in groups:
        y += GROUP
        body.append(_text(20, y - 9, name, 13, weight="bold"))
        for bar in bars:
            colour = OURS if bar.ours else THEIRS
            body.append(_text(LEFT - 8, y + 13, bar.name, 12, anchor="end"))
            body.append(f'<rect x="{LEFT}" y="{y}" width="{place(bar.value) - LEFT:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            body.append(_text(place(bar.value) + 6, y + 13, f"{short(bar.value)} {bar.note}".rstrip(), 12))
            y += BAR + GAP
    for tick in scale.ticks:
        x = place(tick)
        parts.append(f'<line x1="{x:.1f}" y1="54" x2="{x:.1f}" y2="{y + 6}" stroke="{GRID}"/>')
        parts.append(_text(x, y + 22, short(tick), 11, anchor="middle"))
    foot = _text(LEFT + span / 2, y + 42, scale.unit, 12, anchor="middle")
    height = y + 56
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" font-family="system-ui, sans-serif" fill="{INK}">'
    return "\n".join(
        [head, f"<title>{escape(title)}</title>", f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>', *parts, *body, foot, "</svg>", ""]
    )


def short(rate: float) -> str:
    """A rate as a person writes it: 8.2 M, 250 k."""
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if rate >= unit:
            return f"{rate / unit:.3g}{name}"
    return f"{rate:.3g}"


def _text(x: float, y: float, text: str, size: int, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
