"""The model of a whole table: its columns, how they move together, and which combinations and rows must not come again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.synthetic.balance import IDENTITY, Map, balance
from prefect_gatehouse.synthetic.columns import Column, as_text, model_of, plain_type
from prefect_gatehouse.synthetic.combinations import FEW, ORDER, Combinations
from prefect_gatehouse.synthetic.copula import fit
from prefect_gatehouse.synthetic.marginals import Levels, Quantiles
from prefect_gatehouse.synthetic.numbers import NULL, VALUE
from prefect_gatehouse.tokens.columns import is_text

Array = np.ndarray[Any, np.dtype[Any]]

LEAST_ROWS_IN_K = 5
"""A source of fewer than this many times k rows has hardly a common value."""

# Correlations need no more rows than this, nor more cells than fit into memory.
_CELLS, _ROWS = 20_000_000, 100_000
_BLOCK = 1 << 16
_ORDERING_ROWS, _ORDERING_COLUMNS = 20_000, 200
_REDRAWS = 60
# Rows in a cell of the table of combined ranges, in k, if all had as many.
_CELL_IN_K = 20
# Correlations and shares depend on each other through what is drawn again.
_BALANCINGS = 2
# Cells of uniform numbers that balancing looks at, and most rows.
_BALANCED_CELLS, _BALANCED_ROWS = 4_000_000, 30_000
# Columns that a refusal names.
_BLAMED = 3
_RESAMPLED = 0.2


def column_scores(column: Column, state: Array, values: Array) -> Array:
    """Normal scores of a column's values, NaN where there is none."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    assert column.marginal is not None
    there = state == VALUE
    scores = np.full(len(state), np.nan)
    if isinstance(column.marginal, Levels):
        scores[there] = column.marginal.steps.scores[values[there]]
    elif there.any():
        scores[there] = column.marginal.steps.collapse(ndtri((rankdata(values[there]) - 0.5) / there.sum()))
    return scores


def score_matrix(columns: list[Column], table: pa.Table) -> Array:
    """Normal scores of every value and every state that varies (rows x variables): the values first, in the columns' order."""
    encoded = [(column, *column.encode(table[column.name])) for column in columns if column.kind != "empty"]
    values = [column_scores(column, state, numbers) for column, state, numbers in encoded if varies(column)]
    states = [column.state_steps.scores[state] for column, state, _ in encoded if column.state_steps is not None]
    return np.column_stack([*values, *states]) if values or states else np.zeros((table.num_rows, 0))


def _ordered(columns: list[Column], sample: pa.Table) -> list[Column]:
    """Levels of text have no order of their own: each column's are put in the order of the number that they go with most.

    A Gaussian copula knows only more and less; with levels by frequency, what goes with the middle one would be lost.
    """
    part = sample.slice(0, _ORDERING_ROWS)
    numeric = [column for column in columns if column.codec is not None and varies(column)][:_ORDERING_COLUMNS]
    if not numeric:
        return columns
    scores = np.nan_to_num(np.column_stack([column_scores(column, *column.encode(part[column.name])) for column in numeric]))
    found = []
    for column in columns:
        if column.kind == "levels" and column.codec is None and len(column.levels) > 2:
            state, codes = column.encode(part[column.name])
            member = np.zeros((len(codes), len(column.levels)), np.float32)
            member[np.arange(len(codes))[state == VALUE], codes[state == VALUE]] = 1.0
            count = np.maximum(member.sum(axis=0), 1.0)[:, None]
            means = (member.T @ scores) / count
            most = int((count * means**2).sum(axis=0).argmax())
            column = column.reordered(np.argsort(means[:, most], kind="stable"))
        found.append(column)
    return found


def varies(column: Column) -> bool:
    """Whether a column has values that can move with others."""
    return isinstance(column.marginal, Quantiles) or (isinstance(column.marginal, Levels) and len(column.marginal.shares) > 1)


