"""Numbers, dates, times, decimals and booleans of a column as one array of numbers, and back into the column's own type.

Whole numbers, moments and numbers of few decimals lie on a grid, origin + step * n, and are handled as int64 grid places; only
numbers of full precision are handled as doubles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

VALUE, NULL, NAN, PLUS_INF, MINUS_INF = range(5)
"""What a cell holds: a value, or one of the states that are not one."""

# A double shows 15 significant digits exactly; beyond ten decimals a column is taken as continuous.
_MOST_DECIMALS = 10
_EXACT = 2.0**52
# Beyond this span places are kept as they are: subtracting an origin could overflow.
_SPAN = 1 << 61
# The largest int64 that a double can hold.
_LARGEST = 2**63 - 1024


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is handled here."""
    tests = (pa.types.is_boolean, pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_temporal)
    return any(test(kind) for test in tests) and not pa.types.is_interval(kind)


@dataclass(frozen=True)
class NumberCodec:
    """The way of one column between Arrow and numbers.

    Attributes:
        kind: The column's type.
        decimals: Decimals of a column of floats on a grid; None for other columns.
        grid: Whether values lie on a grid.
        origin: The grid's first place, in the type's own units (floats: times 10 to the decimals).
        step: The grid's step, in the same units.
    """

    kind: pa.DataType
    decimals: int | None = None
    grid: bool = True
    origin: int = 0
    step: int = 1

    @classmethod
    def of(cls, name: str, array: pa.ChunkedArray) -> NumberCodec:
        """The codec that fits a column.

        Raises:
            InputError: Its numbers do not fit into 64 bits.
        """
        kind = array.type
        decimals = None
        if pa.types.is_floating(kind):
            values = _floats(array)
            decimals = _decimals(values[np.isfinite(values)])
            if decimals is None:
                return cls(kind, grid=False)
        plain = cls(kind, decimals)
        try:
            state, places = plain.encode(array)
        except pa.ArrowException:
            raise InputError("the column's numbers do not fit into 64 bits", where=f"column '{name}'", advice="round or drop the column") from None
        places = places[state == VALUE]
        if not places.size or int(places.max()) - int(places.min()) > _SPAN:
            return plain
        origin = int(places.min())
        return cls(kind, decimals, True, origin, int(np.gcd.reduce(places - origin)) or 1)

    def encode(self, array: pa.ChunkedArray) -> tuple[Array, Array]:
        """State of each cell (uint8) and its number (int64 on a grid, else float64; 0 where there is no value)."""
        null = array.is_null().to_numpy().astype(bool)
        state = np.where(null, NULL, VALUE).astype(np.uint8)
        if pa.types.is_floating(self.kind):
            values = _floats(array)
            state[~null & np.isnan(values)] = NAN
            state[~null & (values == np.inf)] = PLUS_INF
            state[~null & (values == -np.inf)] = MINUS_INF
            values = np.where(state == VALUE, values, 0.0) + 0.0  # one zero
            if not self.grid:
                return state, values
            places = np.rint(values * 10.0 ** (self.decimals or 0)).astype(np.int64)
        else:
            places = _integers(array)
        return state, np.where(state == VALUE, (places - self.origin) // self.step, 0)

    def decode(self, state: Array, values: Array) -> pa.Array:
        """The column of these states and numbers, in the column's own type."""
        missing = state == NULL
        if pa.types.is_floating(self.kind):
            floats = values.astype(np.float64)
            if self.grid:
                floats = (values * self.step + self.origin) / 10.0 ** (self.decimals or 0)
            for mark, special in ((NAN, np.nan), (PLUS_INF, np.inf), (MINUS_INF, -np.inf)):
                floats = np.where(state == mark, special, floats)
            return pa.array(floats, pa.float64(), mask=missing, from_pandas=False).cast(self.kind, safe=False)
        places = np.where(missing, 0, values.astype(np.int64) * self.step + self.origin)
        if pa.types.is_boolean(self.kind):
            return pa.array(places.astype(bool), mask=missing)
        if pa.types.is_decimal(self.kind):
            return _decimal(places, missing, self.kind)
        if pa.types.is_date64(self.kind):
            return pa.array(places.astype(np.int32), pa.int32(), mask=missing).cast(pa.date32()).cast(self.kind)
        if pa.types.is_temporal(self.kind) and self.kind.bit_width == 32:
            return pa.array(places.astype(np.int32), pa.int32(), mask=missing).cast(self.kind)
        return pa.array(places, pa.int64(), mask=missing).cast(self.kind)

    def rounded(self, floats: Array) -> Array:
        """Doubles as this column can hold them: whole places on a grid, else numbers of the type's precision."""
        if self.grid:
            return np.clip(np.rint(floats), -float(_LARGEST), float(_LARGEST)).astype(np.int64)
        return floats.astype(self.kind.to_pandas_dtype()).astype(np.float64)


def _floats(array: pa.ChunkedArray) -> Array:
    filled: Array = array.cast(pa.float64()).fill_null(0.0).to_numpy()
    return filled


def _decimals(values: Array) -> int | None:
    for decimals in range(_MOST_DECIMALS + 1):
        with np.errstate(over="ignore", invalid="ignore"):
            places = np.rint(values * 10.0**decimals)
        if not np.all(np.abs(places) < _EXACT):
            return None
        if np.array_equal(places / 10.0**decimals, values):
            return decimals
    return None


def _integers(array: pa.ChunkedArray) -> Array:
    kind = array.type
    if pa.types.is_decimal(kind):
        return _unscaled(array.cast(pa.decimal128(38, kind.scale)))
    if pa.types.is_date64(kind):
        array, kind = array.cast(pa.date32()), pa.date32()
    if pa.types.is_temporal(kind) and kind.bit_width == 32:
        array = array.cast(pa.int32())
    places: Array = array.cast(pa.int64()).fill_null(0).to_numpy()
    return places


def _unscaled(array: pa.ChunkedArray) -> Array:
    """The whole numbers behind a decimal128 column, which Arrow keeps as 128-bit little-endian integers."""
    parts = []
    for chunk in array.chunks:
        words = np.frombuffer(chunk.buffers()[1], np.int64).reshape(-1, 2)[chunk.offset : chunk.offset + len(chunk)]
        words = np.where(chunk.is_null().to_numpy(zero_copy_only=False)[:, None], 0, words)
        if np.any(words[:, 1] != words[:, 0] >> 63):
            raise pa.ArrowInvalid("beyond 64 bits")
        parts.append(words[:, 0])
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _decimal(places: Array, missing: Array, kind: pa.DataType) -> pa.Array:
    words = np.stack([places, places >> 63], axis=1)
    wide = pa.Array.from_buffers(pa.decimal128(38, kind.scale), len(places), [None, pa.py_buffer(np.ascontiguousarray(words))])
    return pc.if_else(pa.array(missing), None, wide).cast(kind)
