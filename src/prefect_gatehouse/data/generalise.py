"""Generalisation: dates to years or months, text to a prefix, numbers to multiples or bins."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, number
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens.columns import canonical_text, is_text

_DATE = r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?$"
_INT64 = 2.0**63


class Dates(Counting):
    """The year as a number, or the month as YYYY-MM."""

    def __init__(self, name: str, to: str) -> None:
        super().__init__(name, to)
        self._to = to

    def apply(self, array: pa.Array) -> pa.Array:
        """One batch, generalised."""
        kind = array.type
        if is_text(kind):
            text = pc.utf8_trim_whitespace(array)
            reason = "are not dates written YYYY-MM-DD"
            text = self.without(text, pc.fill_null(pc.invert(pc.match_substring_regex(text, _DATE)), False), reason)
            array = self.parsed(pc.utf8_slice_codeunits(text, 0, 10), pa.date32(), reason)
        elif not (pa.types.is_date(kind) or pa.types.is_timestamp(kind)):
            raise self.refusal(f"values of type {kind} are not dates")
        year = pc.year(array)
        if self._to == "year":
            return year.cast(pa.int32())
        padded = [pc.utf8_lpad(part.cast(pa.string()), width, "0") for part, width in ((year, 4), (pc.month(array), 2))]
        return pc.binary_join_element_wise(*padded, "-")


class Prefix(Counting):
    """The first characters of the NFC text."""

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, f"prefix {length}")
        self._length = length
        self._shortened = False

    def apply(self, array: pa.Array) -> pa.Array:
        """One batch, generalised."""
        try:
            text = canonical_text(array)
        except DataRefused as error:
            raise self.refusal(error.message, error.advice) from None
        self._shortened |= pc.any(pc.greater(pc.utf8_length(text), self._length)).as_py() or False
        return pc.utf8_slice_codeunits(text, 0, self._length)

    def finish(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """The whole column.

        Raises:
            DataRefused: The prefix shortened nothing.
        """
        if column.null_count < len(column) and not self._shortened:
            advice = "shorten the prefix, or declare the column as kept"
            raise self.refusal(f"a prefix of {self._length} keeps every value whole", advice)
        return super().finish(column)


class Rounded(Counting):
    """The nearest multiple, halves to the even one; whole numbers if the step is whole."""

    def __init__(self, name: str, step: float) -> None:
        super().__init__(name, f"rounded to {number(step)}")
        if not math.isfinite(step):
            raise InputError("round_to must be finite", where=f"column '{name}'")
        self._step = step

    def apply(self, array: pa.Array) -> pa.Array:
        """One batch, generalised."""
        multiple = pc.round(pc.divide(self.numbers(array), self._step), 0, "half_to_even")
        inverse = 1 / self._step
        # Dividing by 10 gives 0.3 where multiplying by 0.1 gives 0.30000000000000004.
        exact = self._step < 1 and math.isclose(inverse, round(inverse), rel_tol=1e-12)
        value = pc.add(pc.divide(multiple, float(round(inverse))) if exact else pc.multiply(multiple, self._step), 0.0)
        if not self._step.is_integer():
            return self.finite(value)
        return self.without(value, pc.greater_equal(pc.abs(value), _INT64), "are too large to round").cast(pa.int64())


class Binned(Counting):
    """The label of the half-open bin, such as [18,40)."""

    def __init__(self, name: str, edges: tuple[float, ...]) -> None:
        super().__init__(name, "bins " + ", ".join(number(edge) for edge in edges))
        if len(edges) < 2 or any(math.isnan(edge) for edge in edges):
            raise InputError("the edges of bins must be at least two numbers", where=f"column '{name}'")
        self._edges = np.array(edges)
        self._labels = pa.array([f"[{number(low)},{number(high)})" for low, high in pairwise(edges)])

    def apply(self, array: pa.Array) -> pa.Array:
        """One batch, generalised."""
        values = self.numbers(array)
        outside = pc.or_(pc.less(values, self._edges[0]), pc.greater_equal(values, self._edges[-1]))
        values = self.without(values, pc.fill_null(outside, False), "are outside the bins")
        place = np.digitize(values.fill_null(self._edges[0]).to_numpy(zero_copy_only=False), self._edges) - 1
        return self._labels.take(pa.array(place, pa.int64(), mask=values.is_null().to_numpy(zero_copy_only=False)))
