"""A CSV as a source (RFC 4180, UTF-8, header row, commas): every column as text.

As text, no leading zero is lost and no type is guessed from the first rows. An empty field is a missing value, a quoted empty one
is the empty text. The file gets one sentinel row behind its last byte: it comes back only if no quote is left open.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader

import pyarrow as pa
from pyarrow import csv

from prefect_gatehouse.data.source_file import SourceFile, unreadable
from prefect_gatehouse.errors import InputError

# Bytes that the reader parses at once; no row may be longer.
_BLOCK = 1 << 20
# How the reader names the place of an error, and what it says of a row longer than a block.
_ROW = re.compile(r"Row #(\d+)")
_LONG_ROW = "straddling object"


class _WithTail:
    """A file with bytes appended, as one CSV reader's input.

    It has a position of its own (pread): a reader reads ahead in the background, also one that nobody listens to any more.
    """

    def __init__(self, stream: BufferedReader, tail: bytes) -> None:
        self._descriptor = stream.fileno()
        self._tail = tail
        self.position = 0
        self.closed = False

    def read(self, size: int) -> bytes:
        """The next bytes of the file, then the tail; short only at the very end, because the header must fit the first block."""
        parts: list[bytes] = []
        while size > 0 and not self.closed and (data := os.pread(self._descriptor, size, self.position)):
            parts.append(data)
            self.position += len(data)
            size -= len(data)
        if not self.closed:
            parts.append(self._tail[:size])
            self._tail = self._tail[size:]
        return b"".join(parts)

    def readable(self) -> bool:
        """Yes."""
        return True

    def writable(self) -> bool:
        """No."""
        return False

    def seekable(self) -> bool:
        """No."""
        return False

    def close(self) -> None:
        """Ends the reading; the file itself belongs to ``open_source``."""
        self.closed = True


class CsvSource(SourceFile):
    """A CSV file."""

    typed = False

    def __init__(self, stream: BufferedReader, name: str) -> None:
        super().__init__(stream, name)
        self._read = 0
        with self._input(b"\n") as data:
            self.names = tuple(_reader(data, ()).schema.names)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Record batches of these columns, every one text."""
        sentinel = secrets.token_hex(16)
        tail = "\n" + ",".join([sentinel] * len(self.names)) + "\n"
        last: pa.RecordBatch | None = None
        with self._input(tail.encode()) as data:
            for batch in _reader(data, columns):
                if last is not None and batch.num_rows:
                    yield last
                last = batch if batch.num_rows else last
                self._read = data.position
        if last is None or any(column[-1].as_py() != sentinel for column in last.columns):
            raise InputError("a quoted field is never closed", where=self.name, advice="look for a lone double quote")
        self.check_unchanged()
        yield last.slice(0, last.num_rows - 1)

    def progress(self) -> tuple[int, int]:
        """Bytes read and bytes in all."""
        return self._read, self.size

    @contextmanager
    def _input(self, tail: bytes) -> Iterator[_WithTail]:
        """The file with a tail; turns the reader's errors, which quote the row, into ours, which number it."""
        data = _WithTail(self.stream, tail)
        try:
            yield data
        except UnicodeError:
            raise InputError("the header is not UTF-8", where=self.name, advice="save the file as UTF-8") from None
        except pa.ArrowException as error:
            text = str(error)
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
            raise InputError(message, where=self.name, advice=advice) from None
        except OSError as error:
            raise unreadable(error, self.name) from None
        finally:
            data.close()


def _reader(data: _WithTail, columns: Sequence[str]) -> csv.CSVStreamingReader:
    return csv.open_csv(
        pa.PythonFile(data, mode="r"),
        # One thread: only then does the reader know the number of a bad row.
        read_options=csv.ReadOptions(use_threads=False, block_size=_BLOCK),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.string() for name in columns},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
