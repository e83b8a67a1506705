"""What one column of the source is, how its cells become numbers, and how numbers become its cells.

``levels`` few distinct values; ``wide`` many values, none of which is written again; ``dense`` whole numbers that fill their range, so
that a value says nothing of a row; ``made-up`` identifiers and free text; ``empty`` no value at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import InputError
from prefect_gatehouse.synthetic.marginals import Levels, Quantiles, Steps, keep_apart
from prefect_gatehouse.synthetic.numbers import NULL, VALUE, NumberCodec, is_number
from prefect_gatehouse.synthetic.text import MadeUp
from prefect_gatehouse.tokens.columns import is_text

Array = np.ndarray[Any, np.dtype[Any]]
Kind = Literal["levels", "wide", "dense", "made-up", "empty"]

_MOST_NUMBERS, _MOST_TEXTS = 256, 1000
# Share of rows in common values that makes a column one of few values: numbers keep their own unless they repeat.
_NUMBERS_COVERED, _TEXTS_COVERED = 0.9, 0.6
# Up to so many different numbers are combined as they are: codes, counts, months of delay.
_OWN_LEVELS = 16
# Share of a range's places that the source occupies: above it there is no room beside the source's values.
_FULL = 0.5
# A text with an @ or six digits in a row may name somebody, however often it occurs: it is written as "value-N".
_NAMES_SOMEBODY = r"@|\d[\d ./-]{4,}\d"


@dataclass(frozen=True)
class Column:
    """The model of one column.

    Attributes:
        field: Name and type.
        kind: How its values are made.
        states: Share of values, nulls, NaN and the infinities; a state of fewer than k rows is left out.
        codec: For numbers.
        levels: Values of the levels, in order: numbers, or texts as they are in the source (None for the pooled rest).
        written: Texts as they are written, one for each level.
        marginal: None for made-up and empty columns.
        forbidden: Sorted values of the source that fewer than k rows have: they must not come again.
        unique: Whether all values of the source differ.
        maker: For made-up columns.
        different: How many values the source has, of numbers with levels; rare ones, which are no level, count as well.
        ranges: Of numbers with many levels, the range that each level is in where columns are combined; None where each level is its own.
        pooled: Share of the values that fewer than k rows have, of few-valued columns.
    """

    field: pa.Field
    kind: Kind
    states: Array
    codec: NumberCodec | None = None
    levels: tuple[Any, ...] = ()
    written: tuple[str, ...] = ()
    marginal: Levels | Quantiles | None = None
    forbidden: Array | None = None
    unique: bool = False
    maker: MadeUp | None = None
    pooled: float = 0.0
    ranges: Array | None = None
    different: int = 0

    @property
    def combined(self) -> int:
        """How many values or ranges take part in combinations."""
        return len(self.levels) if self.ranges is None else int(self.ranges[-1]) + 1

    def in_ranges(self, most: int) -> Column:
        """The same column of levels; if it is many numbers, in so many ranges of about one size; a heap is in one of its own."""
        if self.kind != "levels" or self.codec is None or self.different <= _OWN_LEVELS:
            return self
        middle = np.cumsum(self.shares) - self.shares / 2
        return replace(self, ranges=np.unique(np.floor(middle * most), return_inverse=True)[1])

    @property
    def name(self) -> str:
        """The column's name."""
        return str(self.field.name)

    @property
    def state_steps(self) -> Steps | None:
        """The staircase of the states, None where there is only one."""
        return Levels(self.states).steps if np.count_nonzero(self.states) > 1 else None

    def encode(self, array: pa.ChunkedArray) -> tuple[Array, Array]:
        """State of each cell, and its number: a level's number, a place on the grid, a double; -1 for a text that is no level."""
        if self.codec is not None:
            state, values = self.codec.encode(array)
            if self.kind != "levels":
                return state, values
            return state, _nearest(values, np.array(self.levels))
        state = np.where(array.is_null().to_numpy(), NULL, VALUE).astype(np.uint8)
        if self.kind != "levels":
            return state, np.zeros(len(array), np.int64)
        return state, self._text_codes(array)

    def pooled_cells(self, array: pa.ChunkedArray) -> Array:
        """Cells of a value that fewer than k rows have, which ``encode`` takes for a common one: no combination of that one."""
        if self.kind != "levels" or self.ranges is not None:
            return np.zeros(len(array), bool)
        if self.codec is not None:
            state, values = self.codec.encode(array)
            rare: Array = (state == VALUE) & ~np.isin(values, np.array(self.levels))
            return rare
        if None in self.levels:
            return np.zeros(len(array), bool)
        known = pc.is_in(as_text(array), value_set=pa.array([*self.levels, *self.written], pa.string()))
        pooled: Array = array.is_valid().to_numpy() & ~known.to_numpy()
        return pooled

    def _text_codes(self, array: pa.ChunkedArray) -> Array:
        wanted = pa.array([text if text is not None else self.written[number] for number, text in enumerate(self.levels)], pa.string())
        texts = as_text(array)
        found = pc.index_in(texts, value_set=wanted).fill_null(-1).to_numpy().astype(np.int64)
        written = pc.index_in(texts, value_set=pa.array(self.written, pa.string())).fill_null(-1).to_numpy().astype(np.int64)
        rest = next((number for number, text in enumerate(self.levels) if text is None), int(np.argmax(self.shares)))
        return np.where(found >= 0, found, np.where(written >= 0, written, rest))

    @property
    def shares(self) -> Array:
        """Shares of the levels."""
        return self.marginal.shares if isinstance(self.marginal, Levels) else np.ones(1)

    def reordered(self, order: Array) -> Column:
        """The same column of levels, in another order."""
        places = [int(place) for place in order]
        return replace(
            self,
            levels=tuple(self.levels[place] for place in places),
            written=tuple(self.written[place] for place in places),
            marginal=Levels(self.shares[order]),
        )

    def draw_states(self, u: Array) -> Array:
        """States from uniform numbers."""
        return Levels(self.states).draw(u).astype(np.uint8)

    def draw(self, rng: np.random.Generator, u: Array) -> Array:
        """Numbers from uniform numbers; of a wide column none is the source's."""
        assert self.marginal is not None
        drawn = self.marginal.draw(u)
        if isinstance(self.marginal, Levels):
            return drawn
        assert self.codec is not None
        values = self.codec.rounded(drawn)
        if self.forbidden is None:
            return values
        return keep_apart(rng, values, self.forbidden, self.marginal, self.codec.rounded, unique=self.unique)

    def decode(self, rng: np.random.Generator, state: Array, values: Array) -> pa.Array:
        """The cells, in the column's own type."""
        if self.kind == "empty":
            return pa.nulls(len(state), self.field.type)
        if self.codec is not None:
            numbers = np.array(self.levels)[values] if self.kind == "levels" else values
            return self.codec.decode(state, numbers)
        if self.maker is not None:
            texts = pa.nulls(len(state), pa.string()).to_numpy(zero_copy_only=False)
            there = state == VALUE
            texts[there] = self.maker.draw(rng, int(there.sum())).to_numpy(zero_copy_only=False)
            return pa.array(texts, pa.string(), mask=~there).cast(plain_type(self.field.type))
        return pa.array(np.array(self.written, object)[values], pa.string(), mask=state == NULL).cast(plain_type(self.field.type))


