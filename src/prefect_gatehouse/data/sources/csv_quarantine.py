"""Reading a CSV whose malformed rows are set aside: another number of fields, bytes that are not UTF-8, a quote never closed.

Each is told to ``Rejects`` with its bytes, and the reading goes on. Only a row longer than the reader's block still refuses the file:
nobody can tell where it ends.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from prefect_gatehouse.data.sources.csv_format import CsvContent, sliced
from prefect_gatehouse.data.sources.csv_input import MARKED, CsvInput, unmarked
from prefect_gatehouse.data.sources.interface import RejectedRow, Rejects
from prefect_gatehouse.errors import DataRefused

FIELDS, ENCODING, QUOTE = "another number of fields than the header", "not UTF-8", "a quoted field never closed"
"""Why a row is set aside."""


class _WholeRowsWanted(Exception):
    """A row of the columns that are read is to be set aside; its bytes are those of all columns."""


class QuarantinedCsv:
    """One reading of a CSV.

    Args:
        content: The file.
        columns: The columns that are wanted.
        rejects: Takes what is set aside.
    """

    def __init__(self, content: CsvContent, columns: Sequence[str], rejects: Rejects) -> None:
        self._content = content
        self._columns = list(columns)
        self._rejects = rejects
        self._sentinel, self._tail = content.sentinel()
        self._skipped: list[int] = []  # numbers of the rows that the reader left out, ascending
        self._passed = 0  # batches that are through
        self._stopped: DataRefused | None = None
        self._open_quote = False

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Record batches of the sound rows, every column text.

        Raises:
            InputError: A row is longer than a block, or the file changed.
            DataRefused: More rows are malformed than may be set aside.
        """
        try:
            yield from self._read(self._columns)
        except _WholeRowsWanted:
            # The same blocks make the same batches, so those that are through are passed over.
            yield from self._read(None)
        self._content.opened.check_unchanged()

    def _read(self, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        last: pa.RecordBatch | None = None
        index = before = 0
        with self._content.input(self._tail.encode(), marking=True) as data:
            for batch in self._raw(data, columns):
                if last is not None:
                    if index >= self._passed:
                        yield from self._sound(last, before, data)
                        self._passed = index + 1
                    index += 1
                    before += last.num_rows
                last = batch
                self._content.read = data.position
            if last is not None:
                yield from self._sound(self._ended(last, before, whole=columns is None), before, data)

    def _raw(self, data: CsvInput, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
        """What the reader gives; an error that ``_skip`` asked for is the refusal."""
        try:
            for batch in self._content.rows(data, columns, self._skip):
                if batch.num_rows:
                    yield batch
        except pa.ArrowException:
            if self._stopped is None:
                raise
        if self._stopped is not None:
            raise self._stopped

    def _skip(self, row: csv.InvalidRow) -> str:
        """Called by the reader, in a thread of its own, for a row with another number of fields."""
        if self._skipped and row.number <= self._skipped[-1]:
            return "skip"  # the second reading
        self._skipped.append(row.number)
        text: str = row.text
        swallowed = self._sentinel in text
        if swallowed:
            self._open_quote = True
            text = text[: text.index(self._sentinel)].rstrip("\r\n")
        try:
            self._reject(QUOTE if swallowed else FIELDS, row.number, text)
        except DataRefused as refusal:
            self._stopped = refusal
            return "error"
        return "skip"

    def _ended(self, last: pa.RecordBatch, before: int, *, whole: bool) -> pa.RecordBatch:
        """The last batch without the sentinel row, or without the row that swallowed it."""
        if self._open_quote:
            return last
        rest = last.slice(0, last.num_rows - 1)
        if any(column[-1].as_py() != self._sentinel for column in last.columns):
            if not whole:
                raise _WholeRowsWanted
            text = _row(last, last.num_rows - 1, self._content.delimiter)
            self._reject(QUOTE, self._number(before + last.num_rows - 1), text[: text.index(self._sentinel)].rstrip("\r\n"))
        return rest

    def _sound(self, batch: pa.RecordBatch, before: int, data: CsvInput) -> Iterator[pa.RecordBatch]:
        """The rows of a batch that are UTF-8 in the columns that are wanted."""
        if data.marked_any:
            bad = pa.array([False] * batch.num_rows)
            for name in self._columns:
                bad = pc.or_(bad, pc.fill_null(pc.match_substring_regex(batch.column(name), MARKED), False))
            places = pc.indices_nonzero(bad).to_pylist()
            if places and batch.num_columns != len(self._content.names):
                raise _WholeRowsWanted
            for place in places:
                self._reject(ENCODING, self._number(before + place), _row(batch, place, self._content.delimiter))
            batch = batch.filter(pc.invert(bad)) if places else batch
        yield from sliced(batch.select(self._columns))

    def _number(self, place: int) -> int:
        """The number in the reader of a row by its place among those that it did not leave out; the first one is row 1."""
        number = place + 1
        while True:
            moved = place + 1 + bisect_left(self._skipped, number + 1)
            if moved == number:
                return number
            number = moved

    def _reject(self, reason: str, number: int, text: str) -> None:
        raw = unmarked(text)
        # Nobody can tell how many rows a misplaced quote has swallowed, so each line counts.
        where = f"{self._content.opened.name}, row {number + self._content.before}"
        self._rejects.add(RejectedRow(reason, where, raw), lines=raw.count(b"\n") + 1)


def _row(batch: pa.RecordBatch, place: int, delimiter: str) -> str:
    """A row as RFC 4180 writes it; where its fields were quoted without need, it comes without."""
    return delimiter.join(_field(column[place].as_py(), delimiter) for column in batch.columns)


def _field(value: str | None, delimiter: str) -> str:
    if value is None:
        return ""
    if value and not any(character in value for character in f'{delimiter}"\r\n'):
        return value
    return '"' + value.replace('"', '""') + '"'
