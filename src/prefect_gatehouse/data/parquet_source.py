"""A Parquet file as a source: streamed in batches, in the types of the file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

import pyarrow as pa
import pyarrow.parquet as pq

from prefect_gatehouse.data.source_file import SourceFile
from prefect_gatehouse.errors import InputError

BATCH_ROWS = 1 << 16


class ParquetSource(SourceFile):
    """A Parquet file."""

    typed = True

    def __init__(self, stream: BufferedReader, name: str) -> None:
        super().__init__(stream, name)
        self._done = 0
        with self._refusing():
            # pre_buffer=False keeps memory flat: otherwise whole row groups wait in it.
            self._file = pq.ParquetFile(stream, pre_buffer=False)
            self.names = tuple(self._file.schema_arrow.names)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns in the types of the file."""
        with self._refusing():
            for batch in self._file.iter_batches(BATCH_ROWS, columns=list(columns)):
                # Parquet does not check its text, and a dotted name also matches the parts of a nested column.
                batch.validate(full=True)
                self._done += batch.num_rows
                yield batch.select(list(columns))
        self.check_unchanged()

    def progress(self) -> tuple[int, int]:
        """Rows read and rows in all."""
        return self._done, self._file.metadata.num_rows

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError, UnicodeError):
            raise InputError("the file is not valid Parquet", where=self.name, advice="write it again at its source") from None
