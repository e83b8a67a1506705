"""The second pass: one stretch of the hashes after the other is loaded, put in order, digested and handed on in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from prefect_gatehouse.data.digest import BLOCK_ROWS, Bucket, BucketDigest, bucket_bits, cuts
from prefect_gatehouse.data.engine.partition import SHARE_BITS, SHARES, PartitionBlock, PartitionRange, share_edges
from prefect_gatehouse.data.engine.rows import ReadBuffer, Rows, joined, read
from prefect_gatehouse.data.order import Hashes, Places, content_order
from prefect_gatehouse.data.spill import SpillFolder, SpillReader

Block = tuple[pa.RecordBatch, Bucket | None]
"""Rows in their order; with the last block of a bucket, the bucket."""


@dataclass(frozen=True)
class SortRun:
    """Dealt rows whose hashes lie side by side; what is in temporary files is named, not held.

    Attributes:
        schema: Of the columns.
        pieces: What lies in temporary files.
        batches: What is in memory.
    """

    schema: pa.Schema
    pieces: tuple[PartitionBlock, ...] = ()
    batches: tuple[Rows, ...] = ()


def stretches(portion: PartitionRange) -> Iterator[SortRun]:
    """A portion, cut into stretches that hold whole buckets, and as few as they can; those without rows are left out."""
    width = shares_of(portion.total, SHARES)
    edges = [share_edges(batch.hashes) for batch in portion.batches]
    for first in range(portion.first, portion.last, width):
        pieces = tuple(piece for flushed in portion.flushed for piece in flushed.pieces(first, first + width))
        slices = (batch.slice(int(at[first]), int(at[first + width] - at[first])) for batch, at in zip(portion.batches, edges, strict=True))
        stretch = SortRun(portion.schema, pieces, tuple(each for each in slices if each.num_rows))
        if stretch.pieces or stretch.batches:
            yield stretch


def shares_of(rows: int, portions: int) -> int:
    """Shares of each portion, so that a table of so many rows makes about so many portions, each of whole buckets.

    Example:
        ```python
        dealt.portions(shares_of(dealt.rows, 16))
        ```
    """
    return SHARES >> min(SHARE_BITS, bucket_bits(rows), (portions - 1).bit_length())


def load(stretch: SortRun, folder: SpillFolder, room: ReadBuffer) -> Rows:
    """The dealt rows of a stretch, in no order.

    Args:
        stretch: The stretch.
        folder: Where temporary files lie.
        room: Where packed rows go; they are void when the next stretch is loaded there.

    Raises:
        StorageError: A temporary file is gone or can't be read.
        Tampered: One was changed.
    """
    forms = {piece.widths for piece in stretch.pieces}
    with ExitStack() as open_:
        readers: dict[str, SpillReader] = {}
        for piece in stretch.pieces:
            if piece.file not in readers:
                readers[piece.file] = open_.enter_context(folder.open(piece.file))
        if len(forms) != 1 or stretch.batches or not stretch.pieces[0].widths:
            found = (read(stretch.schema, readers[piece.file].read(piece.frame), piece.widths) for piece in stretch.pieces)
            return joined([*stretch.batches, *found])
        # All are packed in one form: they are decrypted to where they stay.
        whole = room.packed(stretch.schema, stretch.pieces[0].widths, sum(piece.frame.size for piece in stretch.pieces))
        rest = whole.written()
        for piece in stretch.pieces:
            readers[piece.file].read_into(piece.frame, rest[: piece.frame.size])
            rest = rest[piece.frame.size :]
        return whole


def settle(rows: Rows, total: int) -> Iterator[Block]:
    """The rows of a stretch in their order, each as often as it came, in blocks of at most ``BLOCK_ROWS``.

    Args:
        rows: Partitioned rows of one stretch.
        total: Rows of the whole table, which say how many buckets there are.
    """
    hashes = rows.hashes
    order = content_order(rows, hashes)
    ordered: Hashes = hashes[order]
    ends: Places = np.cumsum(rows.times[order], dtype=np.int64)
    for number, first, last in cuts(ordered, bucket_bits(total)):
        digest = BucketDigest(number)
        begin, end = int(ends[first - 1]) if first else 0, int(ends[last - 1])
        for at in range(begin, end, BLOCK_ROWS):
            upto = min(at + BLOCK_ROWS, end)
            # A row that came n times stands at n places; where none came twice this is a slice.
            places = order[first:last] if end - begin == last - first <= BLOCK_ROWS else order[np.searchsorted(ends, np.arange(at, upto), "right")]
            block = rows.take(pa.array(places))
            digest.update(block)
            yield block, digest.bucket() if upto == end else None
