"""What counts as a whole number of 64 bits, for the schemes that permute them: equal numbers of different types are one number."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import flat, is_text

Numbers = npt.NDArray[np.int64]

# Whole numbers up to here are exact in a double (IEEE 754, 53 bits).
_EXACT = 2**53
_IS_WHOLE = r"\A(?:0|-?[1-9][0-9]{0,18})\z"


def whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as ``int64``; nulls stay null.

    Args:
        array: Whole numbers of any width, decimals without places behind the point, doubles that all are whole numbers, or decimal digits.

    Raises:
        DataRefused: The column holds something else, or numbers beyond 64 bits with sign.
    """
    array = flat(array)
    kind = array.type
    try:
        if pa.types.is_integer(kind) or pa.types.is_null(kind):
            return array.cast(pa.int64())
        if pa.types.is_decimal(kind) and kind.scale == 0:
            return _of_text(array.cast(pa.string()))
        if pa.types.is_floating(kind):
            return _of_doubles(array.cast(pa.float64()))
        if is_text(kind):
            return _of_text(array)
    except pa.ArrowInvalid:  # its text quotes a value
        raise DataRefused("numbers do not fit 64 bits with sign", advice="use scheme siv or cmac") from None
    raise DataRefused(f"values of type {kind} are not whole numbers", advice="use scheme siv or cmac")


def _of_doubles(array: pa.Array) -> pa.Array:
    values = array.drop_null().to_numpy(zero_copy_only=False)
    good = (values == np.rint(values)) & (np.abs(values) <= _EXACT)
    bad = len(values) - int(np.count_nonzero(good))
    if bad:
        raise DataRefused(f"{bad} of {len(values)} values are not whole numbers", advice="round them at their source")
    return array.cast(pa.int64())


def _of_text(array: pa.Array) -> pa.Array:
    """Decimal digits, as the columns of a CSV hold them; 007 is refused, since 7 would come back."""
    array = array.cast(pa.large_string())
    good = pc.fill_null(pc.match_substring_regex(array, _IS_WHOLE), True)
    bad = len(array) - (pc.sum(good).as_py() or 0)
    if bad:
        advice = "use scheme ff1 for numbers with leading zeros, siv or cmac for other text"
        raise DataRefused(f"{bad} of {len(array) - array.null_count} values are not whole numbers in decimal digits", advice=advice)
    return array.cast(pa.int64())


def numbers_of(array: pa.Array) -> Numbers:
    """The numbers of a column of type ``int64``, without a copy if it has no nulls; 0 stands under a null."""
    numbers: Numbers = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    return numbers
