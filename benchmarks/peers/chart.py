"""A bar chart of rates as SVG, written by hand: one scale in powers of ten, one group of bars for each kind of token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 860, 300, 90
BAR, GAP, GROUP = 18, 5, 30
OURS, THEIRS, INK, GRID = "#1f6feb", "#8c959f", "#1f2328", "#d0d7de"


@dataclass(frozen=True)
class Bar:
    """One rate.

    Attributes:
        name: Who.
        rate: Values a CPU second.
        ours: Drawn in colour.
    """

    name: str
    rate: float
    ours: bool


def chart(title: str, groups: Sequence[tuple[str, Sequence[Bar]]]) -> str:
    """The chart as the text of an SVG file."""
    rates = [bar.rate for _, bars in groups for bar in bars]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    span = WIDTH - LEFT - RIGHT

    def place(rate: float) -> float:
        return LEFT + span * (math.log10(rate) - low) / (high - low)

    parts, y = [_text(20, 28, title, 16, weight="bold")], 48
    body: list[str] = []
    for name, bars in groups:
        y += GROUP
        body.append(_text(20, y - 9, name, 13, weight="bold"))
        for bar in bars:
            colour = OURS if bar.ours else THEIRS
            body.append(_text(LEFT - 8, y + 13, bar.name, 12, anchor="end"))
            body.append(f'<rect x="{LEFT}" y="{y}" width="{place(bar.rate) - LEFT:.1f}" height="{BAR}" rx="2" fill="{colour}"/>')
            body.append(_text(place(bar.rate) + 6, y + 13, short(bar.rate), 12))
            y += BAR + GAP
    for power in range(low, high + 1):
        x = place(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="54" x2="{x:.1f}" y2="{y + 6}" stroke="{GRID}"/>')
        parts.append(_text(x, y + 22, short(10.0**power), 11, anchor="middle"))
    foot = _text(LEFT + span / 2, y + 42, "values per CPU second, one core, logarithmic scale", 12, anchor="middle")
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
