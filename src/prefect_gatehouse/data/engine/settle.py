"""The second pass: one stretch of the hashes after the other is loaded, put in order, digested and handed on in blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from prefect_gatehouse.data.digest import BLOCK_ROWS, Bucket, BucketDigest, bucket_bits, cuts
from prefect_gatehouse.data.engine.deal import SHARE_BITS, SHARES, Dealt, Piece, dealt_schema, share_edges
from prefect_gatehouse.data.order import Hashes, Places, content_order, taken
from prefect_gatehouse.data.spill import SpillFolder, SpillReader

Block = tuple[pa.RecordBatch, Bucket | None]
"""Rows in their order; with the last block of a bucket, the bucket."""


@dataclass(frozen=True)
class Stretch:
    """Dealt rows whose hashes lie side by side; what is in temporary files is named, not held.

    Attributes:
        schema: Of the columns.
        pieces: What lies in temporary files.
        batches: What is in memory.
    """

    schema: pa.Schema
    pieces: tuple[Piece, ...] = ()
    batches: tuple[pa.RecordBatch, ...] = ()


def stretches(dealt: Dealt) -> Iterator[Stretch]:
    """What was dealt, cut into stretches that hold whole buckets, and as few as they can; those without rows are left out."""
    width = 1 << max(0, SHARE_BITS - bucket_bits(dealt.rows))
    edges = [share_edges(batch) for batch in dealt.batches]
    for first in range(0, SHARES if dealt.schema is not None else 0, width):
        pieces = tuple(piece for share in range(first, first + width) for piece in dealt.pieces.get(share, ()))
        slices = (batch.slice(at[first], at[first + width] - at[first]) for batch, at in zip(dealt.batches, edges, strict=True))
        stretch = Stretch(dealt.schema, pieces, tuple(each for each in slices if each.num_rows))
        if stretch.pieces or stretch.batches:
            yield stretch


def load(stretch: Stretch, folder: SpillFolder) -> pa.RecordBatch:
    """The dealt rows of a stretch, in no order.

    Raises:
        StorageError: A temporary file is gone or can't be read.
        Tampered: One was changed.
    """
    found = [*stretch.batches, *_read(folder, stretch.pieces, dealt_schema(stretch.schema))]
    return pa.concat_batches(found) if len(found) > 1 else found[0]


def _read(folder: SpillFolder, pieces: Iterable[Piece], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    with ExitStack() as open_:
        readers: dict[str, SpillReader] = {}
        for piece in pieces:
            if piece.file not in readers:
                readers[piece.file] = open_.enter_context(folder.open(piece.file))
            yield pa.ipc.read_record_batch(pa.py_buffer(readers[piece.file].read(piece.frame)), schema)


def settle(rows: pa.RecordBatch, total: int) -> Iterator[Block]:
    """The rows of a stretch in their order, each as often as it came, in blocks of at most ``BLOCK_ROWS``.

    Args:
        rows: Dealt rows of one stretch.
        total: Rows of the whole table, which say how many buckets there are.
    """
    columns = rows.select(rows.schema.names[:-2])
    hashes, times = (rows.column(rows.num_columns - place).to_numpy() for place in (2, 1))
    order = content_order(columns, hashes)
    ordered: Hashes = hashes[order]
    ends: Places = np.cumsum(times[order].astype(np.int64))
    for number, first, last in cuts(ordered, bucket_bits(total)):
        digest = BucketDigest(number)
        begin, end = int(ends[first - 1]) if first else 0, int(ends[last - 1])
        for at in range(begin, end, BLOCK_ROWS):
            upto = min(at + BLOCK_ROWS, end)
            # A row that came n times stands at n places; where none came twice this is a slice.
            places = order[first:last] if end - begin == last - first <= BLOCK_ROWS else order[np.searchsorted(ends, np.arange(at, upto), "right")]
            block = taken(columns, places)
            digest.update(block)
            yield block, digest.bucket() if upto == end else None
