"""The order in which minimised rows leave: by a 64-bit hash of their content, rows of one hash by the content itself.

A row's place is a function of what the row says, so it tells nothing that the row does not, least of all where the row stood at its
source; and the same rows come in the same order whatever read them. The hash spreads rows, it protects nothing: equal hashes of
unequal rows cost a comparison, no more. It mixes by multiplication and xor-shift, and ends in the finaliser of MurmurHash3.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import is_text, is_time, one_length_bytes, text_bytes

Hashes = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]

_WORD = 8
# Digits that a decimal of 16 and of 32 bytes holds at most.
_DECIMAL128, _DECIMAL256 = 38, 76
# Odd constants of high entropy: the golden ratio in 64 bits (Knuth, TAOCP 6.4), and the two of MurmurHash3's finaliser.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_LAST_1 = np.uint64(0xFF51AFD7ED558CCD)
_LAST_2 = np.uint64(0xC4CEB9FE1A85EC53)
# The hash of a missing value; that of a column without any value.
_MISSING = np.uint64(0x6A09E667F3BCC909)
_32, _29, _33 = np.uint64(32), np.uint64(29), np.uint64(33)
# The bytes of a word that a text of 0 to 7 bytes fills.
_FILLED = np.array([(1 << (8 * length)) - 1 for length in range(_WORD)], np.uint64)


def one_form(name: str, column: pa.Array) -> pa.Array:
    """A column in the one form of its logical type: no dictionary, no large_string, doubles with one zero and one NaN.

    The form is also one that Parquet gives back as it was: no seconds, no decimals of 32 and 64 bits, no days in milliseconds.

    Raises:
        DataRefused: The type is neither text, number, boolean nor time, or a value does not fit the form.
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind):
        return column
    if is_text(kind):
        return column.cast(pa.string())
    if pa.types.is_floating(kind):
        return _one_zero(column.cast(pa.float64()))
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column
    if is_time(kind) or pa.types.is_decimal(kind):
        try:
            return column.cast(_lasting(kind))
        except pa.ArrowInvalid:  # its text quotes a value
            message = f"values of type {kind} are out of the range that can be stored"
            raise DataRefused(message, where=f"column '{name}'", advice="correct the source") from None
    advice = "keep flat columns of text, numbers and dates"
    raise DataRefused(f"values of type {kind} can't be stored", where=f"column '{name}'", advice=advice)


def _lasting(kind: pa.DataType) -> pa.DataType:
    """The type of the same meaning that Parquet knows."""
    if pa.types.is_date(kind):
        return pa.date32()
    if pa.types.is_timestamp(kind) and kind.unit == "s":
        return pa.timestamp("ms", kind.tz)
    if pa.types.is_time(kind) and kind.unit == "s":
        return pa.time32("ms")
    if pa.types.is_decimal(kind):
        scale = max(kind.scale, 0)
        digits = max(kind.precision - kind.scale + scale, scale)
        return pa.decimal128(digits, scale) if digits <= _DECIMAL128 else pa.decimal256(min(digits, _DECIMAL256), scale)
    return kind


def _one_zero(column: pa.Array) -> pa.Array:
    values = (column.fill_null(0.0) if column.null_count else column).to_numpy(zero_copy_only=False)
    single = np.where(np.isnan(values), np.nan, values) + 0.0
    return pa.array(single, mask=column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None, from_pandas=False)


def row_hashes(batch: pa.RecordBatch) -> Hashes:
    """The hash of each row; names and order of the columns count by their place only.

    Args:
        batch: Columns in their one form (``one_form``).
    """
    rows = np.full(batch.num_rows, _STEP, np.uint64)
    for column in batch.columns:
        rows ^= _column_hashes(column)
        rows *= _STEP
        rows ^= rows >> _29
    for constant in (_LAST_1, _LAST_2):
        rows ^= rows >> _33
        rows *= constant
    rows ^= rows >> _33
    return rows


def _column_hashes(column: pa.Array) -> Hashes:
    if pa.types.is_null(column.type):
        return np.full(len(column), _MISSING, np.uint64)
    if pa.types.is_string(column.type):
        hashes = _text_hashes(column)
    elif pa.types.is_decimal(column.type):
        hashes = np.zeros(len(column), np.uint64)
        for word in fixed_width(column).T:
            hashes = (hashes ^ word.view(np.uint64)) * _STEP
            hashes ^= hashes >> _32
    else:
        hashes = fixed_width(column).astype(np.int64, copy=False).view(np.uint64) * _STEP
        hashes ^= hashes >> _32
    if column.null_count:
        hashes[column.is_null().to_numpy(zero_copy_only=False)] = _MISSING
    return hashes


