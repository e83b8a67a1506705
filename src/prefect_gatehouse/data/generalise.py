"""Generalisation of text to a prefix and of numbers to multiples or bins; dates are in ``dates``."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_HALF_EVEN, Context, Decimal
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults, exact, number
from prefect_gatehouse.data.identifiers import count
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens.columns import canonical_text

_INT64 = 2.0**63
_LAST = 2**63 - 1
_TOO_LARGE = "are too large to round"
# Of a decimal of 256 bits, and a context that holds any double beside them.
_DIGITS, _WIDE = 76, Context(prec=1200, rounding=ROUND_HALF_EVEN)
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
        """One batch, generalised; whole numbers and decimals in exact arithmetic, everything else as doubles."""
        found = exact(arrays[0])
        if found is not None and pa.types.is_integer(found.type) and self._step.is_integer() and self._step < _INT64:
            return self._whole(faults, found)
        if found is not None and pa.types.is_decimal(found.type):
            return self._decimals(faults, found)
        multiple = pc.round(pc.divide(self.numbers(faults, arrays[0]), self._step), 0, "half_to_even")
        inverse = 1 / self._step
        # Dividing by 10 gives 0.3 where multiplying by 0.1 gives 0.30000000000000004.
        near = self._step < 1 and math.isclose(inverse, round(inverse), rel_tol=1e-12)
        value = pc.add(pc.divide(multiple, float(round(inverse))) if near else pc.multiply(multiple, self._step), 0.0)
        if not self._step.is_integer():
            return self.finite(faults, value)
        return faults.without(value, pc.greater_equal(pc.abs(value), _INT64), _TOO_LARGE).cast(pa.int64())

    def _whole(self, faults: Faults, numbers: pa.Array) -> pa.Array:
        step = int(self._step)
        if numbers.type == pa.uint64():
            numbers = faults.without(numbers, pc.greater(numbers, pa.scalar(_LAST, pa.uint64())), _TOO_LARGE)
        numbers = numbers.cast(pa.int64())
        # A multiple is at most half a step away, and must fit the type as well.
        beyond = pc.or_(pc.greater(numbers, _LAST - step), pc.less(numbers, step - _LAST))
        return pc.round_to_multiple(faults.without(numbers, beyond, _TOO_LARGE), pa.scalar(step, pa.int64()), round_mode="half_to_even")

    def _decimals(self, faults: Faults, values: pa.Array) -> pa.Array:
        """Each distinct decimal once, by Python's arithmetic: Arrow's gives another number near the 76 digits of its widest type."""
        # The narrow types have no dictionaries in Arrow.
        wide = pa.decimal128 if values.type.precision <= 38 else pa.decimal256
        encoded = values.cast(wide(values.type.precision, values.type.scale)).dictionary_encode()
        step = Decimal(repr(self._step))
        multiples = [None if each is None else _multiple(each, step) for each in encoded.dictionary.to_pylist()]
        if not self._step.is_integer():
            return pa.array([None if each is None else float(each) + 0.0 for each in multiples], pa.float64()).take(encoded.indices)
        large = [each is not None and abs(each) > _LAST for each in multiples]
        faults.without(values, pa.array(large, pa.bool_()).take(encoded.indices), _TOO_LARGE)
        fitting = [None if each is None or beyond else int(each) for each, beyond in zip(multiples, large, strict=True)]
        return pa.array(fitting, pa.int64()).take(encoded.indices)


def _multiple(value: Decimal, step: Decimal) -> Decimal:
    return _WIDE.multiply(_WIDE.to_integral_exact(_WIDE.divide(value, step)), step)


class Binned(Counting):
    """The label of the half-open bin, such as [18,40)."""

    def __init__(self, name: str, edges: tuple[float, ...], *, nulls: str = "keep") -> None:
        super().__init__(name, "bins " + ", ".join(number(edge) for edge in edges), nulls=nulls)
        if len(edges) < 2 or any(math.isnan(edge) for edge in edges):
            raise InputError("the edges of bins must be at least two numbers", where=f"column '{name}'")
        self._edges = np.array(edges)
        self._labels = pa.array([f"[{number(low)},{number(high)})" for low, high in pairwise(edges)])

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, generalised; whole numbers and decimals are compared as they are, everything else as doubles."""
        values = exact(arrays[0])
        if values is None:
            values = self.numbers(faults, arrays[0])
            place = np.digitize(values.fill_null(math.nan).to_numpy(zero_copy_only=False), self._edges) - 1
        else:
            place = sum((_from(values, edge) for edge in self._edges.tolist()), np.zeros(len(values), np.int64)) - 1
        missing = values.is_null().to_numpy(zero_copy_only=False)
        outside = pa.array(~missing & ((place < 0) | (place >= len(self._labels))))
        values = faults.without(values, outside, "are outside the bins")
        return self._labels.take(pa.array(place, pa.int64(), mask=values.is_null().to_numpy(zero_copy_only=False)))


def _from(values: pa.Array, edge: float) -> npt.NDArray[np.bool_]:
    """Which whole numbers or decimals lie at an edge or above; where one is missing, it means nothing."""
    if math.isinf(edge):
        return np.full(len(values), edge < 0)
    kind = values.type
    least: int | Decimal
    if pa.types.is_decimal(kind):
        kind = pa.decimal256(_DIGITS, kind.scale)
        least = Decimal(repr(edge)).quantize(Decimal((0, (1,), -kind.scale)), ROUND_CEILING, _WIDE)
    else:
        least = math.ceil(edge)
    try:
        bound = pa.scalar(least, kind)
    except (pa.ArrowInvalid, OverflowError):  # beyond every value of the type
        return np.full(len(values), edge < 0)
    return np.asarray(pc.fill_null(pc.greater_equal(values.cast(kind), bound), False).to_numpy(zero_copy_only=False), np.bool_)
