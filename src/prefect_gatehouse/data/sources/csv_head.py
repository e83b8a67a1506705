"""The first row of a CSV: the names of its columns, and where its data begins. Read apart, so that a file is never read ahead for them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
from pyarrow import csv

from prefect_gatehouse.data.sources.csv_text import check_form, first_text
from prefect_gatehouse.data.sources.kinds import ending_of
from prefect_gatehouse.data.sources.opened import Opened
from prefect_gatehouse.data.sources.unpack import head_of
from prefect_gatehouse.errors import InputError
from prefect_gatehouse.manifest.csv_form import CsvForm

MOST = 1 << 20
"""Bytes that a row may have."""
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n)")
_COMMAS = {b",": "commas", b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_TAB_ENDINGS = (".tsv", ".tab")


@dataclass(frozen=True)
class Head:
    """How a CSV begins.

    Attributes:
        names: Of its columns.
        first: Bytes of its text before the first row of data.
        before: Rows and lines before that one, as people count them.
        delimiter: What parts its fields.
    """

    names: tuple[str, ...]
    first: int
    before: int
    delimiter: str


def delimiter_of(form: CsvForm, name: str) -> str:
    """What parts the fields of a file."""
    if form.delimiter is not None:
        return {"tab": "\t", "space": " "}.get(form.delimiter, form.delimiter)
    return "\t" if ending_of(name) in _TAB_ENDINGS else ","


def row_pattern(delimiter: bytes) -> re.Pattern[bytes]:
    """A row as pyarrow reads it: a quote counts at the beginning of a field only, and may hold line ends."""
    part = re.escape(delimiter)
    plain = rb"[^" + part + rb"\r\n]*+"
    field = rb'(?:"(?:[^"]++|"")*+"' + plain + rb'|(?!")' + plain + rb")"
    return re.compile(field + rb"(?:" + part + field + rb")*+(?=[\r\n]|\Z)")


def head_of_csv(opened: Opened, form: CsvForm) -> Head:
    """Reads the head of a CSV.

    Raises:
        InputError: The file is of another kind or encoding, has other delimiters or another number of columns than the form says, or its first
            row is longer than may be.
    """
    raw, compression = head_of(opened)
    check_form(raw, compression is not None, form, opened.name)
    text, whole = first_text(opened, form, MOST)
    first = len(codecs.BOM_UTF8) if text.startswith(codecs.BOM_UTF8) else 0
    for _ in range(form.skip_rows):
        line = _LINE.match(text, first)
        if line is None:
            raise InputError(f"it has no {form.skip_rows} lines to skip", where=opened.name, advice="correct data.csv.skip_rows")
        first = line.end()
    while text[first : first + 1] in (b"\r", b"\n"):  # empty lines are no rows
        first += 1
    delimiter = delimiter_of(form, opened.name)
    found = row_pattern(delimiter.encode()).match(text, first)
    if found is None or (found.end() == len(text) and not whole):
        advice = "look for a double quote that is never closed"
        raise InputError("the first row is longer than 1 MiB, or a quote in it is never closed", where=opened.name, advice=advice)
    row = found[0]
    if not row:
        raise InputError("the file holds no row", where=opened.name, advice="write a header row and data")
    _check_delimiter(row, delimiter, form, opened.name)
    names = _names(row, delimiter, form, opened.name)
    if form.header == "none":
        return Head(names, first, form.skip_rows, delimiter)
    line_end = 2 if text.startswith(b"\r\n", found.end()) else 1
    return Head(names, min(found.end() + line_end, len(text)), form.skip_rows + 1, delimiter)


def _check_delimiter(row: bytes, delimiter: str, form: CsvForm, name: str) -> None:
    """A row without any delimiter but with another one is hardly a single column, and never taken for one unless the form says so."""
    if form.delimiter is not None or delimiter.encode() in row:
        return
    others = [other for other in _COMMAS if other in row]
    if others:
        other = max(others, key=row.count)
        word = "tab" if other == b"\t" else f"'{other.decode()}'"
        own = "tab" if delimiter == "\t" else f"'{delimiter}'"
        message = f"the first row has {_COMMAS[other]} and no {_COMMAS[delimiter.encode()]}"
        raise InputError(message, where=name, advice=f"set data.csv.delimiter: {word}, or {own} if it is one column indeed")


def _names(row: bytes, delimiter: str, form: CsvForm, name: str) -> tuple[str, ...]:
    given = form.header == "none"
    try:
        reader = csv.open_csv(
            pa.BufferReader(row + b"\n"),
            read_options=csv.ReadOptions(use_threads=False, block_size=len(row) + 2, autogenerate_column_names=given),
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            # Of a first row of data only the number of fields is wanted; it need not be text.
            convert_options=csv.ConvertOptions(check_utf8=not given),
        )
        names = tuple(reader.schema.names)
        if not given:
            row.decode()
    except UnicodeError:
        raise InputError("the header is not UTF-8", where=name, advice=NOT_UTF8) from None
    except pa.ArrowException:
        raise InputError("the first row is not valid CSV", where=name, advice="write commas and double quotes as RFC 4180 has them") from None
    if form.names:
        if len(form.names) != len(names):
            message = f"its first row has {len(names)} fields, data.csv.names has {len(form.names)}"
            raise InputError(message, where=name, advice="name every column, and set data.csv.skip_rows for lines before the rows")
        return form.names
    made: Callable[[int], str] = "column_{}".format
    names = tuple(made(place) for place in range(1, len(names) + 1)) if given else names
    return tuple(each.strip() for each in names) if form.trim else names


NOT_UTF8 = "save the file as UTF-8, or set data.csv.encoding to what it is, for example cp1252"
