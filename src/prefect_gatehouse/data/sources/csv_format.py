"""CSV as a source (RFC 4180; UTF-8, a header row and commas unless the manifest says otherwise): every column as text.

As text, no leading zero is lost and no type is guessed from the first rows. An empty field is a missing value, a quoted empty one
is the empty text. The file gets one sentinel row behind its last byte: it comes back only if no quote is left open.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pyarrow as pa
from pyarrow import csv

from prefect_gatehouse.data.sources.csv_head import MOST, NOT_UTF8, head_of_csv
from prefect_gatehouse.data.sources.csv_input import CsvInput
from prefect_gatehouse.data.sources.csv_text import text_of
from prefect_gatehouse.data.sources.interface import BATCH_ROWS
from prefect_gatehouse.data.sources.opened import Opened
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import CsvForm

# Bytes that the reader parses at once; no row may be longer.
_BLOCK = MOST
# How the reader names the place of an error, and what it says of a row longer than a block.
_ROW = re.compile(r"Row #(\d+)")
_LONG_ROW = "straddling object"

Skip = Callable[[csv.InvalidRow], str]
"""Told of a row with another number of fields; answers "skip" or "error"."""


class CsvContent:
    """What an open CSV holds.

    Args:
        opened: The file or object.
        form: How it is written.

    Attributes:
        names: Its columns.
        before: Rows before the first one of data.
        delimiter: What parts the fields.
        read: Bytes read so far.
    """

    def __init__(self, opened: Opened, form: CsvForm) -> None:
        self.opened = opened
        self.form = form
        self.read = 0
        head = head_of_csv(opened, form)
        self.names, self.before = head.names, head.before
        for name in form.decimal_comma:
            if name not in head.names:
                raise InputError(f"there is no column '{name}'", where="data.csv.decimal_comma", advice="correct the name")
        self._first = head.first
        # To every reader an empty line is no row of several columns; of a single one it is the row whose value is missing (RFC 4180, 2.1).
        self._parsing = partial(csv.ParseOptions, delimiter=head.delimiter, newlines_in_values=True, ignore_empty_lines=len(head.names) > 1)
        self.delimiter = head.delimiter

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns, every one text; the first malformed row ends the reading.

        Raises:
            InputError: A row is malformed, or the file changed.
        """
        sentinel, tail = self.sentinel()
        last: pa.RecordBatch | None = None
        with self.input(tail.encode()) as data:
            for batch in self.rows(data, columns):
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
        return text, "\n" + self.delimiter.join([text] * len(self.names)) + "\n"

    def rows(self, data: CsvInput, columns: Sequence[str] | None, skip: Skip | None = None) -> Iterator[pa.RecordBatch]:
        """What the reader makes of these columns, as text; of all for None."""
        texts = self.names if columns is None else columns
        return data.batches(
            lambda file: csv.open_csv(
                file,
                # One thread: only then does the reader know the number of a bad row.
                read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK, column_names=list(self.names)),
                parse_options=self._parsing(invalid_row_handler=skip),
                convert_options=csv.ConvertOptions(
                    include_columns=list(columns or ()),
                    column_types={name: pa.string() for name in texts},
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        )

    @contextmanager
    def input(self, tail: bytes, *, marking: bool = False) -> Iterator[CsvInput]:
        """The file with a tail; turns the reader's errors, which quote the row, into ours, which number it."""
        text, _ = text_of(self.opened, self.form)
        data = CsvInput(text, tail, marking=marking, first=self._first)
        try:
            yield data
        except pa.ArrowException as error:
            raise self._refusal(str(error)) from None
        finally:
            data.close()

    def _refusal(self, text: str) -> InputError:
        row = _ROW.search(text)
        header = " (the header is row 1)" if self.form.header == "row" and self.before == 1 else ""
        place = f"row {int(row[1]) + self.before}{header}" if row else "a row"
        # The first kind of text ends with the row, so it is told by its beginning.
        if text.startswith("CSV parse error") and "Expected" in text:
            first = "header" if self.form.header == "row" else "first row"
            message, advice = f"{place} has another number of fields than the {first}", _fields_advice(self.delimiter)
        elif "UTF8" in text and self.form.codec == "utf-8":
            message, advice = f"{place} is not UTF-8", NOT_UTF8
        elif "UTF8" in text:
            message, advice = f"{place} is not {self.form.encoding.upper()}", "correct data.csv.encoding, or the file"
        elif _LONG_ROW in text:
            message, advice = "a row is longer than 1 MiB", "look for a double quote that is never closed"
        else:
            message, advice = "the file is not valid CSV", "write a header row, commas and double quotes as RFC 4180 has them"
        return InputError(message, where=self.opened.name, advice=advice)


def _fields_advice(delimiter: str) -> str:
    told = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars", ":": "colons", " ": "blanks"}[delimiter]
    return f"quote the fields that hold {told}; if lines stand before the header set data.csv.skip_rows"


def sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A block of short rows in batches of the usual size."""
    for first in range(0, max(batch.num_rows, 1), BATCH_ROWS):
        yield batch.slice(first, BATCH_ROWS)