def fixed_width(column: pa.Array) -> npt.NDArray[np.generic]:
    """Values of a number, boolean or date column as numpy holds them: integers, doubles as their bits; zero where one is missing.

    Of a decimal the words of 64 bits of its unscaled number, the lowest first: (rows, 2), or (rows, 4) of one of 256 bits.
    """
    kind = column.type
    if pa.types.is_decimal(kind):
        return _decimal_words(column)
    if is_time(kind):
        column = column.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    if pa.types.is_boolean(kind):
        column = column.cast(pa.uint8())
    values: npt.NDArray[np.generic] = (column.fill_null(0) if column.null_count else column).to_numpy(zero_copy_only=False)
    return values.view(np.int64) if values.dtype == np.float64 else values


def _decimal_words(column: pa.Array) -> npt.NDArray[np.int64]:
    words = column.type.byte_width // _WORD
    if not len(column):
        return np.zeros((0, words), np.int64)
    found = np.frombuffer(column.buffers()[1], "<i8", len(column) * words, column.offset * column.type.byte_width).reshape(-1, words)
    if column.null_count:  # what stands in the place of a missing one is anything
        found = np.where(column.is_null().to_numpy(zero_copy_only=False)[:, None], np.int64(0), found)
    return found


def _text_hashes(column: pa.Array) -> Hashes:
    """Over the length and all words of 8 bytes; the last word overlaps the one before it where the length is no multiple of 8."""
    if (width := text_width(column)) >= _WORD:
        return _of_one_length(np.full(len(column), width, np.uint64) * _STEP, one_length_bytes(column, width), width)
    data, edges = text_bytes(column)
    lengths = np.diff(edges)
    hashes: Hashes = lengths.astype(np.uint64) * _STEP
    data = np.concatenate([data[edges[0] : edges[-1]], np.zeros(_WORD, np.uint8)])
    words = np.ndarray((len(data) - _WORD + 1,), "<u8", data, strides=(1,))
    starts = edges[:-1] - edges[0]
    short = np.flatnonzero(lengths < _WORD)
    _mix_at(hashes, short, words[starts[short]] & _FILLED[lengths[short]])
    rows = np.flatnonzero(lengths >= _WORD)
    rest = rows[lengths[rows] % _WORD != 0]
    at = 0
    while len(rows):
        _mix_at(hashes, rows, words[starts[rows] + at])
        at += _WORD
        rows = rows[lengths[rows] >= at + _WORD]
    _mix_at(hashes, rest, words[starts[rest] + lengths[rest] - _WORD])
    return hashes


def _of_one_length(hashes: Hashes, data: npt.NDArray[np.uint8], length: int) -> Hashes:
    """The same for texts of one length, such as tokens: every word is a stride through the buffer."""
    for at in [*range(0, length - _WORD + 1, _WORD), *([length - _WORD] if length % _WORD else [])]:
        hashes ^= np.ndarray(hashes.shape, "<u8", data, offset=at, strides=(length,))
        hashes *= _STEP
        hashes ^= hashes >> _32
    return hashes


def _mix_at(hashes: Hashes, rows: Places, words: Hashes) -> None:
    mixed = (hashes[rows] ^ words) * _STEP
    hashes[rows] = mixed ^ (mixed >> _32)


class Taking(Protocol):
    """What gives rows by their places: a record batch, or rows in another form."""

    def take(self, places: pa.Array) -> pa.RecordBatch:
        """The columns of some rows."""


def content_order(batch: Taking, hashes: Hashes) -> Places:
    """The rows' places in the order of their content: by hash, then by all columns ascending, missing values last."""
    order = _by_hash(hashes)
    ordered = hashes[order]
    same = ordered[1:] == ordered[:-1]
    if not same.any():
        return order
    # A stretch of one hash is nearly always one row many times; only a stretch of unequal rows is put in order.
    repeats = _repeats(batch, order, np.flatnonzero(same))
    unequal = np.flatnonzero(same)[~repeats]
    if not len(unequal):
        return order
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    ends = np.append(starts[1:], len(order))
    for stretch in np.unique(np.searchsorted(starts, unequal, side="right") - 1):
        part = order[starts[stretch] : ends[stretch]]
        rows = pa.Table.from_batches([batch.take(pa.array(part))])
        keys = [(f"c{place}", "ascending") for place, field in enumerate(rows.schema) if not pa.types.is_null(field.type)]
        by_content = pc.sort_indices(rows.rename_columns([f"c{place}" for place in range(rows.num_columns)]), sort_keys=keys)
        order[starts[stretch] : ends[stretch]] = part[by_content.to_numpy()]
    return order


