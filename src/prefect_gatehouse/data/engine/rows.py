"""Dealt rows: the columns of a batch, the hash of each row, and how often it came; packed row by row where every column has one width.

A packed row is its hash (8 bytes), how often it came (4 bytes) and the values of its columns, side by side. Putting rows in order then
moves one item a row instead of one a column, and what goes to a temporary file is the memory as it is. Columns with gaps, truth
values and text of several lengths have no such form; a batch that has one stays an Arrow batch.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from prefect_gatehouse.data.order import Hashes, Places, taken, text_width
from prefect_gatehouse.tokens.columns import one_length_bytes

Times = npt.NDArray[np.uint32]
Void = npt.NDArray[np.void]
Widths = tuple[int, ...]
"""Bytes of each column in a packed row; empty where rows are not packed."""

_HASH, _TIMES = "#hash", "#times"
_HASH_BYTES, _HEAD = 8, 12
# Rows taken at once when rows become columns again: 256 KiB at 128 bytes, which stay in the second cache for the pass over each column.
_AT_ONCE = 2048


@dataclass(frozen=True)
class Plain:
    """Rows as an Arrow batch.

    Attributes:
        batch: The columns, then the hash and how often the row came.
    """

    batch: pa.RecordBatch
    widths: Widths = ()

    @property
    def schema(self) -> pa.Schema:
        """Of the columns."""
        return pa.schema(list(self.batch.schema)[:-2])

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return int(self.batch.num_rows)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return int(self.batch.nbytes)

    @property
    def hashes(self) -> Hashes:
        """The hash of each row."""
        found: Hashes = self.batch.column(self.batch.num_columns - 2).to_numpy()
        return found

    @property
    def times(self) -> Times:
        """How often each row came."""
        found: Times = self.batch.column(self.batch.num_columns - 1).to_numpy()
        return found

    def take(self, places: pa.Array) -> pa.RecordBatch:
        """The columns of some rows."""
        return taken(self.batch.select(self.batch.schema.names[:-2]), places.to_numpy())

    def slice(self, first: int, count: int) -> Plain:
        """Neighbouring rows, not copied."""
        return Plain(self.batch.slice(first, count))

    def arrow(self) -> pa.RecordBatch:
        """The batch."""
        return self.batch

    def written(self) -> pa.Buffer:
        """The batch in Arrow's IPC format, without its schema."""
        return self.batch.serialize()


