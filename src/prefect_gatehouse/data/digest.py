"""A digest of a table's content that depends neither on the order of its rows, nor on chunks or parts, nor on how it is stored.

Definition. Columns take their one form and rows their order, as ``order.py`` defines both. The rows are cut into buckets by the
upper b bits of their hash, b being the smallest for which there are at most 49,152 rows a bucket on average. The digest is SHA-256 over

1. the RFC 8785 form of ``{"columns": [[name, type], ...], "rows": rows}``, then
2. for each bucket that has rows, in order: its number and its rows (8 bytes each, little-endian) and the SHA-256 of its blocks.

A block is 65,536 rows, the last one of a bucket fewer; it is taken column by column: which rows are missing (one bit each, most
significant first), then the values. Fixed-width values are little-endian with zeros where one is missing; booleans are one byte; text is
its byte lengths (int32, little-endian), then the UTF-8 bytes, and where all texts of the block have one length, minus that length in
place of the lengths; decimals are their unscaled number in 16 or 32 bytes; floats are doubles, negative zero counts as zero and every
NaN as one.

A bucket is digested by whoever orders its rows, so that several processes share the work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from prefect_gatehouse.canonical import canonical
from prefect_gatehouse.data.order import Hashes, content_order, fixed_width, one_form, row_hashes, taken, text_width
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.tokens.columns import one_length_bytes, text_bytes

BLOCK_ROWS = 1 << 16
"""Rows of a block."""

# Three quarters of a block: a bucket of different rows then fits one block (the spread is that of a Poisson count, about 220 rows).
_BUCKET_ROWS = BLOCK_ROWS * 3 // 4


def bucket_bits(rows: int) -> int:
    """How many upper bits of its hash tell a row's bucket, in a table of so many rows."""
    return max(0, -(-rows // _BUCKET_ROWS) - 1).bit_length()


@dataclass(frozen=True)
class Bucket:
    """The rows whose hashes begin with one number.

    Attributes:
        number: The upper bits of their hashes.
        rows: How many there are.
        sha256: Of their blocks.
    """

    number: int
    rows: int
    sha256: bytes


class BucketDigest:
    """Digests one bucket, block by block."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._rows = 0
        self._sha256 = hashlib.sha256()

    def update(self, block: pa.RecordBatch) -> None:
        """Adds rows in their order: ``BLOCK_ROWS``, the last time fewer."""
        self._rows += block.num_rows
        for column in block.columns:
            _update(self._sha256, column)

    def bucket(self) -> Bucket:
        """What has been added."""
        return Bucket(self._number, self._rows, self._sha256.digest())


class ContentDigest:
    """The digest of a table whose buckets come one after the other.

    Args:
        schema: Of the columns in their one form.
        rows: Of the whole table.

    Raises:
        DataRefused: Two columns have the same name.
    """

    def __init__(self, schema: pa.Schema, rows: int) -> None:
        if len(set(schema.names)) != len(schema.names):
            raise DataRefused("two columns have the same name", where="digest")
        self._sha256 = hashlib.sha256(canonical({"columns": [[field.name, str(field.type)] for field in schema], "rows": rows}))

    def update(self, buckets: Iterable[Bucket]) -> None:
        """Adds buckets in their order."""
        for bucket in buckets:
            self._sha256.update(bucket.number.to_bytes(8, "little") + bucket.rows.to_bytes(8, "little") + bucket.sha256)

    def hexdigest(self) -> str:
        """64 hexadecimal digits."""
        return self._sha256.hexdigest()


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table's content, 64 hexadecimal digits; equal for the same rows in any order.

    Raises:
        DataRefused: A column is neither text, number, boolean nor date, or a name occurs twice.
    """
    schema = pa.schema([(field.name, one_form(field.name, pa.array([], field.type)).type) for field in table.schema])
    digest = ContentDigest(schema, table.num_rows)
    if table.num_rows and table.num_columns:
        rows = as_batch(table)
        hashes = row_hashes(rows)
        order = content_order(rows, hashes)
        ordered = hashes[order]
        bits = bucket_bits(table.num_rows)
        for number, first, last in cuts(ordered, bits):
            bucket = BucketDigest(number)
            for at in range(first, last, BLOCK_ROWS):
                bucket.update(taken(rows, order[at : min(at + BLOCK_ROWS, last)]))
            digest.update([bucket.bucket()])
    return digest.hexdigest()


def as_batch(table: pa.Table | pa.RecordBatch) -> pa.RecordBatch:
    """A table as one batch of columns in their one form.

    Raises:
        DataRefused: A column is neither text, number, boolean nor date, or its text takes more than 2 GiB.
    """
    columns = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        whole = column
        if isinstance(column, pa.ChunkedArray):
            # What is joined is in its one form already: chunks may have dictionaries of their own.
            chunks = [one_form(name, chunk) for chunk in column.chunks]
            whole = pa.chunked_array(chunks, one_form(name, pa.array([], column.type)).type).combine_chunks() if len(chunks) != 1 else chunks[0]
        if isinstance(whole, pa.ChunkedArray):  # pyarrow keeps chunks that together exceed 2 GiB
            raise DataRefused("the text of a column takes more than 2 GiB", where=f"column '{name}'", advice="split the table")
        columns.append(whole if isinstance(column, pa.ChunkedArray) else one_form(name, column))
    return pa.RecordBatch.from_arrays(columns, names=table.schema.names)


def cuts(ordered: Hashes, bits: int) -> Iterator[tuple[int, int, int]]:
    """Number, first row and end of each bucket in hashes that are in order."""
    if not len(ordered):
        return
    if not bits:
        yield 0, 0, len(ordered)
        return
    shift = np.uint64(64 - bits)
    low, high = int(ordered[0] >> shift), int(ordered[-1] >> shift)
    starts = np.arange(low, high + 1, dtype=np.uint64) << shift
    edges = [*np.searchsorted(ordered, starts).tolist(), len(ordered)]
    for number, first, last in zip(range(low, high + 1), edges, edges[1:], strict=False):
        if last > first:
            yield number, first, last


def _update(sha256: hashlib._Hash, column: pa.Array) -> None:
    missing = np.packbits(column.is_null().to_numpy(zero_copy_only=False)).tobytes() if column.null_count else bytes(-(-len(column) // 8))
    sha256.update(missing)
    if pa.types.is_null(column.type):
        return
    if pa.types.is_string(column.type):
        # A length is never negative, so nothing else reads like one length for all.
        if not column.null_count and (width := text_width(column)):
            sha256.update(np.array([-width], "<i4").data)
            sha256.update(one_length_bytes(column, width).data)
            return
        data, edges = text_bytes(column.fill_null("") if column.null_count else column)
        sha256.update(np.diff(edges).astype("<i4").data)
        sha256.update(data[edges[0] : edges[-1]].data)
        return
    values = fixed_width(column)
    sha256.update(np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).data)
