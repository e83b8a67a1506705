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
from prefect_gatehouse.manifest.csv_form import DELIMITERS, CsvForm
from prefect_gatehouse.plurals import counted

MOST = 1 << 20
"""Bytes that a row may have."""
_LINE = re.compile(rb"[^\r\n]*+(?:\r\n|\r|\n)")
_COMMAS = {b",": "commas", b";": "semicolons", b"\t": "tabs", b"|": "vertical bars"}
_TAB_ENDINGS = (".tsv", ".tab")
# What Excel and those who write for it put before everything else; a letter or a digit parts nothing, so it is the name of a column.
_SEPARATOR = re.compile(rb"""(["']?)[sS][eE][pP]=([^\w"'\r\n])\1(?:\r\n|\r|\n|\Z)""")
_LONGEST_SEPARATOR = 16
_CHARACTERS = {"tab": "\t", "space": " "}
SETTINGS = {"\t": "tab", " ": "space"}
"""What a manifest calls delimiters that are not seen."""


@dataclass(frozen=True)
class Head:
    """How a CSV begins.

    Attributes:
        names: Of its columns.
        first: Bytes of its text before the first row of data.
        before: Rows and lines before that one, as people count them.
        delimiter: What parts its fields.
        separator: Whether its first line says so.
    """

    names: tuple[str, ...]
    first: int
    before: int
    delimiter: str
    separator: bool = False


@dataclass(frozen=True)
class Separator:
    """A first line ``sep=;``.

    Attributes:
        delimiter: What it says parts the fields.
        length: Its bytes, with its line end.
    """

    delimiter: str
    length: int


def separator_of(text: bytes, form: CsvForm, name: str) -> Separator | None:
    """The line ``sep=;`` that a text begins with, behind its byte order mark; None where there is none.

    Raises:
        InputError: It names a character that is no delimiter here, or another one than the form.
    """
    found = _SEPARATOR.match(text)
    if found is None:
        return None
    said = found[2].decode("ascii", "replace")
    word = SETTINGS.get(said, said)
    if word not in DELIMITERS:
        advice = f"write the file with one of {' '.join(DELIMITERS)}"
        raise InputError("the first line (sep=) names a character that parts no fields here", where=name, advice=advice)
    if form.delimiter is not None and form.delimiter != word:
        message = f"the first line says that '{word}' parts the fields, data.csv.delimiter says '{form.delimiter}'"
        raise InputError(message, where=name, advice="correct data.csv.delimiter, or take the line out of the file and of data.csv.skip_rows")
    return Separator(said, found.end())


def delimiter_of(form: CsvForm, name: str) -> str:
    """What parts the fields of a file."""
    if form.delimiter is not None:
        return _CHARACTERS.get(form.delimiter, form.delimiter)
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
    separator = separator_of(text[first : first + _LONGEST_SEPARATOR], form, opened.name)
    if separator is not None:
        form = form.model_copy(update={"delimiter": SETTINGS.get(separator.delimiter, separator.delimiter)})
    # Who has data.csv.skip_rows counts that line, as every other one above the table.
    skipped = max(form.skip_rows, separator is not None)
    for _ in range(skipped):
        line = _LINE.match(text, first)
        if line is None:
            raise InputError(f"it has no {counted(form.skip_rows, 'line')} to skip", where=opened.name, advice="correct data.csv.skip_rows")
        first = line.end()
    start = first
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
    if form.header == "none":  # an empty line is a row of a single column that is missing
        return Head(names, start if len(names) == 1 else first, skipped, delimiter, separator is not None)
    line_end = 2 if text.startswith(b"\r\n", found.end()) else 1
    return Head(names, min(found.end() + line_end, len(text)), skipped + 1, delimiter, separator is not None)


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
            message = f"its first row has {counted(len(names), 'field')}, data.csv.names has {len(form.names)}"
            raise InputError(message, where=name, advice="name every column, and set data.csv.skip_rows for lines before the rows")
        return form.names
    made: Callable[[int], str] = "column_{}".format
    names = tuple(made(place) for place in range(1, len(names) + 1)) if given else names
    return tuple(each.strip() for each in names) if form.trim else names


NOT_UTF8 = "save the file as UTF-8, or set data.csv.encoding to what it is, for example cp1252"
