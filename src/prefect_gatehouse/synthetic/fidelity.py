"""How like the source a synthetic table is: marginals, null rates and correlations, and which values it shares with it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.synthetic.columns import Column, as_text
from prefect_gatehouse.synthetic.copula import score_correlation
from prefect_gatehouse.synthetic.marginals import Levels
from prefect_gatehouse.synthetic.model import Model, score_matrix
from prefect_gatehouse.synthetic.numbers import VALUE
from prefect_gatehouse.synthetic.report import ColumnReport, Correlations, Limits, noise

Array = np.ndarray[Any, np.dtype[Any]]

# Scores of more cells than this do not fit beside the tables.
_CELLS, _ROWS = 20_000_000, 100_000
# Kolmogorov's distribution passes 1.95 once in a thousand columns; a normal deviate passes 4.5 once in 150,000 pairs.
_KS, _PAIR = 1.95, 4.5


def measure_column(column: Column, source: pa.ChunkedArray, made: pa.ChunkedArray, k: int, limits: Limits) -> ColumnReport:
    """One column's distances.

    A state that fewer than k rows are in is left out by design, which the limit of the null rate allows for.
    """
    spread = noise(len(source), len(made))
    difference = abs(source.null_count / len(source) - made.null_count / len(made))
    distance, limit, copied = None, None, None
    if column.kind == "made-up":
        copied = _texts_copied(source, made)
    elif column.kind != "empty":
        (state, values), (made_state, made_values) = column.encode(source), column.encode(made)
        values, made_values = values[state == VALUE], made_values[made_state == VALUE]
        spread_values = noise(len(values), len(made_values))
        if isinstance(column.marginal, Levels):
            levels = len(column.marginal.shares)
            distance = _variation(values, made_values, levels)
            # The expected absolute deviation of C shares sums to at most 0.4 sqrt(C) of that error (Cauchy-Schwarz).
            limit = limits.marginal + (0.4 * float(np.sqrt(levels)) + 2.0) * spread_values
        else:
            distance = _kolmogorov(values, made_values)
            # The ends are cut and the quantile function is straight over k rows.
            limit = limits.marginal + _KS * spread_values + k / max(len(values), 1)
            copied = _numbers_copied(values, made_values, k) if column.kind == "wide" else None
    return ColumnReport(
        column=column.name,
        kind=column.kind,
        distance=distance,
        limit=limit,
        null_difference=difference,
        null_limit=limits.marginal + 2.25 * spread + k / len(source),
        pooled=column.pooled,
        values_copied=copied,
    )


def _variation(values: Array, others: Array, levels: int) -> float:
    shares = [np.bincount(each, minlength=levels) / max(len(each), 1) for each in (values, others)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _kolmogorov(values: Array, others: Array) -> float:
    if not len(values) or not len(others):
        return 1.0
    values, others = np.sort(values), np.sort(others)
    points = np.concatenate([values, others])
    first = np.searchsorted(values, points, side="right") / len(values)
    second = np.searchsorted(others, points, side="right") / len(others)
    return float(np.abs(first - second).max())


def _numbers_copied(values: Array, made: Array, k: int) -> int:
    known, counts = np.unique(values, return_counts=True)
    return int(np.isin(made, known[counts < k]).sum())


def _texts_copied(source: pa.ChunkedArray, made: pa.ChunkedArray) -> int:
    texts = as_text(made).drop_null()
    known = pc.and_(pc.is_in(texts, value_set=pc.unique(as_text(source))), pc.not_equal(texts, ""))
    return int(pc.sum(known).as_py() or 0)


def measure_correlations(model: Model, source: pa.Table, made: pa.Table, rng: np.random.Generator, limits: Limits) -> Correlations:
    """Differences of the correlations of normal scores, over values and states."""
    first, second = (_scores(model, table, rng) for table in (source, made))
    upper = np.triu_indices(first.shape[1], 1)
    spread = noise(len(first), len(second))
    # A pair is seen only in the rows where both columns have a value; the pairs seen least say least.
    there = [(~np.isnan(scores)).astype(np.float32) for scores in (first, second)]
    seen = [(mask.T @ mask)[upper] for mask in there]
    difference = np.abs(score_correlation(first)[upper] - score_correlation(second)[upper])
    known = (seen[0] >= model.k * 5) & (seen[1] >= model.k * 5)
    error = np.sqrt(1 / np.maximum(seen[0], 1) + 1 / np.maximum(seen[1], 1)) - spread
    excess = np.maximum(difference - _PAIR * error, 0.0)[known]
    return Correlations(
        pairs=int(known.sum()),
        max_difference=float(excess.max(initial=0.0)),
        mean_difference=float(difference[known].mean()) if known.any() else 0.0,
        max_limit=limits.correlation_max + _PAIR * spread,
        # The mean of one pair strays as that pair does, the mean of many hardly.
        mean_limit=limits.correlation_mean + (1 + (_PAIR - 1) / math.sqrt(max(1, int(known.sum())))) * spread,
    )


def _scores(model: Model, table: pa.Table, rng: np.random.Generator) -> Array:
    rows = min(table.num_rows, _ROWS, max(2000, _CELLS // max(1, table.num_columns)))
    return score_matrix(model.columns, table.take(np.sort(rng.choice(table.num_rows, rows, replace=False))))
