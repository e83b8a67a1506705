"""CSV as a source (RFC 4180, UTF-8, header row, commas): every column as text.

As text, no leading zero is lost and no type is guessed from the first rows. An empty field is a missing value, a quoted empty one
is the empty text. The file gets one sentinel row behind its last byte: it comes back only if no quote is left open.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import pyarrow as pa
from pyarrow import csv

from prefect_gatehouse.data.sources.csv_input import CsvInput, unmarked
from prefect_gatehouse.data.sources.interface import BATCH_ROWS
from prefect_gatehouse.data.sources.opened import Opened
from prefect_gatehouse.errors import InputError

# Bytes that the reader parses at once; no row may be longer.
_BLOCK = 1 << 20
# How the reader names the place of an error, and what it says of a row longer than a block.
_ROW = re.compile(r"Row #(\d+)")
_LONG_ROW = "straddling object"

Skip = Callable[[csv.InvalidRow], str]
"""Told of a row with another number of fields; answers "skip" or "error"."""


class CsvContent:
    """What an open CSV holds.

    Args:
        opened: The file or object.
        lenient: Pass over malformed rows when the header is read; they are told when the rows are.

    Attributes:
        names: Its columns.
        read: Bytes read so far.
    """

    def __init__(self, opened: Opened, *, lenient: bool = False) -> None:
        self.opened = opened
        self.read = 0
        with self.input(b"\n", marking=lenient) as data:
            # The reader parses the first block, not only the header.
            self.names: tuple[str, ...] = tuple(self.reader(data, (), (lambda row: "skip") if lenient else None).schema.names)
            if data.marked_any:
                for name in self.names:
                    unmarked(name).decode()

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns, every one text; the first malformed row ends the reading.

        Raises:
            InputError: A row is malformed, or the file changed.
        """
        sentinel, tail = self.sentinel()
        last: pa.RecordBatch | None = None
        with self.input(tail.encode()) as data:
            for batch in self.reader(data, columns):
                if last is not None and batch.num_rows:
                    yield from sliced(last)
                last = batch if batch.num_rows else last
                self.read = data.position
        if last is None or any(column[-1].as_py() != sentinel for column in last.columns):
            raise InputError("a quoted field is never closed", where=self.opened.name, advice="look for a lone double quote")
        self.opened.check_unchanged()
        yield from sliced(last.slice(0, last.num_rows - 1))

    def sentinel(self) -> tuple[str, str]:
        """A text that is in no file, and a row of it to stand behind the last byte."""
        text = secrets.token_hex(16)
        return text, "\n" + ",".join([text] * len(self.names)) + "\n"

    def reader(self, data: CsvInput, columns: Sequence[str] | None, skip: Skip | None = None) -> csv.CSVStreamingReader:
        """A reader of these columns as text; of all for None, and of none with an empty list, for the names only."""
        texts = self.names if columns is None else columns
        return csv.open_csv(
            pa.PythonFile(data, mode="r"),
            # One thread: only then does the reader know the number of a bad row.
            read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
            parse_options=csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            convert_options=csv.ConvertOptions(
                include_columns=list(columns or ()),
                column_types={name: pa.string() for name in texts},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    @contextmanager
    def input(self, tail: bytes, *, marking: bool = False) -> Iterator[CsvInput]:
        """The file with a tail; turns the reader's errors, which quote the row, into ours, which number it."""
        data = CsvInput(self.opened, tail, marking=marking)
        try:
            yield data
        except UnicodeError:
            raise InputError("the header is not UTF-8", where=self.opened.name, advice="save the file as UTF-8") from None
        except pa.ArrowException as error:
            raise _refusal(str(error), self.opened.name) from None
        finally:
            data.close()


def sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A block of short rows in batches of the usual size."""
    for first in range(0, max(batch.num_rows, 1), BATCH_ROWS):
        yield batch.slice(first, BATCH_ROWS)


def _refusal(text: str, name: str) -> InputError:
    row = _ROW.search(text)
    place = f"row {row[1]} (the header is row 1)" if row else "a row"
    # The first kind of text ends with the row, so it is told by its beginning.
    if text.startswith("CSV parse error") and "Expected" in text:
        message, advice = f"{place} has another number of fields than the header", "quote the fields that hold commas"
    elif "UTF8" in text:
        message, advice = f"{place} is not UTF-8", "save the file as UTF-8"
    elif _LONG_ROW in text:
        message, advice = "a row is longer than 1 MiB", "look for a double quote that is never closed"
    else:
        message, advice = "the file is not valid CSV", "write a header row, commas and double quotes as RFC 4180 has them"
    return InputError(message, where=name, advice=advice)
