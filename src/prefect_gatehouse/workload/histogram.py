"""A round's counts as people see them: the outcomes that came most often, as bars in the terminal's text and in an SVG 1.1 image.

All circuits of a round are added up. What may be shown to whom is not decided here (``run/round_view.py``).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from html import escape

from prefect_gatehouse.workload.counts import Counts

_SHOWN = 16  # outcomes: four qubits' worth, and a picture of one screen
_LONGEST = 24  # bits of an outcome that are written; the middle of a longer one is left out
_BAR = 32  # characters of the longest bar in a terminal of 80

# In pixels, as in drawing.py: a cell of a monospaced font is 0.6 of its size wide.
_CELL, _LINE, _SIZE, _MARGIN, _WIDTH = 8, 18, 13.33, 8, 320
_STYLE = (
    "<style>.counts{color:#1a1f26}.counts .ground{fill:#fff}.counts .bar{fill:#2f6fab}"
    "@media (prefers-color-scheme:dark){.counts{color:#e6edf3}.counts .ground{fill:#14181d}.counts .bar{fill:#6cb0f2}}</style>"
)


@dataclass(frozen=True)
class Histogram:
    """The outcomes of a round.

    Attributes:
        bars: The most frequent ones with their shots, most first, equal ones in the order of their bits.
        others: How many outcomes there are beside them.
        rest: Shots of those.
        entropy: Of the whole, in bits (Shannon).
    """

    bars: tuple[tuple[str, int], ...]
    others: int
    rest: int
    entropy: float

    @property
    def shots(self) -> int:
        """All of them."""
        return sum(count for _, count in self.bars) + self.rest

    @property
    def heading(self) -> str:
        """The shape alone, in one line: nothing of which outcomes they are."""
        distinct = len(self.bars) + self.others
        return f"{distinct:,} distinct outcome{'s' if distinct != 1 else ''} in {self.shots:,} shots, entropy {self.entropy:.1f} bits"

    @property
    def lines(self) -> tuple[str, ...]:
        """For a terminal: outcome, bar, shots."""
        most, wide = max((count for _, count in self.bars), default=1), max((len(_short(bits)) for bits, _ in self.bars), default=0)
        drawn = [f"{_short(bits):>{wide}} {'█' * max(1, round(_BAR * count / most)):<{_BAR}} {count:,}" for bits, count in self.bars]
        return tuple([*drawn, self._more] if self.others else drawn)

    @property
    def _more(self) -> str:
        return f"and {self.others:,} more with {self.rest:,} shots"

    @cached_property
    def svg(self) -> str:
        """An SVG element without script, link or font of its own; light or dark as the reader's page is."""
        wide = max((len(_short(bits)) for bits, _ in self.bars), default=0) * _CELL
        most = max((count for _, count in self.bars), default=1)
        digits = (len(f"{most:,}") + 1) * _CELL
        rows = len(self.bars) + bool(self.others)
        width, height = 2 * _MARGIN + max(wide + _CELL + _WIDTH + digits, len(self._more) * _CELL), 2 * _MARGIN + rows * _LINE
        left = _MARGIN + wide + _CELL
        parts = []
        for row, (bits, count) in enumerate(self.bars):
            top, long = _MARGIN + row * _LINE, round(_WIDTH * count / most, 1)
            base = top + _LINE - 5
            parts.append(f'<text x="{left - _CELL}" y="{base}" text-anchor="end">{_short(bits)}</text>')
            parts.append(f'<rect class="bar" x="{left}" y="{top + 2}" width="{long}" height="{_LINE - 4}"/>')
            parts.append(f'<text x="{left + long + _CELL / 2}" y="{base}">{count:,}</text>')
        if self.others:
            parts.append(f'<text x="{_MARGIN}" y="{_MARGIN + rows * _LINE - 5}">{self._more}</text>')
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="counts" role="img" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
            f'<title>{escape(self.heading)}</title>{_STYLE}<rect class="ground" width="100%" height="100%"/>'
            f'<g fill="currentColor" font-family="ui-monospace, monospace" font-size="{_SIZE}">{"".join(parts)}</g></svg>'
        )


def histogram(counts: Iterable[Counts]) -> Histogram:
    """Adds up the counts of a round's circuits.

    Args:
        counts: One mapping of a circuit, keys of zeros and ones.
    """
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    total = +total  # an outcome that never came is none
    ordered = sorted(total.items(), key=lambda item: (-item[1], item[0]))
    shots = sum(total.values())
    entropy = -sum(count / shots * math.log2(count / shots) for count in total.values())
    rest = ordered[_SHOWN:]
    return Histogram(tuple(ordered[:_SHOWN]), len(rest), sum(count for _, count in rest), abs(entropy))


def _short(bits: str) -> str:
    half = (_LONGEST - 1) // 2
    return bits if len(bits) <= _LONGEST else f"{bits[:half]}…{bits[-half:]}"
