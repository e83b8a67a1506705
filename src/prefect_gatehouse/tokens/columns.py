"""What the schemes share about columns: one text form of a value (Unicode NFC, UAX #15, nothing stripped, so that joins hold)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused

# Whole numbers up to here are exact in a double (IEEE 754, 53 bits).
_EXACT = 2**53


def flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One plain array: chunks joined, dictionary decoded."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        if isinstance(array, pa.ChunkedArray):  # pyarrow keeps chunks that together exceed 2 GiB
            raise DataRefused("a column holds more than 2 GiB of text", advice="tokenise it batch by batch")
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether a type holds dates, times or durations."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind))


def canonical_text(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Values as NFC text; nulls stay null.

    Whole numbers, dates and booleans have one text. A float column counts as whole numbers if every value is one, as in
    pandas where numbers have gaps. Timestamps, fractions and decimals have several texts, so joins would fail in silence.

    Raises:
        DataRefused: The type has no single text form.
    """
    array = flat(array)
    kind = array.type
    if is_text(kind):
        return pc.utf8_normalize(array.cast(pa.string()), form="NFC")
    if pa.types.is_floating(kind):
        values = array.cast(pa.float64()).drop_null().to_numpy(zero_copy_only=False)
        if np.all(np.isfinite(values)) and np.all(values == np.rint(values)) and np.all(np.abs(values) <= _EXACT):
            return array.cast(pa.int64()).cast(pa.string())
    if pa.types.is_date64(kind):
        array = array.cast(pa.date32())
    if pa.types.is_integer(kind) or pa.types.is_date(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    raise DataRefused(f"values of type {kind} have no single text form", advice="make the column text at its source")


def over_unique(array: pa.Array, tokens_of: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Applies a function of distinct, non-null values and puts its results back in the rows' places."""
    encoded = array.dictionary_encode()
    return tokens_of(encoded.dictionary).take(encoded.indices)


def text_bytes(array: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes of a string array without nulls and the offset of each value, one more than there are values."""
    _, offsets, data = array.buffers()
    if len(array) == 0 or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    edges = np.frombuffer(offsets, np.int32, len(array) + 1, array.offset * 4).astype(np.int64)
    return np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), edges


def groups(sizes: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each size that occurs, with the rows that have it."""
    order = np.argsort(sizes, kind="stable")
    distinct, first = np.unique(sizes[order], return_index=True)
    yield from zip(distinct.tolist(), np.split(order, first[1:]), strict=True) if len(distinct) else ()
