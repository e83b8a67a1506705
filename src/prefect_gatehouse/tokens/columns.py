"""What the schemes share about columns: one text form of a value (Unicode NFC, UAX #15, nothing stripped, so that joins hold).

The text of a value is, by its type: text as it is, in NFC; whole numbers in decimal digits without sign or zero in front of them (-0.0
is 0); dates as 2026-01-31; booleans as true and false; timestamps with a time zone as 2026-01-31T12:00:00.000000Z. Not-a-number is
refused: it is either a missing value that its source should call missing, or an error. Fractions and timestamps without a time zone are
refused too: they have several spellings, and joins would fail in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused

Canonical = Literal["text", "email"]

TEXT_LIMIT = (1 << 31) - 1
"""Bytes that a plain Arrow string column holds at most: its offsets have 32 bits."""

# Whole numbers up to here are exact in a double (IEEE 754, 53 bits).
_EXACT = 2**53
# The first byte of U+0300 in UTF-8. All characters below are their own NFC: combining marks begin there (UAX #15, section 9).
_MAY_COMBINE = 0xCC
_BEYOND_ASCII = 0x80
# Values looked at to guess whether a column repeats, in runs, and the share of distinct ones from which hashing all no longer pays.
_SAMPLE_RUNS, _SAMPLE_RUN, _MOSTLY_DISTINCT = 8, 64, 0.5
# Up to this many, telling the distinct values apart costs less than to wonder.
_SMALL = 512
# Batches of a column for which its last sample holds at most: a million rows of 32,768 a batch.
_FARTHEST = 31
# Up to this many distinct ones in a sample are taken for nearly all that there are.
_FEW = 128


def flat(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One plain array: chunks joined, dictionary decoded."""
    if isinstance(array, pa.ChunkedArray):
        try:
            array = _joined(array)
        except pa.ArrowInvalid:
            raise DataRefused("the chunks of a column can't be joined", advice="tokenise it batch by batch") from None
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _joined(array: pa.ChunkedArray) -> pa.Array:
    """The chunks as one array, as large text where they exceed 2 GiB together."""
    if is_text(array.type) and sum(chunk.nbytes for chunk in array.chunks) > TEXT_LIMIT:
        array = array.cast(pa.large_string())
    joined = array.combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) and joined.num_chunks == 1 else joined


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds numbers."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def is_time(kind: pa.DataType) -> bool:
    """Whether a type holds dates, times or durations."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind))


def canonical_text(array: pa.Array | pa.ChunkedArray, form: Canonical = "text") -> pa.Array:
    """Values as text in one spelling; nulls stay null.

    A float column counts as whole numbers if every value is one, as in pandas where numbers have gaps.

    Args:
        array: A column of any type.
        form: ``email`` brings addresses to one spelling (``addresses``): Ada@Example.org and ada@example.org become one value. The standard
            (RFC 5321, section 2.4) lets a host tell names before the @ apart by case; hardly one does, but a column must say that it holds
            addresses, since folding any other text could make one person of two.

    Returns:
        A column of type ``string`` or ``large_string``.

    Raises:
        DataRefused: The type has no single text form.
    """
    array = flat(array)
    kind = array.type
    if is_text(kind):
        return _folded(_plain(array)) if form == "email" else _nfc(_plain(array))
    if pa.types.is_floating(kind):
        values = array.cast(pa.float64()).drop_null().to_numpy(zero_copy_only=False)
        if np.all(np.isfinite(values)) and np.all(values == np.rint(values)) and np.all(np.abs(values) <= _EXACT):
            return array.cast(pa.int64()).cast(pa.string())
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return _instants(array)
    if pa.types.is_date64(kind):
        array = array.cast(pa.date32())
    whole = pa.types.is_integer(kind) or (pa.types.is_decimal(kind) and kind.scale == 0)
    if whole or pa.types.is_date(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return array.cast(pa.string())
    raise DataRefused(f"values of type {kind} have no single text form", advice="make the column text at its source")


def _plain(array: pa.Array) -> pa.Array:
    """Text with offsets of 32 or 64 bits."""
    if not pa.types.is_string_view(array.type):
        return array
    return array.cast(pa.string() if array.nbytes <= TEXT_LIMIT else pa.large_string())


def _nfc(array: pa.Array) -> pa.Array:
    """NFC of text; only values that may change are looked at one by one."""
    return _where(array, _MAY_COMBINE, lambda texts: pc.utf8_normalize(texts, form="NFC"))


def _folded(array: pa.Array) -> pa.Array:
    """Addresses in one spelling; those of ASCII need lower case only and no dot at their end, in a hundredth of the time."""
    from prefect_gatehouse.tokens.addresses import ROOT_DOT, one_spelling

    def spelt(texts: pa.Array) -> pa.Array:
        encoded = texts.dictionary_encode()
        values = pa.array([None if each is None else one_spelling(each) for each in encoded.dictionary.to_pylist()], texts.type)
        return values.take(encoded.indices)

    # Lower case of ASCII leaves every other byte alone, so it may come first.
    found = _where(pc.ascii_lower(array), _BEYOND_ASCII, spelt)
    return pc.replace_substring_regex(found, ROOT_DOT, r"\1") if pc.any(pc.ends_with(found, ".")).as_py() else found


def _where(array: pa.Array, byte: int, function: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """Text with a function applied to the values that hold a byte so large or larger."""
    data, edges = text_bytes(array)
    data = data[edges[0] : edges[-1]]
    if not len(data) or data.max() < byte:
        return array
    places = np.flatnonzero(data >= byte) + edges[0]
    rows = np.unique(np.searchsorted(edges, places, side="right") - 1)
    mask = np.zeros(len(array), np.bool_)
    mask[rows] = True
    try:
        return pc.replace_with_mask(array, pa.array(mask), function(array.take(pa.array(rows))).cast(array.type))
    except (pa.ArrowInvalid, UnicodeError):
        raise DataRefused("a column of text holds bytes that are not UTF-8", advice="correct the encoding at its source") from None


def _instants(array: pa.Array) -> pa.Array:
    """Instants in UTC with microseconds (ISO 8601, RFC 3339), whatever the unit and the zone of the column."""
    try:
        text = array.cast(pa.timestamp("us", array.type.tz)).cast(pa.timestamp("us", "UTC")).cast(pa.string())
    except pa.ArrowInvalid:
        raise DataRefused(
            "instants beyond microseconds, or out of their range, have no single text form", advice="make the column text at its source"
        ) from None
    return pc.replace_substring(text, " ", "T", max_replacements=1)


def repeats(array: pa.Array) -> bool:
    """Whether values seem to repeat so often that telling the distinct ones apart pays: a guess from some runs of rows."""
    if len(array) <= _SMALL:
        return len(array) > 1
    sample = _sample(array)
    return bool(len(sample.unique()) < _MOSTLY_DISTINCT * len(sample))


class Guess:
    """``repeats`` for one column batch by batch: while the answer stays, a sample is taken at ever greater distances.

    Threads may share one: what they do to each other costs a sample, never a token.
    """

    def __init__(self) -> None:
        self._found = False
        self._distance = self._left = 0

    def __call__(self, array: pa.Array) -> bool:
        """Whether the values of a batch seem to repeat."""
        if len(array) <= _SMALL:
            return repeats(array)
        if self._left > 0:
            self._left -= 1
            return self._found
        found = repeats(array)
        self._distance = min(2 * self._distance + 1, _FARTHEST) if found == self._found else 0
        self._found, self._left = found, self._distance
        return found


def _sample(array: pa.Array) -> pa.Array:
    """Some runs of rows from everywhere in a column of more than ``_SMALL`` rows."""
    starts = np.linspace(0, len(array) - _SAMPLE_RUN, _SAMPLE_RUNS).astype(np.int64)
    return array.take(pa.array((starts[:, None] + np.arange(_SAMPLE_RUN)).ravel()))


def by_dictionary(array: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The distinct values of a column, and the place of each row's value among them, null where the row is."""
    if len(array) > _SMALL:
        known = _sample(array).unique().drop_null()
        if 0 < len(known) <= _FEW:
            return _looked_up(array, known)
    encoded = array.dictionary_encode()
    return encoded.dictionary, encoded.indices


