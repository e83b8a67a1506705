"""Parquet as a source: streamed batch by batch, in the types of the file or in those that several files have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from prefect_gatehouse.data.sources.interface import BATCH_ROWS
from prefect_gatehouse.data.sources.opened import Opened, Seekable
from prefect_gatehouse.data.sources.types import converted
from prefect_gatehouse.errors import InputError

_BEYOND_ASCII = 0x80


class ParquetContent:
    """What an open Parquet file holds.

    Attributes:
        schema: Its columns.
        groups: Rows of each row group.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        with self._refusing():
            # No pre-buffering, and a bounded buffer for each column: otherwise whole row groups wait in memory.
            self._file = pq.ParquetFile(pa.PythonFile(Seekable(opened), mode="r"), pre_buffer=False, buffer_size=opened.read_ahead)
            self.schema: pa.Schema = self._file.schema_arrow
            facts = self._file.metadata
            self.groups = tuple(facts.row_group(index).num_rows for index in range(facts.num_row_groups))

    def batches(self, columns: Sequence[str], first: int, last: int, common: pa.Schema | None) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns out of a range of row groups.

        Args:
            columns: Their names.
            first: The first row group.
            last: One past the last.
            common: Types to convert into, None to keep the file's.
        """
        with self._refusing():
            for batch in self._file.iter_batches(BATCH_ROWS, row_groups=list(range(first, last)), columns=list(columns), use_threads=False):
                # A dotted name also matches the parts of a nested column.
                chosen = batch.select(list(columns))
                for column in chosen.columns:
                    _check(column)
                yield chosen if common is None else converted(chosen, common)
        self._opened.check_unchanged()

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeError):
            advice = "write it again at its source"
            raise InputError("the file is not valid Parquet", where=self._opened.name, advice=advice) from None


def _check(column: pa.Array) -> None:
    """Parquet does not check its text, nor whether numbers fit their type; text of ASCII alone needs no closer look.

    Raises:
        pa.ArrowInvalid: It is wrong.
    """
    if pa.types.is_string(column.type) and (data := column.buffers()[2]) is not None:
        edges = np.frombuffer(column.buffers()[1], np.int32, len(column) + 1, column.offset * 4)
        text = np.frombuffer(data, np.uint8)[edges[0] : edges[-1]]
        if not len(text) or text.max() < _BEYOND_ASCII:
            column.validate()
            return
    column.validate(full=True)