def rough_order(hashes: Hashes) -> Places:
    """The rows' places in the order of the upper 16 bits of their hash, at half the price of the whole order."""
    return np.argsort((hashes >> np.uint64(48)).astype(np.uint16), kind="stable")


def repeats(hashes: Hashes) -> bool:
    """Whether any hash equals the one before it."""
    return bool((hashes[1:] == hashes[:-1]).any())


def _by_hash(hashes: Hashes) -> Places:
    """Stable order by the hash: two radix passes over its upper half, four times as fast as a sort of 64-bit values; the rest by sorting."""
    low = np.argsort((hashes >> _32).astype(np.uint16), kind="stable")
    order: Places = low[np.argsort((hashes >> np.uint64(48)).astype(np.uint16)[low], kind="stable")]
    ordered = hashes[order]
    if (ordered[1:] < ordered[:-1]).any():  # equal upper halves: one pair in 2^32
        order = order[np.argsort(ordered, kind="stable")]
    return order


def _repeats(batch: Taking, order: Places, places: Places) -> npt.NDArray[np.bool_]:
    """Whether the ordered row behind each place equals the one at it."""
    one, other = batch.take(pa.array(order[places])), batch.take(pa.array(order[places + 1]))
    equal = np.ones(len(places), np.bool_)
    for left, right in zip(one.columns, other.columns, strict=True):
        equal &= _same(left, right)
    return equal


def _same(left: pa.Array, right: pa.Array) -> npt.NDArray[np.bool_]:
    if pa.types.is_null(left.type):
        return np.ones(len(left), np.bool_)
    if not pa.types.is_string(left.type):
        values: npt.NDArray[np.bool_] = fixed_width(left) == fixed_width(right)
        if values.ndim > 1:  # the words of decimals
            values = np.asarray(values.all(axis=1))
    else:
        values = pc.fill_null(pc.equal(left, right), True).to_numpy(zero_copy_only=False)
    missing = left.is_null().to_numpy(zero_copy_only=False) == right.is_null().to_numpy(zero_copy_only=False)
    both: npt.NDArray[np.bool_] = values & missing
    return both


def repeated(batch: Taking, hashes: Hashes, order: Places | None = None) -> npt.NDArray[np.bool_]:
    """Whether each row equals the one before it.

    Args:
        batch: The rows.
        hashes: Their hashes, in order.
        order: Their places in the batch, if it is not in order itself.
    """
    found = np.zeros(len(hashes), np.bool_)
    places = np.flatnonzero(hashes[1:] == hashes[:-1])
    if len(places):
        found[places + 1] = _repeats(batch, np.arange(len(hashes)) if order is None else order, places)
    return found


def taken(batch: pa.RecordBatch, places: Places) -> pa.RecordBatch:
    """Rows by their places; text of one length moves in blocks, at twice the speed."""
    indices = pa.array(places)
    return pa.RecordBatch.from_arrays([_taken(column, indices) for column in batch.columns], schema=batch.schema)


def _taken(column: pa.Array, indices: pa.Array) -> pa.Array:
    if not pa.types.is_string(column.type) or column.null_count or not (length := text_width(column)):
        return column.take(indices)
    whole = pa.Array.from_buffers(pa.binary(length), len(column), [None, pa.py_buffer(one_length_bytes(column, length))])
    blocks = whole.take(indices)
    edges = np.arange(len(blocks) + 1, dtype=np.int32) * np.int32(length)
    _, found = blocks.buffers()
    return pa.Array.from_buffers(pa.string(), len(blocks), [None, pa.py_buffer(edges), found.slice(blocks.offset * length)])


def text_width(column: pa.Array) -> int:
    """Bytes of each text of a column of type ``string``, if all have so many; 0 if they differ, and where there is none."""
    offsets = column.buffers()[1]
    if not len(column) or offsets is None:
        return 0
    edges = np.frombuffer(offsets, np.int32, len(column) + 1, column.offset * 4)
    length = int(edges[1] - edges[0])
    same = edges[-1] - edges[0] == length * len(column) and bool((edges[1:] - edges[:-1] == length).all())
    return length if same else 0
