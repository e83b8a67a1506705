"""What an attacker could do with a synthetic file: find the row nearest to a person's, and guess what the others do not tell.

Both measures compare with the source's own other rows: a file that is nearer to a person, or guesses better, than rows of other
people do tells of that person. Distances are Euclidean over ranks (0 to 1) and over levels (0 or 1); made-up columns have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from prefect_gatehouse.synthetic.columns import Column
from prefect_gatehouse.synthetic.marginals import Levels
from prefect_gatehouse.synthetic.numbers import VALUE
from prefect_gatehouse.synthetic.report import Disclosure, Limits, Nearest, noise

Array = np.ndarray[Any, np.dtype[Any]]

_QUERIES, _AGAINST = 5000, 50_000
_TARGETS, _KNOWN = 500, 5000
_MOST_COLUMNS = 200
# Multiply-adds for one measure: some seconds of one core.
_WORK = 20_000_000_000
_PERCENTILES = (1, 5, 25, 50, 75, 95)
_BINS = 4


@dataclass(frozen=True)
class _Space:
    """Rows as points: the features (rows x features, float32), and which features each column has."""

    points: Array
    spans: dict[str, slice]


def _space(columns: list[Column], table: pa.Table, ordered: dict[str, Array]) -> _Space:
    parts: list[Array] = []
    spans = {}
    width = 0
    for column in columns:
        if column.marginal is None:
            continue
        state, values = column.encode(table[column.name])
        there = state == VALUE
        if isinstance(column.marginal, Levels):
            levels = len(column.marginal.shares)
            # A cell without a value is a level of its own; two cells that differ are 1 apart.
            part = np.zeros((len(state), levels + 1), np.float32)
            part[np.arange(len(state)), np.where(there, values, levels)] = np.sqrt(0.5)
        else:
            known = ordered[column.name]
            middle = np.searchsorted(known, values, side="left") + np.searchsorted(known, values, side="right")
            part = np.stack([np.where(there, middle / (2 * max(len(known), 1)), 0.5), (~there).astype(float)], axis=1).astype(np.float32)
        parts.append(part)
        spans[column.name] = slice(width, width + part.shape[1])
        width += part.shape[1]
    return _Space(np.concatenate(parts, axis=1) if parts else np.zeros((table.num_rows, 0), np.float32), spans)


def _ordered(columns: list[Column], source: pa.Table) -> dict[str, Array]:
    found = {}
    for column in columns:
        if column.kind in ("wide", "dense"):
            state, values = column.encode(source[column.name])
            found[column.name] = np.sort(values[state == VALUE])
    return found


def _squares(points: Array, others: Array) -> Array:
    """Squared distances of every point to every other (float32)."""
    squares = (points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2.0 * points @ others.T
    # Rounding: what is nearer than this is the same point.
    squares[squares < 1e-6 * max(points.shape[1], 1)] = 0.0
    return np.asarray(squares)


def _nearest(points: Array, others: Array) -> Array:
    parts = [np.sqrt(_squares(points[first : first + 500], others).min(axis=1)) for first in range(0, len(points), 500)]
    return np.concatenate(parts)


def nearest_rows(columns: list[Column], source: pa.Table, made: pa.Table, rng: np.random.Generator, limits: Limits) -> Nearest | None:
    """Distances to one half of the source, from synthetic rows and from the other half; None where no column has a distance."""
    ordered = _ordered(columns, source)
    width = max(1, sum(2 if column.kind != "levels" else len(column.levels) + 1 for column in columns if column.marginal is not None))
    order = rng.permutation(source.num_rows)
    half = source.num_rows // 2
    against = min(half, _AGAINST, max(500, int(np.sqrt(_WORK / width * 4))))
    queries = min(source.num_rows - half, made.num_rows, _QUERIES, max(200, _WORK // (width * against)))
    held = _space(columns, source.take(order[:against]), ordered).points
    others = _space(columns, source.take(order[half : half + queries]), ordered).points
    synthetic = _space(columns, made.take(rng.choice(made.num_rows, queries, replace=False)), ordered).points
    if not held.shape[1]:
        return None
    far, own = _nearest(synthetic, held), _nearest(others, held)
    edge = float(np.percentile(own, 5))
    below, own_below = float((far <= edge).mean()), float((own <= edge).mean())
    return Nearest(
        rows=queries,
        against=against,
        synthetic=tuple(float(each) for each in np.percentile(far, _PERCENTILES)),
        source=tuple(float(each) for each in np.percentile(own, _PERCENTILES)),
        ratio_5th=float(np.percentile(far, 5)) / edge if edge > 0 else None,
        share_below=below,
        source_share_below=own_below,
        # A share's standard error is at most half of the noise.
        share_limit=own_below + limits.nearest_excess + 3 * float(np.sqrt(own_below * (1 - own_below))) * noise(queries, queries),
    )


def disclosure(columns: list[Column], source: pa.Table, made: pa.Table, rng: np.random.Generator, limits: Limits) -> tuple[Disclosure, ...]:
    """For each column (200 at most, by chance), how often the nearest row's value is the person's: from the file, from other people's rows.

    Numbers are guessed by their quarter of the source.
    """
    able = [column for column in columns if column.marginal is not None]
    if len(able) < 2:
        return ()
    ordered = _ordered(columns, source)
    order = rng.permutation(source.num_rows)
    half = source.num_rows // 2
    width = max(1, len(able))
    known = min(half, made.num_rows, _KNOWN, max(500, _WORK // (width * _TARGETS)))
    targets = min(source.num_rows - half, _TARGETS)
    tables = [source.take(order[half : half + targets]), made.take(rng.choice(made.num_rows, known, replace=False)), source.take(order[:known])]
    spaces = [_space(able, table, ordered) for table in tables]
    squares = [_squares(spaces[0].points, each.points) for each in spaces[1:]]
    guessed = able if len(able) <= _MOST_COLUMNS else [able[place] for place in np.sort(rng.choice(len(able), _MOST_COLUMNS, replace=False))]
    found = []
    for column in guessed:
        truth, with_file, with_others = (_sensitive(column, table, ordered) for table in tables)
        span = spaces[0].spans[column.name]
        right = []
        for square, space, values in zip(squares, spaces[1:], (with_file, with_others), strict=True):
            # What the attacker wants to know is not what the attacker knows.
            nearest = (square - _squares(spaces[0].points[:, span], space.points[:, span])).argmin(axis=1)
            right.append(float((values[nearest] == truth).mean()))
        values, counts = np.unique(with_others, return_counts=True)
        marginal = float((truth == values[counts.argmax()]).mean())
        limit = limits.advantage + 3.5 * 0.5 * noise(targets, targets)
        found.append(Disclosure(column=column.name, with_synthetic=right[0], with_others=right[1], with_marginal=marginal, limit=limit))
    return tuple(found)


def _sensitive(column: Column, table: pa.Table, ordered: dict[str, Array]) -> Array:
    state, values = column.encode(table[column.name])
    if isinstance(column.marginal, Levels):
        return np.where(state == VALUE, values, -1)
    known = ordered[column.name]
    quarters = np.searchsorted(np.quantile(known, np.arange(1, _BINS) / _BINS), values, side="right")
    return np.where(state == VALUE, quarters, -1)