def _looked_up(array: pa.Array, known: pa.Array) -> tuple[pa.Array, pa.Array]:
    """As ``by_dictionary``, where nearly every value is one of a few known ones: a quarter faster than to learn each anew."""
    places = pc.index_in(array, value_set=known)
    if places.null_count == array.null_count:
        return known, places
    other = pc.and_(places.is_null(), array.is_valid())
    rest = array.filter(other).dictionary_encode()
    return pa.concat_arrays([known, rest.dictionary]), pc.replace_with_mask(places, other, pc.add(rest.indices, pa.scalar(len(known), pa.int32())))


def over_values(
    array: pa.Array | pa.ChunkedArray,
    tokens_of: Callable[[pa.Array], pa.Array],
    form: Canonical = "text",
    distinct: Callable[[pa.Array], tuple[pa.Array, pa.Array]] = by_dictionary,
    guess: Callable[[pa.Array], bool] = repeats,
) -> pa.Array:
    """Applies a function of canonical text to a column, once for each distinct value where that is cheaper.

    Args:
        array: A column of any type; the distinct values of a dictionary are its dictionary.
        tokens_of: Takes text with nulls, gives as many texts with the same nulls.
        form: As in ``canonical_text``.
        distinct: Tells the values of a text column apart.
        guess: Whether they repeat, a ``Guess`` for whoever takes batch after batch.

    Raises:
        DataRefused: The type has no single text form.
    """
    if isinstance(array, pa.DictionaryArray) and len(array.dictionary) <= len(array):
        return spread(tokens_of(canonical_text(array.dictionary, form)), array.indices)
    text = canonical_text(array, form)
    if not guess(text):
        return tokens_of(text)
    values, places = distinct(text)
    return spread(tokens_of(values), places)


def spread(values: pa.Array, places: pa.Array) -> pa.Array:
    """Texts in the places that name them, as large text where they may exceed 2 GiB; no place, or one that names a null, is null."""
    longest = pc.max(pc.binary_length(values)).as_py() or 0
    if pa.types.is_string(values.type) and longest * len(places) > TEXT_LIMIT:
        values = values.cast(pa.large_string())
    return values.take(places)


def text_bytes(array: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The bytes behind a column of type ``string`` or ``large_string`` and the offset of each value, one more than there are values.

    Nulls have bytes of their own, if any: drop them first where that matters.
    """
    _, offsets, data = array.buffers()
    if len(array) == 0 or offsets is None:
        return np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64)
    width = np.dtype(np.int64 if pa.types.is_large_string(array.type) else np.int32)
    edges = np.frombuffer(offsets, width, len(array) + 1, array.offset * width.itemsize).astype(np.int64)
    return np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8), edges


def one_length_bytes(column: pa.Array, width: int) -> npt.NDArray[np.uint8]:
    """The bytes of texts that ``text_width`` found to have so many each, one behind the other."""
    _, offsets, data = column.buffers()
    return np.frombuffer(data, np.uint8, len(column) * width, int(np.frombuffer(offsets, np.int32, 1, column.offset * 4)[0]))
