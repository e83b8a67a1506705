"""The first pass: rows are dealt out by the upper bits of their hash, in memory up to a bound, then into temporary files.

Within a batch equal rows are kept once, with how often they came: data with few different rows then takes next to no room, and no
share of the hashes grows out of proportion.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa

from prefect_gatehouse.data.engine.rows import Plain, RowEncoder, Rows, Widths, frames
from prefect_gatehouse.data.order import Hashes, Places, content_order, repeated, repeats, rough_order, row_hashes
from prefect_gatehouse.data.spill import Frame, SpillFolder, SpillWriter
from prefect_gatehouse.errors import DataRefused

SHARES = 256
"""Shares of the hashes, by their upper 8 bits: 10^8 rows of 150 bytes make shares of 60 MB."""

SHARE_BITS = 8
# Shares that lie in one temporary file: it can go as soon as they are stored.
_GROUP = 16
MEMORY = 32 << 20
"""Bytes of dealt rows that one process holds before it writes them to a temporary file."""


@dataclass(frozen=True, slots=True)
class PartitionBlock:
    """Dealt rows, of one share of the hashes, in a temporary file.

    Attributes:
        file: The file's name.
        frame: Where they lie in it.
        widths: Of the columns, if they are packed.
    """

    file: str
    frame: Frame
    widths: Widths = ()


@dataclass(frozen=True)
class SpilledBlocks:
    """What was written to one file at once: a frame for each of its shares that has rows, in their order.

    There may be many: a frame takes 10 bytes here, where an object for each would take two hundred.

    Attributes:
        file: The file's name.
        number: Of the first frame.
        shares: The share of each frame.
        edges: Where each frame begins and the last one ends.
        widths: Of the columns, if the rows are packed.
    """

    file: str
    number: int
    shares: array[int]
    edges: array[int]
    widths: Widths

    def cut(self, first: int, last: int) -> SpilledBlocks:
        """What it has of a range of shares, the last one not included."""
        begin = bisect_left(self.shares, first)
        end = bisect_left(self.shares, last, begin)
        return SpilledBlocks(self.file, self.number + begin, self.shares[begin:end], self.edges[begin : end + 1], self.widths)

    def pieces(self, first: int, last: int) -> Iterator[PartitionBlock]:
        """The frames of a range of shares, the last one not included."""
        begin = bisect_left(self.shares, first)
        for place in range(begin, bisect_left(self.shares, last, begin)):
            at = self.edges[place]
            yield PartitionBlock(self.file, Frame(self.number + place, at, self.edges[place + 1] - at), self.widths)


@dataclass(frozen=True)
class PartitionRange:
    """Dealt rows of a range of shares.

    Attributes:
        schema: Of the columns.
        total: Rows of the whole table.
        first: The first share.
        last: One past the last.
        flushed: What lies in temporary files; they are named, not held.
        batches: What is in memory, each in the rough order of its hashes.
    """

    schema: pa.Schema
    total: int
    first: int
    last: int
    flushed: tuple[SpilledBlocks, ...] = ()
    batches: tuple[Rows, ...] = ()

    def text_widths(self) -> dict[str, int]:
        """Columns of text that all is of one length, and that length; known only where all rows are packed in one form."""
        forms = {each.widths for each in (*self.flushed, *self.batches)}
        widths = forms.pop() if len(forms) == 1 else ()
        return {field.name: width for field, width in zip(self.schema, widths, strict=bool(widths)) if pa.types.is_string(field.type)}


@dataclass
class Partitioned:
    """What the first pass, or a part of it, left for the second.

    Attributes:
        schema: Of the treated columns, None if there were no rows.
        rows: How many there are.
        gaps: Columns in which a value is missing.
        flushed: What lies in temporary files.
        batches: What is still in memory, each in the rough order of its hashes.
    """

    schema: pa.Schema | None = None
    rows: int = 0
    gaps: set[str] = field(default_factory=set)
    flushed: list[SpilledBlocks] = field(default_factory=list)
    batches: list[Rows] = field(default_factory=list)

    def portions(self, width: int) -> list[PartitionRange]:
        """All rows in ranges of so many shares; ranges without rows are left out."""
        if self.schema is None:
            return []
        edges = [share_edges(batch.hashes) for batch in self.batches]
        found = []
        for first in range(0, SHARES, width):
            last = first + width
            flushed = (each.cut(first, last) for each in self.flushed)
            batches = (batch.slice(int(at[first]), int(at[last] - at[first])) for batch, at in zip(self.batches, edges, strict=True))
            held = tuple(each for each in flushed if each.shares), tuple(each for each in batches if each.num_rows)
            if any(held):
                found.append(PartitionRange(self.schema, self.rows, first, last, *held))
        return found

    def absorb(self, other: Partitioned) -> None:
        """Adds what another process dealt.

        Raises:
            DataRefused: The columns of the two differ in type.
        """
        if self.schema is None:
            self.schema = other.schema
        elif other.schema is not None:
            same_types(self.schema, other.schema)
        self.rows += other.rows
        self.gaps |= other.gaps
        self.flushed += other.flushed
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


class Partitioner:
    """Deals out batches; use it as a context manager, which closes its temporary files.

    Args:
        folder: Where temporary files go.
        memory: Bytes held before they are written.
        keep: Whether the last rows may stay in memory; otherwise all are written.
    """

    def __init__(self, folder: SpillFolder, *, memory: int = MEMORY, keep: bool = True) -> None:
        self._folder = folder
        self._memory = memory
        self._keep = keep
        self._open = ExitStack()
        self._writers: dict[int, SpillWriter] = {}
        self._held = 0
        self._dealt = Partitioned()
        self._edges: list[Places] = []
        self._packer = RowEncoder(memory)

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
        self._dealt.gaps.update(name for name, column in zip(batch.schema.names, batch.columns, strict=True) if column.null_count)
        dealt, edges = self._ordered(batch)
        self._dealt.batches.append(dealt)
        self._edges.append(edges)
        self._held += dealt.nbytes
        if self._held + dealt.nbytes > self._memory:  # the next one would not fit
            self._flush()

    def end(self) -> Partitioned:
        """Everything that was dealt out.

        Raises:
            StorageError: A temporary file can't be written.
        """
        if self._dealt.batches and (not self._keep or self._writers):
            self._flush()
        return self._dealt

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.__exit__(kind, error, trace)

    def _flush(self) -> None:
        batches = self._dealt.batches
        if len({batch.widths for batch in batches}) > 1:
            batches = [Plain(batch.arrow()) for batch in batches]  # one form, whichever shares they fall into
        edges = np.stack(self._edges)
        shares = np.flatnonzero(np.diff(edges).sum(axis=0))
        for group in np.unique(shares // _GROUP).tolist():
            own = shares[shares // _GROUP == group]
            writer = self._writer(group)
            written = writer.append_all(frames(batches, edges[:, own], edges[:, own + 1]))
            ends = array("Q", [written[0].offset, *(frame.offset + frame.length for frame in written)])
            self._dealt.flushed.append(SpilledBlocks(writer.name, written[0].number, array("H", own.tolist()), ends, batches[0].widths))
        self._dealt.batches, self._edges = [], []
        self._packer.empty()
        self._held = 0

    def _writer(self, group: int) -> SpillWriter:
        if group not in self._writers:
            self._writers[group] = self._open.enter_context(self._folder.create())
        return self._writers[group]

    def _ordered(self, batch: pa.RecordBatch) -> tuple[Rows, Places]:
        hashes = row_hashes(batch)
        order = rough_order(hashes)
        ordered, times = hashes[order], np.ones(len(hashes), np.uint32)
        if repeats(ordered):
            order = content_order(batch, hashes)
            ordered = hashes[order]
            first = np.flatnonzero(~repeated(batch, ordered, order))
            times = np.diff(np.append(first, len(ordered))).astype(np.uint32)
            order, ordered = order[first], ordered[first]
        return self._packer.dealt(batch, ordered, times, order), share_edges(ordered)


def share_edges(ordered: Hashes) -> Places:
    """Where each share begins in hashes that are in order, be it a rough one, and where the last one ends: 257 places."""
    starts = np.arange(SHARES, dtype=np.uint64) << np.uint64(64 - SHARE_BITS)
    return np.append(np.searchsorted(ordered, starts), len(ordered))
