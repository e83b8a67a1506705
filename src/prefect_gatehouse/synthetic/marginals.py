"""The marginal of one column: from uniform numbers to values, monotone, with no value that fewer than k rows of the source have.

``Levels`` for few distinct values: rare ones are pooled. ``Quantiles`` for many: the quantile function is a line between order
statistics k rows apart, its ends are medians of the k least and k greatest values, so that no outlier sets the range.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

Rounding = Callable[[Array], Array]

# Knots of a quantile function: a KS distance of 1/2000 is far below every tolerance.
_MOST_KNOTS = 2000
# A value that this share of rows has is a point of mass (a zero, a default), not a measurement.
_ATOM = 0.02


@dataclass(frozen=True)
class Steps:
    """Where a marginal is constant: in the normal score z it is a staircase there, elsewhere the identity.

    Attributes:
        cuts: Ends of the intervals in u, ascending, the last one 1.
        scores: The mean of z in each interval, NaN where the marginal is not constant.
    """

    cuts: Array
    scores: Array

    @classmethod
    def of(cls, edges: Array, constant: Array) -> Steps:
        """Steps between edges (0 to 1); E[Z | a < Z < b] = (phi(a) - phi(b)) / (Phi(b) - Phi(a))."""
        from scipy.special import ndtri

        density = np.exp(-0.5 * ndtri(edges) ** 2) / np.sqrt(2 * np.pi)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (density[:-1] - density[1:]) / np.diff(edges)
        return cls(edges[1:], np.where(constant, mean, np.nan))

    @property
    def smooth(self) -> bool:
        """Whether it is the identity throughout."""
        return bool(np.isnan(self.scores).all())

    def collapse(self, z: Array) -> Array:
        """Normal scores as the marginal lets them through."""
        if self.smooth:
            return z
        from scipy.special import ndtr

        score = self.scores[np.minimum(np.searchsorted(self.cuts, ndtr(z)), len(self.cuts) - 1)]
        return np.where(np.isnan(score), z, score)


@dataclass(frozen=True)
class Levels:
    """Few values, in their order; ``shares`` sum to 1."""

    shares: Array

    @property
    def steps(self) -> Steps:
        """Constant everywhere."""
        edges = np.concatenate([[0.0], np.cumsum(self.shares)])
        edges[-1] = 1.0
        return Steps.of(edges, np.ones(len(self.shares), bool))

    def draw(self, u: Array) -> Array:
        """Numbers of levels."""
        cuts = np.cumsum(self.shares)
        return np.minimum(np.searchsorted(cuts, u, side="right"), len(cuts) - 1)


@dataclass(frozen=True)
class Quantiles:
    """Many values: knots of the quantile function, and the points of mass among them."""

    u: Array
    x: Array
    steps: Steps
    atoms: Array

    @classmethod
    def of(cls, values: Array, k: int) -> Quantiles:
        """The smoothed quantile function of a column's values (at least 2k of them)."""
        ordered = np.sort(values).astype(np.float64)
        rows = len(ordered)
        distinct, first, count = np.unique(ordered, return_index=True, return_counts=True)
        heavy = count >= max(k, _ATOM * rows)
        starts, ends = first[heavy], first[heavy] + count[heavy]
        stride = max(k, rows // _MOST_KNOTS)
        inner = np.arange(stride, rows - stride + 1, stride)
        # No knot inside a point of mass, and none so close to one that fewer than k rows lie between.
        for start, end in zip(starts, ends, strict=True):
            inner = inner[(inner <= start - stride) | (inner >= end + stride)]
        low, high = float(np.median(ordered[:k])), float(np.median(ordered[-k:]))
        u = np.concatenate([inner / rows, starts / rows, ends / rows, [0.0, 1.0]])
        x = np.concatenate([ordered[inner], distinct[heavy], distinct[heavy], [low, high]])
        order = np.lexsort((x, u))
        u, x = u[order], np.maximum.accumulate(np.clip(x[order], low, high))
        edges = np.unique(np.concatenate([[0.0, 1.0], starts / rows, ends / rows]))
        middle = (edges[:-1] + edges[1:]) / 2
        inside = np.zeros(len(middle), bool)
        for start, end in zip(starts, ends, strict=True):
            inside |= (middle > start / rows) & (middle < end / rows)
        return cls(u, x, Steps.of(edges, inside), distinct[heavy])

    def draw(self, u: Array) -> Array:
        """Values between the knots."""
        drawn: Array = np.interp(u, self.u, self.x)
        return drawn


def keep_apart(rng: np.random.Generator, values: Array, source: Array, quantiles: Quantiles, rounded: Rounding, *, unique: bool) -> Array:
    """Values none of which few rows of the source have: one that is such moves to another one near by.

    Args:
        rng: Source of randomness.
        values: What was drawn, rounded.
        source: The source's values that must not come again, sorted.
        quantiles: Where the values come from; none leaves its range.
        rounded: Rounds as the column can hold it.
        unique: Whether no value may occur twice.

    Returns:
        The values; where there was no free one after forty steps, a value of the source is left, which the measures count.
    """
    if not unique and np.issubdtype(values.dtype, np.integer):
        return _beside(rng, values, source, *rounded(quantiles.x[[0, -1]]))
    values = values.copy()
    low, high = rounded(quantiles.x[[0, -1]])
    whole = np.issubdtype(values.dtype, np.integer)
    width = 1.0
    for _ in range(40):
        bad = np.isin(values, source)
        if unique:
            first = np.zeros(len(values), bool)
            first[np.unique(values, return_index=True)[1]] = True
            bad |= ~first
        places = np.flatnonzero(bad)
        if not len(places):
            break
        width *= 1.5
        if whole:
            moved: Array = values[places] + rng.integers(-int(width), int(width) + 1, len(places))
        else:
            size = np.maximum(np.abs(values[places]), np.finfo(np.float32).tiny)
            moved = rounded(values[places] + rng.uniform(-1, 1, len(places)) * size * 1e-9 * width**2)
        values[places] = np.clip(moved, low, high)
    return values


def _beside(rng: np.random.Generator, values: Array, source: Array, low: int, high: int) -> Array:
    """Whole numbers, each that is the source's at one of the two nearest that are not.

    The nearer one is taken the more often, so that on the average no number moves, however long the stretch of taken ones is.
    """
    bad = np.flatnonzero(np.isin(values, source))
    if not len(bad):
        return values
    breaks = np.flatnonzero(np.diff(source) != 1) + 1
    firsts, lasts = source[np.concatenate([[0], breaks])], source[np.concatenate([breaks - 1, [-1]])]
    stretch = np.searchsorted(firsts, values[bad], side="right") - 1
    below, above = firsts[stretch] - 1, lasts[stretch] + 1
    up = rng.random(len(bad)) * (above - below) < values[bad] - below
    up = np.where(below < low, True, np.where(above > high, False, up))
    moved = values.copy()
    moved[bad] = np.where(up, above, below)
    return moved
