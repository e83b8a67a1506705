"""What the column rules share: bad values become null and are counted over all batches, and no message quotes one."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import is_number, is_text


class Counting:
    """Counts bad values over all batches, so that one message tells the whole of it."""

    def __init__(self, name: str, detail: str) -> None:
        self.name = name
        self.detail = detail
        self._bad: dict[str, int] = {}

    def finish(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The whole column.

        Raises:
            DataRefused: There were bad values.
        """
        for reason, count in self._bad.items():
            if count:
                raise self.refusal(f"{count} values {reason}")
        return column

    def refusal(self, message: str, advice: str = "correct the source or the column's rule") -> DataRefused:
        """An error that names the column."""
        return DataRefused(message, where=f"column '{self.name}'", advice=advice)

    def without(self, array: pa.Array, bad: pa.Array, reason: str) -> pa.Array:
        """The array with bad values null, counted under a reason."""
        count = pc.sum(bad).as_py() or 0
        self._bad[reason] = self._bad.get(reason, 0) + count
        return pc.if_else(bad, pa.scalar(None, array.type), array) if count else array

    def parsed(self, array: pa.Array, kind: pa.DataType, reason: str) -> pa.Array:
        """Text as another type; what does not parse is counted."""
        try:
            return array.cast(kind)
        except pa.ArrowInvalid:
            distinct = array.dictionary_encode()
            bad = pa.array([not _parses(value, kind) for value in distinct.dictionary], pa.bool_())
            return self.without(array, pc.fill_null(bad.take(distinct.indices), False), reason).cast(kind)

    def numbers(self, array: pa.Array) -> pa.Array:
        """Values as finite doubles."""
        kind = array.type
        if is_text(kind):
            array = self.parsed(pc.utf8_trim_whitespace(array), pa.float64(), "are not numbers")
        elif pa.types.is_boolean(kind):
            array = array.cast(pa.int8()).cast(pa.float64())
        elif is_number(kind) or pa.types.is_null(kind):
            array = array.cast(pa.float64(), safe=False)
        else:
            raise self.refusal(f"values of type {kind} are not numbers")
        return self.finite(array)

    def finite(self, array: pa.Array) -> pa.Array:
        """Doubles without NaN and infinities, which are counted."""
        return self.without(array, pc.fill_null(pc.invert(pc.is_finite(array)), False), "are not finite")


def _parses(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def number(value: float) -> str:
    """A bound as a person writes it: 18, not 18.0."""
    return str(int(value)) if math.isfinite(value) and float(value).is_integer() else repr(float(value))
