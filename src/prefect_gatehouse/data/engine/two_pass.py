"""The two passes over one part of the data, as every engine runs them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from prefect_gatehouse.data.digest import BLOCK_ROWS, Bucket
from prefect_gatehouse.data.engine.interface import Form, Keys, Progress, Stored, Work
from prefect_gatehouse.data.engine.partition import Partitioned, Partitioner, PartitionRange
from prefect_gatehouse.data.engine.rows import ReadBuffer, Rows
from prefect_gatehouse.data.engine.sort_and_digest import load, settle, shares_of, stretches
from prefect_gatehouse.data.engine.treat import Counted, Tallies, Treater, aside_schema
from prefect_gatehouse.data.sources import FilesPlace, Part, S3Place, Source
from prefect_gatehouse.data.spill import SpillFolder
from prefect_gatehouse.data.suppress import Suppressed
from prefect_gatehouse.errors import DataRefused
from prefect_gatehouse.store.encrypted_file import Slot, write_file

# Rows treated at once: half of what a source gives halves what waits in memory between a rule and the next.
_ROWS = 1 << 15
# Rows of a file of the artifact, about.
_FILE_ROWS = 1 << 21


def folder_of(work: Work, keys: Keys) -> SpillFolder:
    """Where the temporary files of a piece of work lie."""
    return SpillFolder(work.artifacts, work.run_id, keys.run, work.token)


def treater_of(work: Work, keys: Keys, *, typed: bool) -> Treater:
    """The rules of a piece of work."""
    return Treater(work.data, typed=typed, root_key=keys.root, tenant=work.tenant, codes_key=keys.run.codes_key())


def this_worker() -> str:
    """This process, by host and number."""
    return f"{platform.node()}:{os.getpid()}"


def deal_parts(work: Work, keys: Keys, source: Source, parts: Iterable[Part] | None, *, keep: bool, progress: Progress | None = None) -> Counted:
    """Deals out some parts of the source, or all of it.

    Args:
        work: What there is to do.
        keys: This process's keys.
        source: The source, open here.
        parts: The parts; the whole source if None.
        keep: Whether rows may stay in memory.
        progress: Called after each batch.

    Raises:
        DataRefused: A rule can't treat a column at all, or too many rows are bad.
    """
    treater = treater_of(work, keys, typed=source.typed)
    try:
        with Partitioner(folder_of(work, keys), memory=work.memory, keep=keep) as dealer:
            for part in (None,) if parts is None else parts:
                for batch in source.batches(treater.reads, part):
                    for first in range(0, batch.num_rows, _ROWS):
                        dealer.add(treater.treat(batch.slice(first, _ROWS)))
                    if progress is not None:
                        progress(*source.progress())
            dealt = dealer.end()
    except pa.ArrowException as error:  # its text may quote a value, its class does not
        message = f"the columns can't be treated: {type(error).__name__}"
        raise DataRefused(message, where="data.source", advice="check the types of the declared columns") from None
    counted = treater.counted
    counted.dealt, counted.tallies, counted.worker = dealt, treater.tallies(), this_worker()
    counted.malformed.update(source.rejects.counted)
    counted.aside += _unreadable(source, treater.reads)
    if not isinstance(work.place, FilesPlace | S3Place):  # a query is not read twice: its digest is of what was read here
        counted.source_sha256 = source.digest()
    return counted


def finish_portion(work: Work, keys: Keys, portion: PartitionRange, tallies: Tallies, *, typed: bool, keep: bool) -> Counted:
    """Gives the rows of a portion their last form, counts their groups anew and deals them out anew."""
    treater = treater_of(work, keys, typed=typed)
    treater.absorb(tallies)
    folder = folder_of(work, keys)
    counted, room = Counted(groups=treater.new_groups(), worker=this_worker()), ReadBuffer()
    with Partitioner(folder, memory=work.memory, keep=keep) as dealer:
        for stretch in stretches(portion):
            for rows in _expanded(load(stretch, folder, room)):
                finished = treater.finish(rows)
                if counted.groups is not None:
                    counted.groups.add(finished)
                dealer.add(finished)
        counted.dealt = dealer.end()
    return counted


def suppress_portion(work: Work, keys: Keys, portion: PartitionRange, suppressed: Suppressed, *, typed: bool, keep: bool) -> Counted:
    """Deals the rows of a portion out anew without those of some groups, and counts the groups that are left."""
    folder = folder_of(work, keys)
    counted, room = Counted(groups=treater_of(work, keys, typed=typed).new_groups(), worker=this_worker()), ReadBuffer()
    with Partitioner(folder, memory=work.memory, keep=keep) as dealer:
        for stretch in stretches(portion):
            for rows in _expanded(load(stretch, folder, room)):
                left = rows.filter(pc.invert(suppressed.holds(rows)))
                if counted.groups is not None and left.num_rows:
                    counted.groups.add(left)
                dealer.add(left)
        counted.dealt = dealer.end()
    return counted


def cut(dealt: Partitioned) -> list[PartitionRange]:
    """All dealt rows in portions of whole buckets and of about two million rows, each of which becomes a file of the artifact.

    A portion is small beside the work of one process, and Parquet's own facts of a file, which wait in memory until it ends, stay few.
    """
    return dealt.portions(shares_of(dealt.rows, -(-dealt.rows // _FILE_ROWS)))


def last_needed(portions: Sequence[PartitionRange]) -> list[list[str]]:
    """For each portion the temporary files that none after it needs, so that they can go when it is stored."""
    last = {flushed.file: place for place, portion in enumerate(portions) for flushed in portion.flushed}
    spent: list[list[str]] = [[] for _ in portions]
    for file, place in last.items():
        spent[place].append(file)
    return spent


def store_portion(work: Work, keys: Keys, portion: PartitionRange, form: Form, slot: Slot) -> Stored:
    """The second pass over a portion: its rows in their order, digested and written.

    Args:
        work: What there is to do.
        keys: This process's keys.
        portion: The rows.
        form: What all files of the artifact have in common.
        slot: Where the file goes.

    Raises:
        DataRefused: Parquet can't hold a column.
        StorageError: A temporary file can't be read, or the file not written.
        Tampered: A temporary file was changed.
    """
    folder, room = folder_of(work, keys), ReadBuffer()
    buckets: list[Bucket] = []

    def blocks() -> Iterator[pa.RecordBatch]:
        for stretch in stretches(portion):
            for block, bucket in settle(load(stretch, folder, room), portion.total):
                yield pa.RecordBatch.from_arrays(block.columns, schema=form.schema)
                if bucket is not None:
                    buckets.append(bucket)

    return Stored(write_file(slot, blocks(), keys.run, random=form.random, widths=portion.text_widths()), tuple(buckets))


def _expanded(rows: Rows) -> Iterator[pa.RecordBatch]:
    """Each dealt row as often as it came, in batches."""
    ends = np.cumsum(rows.times, dtype=np.int64)
    for at in range(0, int(ends[-1]), BLOCK_ROWS):
        yield rows.take(pa.array(np.searchsorted(ends, np.arange(at, min(at + BLOCK_ROWS, int(ends[-1]))), "right")))


def _unreadable(source: Source, reads: tuple[str, ...]) -> list[pa.RecordBatch]:
    rows = source.rejects.rows
    if not rows:
        return []
    columns = [pa.array([row.reason for row in rows]), pa.array([row.raw for row in rows], pa.binary())]
    return [pa.RecordBatch.from_arrays([*columns, *(pa.nulls(len(rows), pa.string()) for _ in reads)], schema=aside_schema(reads))]
