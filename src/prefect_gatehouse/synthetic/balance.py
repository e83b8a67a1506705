"""Balance: rows with rare combinations are drawn again, which takes from values that are often in one; this gives it back.

Each variable of the copula gets a monotone map of its uniform number, so that what is kept, not what is drawn, has the source's shares:
raking (Deming and Stephan, 1940) of the levels, whose shares decide what is kept, and the quantiles of what was kept for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefect_gatehouse.synthetic.marginals import Levels, Steps

Array = np.ndarray[Any, np.dtype[Any]]

_ROUNDS = 12
# Below this share of rows drawn again nothing needs balancing.
_FEW = 0.01
# A value may be drawn so many times as often as it occurs; one that needs more is only in rare combinations, and stays rare.
_MOST = 6.0
_KNOTS = 200


@dataclass(frozen=True)
class Map:
    """A monotone map of uniform numbers, a line between knots."""

    x: Array
    y: Array

    def __call__(self, u: Array) -> Array:
        """The mapped numbers."""
        return np.asarray(np.interp(u, self.x, self.y))

    def steps(self, steps: Steps) -> Steps:
        """The staircase of a marginal behind this map, with the scores that it has without."""
        return Steps(np.asarray(np.interp(steps.cuts, self.y, self.x)), steps.scores)


IDENTITY = Map(np.array([0.0, 1.0]), np.array([0.0, 1.0]))


def balance(uniform: Array, marginals: Sequence[Levels | None], rare: Callable[[Array, Sequence[Map]], Array]) -> list[Map]:
    """The map of each variable.

    Args:
        uniform: Correlated uniform numbers (rows x variables).
        marginals: Of the variables that have levels; None for the others.
        rare: Which rows of uniform numbers, through some maps, are drawn again.
    """
    maps = [IDENTITY] * len(marginals)
    weights = [np.ones(len(each.shares)) if each is not None else np.ones(0) for each in marginals]
    kept = np.ones(len(uniform), bool)
    for number in range(_ROUNDS):
        kept = ~rare(uniform, maps)
        if not kept.any() or (number == 0 and (~kept).mean() < _FEW):
            return [IDENTITY] * len(marginals)
        for place, marginal in enumerate(marginals):
            if marginal is not None and np.count_nonzero(marginal.shares) > 1:
                weights[place], maps[place] = _raked(marginal, weights[place], maps[place](uniform[kept, place]))
    kept = ~rare(uniform, maps)
    for place, marginal in enumerate(marginals):
        if marginal is None and kept.any():
            y = np.linspace(0.0, 1.0, _KNOTS + 1)
            x = np.quantile(uniform[kept, place], y)
            x[0], x[-1] = 0.0, 1.0
            maps[place] = Map(np.maximum.accumulate(x), y)
    return maps


def _raked(marginal: Levels, weights: Array, kept: Array) -> tuple[Array, Map]:
    # Half a row keeps a level that nothing was kept of from an infinite weight.
    got = (np.bincount(marginal.draw(kept), minlength=len(weights)) + 0.5) / len(kept)
    weights = np.clip(weights * np.clip(marginal.shares / got, 0.5, 2.0), 1 / _MOST, _MOST)
    drawn = marginal.shares * weights
    return weights, Map(np.concatenate([[0.0], np.cumsum(drawn / drawn.sum())]), np.concatenate([[0.0], np.cumsum(marginal.shares)]))
