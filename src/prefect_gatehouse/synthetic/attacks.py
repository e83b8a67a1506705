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
_BLOCK = 200
_TARGETS, _KNOWN = 500, 10_000
_MOST_COLUMNS = 200
# Multiply-adds for one measure: some seconds of one core.
_WORK = 20_000_000_000
_PERCENTILES = (1, 5, 25, 50, 75, 95)
_BINS = 4


@dataclass(frozen=True)
class _Space:
    """Rows as points: the features (rows x features), and which features each column has."""

    points: Array
    spans: dict[str, slice]


def _space(columns: list[Column], table: pa.Table, ranks: dict[str, _Ranks]) -> _Space:
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
            part = np.zeros((len(state), levels + 1), np.float64)
            part[np.arange(len(state)), np.where(there, values, levels)] = np.sqrt(0.5)
        else:
            part = np.stack([np.where(there, ranks[column.name].of(values), 0.5), (~there).astype(float)], axis=1)
        parts.append(part)
        spans[column.name] = slice(width, width + part.shape[1])
        width += part.shape[1]
    return _Space(np.concatenate(parts, axis=1) if parts else np.zeros((table.num_rows, 0), np.float64), spans)


@dataclass(frozen=True)
class _Ranks:
    """A column's values, and their middle ranks from 0 to 1; a line between them, so that what lies between two values is nobody's place."""

    values: Array
    places: Array

    def of(self, values: Array) -> Array:
        return np.asarray(np.interp(values, self.values, self.places))


def _ranks(columns: list[Column], table: pa.Table) -> dict[str, _Ranks]:
    found = {}
    for column in columns:
        if column.kind in ("wide", "dense"):
            state, values = column.encode(table[column.name])
            known, counts = np.unique(values[state == VALUE], return_counts=True)
            places = (np.cumsum(counts) - counts / 2) / max(int(counts.sum()), 1)
            found[column.name] = _Ranks(known, places) if len(known) else _Ranks(np.zeros(1), np.full(1, 0.5))
    return found


def _squares(points: Array, others: Array) -> Array:
    """Squared distances of every point to every other, but for rounding."""
    return np.asarray((points**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2.0 * points @ others.T)


def _nearest(points: Array, others: Array) -> Array:
    """Distance of each point to its nearest other; computed again for the pair that was found, so that equal points are at 0."""
    found = np.empty(len(points))
    for first in range(0, len(points), _BLOCK):
        block = points[first : first + _BLOCK]
        found[first : first + _BLOCK] = np.linalg.norm(block - others[_squares(block, others).argmin(axis=1)], axis=1)
    return found


def nearest_rows(columns: list[Column], source: pa.Table, made: pa.Table, rng: np.random.Generator, limits: Limits) -> Nearest | None:
    """Distances to one half of the source, from synthetic rows and from the other half; None where no column has a distance."""
    width = max(1, sum(2 if column.kind != "levels" else len(column.levels) + 1 for column in columns if column.marginal is not None))
    order = rng.permutation(source.num_rows)
    half = source.num_rows // 2
    against = min(half, _AGAINST, max(500, int(np.sqrt(_WORK / width * 4))))
    queries = min(source.num_rows - half, made.num_rows, _QUERIES, max(200, _WORK // (width * against)))
    half_table = source.take(order[:against])
    # Ranks among these rows only: among all, the source's other rows would be the points of a lattice, and what was drawn would not.
    ranks = _ranks(columns, half_table)
    held = _space(columns, half_table, ranks).points
    others = _space(columns, source.take(order[half : half + queries]), ranks).points
    synthetic = _space(columns, made.take(rng.choice(made.num_rows, queries, replace=False)), ranks).points
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
        # A 5th percentile stands on a twentieth of the rows; in one dimension its relative error is the root of one over these.
        ratio_limit=limits.nearest_ratio * float(np.exp(-2.5 * np.sqrt(2 / (0.05 * queries)))),
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
    ranks = _ranks(columns, source)
    order = rng.permutation(source.num_rows)
    half = source.num_rows // 2
    width = max(1, len(able))
    most = min(_KNOWN, max(500, _WORK // (width * _TARGETS)))
    # The attacker has the whole file: with a part of it, the copy of a person would be missing half of the time.
    known, others = min(made.num_rows, most), min(half, most)
    targets = min(source.num_rows - half, _TARGETS)
    tables = [source.take(order[half : half + targets]), made.take(rng.choice(made.num_rows, known, replace=False)), source.take(order[:others])]
    spaces = [_space(able, table, ranks) for table in tables]
    squares = [_squares(spaces[0].points, each.points) for each in spaces[1:]]
    guessed = able if len(able) <= _MOST_COLUMNS else [able[place] for place in np.sort(rng.choice(len(able), _MOST_COLUMNS, replace=False))]
    found = []
    for column in guessed:
        truth, with_file, with_others = (_sensitive(column, table, ranks) for table in tables)
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


def _sensitive(column: Column, table: pa.Table, ranks: dict[str, _Ranks]) -> Array:
    state, values = column.encode(table[column.name])
    if isinstance(column.marginal, Levels):
        return np.where(state == VALUE, values, -1)
    return np.where(state == VALUE, np.floor(ranks[column.name].of(values) * _BINS), -1).astype(np.int64)
