"""Writes a table as the CSV that its source was: delimiter, encoding, header and decimal commas, so that one manifest reads both."""

from __future__ import annotations

import codecs

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from prefect_gatehouse.data.sources.csv_head import SETTINGS, delimiter_of
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.files import DigestingFile
from prefect_gatehouse.manifest.csv_form import CsvForm


class _Encoded:
    """A binary file that takes UTF-8 and passes another encoding on."""

    closed = False

    def __init__(self, sink: DigestingFile, form: CsvForm) -> None:
        self._sink = sink
        self._form = form
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._encoder = codecs.getincrementalencoder(form.codec)()

    def write(self, data: bytes) -> int:
        try:
            self._sink.write(self._encoder.encode(self._decoder.decode(bytes(data))))
        except UnicodeEncodeError:
            message = f"a column's name can't be written in {self._form.encoding}"
            raise InputError(message, where="data.csv.names", advice="use names that the file's encoding has") from None
        return len(data)

    def flush(self) -> None:
        self._sink.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        """The file below stays open for fsync."""


def write_csv(table: pa.Table, sink: DigestingFile, form: CsvForm, name: str, separator: str = "") -> None:
    """Writes a table of texts and numbers.

    Args:
        table: The rows.
        sink: Where the bytes go.
        form: How the source is written.
        name: The new file's name, which may say its delimiter.
        separator: The delimiter that the source's first line (sep=;) names, where it has one.

    Raises:
        InputError: A column's name can't be written in the encoding.
    """
    commas = [_with_comma(table[each]) if each in form.decimal_comma else table[each] for each in table.column_names]
    target = sink if form.codec == "utf-8" else _Encoded(sink, form)
    # What is skipped in the source was no row; in its place stand empty lines.
    skipped = form.skip_rows
    if separator:
        target.write(f"sep={separator}\n".encode())
        form = form.model_copy(update={"delimiter": SETTINGS.get(separator, separator)})
        skipped = max(skipped - 1, 0)
    target.write(b"\n" * skipped)
    options = csv.WriteOptions(include_header=form.header == "row", delimiter=delimiter_of(form, name))
    with pa.PythonFile(target, mode="w") as file:
        csv.write_csv(pa.table(commas, names=table.column_names), file, options)


def _with_comma(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.replace_substring(column.cast(pa.string()), ".", ",")
