"""A pandas frame as a source, for code and tests: its columns in Arrow's types, its index left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import pyarrow as pa

from prefect_gatehouse.data.sources.content import ContentHash
from prefect_gatehouse.data.sources.interface import BATCH_ROWS, FramePlace, Part, Rejects
from prefect_gatehouse.errors import DataRefused, InputError
from prefect_gatehouse.tokens.columns import is_number, is_text, is_time

_WHERE = "frame"


class FrameSource:
    """The source.

    Raises:
        InputError: A column's name is no text, or its values are of no one type of text, numbers, truth values, dates and times.
        DataRefused: The frame has no rows.
    """

    typed = True

    def __init__(self, place: FramePlace, rejects: Rejects) -> None:
        frame = place.frame
        if not all(isinstance(name, str) for name in frame.columns):
            raise InputError("a column's name is not text", where=_WHERE, advice="rename the columns")
        if frame.empty:
            raise DataRefused("the source has no rows", where=_WHERE)
        # By place: a frame may have one name twice, which is for the manifest to refuse where it matters.
        arrays = [_array(str(name), frame.iloc[:, index]) for index, name in enumerate(frame.columns)]
        self._table = pa.Table.from_arrays(arrays, names=[str(name) for name in frame.columns])
        self.rejects = rejects
        self._progress = (0, len(frame))

    @property
    def names(self) -> tuple[str, ...]:
        """Every column, in the order of the frame."""
        return tuple(self._table.column_names)

    def digest(self) -> str:
        """SHA-256 of the content."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        content = ContentHash(self._table.schema)
        for batch in self._batches(self._table):
            content.update(batch)
        return content.hexdigest()

    def parts(self) -> tuple[Part, ...]:
        """One: a frame is in one process."""
        return (Part(size=self._table.num_rows),)

    def batches(self, columns: Sequence[str], part: Part | None = None) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns."""
        done = 0
        for batch in self._batches(self._table.select(list(columns))):
            done += batch.num_rows
            self._progress = (done, self._table.num_rows)
            yield batch

    def progress(self) -> tuple[int, int]:
        """Rows read and rows in all."""
        return self._progress

    @staticmethod
    def _batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
        for first in range(0, table.num_rows, BATCH_ROWS):
            yield from table.slice(first, BATCH_ROWS).combine_chunks().to_batches()


def _array(name: str, series: object) -> pa.ChunkedArray:
    try:
        found = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        raise _unfit(name) from None
    column = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not (is_text(kind) or is_number(kind) or is_time(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind)):
        raise _unfit(name)
    return column


def _unfit(name: str) -> InputError:
    advice = "make each column one type of text, numbers, truth values, dates or times"
    return InputError("a column's values are not of one type that can be read", where=f"{_WHERE}, column '{name}'", advice=advice)