def _nearest(values: Array, levels: Array) -> Array:
    right = np.clip(np.searchsorted(levels, values), 1, max(len(levels) - 1, 1))
    if len(levels) == 1:
        return np.zeros(len(values), np.int64)
    return np.where(np.abs(values - levels[right - 1]) <= np.abs(levels[right] - values), right - 1, right)


def plain_type(kind: pa.DataType) -> pa.DataType:
    """A dictionary's value type, else the type itself."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def as_text(array: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of any type of text, dictionaries too, as plain strings."""
    return array.cast(plain_type(array.type)).cast(pa.string())


def model_of(field: pa.Field, array: pa.ChunkedArray, k: int) -> Column:
    """What a column of the source is.

    Args:
        field: Its name and type.
        array: Its cells.
        k: Fewest rows that make a value common.

    Raises:
        InputError: Its type can't be made up.
    """
    kind = plain_type(field.type)
    if pa.types.is_null(kind) or array.null_count == len(array):
        return Column(field, "empty", _states(np.full(len(array), NULL, np.uint8), k))
    if is_text(kind):
        return _text(field, as_text(array), k)
    if is_number(kind):
        return _number(field, array.cast(kind), k)
    raise InputError(f"the type {kind} can't be made up", where=f"column '{field.name}'", advice="keep flat columns of text, numbers and dates")