class Model:
    """The model of a source.

    Args:
        table: The source.
        k: Fewest rows that make a value or a combination common.
        rng: Source of randomness.

    Raises:
        DataRefused: The source has too few rows.
        InputError: A column is of a type that can't be made up.
    """

    def __init__(self, table: pa.Table, k: int, rng: np.random.Generator) -> None:
        if table.num_rows < LEAST_ROWS_IN_K * k:
            raise DataRefused(
                f"the source has fewer than {LEAST_ROWS_IN_K * k} rows",
                where="source",
                advice="nothing can be told of so few rows without telling of one of them; take more rows",
            )
        from scipy.special import ndtr

        self.k = k
        self.schema = table.schema
        columns = [model_of(field, table[field.name], k) for field in table.schema]
        rows = min(table.num_rows, _ROWS, max(2000, _CELLS // max(1, table.num_columns)))
        sample = table.take(np.sort(rng.choice(table.num_rows, rows, replace=False))) if rows < table.num_rows else table
        ordered = _ordered(columns, sample)
        few = sum(column.kind == "levels" for column in ordered) <= FEW
        # So that a cell of the table that ranges span has many times k rows: rare is then what is rare, not what is one of many numbers.
        most = max(2, int((table.num_rows / (_CELL_IN_K * k)) ** (1 / (ORDER if few else 2))))
        self.columns = [column.in_ranges(most) for column in ordered]
        steps = [column.marginal.steps for column in self.columns if varies(column) and column.marginal is not None]
        steps += [column.state_steps for column in self.columns if column.kind != "empty" and column.state_steps is not None]
        self._coarse = [column for column in self.columns if column.kind == "levels"]
        codes = [
            np.where(column.pooled_cells(table[column.name]), -1, combination_codes(column, *column.encode(table[column.name])))
            for column in self._coarse
        ]
        matrix = np.column_stack(codes) if codes else np.zeros((table.num_rows, 0), np.int64)
        self.combinations = Combinations(matrix, [column.combined + 1 for column in self._coarse], k)
        self._rare_levels = _rare_rows(self._levels(table), k) if self._only_levels() else None
        self._maps = [IDENTITY] * len(steps)
        self._root = np.zeros((0, 0))
        for _ in range(_BALANCINGS if steps else 0):
            behind = [each.steps(step) for each, step in zip(self._maps, steps, strict=True)]
            self._root = fit(score_matrix(self.columns, sample), behind, rng, lambda z: ~self._rare(ndtr(z)))
            self._maps = balance(self._uniform(rng, balancing_rows(len(steps))), self._marginals(), self._rare)
            if all(each is IDENTITY for each in self._maps):
                break
        keys, counts = np.unique(row_keys(table), return_counts=True)
        self._rare_rows = keys[counts < k]

    def rare_combination(self, table: pa.Table) -> Array:
        """Which rows of a table hold a combination that is rare in the source."""
        codes = [combination_codes(column, *column.encode(table[column.name])) for column in self._coarse]
        return self.combinations.rare(np.column_stack(codes)) if codes else np.zeros(table.num_rows, bool)

    def copied(self, table: pa.Table) -> Array:
        """Which rows of a table are rows of the source that fewer than k rows are alike."""
        return np.isin(row_keys(table), self._rare_rows)

    def draw(self, rng: np.random.Generator, rows: int) -> pa.Table:
        """A synthetic table.

        Raises:
            DataRefused: Hardly any row is free of rare combinations, or no row is new.
        """
        table = self._draw(rng, rows)
        for _ in range(_REDRAWS):
            places = np.flatnonzero(self.copied(table))
            if not len(places):
                return table
            order = np.arange(rows)
            order[places] = rows + np.arange(len(places))
            table = pa.concat_tables([table, self._draw(rng, len(places))]).take(order).combine_chunks()
        raise _refused("rows", "")

    def _draw(self, rng: np.random.Generator, rows: int) -> pa.Table:
        uniform = self._uniform(rng, rows)
        wanted = np.flatnonzero(self._rare(uniform))
        for _ in range(_REDRAWS):
            if not len(wanted):
                break
            again = self._uniform(rng, len(wanted))
            uniform[wanted] = again
            wanted = wanted[self._rare(again)]
        if len(wanted) > _RESAMPLED * rows:
            raise _refused("combinations", self._blamed(uniform[wanted]))
        if len(wanted):
            free = np.setdiff1d(np.arange(rows), wanted)
            uniform[wanted] = uniform[rng.choice(free, len(wanted))]
        return self._decoded(rng, uniform, rows)

    def _blamed(self, uniform: Array) -> str:
        """The columns that are most often in a rare combination, in words."""
        hits = self.combinations.blamed(np.column_stack([combination_codes(*each) for each in self._drawn_levels(uniform)]))
        names = [self._coarse[self.combinations.columns[place]].name for place in np.argsort(-hits, kind="stable")[:_BLAMED]]
        return ", ".join(f"'{name}'" for name in names)

    def _uniform(self, rng: np.random.Generator, rows: int) -> Array:
        from scipy.special import ndtr

        uniform = np.empty((rows, len(self._root)))
        for first in range(0, rows, _BLOCK):
            size = min(_BLOCK, rows - first)
            uniform[first : first + size] = ndtr(rng.standard_normal((size, self._root.shape[1])) @ self._root.T)
        return uniform

    def _marginals(self) -> list[Levels | None]:
        """Of each variable of the copula, if it has levels."""
        values = [column.marginal if isinstance(column.marginal, Levels) else None for column in self.columns if varies(column)]
        return [*values, *(Levels(column.states) for column in self.columns if column.kind != "empty" and column.state_steps is not None)]

    def _cells(self, uniform: Array, maps: Sequence[Map] | None = None) -> list[tuple[Column, Array, Array | None]]:
        """Each column with its states and the uniform numbers of its values, balanced."""
        uniform = np.column_stack([each(uniform[:, place]) for place, each in enumerate(self._maps if maps is None else maps)] or [uniform])
        values = iter(range(sum(varies(column) for column in self.columns)))
        states = iter(range(sum(varies(column) for column in self.columns), uniform.shape[1]))
        found = []
        for column in self.columns:
            of_values = uniform[:, next(values)] if varies(column) else None
            if column.kind != "empty" and column.state_steps is not None:
                state = column.draw_states(uniform[:, next(states)])
            else:
                state = np.full(len(uniform), int(column.states.argmax()), np.uint8)
            found.append((column, state, of_values))
        return found

    def _rare(self, uniform: Array, maps: Sequence[Map] | None = None) -> Array:
        drawn = self._drawn_levels(uniform, maps)
        if not drawn:
            return np.zeros(len(uniform), bool)
        rare = self.combinations.rare(np.column_stack([combination_codes(*each) for each in drawn]))
        if self._rare_levels is not None:
            rare |= np.isin(_level_keys([_level_codes(*each) for each in drawn]), self._rare_levels)
        return rare

    def _drawn_levels(self, uniform: Array, maps: Sequence[Map] | None = None) -> list[tuple[Column, Array, Array]]:
        """Columns of levels with their states and levels."""
        return [
            (column, state, column.marginal.draw(numbers) if numbers is not None else np.zeros(len(uniform), np.int64))
            for column, state, numbers in self._cells(uniform, maps)
            if isinstance(column.marginal, Levels)
        ]

    def _only_levels(self) -> bool:
        """Whether a whole row is a combination of levels: then one that few rows have is kept out before it is drawn, not after."""
        return all(column.kind in ("levels", "empty") for column in self.columns)

    def _levels(self, table: pa.Table) -> list[Array]:
        return [_level_codes(column, *column.encode(table[column.name])) for column in self._coarse]

    def _decoded(self, rng: np.random.Generator, uniform: Array, rows: int) -> pa.Table:
        arrays = []
        for column, state, numbers in self._cells(uniform):
            values = column.draw(rng, numbers) if numbers is not None else np.zeros(rows, np.int64)
            array = column.decode(rng, state, values)
            arrays.append(array.dictionary_encode().cast(column.field.type) if pa.types.is_dictionary(column.field.type) else array)
        return pa.Table.from_arrays(arrays, schema=pa.schema([pa.field(field.name, field.type) for field in self.schema]))


def balancing_rows(variables: int) -> int:
    """Rows that balancing looks at."""
    return min(_BALANCED_ROWS, max(2000, _BALANCED_CELLS // max(1, variables)))


def combination_codes(column: Column, state: Array, values: Array) -> Array:
    """The level or range of each row, one more where it has no value."""
    combined = values if column.ranges is None else column.ranges[values]
    return np.where(state == VALUE, combined, column.combined).astype(np.int64)


def _level_codes(column: Column, state: Array, values: Array) -> Array:
    return np.where(state == VALUE, values, len(column.levels)).astype(np.int64)


def _level_keys(codes: list[Array]) -> Array:
    """A 64-bit key of each row of levels."""
    keys = np.zeros(len(codes[0]) if codes else 0, np.uint64)
    for column in codes:
        keys = (keys + column.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    return keys


def _rare_rows(codes: list[Array], k: int) -> Array:
    keys, counts = np.unique(_level_keys(codes), return_counts=True)
    return keys[counts < k]


def row_keys(table: pa.Table) -> Array:
    """A 64-bit key of each row's values: equal rows have equal keys; null, zero and the empty text differ."""
    keys = np.zeros(table.num_rows, np.uint64)
    for field in table.schema:
        column = table[field.name].cast(plain_type(field.type))
        null = column.is_null().to_numpy()
        if pa.types.is_null(field.type):
            hashed = np.zeros(table.num_rows, np.uint64)
        elif is_text(plain_type(field.type)):
            hashed = pd.util.hash_array(as_text(column).fill_null("").to_numpy().astype(object))
        elif pa.types.is_floating(field.type):
            hashed = pd.util.hash_array(column.cast(pa.float64()).fill_null(0.0).to_numpy() + 0.0)
        else:
            hashed = pd.util.hash_array(column.cast(pa.string()).fill_null("").to_numpy().astype(object))
        hashed = np.where(null, np.uint64(NULL), hashed)
        keys = keys * np.uint64(0x9E3779B97F4A7C15) + hashed
        keys ^= keys >> np.uint64(29)
    return keys


def _refused(what: str, columns: str) -> DataRefused:
    return DataRefused(
        f"almost all {what} of the columns with few values are rare in the source" + (f", most often with {columns}" if columns else ""),
        where="source",
        advice=f"leave {columns or 'columns'} out, coarsen their values, take more rows, or lower --min-count (not below 5)",
    )
