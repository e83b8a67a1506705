"""The rule ``keep``: values as they are, or scaled by declared bounds; text of a CSV becomes numbers where nothing is lost."""

from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.counting import Counting, Faults, number
from prefect_gatehouse.data.dates import SECONDS, TICKS, within, within_years
from prefect_gatehouse.data.identifiers import count
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens.columns import is_number, is_text, is_time

# Up to 15 digits survive a double; a leading zero or plus would not come back, so such a column stays text.
_WHOLE = r"^(0|-?[1-9]\d{0,14})$"
# More digits survive 64 bits, so a column of whole numbers alone may have them.
_LONG = r"^-?[1-9]\d{15,18}$"
_LARGEST = ("9223372036854775807", "-9223372036854775808")
_FRACTION = r"^-?((0|[1-9]\d{0,14})?\.\d+|(0|[1-9]\d{0,14})\.?)([eE][+-]?\d{1,4})?$"
_NO_NUMBER = r"(?i)^-?(nan|inf|infinity)$"

# What is counted of the text of a CSV.
_AS_WHOLE, _AS_LONG, _AS_FRACTION, _AS_NO_NUMBER, _AS_TEXT = "whole numbers", "long whole numbers", "fractions", "not finite", "text"


class Kept(Counting):
    """Unchanged, if no identifier is in it; the text of a source without types becomes numbers if every value would come back.

    Args:
        name: The column.
        typed: Whether the source has types; if so, text stays text.
        nulls: ``refuse`` if a missing value is a bad one.
    """

    def __init__(self, name: str, typed: bool, *, nulls: str = "keep") -> None:
        super().__init__(name, "", nulls=nulls)
        self._typed = typed

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, as it is."""
        array, kind = arrays[0], arrays[0].type
        self.counted.update(count(array))
        if is_text(kind):
            array = array.cast(pa.string())
            if not self._typed and not self.counted[_AS_TEXT]:  # one value that is no number settles it
                self._sort(array)
            return array
        if pa.types.is_floating(kind):
            return self.finite(faults, array.cast(pa.float64()))
        if is_time(kind):
            return _kept_time(faults, array)
        if is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
            return array
        raise self.refusal(f"values of type {kind} can't be kept", "keep flat columns of text, numbers and dates")

    def _sort(self, text: pa.Array) -> None:
        text = text.drop_null()
        rest = text.filter(pc.invert(matches(text, _WHOLE)))
        self.counted[_AS_WHOLE] += len(text) - len(rest)
        if len(rest):
            fraction = matches(rest, _FRACTION)
            finite = pc.sum(pc.is_finite(rest.filter(fraction).cast(pa.float64()))).as_py() or 0
            spelt = pc.sum(matches(rest, _NO_NUMBER)).as_py()
            numbers = pc.sum(fraction).as_py()
            long = _long(rest)
            self.counted[_AS_LONG] += long
            self.counted[_AS_FRACTION] += finite
            self.counted[_AS_NO_NUMBER] += numbers - finite + spelt
            self.counted[_AS_TEXT] += len(rest) - numbers - spelt - long

    @property
    def _form(self) -> pa.DataType:
        """What the text becomes."""
        fractions = bool(self.counted[_AS_FRACTION] or self.counted[_AS_NO_NUMBER])
        wholes = bool(self.counted[_AS_WHOLE] or self.counted[_AS_LONG])
        if self.counted[_AS_TEXT] or (self.counted[_AS_LONG] and fractions) or not (wholes or self.counted[_AS_FRACTION]):
            return pa.string()
        return pa.float64() if fractions else pa.int64()

    def check(self) -> None:
        """Judges the whole column.

        Raises:
            DataRefused: It carries identifiers, or values are not finite, or missing although they must not be.
        """
        super().check()
        self.refuse_identifiers()
        if self._form == pa.float64() and self.counted[_AS_NO_NUMBER]:
            raise self.refusal(counted(self.counted[_AS_NO_NUMBER], "value", "are not finite"))

    def finish(self, part: pa.ChunkedArray) -> pa.ChunkedArray:
        """A part as numbers where the whole column is."""
        if self._typed or not is_text(part.type) or self._form == pa.string():
            return part
        return part.cast(self._form)


def _long(text: pa.Array) -> int:
    """How many are whole numbers of 16 digits and more within 64 bits."""
    found = text.filter(matches(text, _LONG))
    beyond = 0
    for largest in _LARGEST:  # digits of one length are in the order of their numbers
        same = found.filter(pc.and_(pc.equal(pc.binary_length(found), len(largest)), pc.equal(pc.starts_with(found, "-"), largest[0] == "-")))
        beyond += pc.sum(pc.greater(same, largest)).as_py() or 0
    return len(found) - beyond


def _kept_time(faults: Faults, array: pa.Array) -> pa.Array:
    """Dates and times that the calendars and clocks of Python and pandas hold as they are; others are counted."""
    kind = array.type
    if pa.types.is_date(kind):
        return within(faults, array.cast(pa.date32()))
    if pa.types.is_timestamp(kind):
        return within_years(faults, array)
    if pa.types.is_duration(kind):  # pandas reads the smallest number of 64 bits as a missing value
        return faults.without(array, pc.equal(array.cast(pa.int64()), -(2**63)), "are out of range")
    ticks = array.cast(pa.int32() if kind.bit_width == 32 else pa.int64())
    array = faults.without(array, pc.or_(pc.less(ticks, 0), pc.greater_equal(ticks, SECONDS * TICKS[kind.unit])), "are no time of a day")
    if kind.unit != "ns":
        return array
    ticks = ticks.fill_null(0).to_numpy()
    array = faults.without(array, pa.array(ticks % 1000 != 0), "are finer than a microsecond")
    return array.cast(pa.time64("us"))


class Scaled(Counting):
    """(x - low) / (high - low), clipped to 0..1."""

    def __init__(self, name: str, low: float, high: float, *, nulls: str = "keep") -> None:
        super().__init__(name, f"scaled from {number(low)}..{number(high)}", nulls=nulls)
        if not math.isfinite(high - low):
            raise InputError("the bounds of scale must be finite", where=f"column '{name}'")
        self._low, self._high = low, high

    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch, scaled."""
        share = pc.divide(pc.subtract(self.numbers(faults, arrays[0]), self._low), self._high - self._low)
        return pc.max_element_wise(pc.min_element_wise(share, 1.0, skip_nulls=False), 0.0, skip_nulls=False)
