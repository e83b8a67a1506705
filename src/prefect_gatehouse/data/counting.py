"""What the column rules share: bad values become null, are counted over all batches and processes, and no message quotes one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.identifiers import found, told
from prefect_gatehouse.data.matching import matches
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.plurals import counted
from prefect_gatehouse.tokens.columns import is_number, is_text

_BAD = "bad: "
_CORRECT = "correct the source or the column's rule"
_WHOLE = r"^-?\d{1,18}$"  # what fits 64 bits for sure


class Faults:
    """The values of one batch that a rule could not treat."""

    def __init__(self) -> None:
        self.counted: Counter[str] = Counter()
        self.mask: pa.Array | None = None

    def without(self, array: pa.Array, bad: pa.Array, reason: str) -> pa.Array:
        """The array with bad values null, counted under a reason; a null in ``bad`` means good."""
        count = pc.sum(bad).as_py() or 0
        if not count:
            return array
        bad = pc.fill_null(bad, False)
        self.counted[_BAD + reason] += count
        self.mask = bad if self.mask is None else pc.or_(self.mask, bad)
        return pc.if_else(bad, pa.scalar(None, array.type), array)


class Counting(ABC):
    """A column's rule: treats batches, counts what it meets, and judges by the counts when all rows have been seen.

    Args:
        name: The column.
        detail: The rule's setting in words.
        nulls: ``refuse`` if a missing value is a bad one.
        also: Further columns of the source that the rule reads.
    """

    def __init__(self, name: str, detail: str, *, nulls: str = "keep", also: tuple[str, ...] = ()) -> None:
        self.name = name
        self.detail = detail
        self.reads = (name, *also)
        self._nulls = nulls
        self.counted: Counter[str] = Counter()

    def apply(self, *arrays: pa.Array) -> tuple[pa.Array, pa.Array | None]:
        """One batch, treated.

        Args:
            arrays: The columns of ``reads``, all of one length; a dictionary is decoded.

        Returns:
            The treated column, null where a value is bad, and which values are bad, None if none is.

        Raises:
            DataRefused: The rule can't treat values of this type at all.
        """
        arrays = tuple(map(_flat, arrays))
        faults = Faults()
        if self._nulls == "refuse":
            faults.without(arrays[0], arrays[0].is_null(), "are missing")
        try:
            treated = self.treat(faults, *arrays)
        except pa.ArrowException as error:  # its text may quote a value, its class does not
            message = f"values of type {arrays[0].type} can't be treated: {type(error).__name__}"
            raise self.refusal(message, "check the column's type and its rule") from None
        self.counted.update(faults.counted)
        return treated, faults.mask

    @abstractmethod
    def treat(self, faults: Faults, *arrays: pa.Array) -> pa.Array:
        """One batch; bad values become null and go to ``faults``."""

    def tally(self) -> Counter[str]:
        """What was counted so far; counts of several batches, parts or processes may be added up."""
        return Counter(self.counted)

    def absorb(self, counted: Mapping[str, int]) -> None:
        """Adds what the same rule counted elsewhere."""
        self.counted.update(counted)

    def restore(self, counted: Mapping[str, int]) -> None:
        """Goes back to an earlier tally, so that a batch can be treated anew without the rows that were set aside."""
        self.counted = Counter(counted)

    def check(self) -> None:
        """Judges the whole column, once every row has been counted.

        Raises:
            DataRefused: There were bad values, or the column as a whole may not leave so.
        """
        for reason, count in sorted(self.counted.items()):
            if reason.startswith(_BAD) and count:
                raise self.refusal(counted(count, "value", reason.removeprefix(_BAD)))

    def finish(self, part: pa.ChunkedArray) -> pa.ChunkedArray:
        """A treated part in its last form, decided by the tally alone, so that every part gets the same type."""
        return part

    def refuse_identifiers(self) -> None:
        """Judges what ``identifiers.count`` found in the column.

        Raises:
            DataRefused: It carries identifiers; kinds and counts are told, no value.
        """
        kinds = found(self.counted)
        if kinds:
            raise self.refusal(f"the column carries identifiers: {told(kinds)}", "tokenise it, generalise it further, or drop it")

    def refusal(self, message: str, advice: str = _CORRECT) -> DataRefused:
        """An error that names the column."""
        return DataRefused(message, where=f"column '{self.name}'", advice=advice)

    def parsed(self, faults: Faults, array: pa.Array, kind: pa.DataType, reason: str) -> pa.Array:
        """Text as another type; what does not parse is counted."""
        try:
            return array.cast(kind)
        except pa.ArrowInvalid:
            distinct = array.dictionary_encode()
            bad = pa.array([not _parses(value, kind) for value in distinct.dictionary], pa.bool_())
            return faults.without(array, bad.take(distinct.indices), reason).cast(kind)

    def numbers(self, faults: Faults, array: pa.Array) -> pa.Array:
        """Values as finite doubles, each the nearest one."""
        kind = array.type
        if is_text(kind):
            array = self.parsed(faults, pc.utf8_trim_whitespace(array.cast(pa.string())), pa.float64(), "are not numbers")
        elif pa.types.is_boolean(kind):
            array = array.cast(pa.int8()).cast(pa.float64())
        elif pa.types.is_decimal(kind):
            array = array.cast(pa.string()).cast(pa.float64())  # Arrow's own way from a decimal is off in the last digit
        elif is_number(kind) or pa.types.is_null(kind):
            array = array.cast(pa.float64(), safe=False)
        else:
            raise self.refusal(f"values of type {kind} are not numbers")
        return self.finite(faults, array)

    def finite(self, faults: Faults, array: pa.Array) -> pa.Array:
        """Floating-point values without NaN and infinities, which are counted."""
        return faults.without(array, pc.invert(pc.is_finite(array)), "are not finite")


def exact(array: pa.Array) -> pa.Array | None:
    """Whole numbers (a type of up to 64 bits) and decimals as they are, text of whole numbers as such; None for what doubles hold as well."""
    kind = array.type
    if is_text(kind):
        text = pc.utf8_trim_whitespace(array.cast(pa.string()))
        whole = pc.all(matches(text, _WHOLE), min_count=0).as_py()
        return text.cast(pa.int64()) if whole else None
    return array if pa.types.is_integer(kind) or pa.types.is_decimal(kind) else None


def _flat(array: pa.Array) -> pa.Array:
    """Without a dictionary, and text in a type that every function takes."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    return array.cast(pa.large_string()) if pa.types.is_string_view(array.type) else array


def _parses(value: pa.Scalar, kind: pa.DataType) -> bool:
    try:
        value.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True


def number(value: float) -> str:
    """A bound as a person writes it: 18, not 18.0."""
    return str(int(value)) if math.isfinite(value) and float(value).is_integer() else repr(float(value))