@dataclass(frozen=True)
class Packed:
    """Rows side by side.

    Attributes:
        schema: Of the columns.
        widths: Bytes of each.
        rows: One item a row.
    """

    schema: pa.Schema
    widths: Widths
    rows: Void

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        return len(self.rows)

    @property
    def nbytes(self) -> int:
        """Bytes that they take."""
        return self.rows.nbytes

    @cached_property
    def hashes(self) -> Hashes:
        """The hash of each row."""
        return self._heads(0, "<u8").astype(np.uint64)

    @cached_property
    def times(self) -> Times:
        """How often each row came."""
        return self._heads(_HASH_BYTES, "<u4").astype(np.uint32)

    def _heads(self, at: int, kind: str) -> npt.NDArray[np.generic]:
        return np.ndarray(self.rows.shape, kind, self._together, at, (_HEAD,))

    @cached_property
    def _together(self) -> npt.NDArray[np.uint8]:
        """What stands before the columns, copied in one pass over the rows."""
        return np.ascontiguousarray(np.ndarray(self.rows.shape, f"V{_HEAD}", self._bytes, 0, self.rows.strides)).view(np.uint8)

    def take(self, places: pa.Array) -> pa.RecordBatch:
        """The columns of some rows."""
        chosen = places.to_numpy()
        columns = [np.empty(len(chosen), f"V{width}") for width in self.widths]
        for first in range(0, len(chosen), _AT_ONCE):
            part = self.rows.take(chosen[first : first + _AT_ONCE])
            at = _HEAD
            for column, width in zip(columns, self.widths, strict=True):
                column[first : first + _AT_ONCE] = np.ndarray(part.shape, column.dtype, part.view(np.uint8), at, part.strides)
                at += width
        arrays = [_array(field.type, width, column) for field, width, column in zip(self.schema, self.widths, columns, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def slice(self, first: int, count: int) -> Packed:
        """Neighbouring rows, not copied."""
        return Packed(self.schema, self.widths, self.rows[first : first + count])

    def arrow(self) -> pa.RecordBatch:
        """As an Arrow batch, hash and number last."""
        return _with_head(self.take(pa.array(np.arange(self.num_rows))), self.hashes, self.times)

    def written(self) -> memoryview:
        """The memory."""
        return self._bytes.data

    @property
    def _bytes(self) -> npt.NDArray[np.uint8]:
        return self.rows.view(np.uint8)


Rows = Plain | Packed
"""Dealt rows in either form."""


class RowEncoder:
    """Packs batch after batch into one piece of memory; what it gave is void once it is emptied.

    Args:
        size: Bytes of that memory.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: Void | None = None
        self._scratch: Void = np.empty(0, "V1")
        self._used = 0

    def dealt(self, batch: pa.RecordBatch, hashes: Hashes, times: Times, order: Places) -> Rows:
        """Some rows of a batch in an order, packed if they can be.

        Args:
            batch: Columns in their one form.
            hashes: The hash of each row of the result.
            times: How often each of them came.
            order: Their places in the batch.
        """
        widths = _widths(batch)
        if not widths:
            return Plain(_with_head(taken(batch, order), hashes, times))
        kind = np.dtype(f"V{_HEAD + sum(widths)}")
        if self._scratch.dtype != kind or len(self._scratch) < batch.num_rows:
            self._scratch = np.empty(batch.num_rows, kind)
        unordered, at = self._scratch[: batch.num_rows], _HEAD
        for column, width in zip(batch.columns, widths, strict=True):
            _placed(unordered, at, _values(column, width))
            at += width
        rows = self._room(kind, len(order))
        unordered.take(order, out=rows, mode="clip")  # every place is there; "clip" spares numpy a buffer
        _placed(rows, 0, hashes.astype("<u8", copy=False))
        _placed(rows, _HASH_BYTES, times.astype("<u4", copy=False))
        return Packed(batch.schema, widths, rows)

    def empty(self) -> None:
        """Gives the memory to the batches that come."""
        self._used = 0

    def _room(self, kind: np.dtype[np.void], count: int) -> Void:
        most = self._size // kind.itemsize
        if self._used + count > most:
            return np.empty(count, kind)
        if self._held is None or self._held.dtype != kind:
            # Not from the allocator: when the last row is gone, so is the memory, and the second pass does not start beside it.
            self._held, self._used = np.frombuffer(mmap.mmap(-1, most * kind.itemsize), kind), 0
        self._used += count
        return self._held[self._used - count : self._used]


class ReadBuffer:
    """Memory that packed rows are read into, stretch after stretch; what it gave is void at the next call.

    Stretches are of about one size, never quite; an allocator would lay each beside the hole that the one before it left.
    """

    def __init__(self) -> None:
        self._memory: npt.NDArray[np.uint8] = np.empty(0, np.uint8)

    def packed(self, schema: pa.Schema, widths: Widths, size: int) -> Packed:
        """Room for packed rows that take so many bytes, to be read into through ``written``."""
        if len(self._memory) < size:
            self._memory = np.frombuffer(mmap.mmap(-1, size + size // 8), np.uint8)
        return Packed(schema, widths, self._memory[:size].view(f"V{_HEAD + sum(widths)}"))


def read(schema: pa.Schema, data: bytes | pa.Buffer, widths: Widths) -> Rows:
    """What ``written`` gave."""
    if widths:
        return Packed(schema, widths, np.frombuffer(data, f"V{_HEAD + sum(widths)}"))
    return Plain(pa.ipc.read_record_batch(pa.py_buffer(data), _dealt_schema(schema)))


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows one behind the other; at least one part."""
    if len(parts) == 1:
        return parts[0]
    packed = [part for part in parts if isinstance(part, Packed) and part.widths == parts[0].widths]
    if len(packed) == len(parts):
        return Packed(packed[0].schema, packed[0].widths, np.concatenate([part.rows for part in packed]))
    return Plain(pa.concat_batches([part.arrow() for part in parts]))


def frames(batches: Sequence[Rows], firsts: Places, lasts: Places) -> Iterator[memoryview | pa.Buffer]:
    """What ``read`` takes, for stretches of several batches in one form, each of which lies in all of them.

    Args:
        batches: The batches.
        firsts: Where each stretch begins in each batch: (batches, stretches).
        lasts: Where it ends.
    """
    bounds = zip(firsts.T.tolist(), lasts.T.tolist(), strict=True)
    rows = [batch.rows for batch in batches if isinstance(batch, Packed)]
    if len(rows) == len(batches):  # a stretch has a few hundred rows, so that an object for each part of it would count
        for begins, ends in bounds:
            yield np.concatenate([part[first:last] for part, first, last in zip(rows, begins, ends, strict=True)]).view(np.uint8).data
        return
    for begins, ends in bounds:
        parts = [batch.slice(first, last - first) for batch, first, last in zip(batches, begins, ends, strict=True) if last > first]
        yield joined(parts).written()


def _dealt_schema(schema: pa.Schema) -> pa.Schema:
    return schema.append(pa.field(_HASH, pa.uint64())).append(pa.field(_TIMES, pa.uint32()))


def _with_head(batch: pa.RecordBatch, hashes: Hashes, times: Times) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([*batch.columns, pa.array(hashes), pa.array(times)], schema=_dealt_schema(batch.schema))


def _widths(batch: pa.RecordBatch) -> Widths:
    """Bytes of each column in a packed row; empty where there is no such form."""
    widths = tuple(_width(column) for column in batch.columns)
    return widths if all(widths) else ()


def _width(column: pa.Array) -> int:
    """Bytes of each value; 0 where they have no one width."""
    kind = column.type
    if column.null_count or pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return 0
    return text_width(column) if pa.types.is_string(kind) else int(kind.bit_width) // 8


def _values(column: pa.Array, width: int) -> Void:
    """The values of a column of one width, one item each."""
    if pa.types.is_string(column.type):
        return one_length_bytes(column, width).view(f"V{width}")
    return np.frombuffer(column.buffers()[-1], f"V{width}", len(column), column.offset * width)


def _placed(rows: Void, at: int, values: npt.NDArray[np.generic]) -> None:
    """Writes a value into each row, at a place."""
    kind = f"V{values.dtype.itemsize}"
    np.ndarray(rows.shape, kind, rows.view(np.uint8), at, rows.strides)[:] = values.view(kind)


def _array(kind: pa.DataType, width: int, values: Void) -> pa.Array:
    data = pa.py_buffer(values.view(np.uint8))
    if not pa.types.is_string(kind):
        return pa.Array.from_buffers(kind, len(values), [None, data])
    offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(width)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(offsets), data])
