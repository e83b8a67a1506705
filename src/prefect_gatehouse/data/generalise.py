"""Generalisation of text to a prefix and of numbers to multiples or bins; dates are in ``dates``."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults, number
from prefect_gatehouse.data.identifiers import count
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens.columns import canonical_text

_INT64 = 2.0**63
_VALUES, _SHORTENED = "values", "shortened"


class Prefix(Counting):
    """The first characters of the NFC text."""

    def __init__(self, name: str, length: int, *, nulls: str = "keep") -> None:
        super().__init__(name, f"prefix {length}", nulls=nulls)
        self._length = length

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, generalised."""
        try:
            text = canonical_text(arrays[0])
        except DataRefused as error:
            raise self.refusal(error.message, error.advice) from None
        self.counted[_VALUES] += len(text) - text.null_count
        self.counted[_SHORTENED] += pc.sum(pc.greater(pc.utf8_length(text), self._length)).as_py() or 0
        short = pc.utf8_slice_codeunits(text, 0, self._length)
        self.counted.update(count(short))
        return short

    def check(self) -> None:
        """Judges the whole column.

        Raises:
            DataRefused: The prefix shortened nothing, or what is left carries identifiers.
        """
        super().check()
        self.refuse_identifiers()
        if self.counted[_VALUES] and not self.counted[_SHORTENED]:
            raise self.refusal(f"a prefix of {self._length} keeps every value whole", "shorten the prefix, or declare the column as kept")


class Rounded(Counting):
    """The nearest multiple, halves to the even one; whole numbers if the step is whole."""

    def __init__(self, name: str, step: float, *, nulls: str = "keep") -> None:
        super().__init__(name, f"rounded to {number(step)}", nulls=nulls)
        if not math.isfinite(step):
            raise InputError("round_to must be finite", where=f"column '{name}'")
        self._step = step

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, generalised."""
        multiple = pc.round(pc.divide(self.numbers(faults, arrays[0]), self._step), 0, "half_to_even")
        inverse = 1 / self._step
        # Dividing by 10 gives 0.3 where multiplying by 0.1 gives 0.30000000000000004.
        exact = self._step < 1 and math.isclose(inverse, round(inverse), rel_tol=1e-12)
        value = pc.add(pc.divide(multiple, float(round(inverse))) if exact else pc.multiply(multiple, self._step), 0.0)
        if not self._step.is_integer():
            return self.finite(faults, value)
        return faults.without(value, pc.greater_equal(pc.abs(value), _INT64), "are too large to round").cast(pa.int64())


class Binned(Counting):
    """The label of the half-open bin, such as [18,40)."""

    def __init__(self, name: str, edges: tuple[float, ...], *, nulls: str = "keep") -> None:
        super().__init__(name, "bins " + ", ".join(number(edge) for edge in edges), nulls=nulls)
        if len(edges) < 2 or any(math.isnan(edge) for edge in edges):
            raise InputError("the edges of bins must be at least two numbers", where=f"column '{name}'")
        self._edges = np.array(edges)
        self._labels = pa.array([f"[{number(low)},{number(high)})" for low, high in pairwise(edges)])

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, generalised."""
        values = self.numbers(faults, arrays[0])
        outside = pc.or_(pc.less(values, self._edges[0]), pc.greater_equal(values, self._edges[-1]))
        values = faults.without(values, outside, "are outside the bins")
        place = np.digitize(values.fill_null(self._edges[0]).to_numpy(zero_copy_only=False), self._edges) - 1
        return self._labels.take(pa.array(place, pa.int64(), mask=values.is_null().to_numpy(zero_copy_only=False)))
