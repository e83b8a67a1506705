"""The first pass: rows are dealt out by the upper bits of their hash, in memory up to a bound, then into temporary files.

Within a batch equal rows are kept once, with how often they came: data with few different rows then takes next to no room, and no
share of the hashes grows out of proportion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from prefect_gatehouse.data.order import content_order, repeated, row_hashes, taken
from prefect_gatehouse.data.spill import Frame, SpillFolder, SpillWriter
from prefect_gatehouse.errors import DataRefused

SHARES = 256
"""Shares of the hashes, by their upper 8 bits: 10^8 rows of 150 bytes make shares of 60 MB."""

SHARE_BITS = 8
MEMORY = 16 << 20
"""Bytes of dealt rows that one process holds before it writes them to a temporary file."""

HASH = "#hash"
TIMES = "#times"


@dataclass(frozen=True)
class Piece:
    """Dealt rows, of one share of the hashes, in a temporary file.

    Attributes:
        file: The file's name.
        frame: Where they lie in it.
    """

    file: str
    frame: Frame


@dataclass
class Dealt:
    """What the first pass, or a part of it, left for the second.

    Attributes:
        schema: Of the treated columns, None if there were no rows.
        rows: How many there are.
        pieces: What lies in temporary files, by share.
        batches: What is still in memory, each in the order of its hashes, with the columns ``HASH`` and ``TIMES`` at the end.
    """

    schema: pa.Schema | None = None
    rows: int = 0
    pieces: dict[int, list[Piece]] = field(default_factory=dict)
    batches: list[pa.RecordBatch] = field(default_factory=list)

    def absorb(self, other: Dealt) -> None:
        """Adds what another process dealt.

        Raises:
            DataRefused: The columns of the two differ in type.
        """
        if self.schema is None:
            self.schema = other.schema
        elif other.schema is not None:
            same_types(self.schema, other.schema)
        self.rows += other.rows
        for share, pieces in other.pieces.items():
            self.pieces.setdefault(share, []).extend(pieces)
        self.batches += other.batches


def same_types(schema: pa.Schema, other: pa.Schema) -> None:
    """Compares the types of treated columns.

    Raises:
        DataRefused: One differs.
    """
    for one, two in zip(schema, other, strict=True):
        if one.type != two.type:
            advice = "give the column one type at its source"
            raise DataRefused(
                f"the column is {one.type} in one part of the source and {two.type} in another", where=f"column '{one.name}'", advice=advice
            )


class Dealer:
    """Deals out batches; use it as a context manager, which closes its temporary file.

    Args:
        folder: Where temporary files go.
        memory: Bytes held before they are written.
        keep: Whether the last rows may stay in memory; otherwise all are written.
    """

    def __init__(self, folder: SpillFolder, *, memory: int = MEMORY, keep: bool = True) -> None:
        self._folder = folder
        self._memory = memory
        self._keep = keep
        self._writer: SpillWriter | None = None
        self._held = 0
        self._dealt = Dealt()

    def add(self, batch: pa.RecordBatch) -> None:
        """Deals out a batch of columns in their one form.

        Raises:
            DataRefused: A column has another type than before.
            StorageError: A temporary file can't be written.
        """
        if self._dealt.schema is None:
            self._dealt.schema = batch.schema
        same_types(self._dealt.schema, batch.schema)
        if not batch.num_rows:
            return
        self._dealt.rows += batch.num_rows
        dealt = _dealt(batch)
        self._dealt.batches.append(dealt)
        self._held += dealt.nbytes
        if self._held > self._memory:
            self._flush()

    def end(self) -> Dealt:
        """Everything that was dealt out.

        Raises:
            StorageError: A temporary file can't be written.
        """
        if self._dealt.batches and (not self._keep or self._writer is not None):
            self._flush()
        return self._dealt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.__exit__(kind, error, trace)

    def _flush(self) -> None:
        writer = self._writer = self._writer or self._folder.create()
        edges = [share_edges(batch) for batch in self._dealt.batches]
        for share in range(SHARES):
            slices = [batch.slice(at[share], at[share + 1] - at[share]) for batch, at in zip(self._dealt.batches, edges, strict=True)]
            slices = [each for each in slices if each.num_rows]
            if slices:
                whole = pa.concat_batches(slices) if len(slices) > 1 else slices[0]
                piece = Piece(writer.name, writer.append(whole.serialize()))
                self._dealt.pieces.setdefault(share, []).append(piece)
        self._dealt.batches.clear()
        self._held = 0


def dealt_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of dealt rows: the columns, their hash, and how often each row came."""
    return schema.append(pa.field(HASH, pa.uint64())).append(pa.field(TIMES, pa.uint32()))


def share_edges(batch: pa.RecordBatch) -> Sequence[int]:
    """Where each share begins in a dealt batch, and where the last one ends: 257 places."""
    hashes = batch.column(batch.num_columns - 2).to_numpy()
    starts = np.arange(SHARES, dtype=np.uint64) << np.uint64(64 - SHARE_BITS)
    return [*np.searchsorted(hashes, starts).tolist(), batch.num_rows]


def _dealt(batch: pa.RecordBatch) -> pa.RecordBatch:
    hashes = row_hashes(batch)
    order = content_order(batch, hashes)
    batch, hashes = taken(batch, order), hashes[order]
    times = np.ones(len(hashes), np.uint32)
    again = repeated(batch, hashes)
    if again.any():
        first = np.flatnonzero(~again)
        times = np.diff(np.append(first, len(hashes))).astype(np.uint32)
        batch, hashes = taken(batch, first), hashes[first]
    columns = [*batch.columns, pa.array(hashes), pa.array(times)]
    return pa.RecordBatch.from_arrays(columns, schema=dealt_schema(batch.schema))