def _states(state: Array, k: int) -> Array:
    counts = np.bincount(state, minlength=5).astype(float)
    counts[(counts < k) & (counts < len(state))] = 0.0
    # Every state rarer than k cannot be: then the most frequent one stands for all.
    return np.asarray(counts / counts.sum() if counts.sum() else np.eye(5)[int(np.bincount(state, minlength=5).argmax())])


def _number(field: pa.Field, array: pa.ChunkedArray, k: int) -> Column:
    codec = NumberCodec.of(field.name, array)
    state, values = codec.encode(array)
    values, states = values[state == VALUE], _states(state, k)
    if states[VALUE] == 0.0:
        return Column(field, "empty", _states(np.full(len(array), NULL, np.uint8), k))
    distinct, counts = np.unique(values, return_counts=True)
    common = counts >= k
    covered = counts[common].sum() / len(values)
    if len(distinct) <= _MOST_NUMBERS and covered >= _NUMBERS_COVERED:
        levels = distinct[common]
        codes = _nearest(values, levels)
        shares = np.bincount(codes, minlength=len(levels)) / len(values)
        return Column(field, "levels", states, codec, tuple(levels.tolist()), marginal=Levels(shares), pooled=1.0 - covered, different=len(distinct))
    marginal = Quantiles.of(values, k)
    # Few rows have a value in the whole column's tails, so that the range is taken between the k-th values.
    places = len(np.unique(np.clip(values, marginal.x[0], marginal.x[-1])))
    dense = codec.grid and places > _FULL * (float(marginal.x[-1]) - float(marginal.x[0]) + 1)
    return Column(
        field,
        "dense" if dense else "wide",
        states,
        codec,
        marginal=marginal,
        forbidden=None if dense else distinct[~common],
        unique=len(distinct) == len(values) and not dense and codec.grid,
    )


def _text(field: pa.Field, texts: pa.ChunkedArray, k: int) -> Column:
    state = np.where(texts.is_null().to_numpy(), NULL, VALUE).astype(np.uint8)
    states = _states(state, k)
    if states[VALUE] == 0.0:
        return Column(field, "empty", _states(np.full(len(texts), NULL, np.uint8), k))
    values = texts.drop_null().combine_chunks()
    table = values.value_counts()
    counts = table.field("counts").to_numpy()
    common = counts >= k
    covered = counts[common].sum() / len(values)
    if len(table) > _MOST_TEXTS or covered < _TEXTS_COVERED:
        return Column(field, "made-up", states, maker=MadeUp.of(values, k))
    order = np.argsort(-counts, kind="stable")
    order = order[common[order]]
    levels: list[str | None] = [table.field("values")[int(place)].as_py() for place in order]
    sizes = [int(counts[place]) for place in order]
    rest = int(counts[~common].sum())
    if rest >= k:
        levels.append(None)
        sizes.append(rest)
    elif rest:
        sizes[0] += rest
    shares = np.array(sizes) / len(values)
    written = _written(levels, set(table.field("values").to_pylist()))
    return Column(field, "levels", states, levels=tuple(levels), written=written, marginal=Levels(shares), pooled=1.0 - covered)


def _written(levels: list[str | None], taken: set[str]) -> tuple[str, ...]:
    naming = pc.match_substring_regex(pa.array([text or "" for text in levels], pa.string()), _NAMES_SOMEBODY).to_pylist()
    written = []
    for number, (text, names) in enumerate(zip(levels, naming, strict=True), 1):
        made = text if text is not None and not names else f"{'other' if text is None else 'value'}-{number}"
        while made in taken and made != text:
            made += "-x"
        written.append(made)
    return tuple(written)
